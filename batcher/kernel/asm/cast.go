package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// caster is a kernel that converts values, without and with validity:
//
//	func(dst, src *byte, n int) (rounded, clean, beyond int)
//	func(dst, src *byte, n int, bits *byte, bit int, fill uint64) (rounded, clean, beyond int)
//
// rounded counts the values that the conversion changed, clean the blocks
// before the first such value, and beyond is not 0 when a value was met that
// the kernel does not judge: then dst is undefined, and the plain loop has the
// word. Values whose validity bit is 0 become fill and count for nothing.
type caster struct {
	name     string
	from, to int // bytes of a value
	// prepare loads constants, once; lanes converts the eight values from 8*g
	// on, and leaves them in one register or two.
	prepare func(k *cast)
	lanes   func(k *cast, g int) []VecVirtual
}

// cast is a caster at work.
type cast struct {
	at   func(disp int) Mem // values
	bits validity           // nil without it
	// count takes masks of values that were rounded, in lanes of some bytes.
	count func(changed VecVirtual, lane int)
	// rounded counts, in lanes of counts bytes; nil where nothing rounds.
	rounded VecVirtual
	counts  int
	// beyond collects evidence for values that are not judged, as bits;
	// largest collects magnitudes.
	beyond, largest VecVirtual
	constants       []VecVirtual
	param           func(offset int) Mem // of a column's function; see affine
}

// validity makes masks of values: of eight 4-byte values, and of four 8-byte
// values.
type validity interface {
	valid4(g int) VecVirtual
	valid8(g int) VecVirtual
}

func casts() {
	for _, c := range []caster{
		{"castF64F32", 8, 4, prepareDoubles, lanesDoubles},
		{"castI64F32", 8, 4, prepareLongs, lanesLongs},
		{"castI64I32", 8, 4, prepareNarrow, lanesNarrow},
		{"castI64F64", 8, 8, prepareLongDoubles, lanesLongDoubles},
		{"castI32F32", 4, 4, prepareInts, lanesInts},
		{"castI32F64", 4, 8, nil, lanesWiden(VCVTDQ2PD)},
		{"castF32F64", 4, 8, nil, lanesWiden(VCVTPS2PD)},
		{"castI32I64", 4, 8, nil, lanesWiden(VPMOVSXDQ)},
	} {
		c.generate(false)
		c.generate(true)
	}
}

func (c *caster) generate(validity bool) {
	name, params := c.name, "dst *byte, src *byte, n int"
	if validity {
		name, params = name+"Valid", params+", bits *byte, bit int, fill uint64"
	}
	name += "AVX2"
	TEXT(name, noSplit, "func("+params+") (rounded int, clean int, beyond int)")
	Pragma("noescape")
	Doc(name + " converts n values; see the generator for its results.")
	dst, n := Load(Param("dst"), GP64()), Load(Param("n"), GP64())
	src := Load(Param("src"), GP64())
	k := &cast{at: func(disp int) Mem { return Mem{Base: src, Disp: disp} }}
	var fill VecVirtual
	var bits *bitmap
	if validity {
		bits = openBitmap()
		k.bits = bits
		fill = broadcast("fill", c.to)
	}
	if c.prepare != nil {
		c.prepare(k)
	}
	var clean, isClean GPVirtual
	if k.counts != 0 {
		k.rounded = zeroed()
		k.count = func(changed VecVirtual, lane int) {
			if lane == 4 {
				VPSUBD(changed, k.rounded, k.rounded)
			} else {
				VPSUBQ(changed, k.rounded, k.rounded)
			}
		}
		clean, isClean = GP64(), GP64()
		XORQ(clean, clean)
		XORQ(isClean, isClean)
	}
	loop(n, func() {
		if validity {
			bits.next()
		}
		for g := range block / 8 {
			for i, v := range c.lanes(k, g) {
				if validity && c.to == 4 {
					VBLENDVPS(k.bits.valid4(g), v, fill, v)
				} else if validity {
					VBLENDVPD(k.bits.valid8(2*g+i), v, fill, v)
				}
				VMOVUPS(v, Mem{Base: dst, Disp: 8*g*c.to + 32*i})
			}
		}
		if k.rounded != nil {
			VPTEST(k.rounded, k.rounded)
			SETEQ(isClean.As8())
			ADDQ(isClean, clean)
		}
	}, map[Register]int{dst: block * c.to, src: block * c.from}, dst, src)
	k.results(clean)
	VZEROUPPER()
	RET()
}

func (k *cast) results(clean GPVirtual) {
	rounded, beyond := GP64(), GP64()
	XORQ(beyond, beyond)
	if k.rounded == nil {
		XORQ(rounded, rounded)
		Store(rounded, ReturnIndex(0))
		Store(rounded, ReturnIndex(1))
	} else {
		x, y := XMM(), XMM()
		VEXTRACTI128(U8(1), k.rounded, y)
		if k.counts == 4 {
			VPADDD(k.rounded.AsX(), y, x)
			VPSHUFD(U8(0b01001110), x, y)
			VPADDD(x, y, x)
			VPSHUFD(U8(0b10110001), x, y)
			VPADDD(x, y, x)
			VMOVD(x, rounded.As32())
		} else {
			VPADDQ(k.rounded.AsX(), y, x)
			VPSHUFD(U8(0b01001110), x, y)
			VPADDQ(x, y, x)
			VMOVQ(x, rounded)
		}
		Store(rounded, ReturnIndex(0))
		Store(clean, ReturnIndex(1))
	}
	k.isBeyond(beyond)
	Store(beyond, ReturnIndex(2))
}

// isBeyond sets beyond, which is 0, when there is evidence.
func (k *cast) isBeyond(beyond GPVirtual) {
	if k.largest != nil {
		VPCMPEQQ(k.constants[1], k.largest, k.largest)
		k.beyond = k.largest
	}
	if k.beyond != nil {
		VPTEST(k.beyond, k.beyond)
		SETNE(beyond.As8())
	}
}

func zeroed() VecVirtual {
	v := YMM()
	VPXOR(v, v, v)
	return v
}

// constant64 fills a register's 64-bit lanes.
func constant64(v uint64) VecVirtual {
	r, x, y := GP64(), XMM(), YMM()
	MOVQ(U64(v), r)
	VMOVQ(r, x)
	VPBROADCASTQ(x, y)
	return y
}

// float64 to float32. A value has changed when the float32, made wide again,
// is another number; NaN is no number, so it never counts. One that became
// infinite is out of range, and the plain loop finds it.
func prepareDoubles(k *cast) {
	k.counts, k.largest = 8, zeroed()
	k.constants = []VecVirtual{constant64(1<<63 - 1), constant64(math.Float64bits(math.Inf(1)))}
}

func lanesDoubles(k *cast, g int) []VecVirtual {
	const notEqualOrdered = 12 // NEQ_OQ
	var narrow [2]VecVirtual
	for h := range narrow {
		at := k.at(64*g + 32*h)
		x, wide, changed := XMM(), YMM(), YMM()
		VCVTPD2PSY(at, x)
		VCVTPS2PD(x, wide)
		VCMPPD(U8(notEqualOrdered), at, wide, changed)
		if k.bits != nil {
			VPAND(k.bits.valid8(2*g+h), changed, changed)
		}
		k.count(changed, 8)
		VANDPD(changed, wide, wide)
		VANDPD(k.constants[0], wide, wide)
		VMAXPD(wide, k.largest, k.largest)
		narrow[h] = x
	}
	y := YMM()
	VINSERTF128(U8(1), narrow[1], narrow[0].AsY(), y)
	return []VecVirtual{y}
}

// longHalves loads eight 64-bit integers and gives their low halves in order.
// Where a high half is not the low one's sign, and the value valid, bits of
// beyond are set.
func (k *cast) longHalves(g int) VecVirtual {
	a, b, low, high, sign := YMM(), YMM(), YMM(), YMM(), YMM()
	VMOVDQU(k.at(64*g), a)
	VMOVDQU(k.at(64*g+32), b)
	VSHUFPS(U8(0b10001000), b, a, low)
	VSHUFPS(U8(0b11011101), b, a, high)
	VPSRAD(U8(31), low, sign)
	VPXOR(sign, high, high)
	VPERMQ(U8(0b11011000), low, low)
	if k.bits != nil {
		VPERMQ(U8(0b11011000), high, high)
		VPAND(k.bits.valid4(g), high, high)
	}
	VPOR(high, k.beyond, k.beyond)
	return low
}

// int64 to int32: those that do not fit are beyond.
func prepareNarrow(k *cast) { k.beyond = zeroed() }

func lanesNarrow(k *cast, g int) []VecVirtual { return []VecVirtual{k.longHalves(g)} }

// int64 to float32: by way of int32, those that do not fit it are beyond.
func prepareLongs(k *cast) {
	k.beyond = zeroed()
	prepareInts(k)
}

func lanesLongs(k *cast, g int) []VecVirtual { return k.intsToFloats(k.longHalves(g), g) }

// int32 to float32: one that comes back as another integer was rounded. 2^31
// comes back as -2^31, which no value but -2^31 itself equals.
func prepareInts(k *cast) { k.counts = 4 }

func lanesInts(k *cast, g int) []VecVirtual {
	v := YMM()
	VMOVDQU(k.at(32*g), v)
	return k.intsToFloats(v, g)
}

func (k *cast) intsToFloats(v VecVirtual, g int) []VecVirtual {
	f, back := YMM(), YMM()
	VCVTDQ2PS(v, f)
	VCVTTPS2DQ(f, back)
	VPCMPEQD(v, back, back)
	changed := YMM()
	if k.bits != nil {
		VPANDN(k.bits.valid4(g), back, changed)
	} else {
		ones := YMM()
		VPCMPEQD(ones, ones, ones)
		VPXOR(ones, back, changed)
	}
	k.count(changed, 4)
	return []VecVirtual{f}
}

// int64 to float64, for magnitudes below 2^51: added to the bits of 2^52+2^51,
// an integer is the last bits of a float64's mantissa.
func prepareLongDoubles(k *cast) {
	k.beyond = zeroed()
	k.constants = []VecVirtual{constant64(math.Float64bits(1<<52 + 1<<51)), constant64(1 << 51)}
}

func lanesLongDoubles(k *cast, g int) (out []VecVirtual) {
	for h := range 2 {
		v, f := YMM(), YMM()
		VMOVDQU(k.at(64*g+32*h), v)
		VPADDQ(k.constants[0], v, f)
		VSUBPD(k.constants[0], f, f)
		VPADDQ(k.constants[1], v, v)
		VPSRLQ(U8(52), v, v)
		if k.bits != nil {
			VPAND(k.bits.valid8(2*g+h), v, v)
		}
		VPOR(v, k.beyond, k.beyond)
		out = append(out, f)
	}
	return out
}

// lanesSame loads some registers.
func lanesSame(registers int) func(k *cast, g int) []VecVirtual {
	return func(k *cast, g int) (out []VecVirtual) {
		for h := range registers {
			v := YMM()
			VMOVUPS(k.at(32*registers*g+32*h), v)
			out = append(out, v)
		}
		return out
	}
}

// lanesOne converts eight values of one register by one instruction.
func lanesOne(convert func(ops ...Op)) func(k *cast, g int) []VecVirtual {
	return func(k *cast, g int) []VecVirtual {
		v := YMM()
		convert(k.at(32*g), v)
		return []VecVirtual{v}
	}
}

// lanesWiden converts by one instruction that cannot fail.
func lanesWiden(convert func(ops ...Op)) func(k *cast, g int) []VecVirtual {
	return func(k *cast, g int) (out []VecVirtual) {
		for h := range 2 {
			v := YMM()
			convert(k.at(32*g+16*h), v)
			out = append(out, v)
		}
		return out
	}
}
