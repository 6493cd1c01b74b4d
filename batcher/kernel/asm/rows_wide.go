package main

import (
	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// How AVX-512 loads a column and converts it.

func wide4(c *wideColumn) VecVirtual {
	v := ZMM()
	if !c.masked {
		VMOVUPS(c.at(0), v)
		return v
	}
	VBROADCASTSS(c.fill, v)
	VMOVUPS(c.at(0), c.valid, v)
	return v
}

// wideOne is a load, or a conversion that cannot fail, to eight 8-byte values.
func wideOne(load func(ops ...Op)) func(c *wideColumn) VecVirtual {
	return func(c *wideColumn) VecVirtual {
		v := ZMM()
		if !c.masked {
			load(c.at(0), v)
			return v
		}
		VBROADCASTSD(c.fill, v)
		load(c.at(0), c.valid, v)
		return v
	}
}

// wideOneFour is the same to sixteen 4-byte values.
func wideOneFour(load func(ops ...Op)) func(c *wideColumn) VecVirtual {
	return func(c *wideColumn) VecVirtual {
		v := ZMM()
		if !c.masked {
			load(c.at(0), v)
			return v
		}
		VBROADCASTSS(c.fill, v)
		load(c.at(0), c.valid, v)
		return v
	}
}

// wideQuickLongs is int64 to float32, of which none is rounded; what is not valid is 0.
func wideQuickLongs(c *wideColumn) VecVirtual {
	halves, v := c.wideHalves(), ZMM()
	low, high := YMM(), YMM()
	VCVTQQ2PS(halves[0], low)
	VCVTQQ2PS(halves[1], high)
	VINSERTF32X8(U8(1), high, low.AsZ(), v)
	return c.filled(v)
}

// wideHalves loads sixteen 8-byte values; zeros where they are not valid, so
// that these count for nothing.
func (c *wideColumn) wideHalves() (halves [2]VecVirtual) {
	for h := range halves {
		halves[h] = ZMM()
		switch {
		case !c.masked:
			VMOVUPD(c.at(64*h), halves[h])
		case h == 0:
			VMOVUPD_Z(c.at(0), c.valid, halves[h])
		default:
			high := K()
			KSHIFTRW(U8(8), c.valid, high)
			VMOVUPD_Z(c.at(64), high, halves[h])
		}
	}
	return halves
}

// narrow converts the halves and joins them. changed gives a mask of the values
// that back, which makes a half wide again, does not give back.
func (c *wideColumn) narrow(convert, back func(ops ...Op), compare func(wide, again VecVirtual, k OpmaskVirtual)) (v VecVirtual, changed OpmaskVirtual) {
	var masks [2]OpmaskVirtual
	var narrow [2]VecVirtual
	for h, wide := range c.wideHalves() {
		again := ZMM()
		narrow[h], masks[h] = YMM(), K()
		convert(wide, narrow[h])
		back(narrow[h], again)
		compare(wide, again, masks[h])
	}
	v, changed = ZMM(), K()
	VINSERTF32X8(U8(1), narrow[1], narrow[0].AsZ(), v)
	KUNPCKBW(masks[0], masks[1], changed)
	return v, changed
}

// filled puts the fill of 4 bytes where values are not valid.
func (c *wideColumn) filled(v VecVirtual) VecVirtual {
	if !c.masked {
		return v
	}
	f := ZMM()
	VBROADCASTSS(c.fill, f)
	VMOVAPS(v, c.valid, f)
	return f
}

// count counts rounded values.
func (c *wideColumn) count(changed OpmaskVirtual) {
	n := GP64()
	KMOVW(changed, n.As32())
	POPCNTL(n.As32(), n.As32())
	ADDQ(n, c.rounded)
}

func notEqualDoubles(wide, again VecVirtual, k OpmaskVirtual) {
	const notEqualOrdered = 12 // NEQ_OQ
	VCMPPD(U8(notEqualOrdered), wide, again, k)
}

func notEqualLongs(wide, again VecVirtual, k OpmaskVirtual) {
	const notEqual = 4
	VPCMPQ(U8(notEqual), wide, again, k)
}

// float64 to float32; one that became infinite is beyond.
func wideDoubles(c *wideColumn) VecVirtual {
	const infinite = 0x08 | 0x10
	v, changed := c.narrow(VCVTPD2PS, VCVTPS2PD, notEqualDoubles)
	c.count(changed)
	k := K()
	VFPCLASSPSZ(U8(infinite), v, changed, k)
	KORW(k, c.beyond, c.beyond)
	return c.filled(v)
}

// int64 to float32. 2^63 comes back as -2^63, which no value that rounds to it
// equals.
func wideLongs(c *wideColumn) VecVirtual {
	v, changed := c.narrow(VCVTQQ2PS, VCVTTPS2QQ, notEqualLongs)
	c.count(changed)
	return c.filled(v)
}

// int64 to int32; those that do not fit are beyond.
func wideNarrow(c *wideColumn) VecVirtual {
	v, changed := c.narrow(VPMOVQD, VPMOVSXDQ, notEqualLongs)
	KORW(changed, c.beyond, c.beyond)
	return c.filled(v)
}

// int32 to float32; of 2^31 see int64.
func wideInts(c *wideColumn) VecVirtual {
	const notEqual = 4
	i, v, again, changed := ZMM(), ZMM(), ZMM(), K()
	if c.masked {
		VMOVDQU32_Z(c.at(0), c.valid, i)
	} else {
		VMOVDQU32(c.at(0), i)
	}
	VCVTDQ2PS(i, v)
	VCVTTPS2DQ(v, again)
	VPCMPD(U8(notEqual), i, again, changed)
	c.count(changed)
	return c.filled(v)
}

// int64 to float64.
func wideLongDoubles(c *wideColumn) VecVirtual {
	i, v, again, changed := ZMM(), ZMM(), ZMM(), K()
	if c.masked {
		VMOVDQU64_Z(c.at(0), c.valid, i)
	} else {
		VMOVDQU64(c.at(0), i)
	}
	VCVTQQ2PD(i, v)
	VCVTTPD2QQ(v, again)
	notEqualLongs(i, again, changed)
	c.count(changed)
	if !c.masked {
		return v
	}
	f := ZMM()
	VBROADCASTSD(c.fill, f)
	VMOVAPD(v, c.valid, f)
	return f
}
