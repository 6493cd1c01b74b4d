package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// wides are the kernels on values for AVX-512, where validity bits are masks as
// they are. They are few: the fills, and the cast that rounds most often. For
// the rest AVX-512 uses the kernels of AVX2.
func wides() {
	for _, elem := range []int{4, 8} {
		name := fmt.Sprintf("fill%dAVX512", elem)
		TEXT(name, noSplit, "func(dst *byte, src *byte, n int, bits *byte, bit int, fill uint64)")
		Pragma("noescape")
		Doc(fmt.Sprintf("%s copies n values of %d bytes and writes fill where the validity bit is 0.", name, elem))
		dst, src, n := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("n"), GP64())
		fill := broadcast512("fill", elem)
		b := openBitmap()
		lanes := 64 / elem
		loop(n, func() {
			b.nextWord()
			for g := range block / lanes {
				k := b.mask(g, lanes)
				v := ZMM()
				if elem == 4 {
					VMOVDQA32(fill, v)
					VMOVDQU32(Mem{Base: src, Disp: 64 * g}, k, v)
					VMOVDQU32(v, Mem{Base: dst, Disp: 64 * g})
				} else {
					VMOVDQA64(fill, v)
					VMOVDQU64(Mem{Base: src, Disp: 64 * g}, k, v)
					VMOVDQU64(v, Mem{Base: dst, Disp: 64 * g})
				}
			}
		}, map[Register]int{dst: block * elem, src: block * elem}, dst, src)
		VZEROUPPER()
		RET()
	}
	castDoubles512(false)
	castDoubles512(true)
}

// mask takes the validity of the next 8 or 16 values off the word.
func (b *bitmap) mask(g, lanes int) OpmaskVirtual {
	k := K()
	if g > 0 {
		SHRQ(U8(lanes), b.word)
	}
	if lanes == 16 {
		KMOVW(b.word.As32(), k)
	} else {
		KMOVB(b.word.As32(), k)
	}
	return k
}

func broadcast512(param string, elem int) VecVirtual {
	v, r := ZMM(), GP64()
	Load(Param(param), r)
	if elem == 4 {
		VPBROADCASTD(r.As32(), v)
	} else {
		VPBROADCASTQ(r, v)
	}
	return v
}

// castDoubles512 is castF64F32; see casts.
func castDoubles512(validity bool) {
	const notEqualOrdered = 12 // NEQ_OQ
	name, params := "castF64F32", "dst *byte, src *byte, n int"
	if validity {
		name, params = name+"Valid", params+", bits *byte, bit int, fill uint64"
	}
	name += "AVX512"
	TEXT(name, noSplit, "func("+params+") (rounded int, clean int, beyond int)")
	Pragma("noescape")
	Doc(name + " converts n values; see the generator for its results.")
	dst, src, n := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("n"), GP64())
	var b *bitmap
	var fill VecVirtual
	if validity {
		b = openBitmap()
		x, r := YMM(), GP64()
		Load(Param("fill"), r)
		VPBROADCASTD(r.As32(), x)
		fill = x
	}
	rounded, clean, isClean, count := GP64(), GP64(), GP64(), GP64()
	XORQ(rounded, rounded)
	XORQ(clean, clean)
	XORQ(isClean, isClean)
	largest, magnitude, r := ZMM(), ZMM(), GP64()
	VPXORQ(largest, largest, largest)
	MOVQ(U64(1<<63-1), r)
	VPBROADCASTQ(r, magnitude)
	loop(n, func() {
		if validity {
			b.nextWord()
		}
		for g := range block / 8 {
			at := Mem{Base: src, Disp: 64 * g}
			v, y, wide, changed := ZMM(), YMM(), ZMM(), K()
			VMOVUPD(at, v)
			VCVTPD2PS(v, y)
			VCVTPS2PD(y, wide)
			if validity {
				valid := b.mask(g, 8)
				out := YMM()
				VCMPPD(U8(notEqualOrdered), v, wide, valid, changed)
				VMOVAPS(fill, out)
				VMOVAPS(y, valid, out)
				y = out
			} else {
				VCMPPD(U8(notEqualOrdered), v, wide, changed)
			}
			VMOVUPS(y, Mem{Base: dst, Disp: 32 * g})
			KMOVB(changed, count.As32())
			POPCNTL(count.As32(), count.As32())
			ADDQ(count, rounded)
			VPANDQ(magnitude, wide, wide)
			VMAXPD(wide, largest, changed, largest)
		}
		TESTQ(rounded, rounded)
		SETEQ(isClean.As8())
		ADDQ(isClean, clean)
	}, map[Register]int{dst: block * 4, src: block * 8}, dst, src)
	Store(rounded, ReturnIndex(0))
	Store(clean, ReturnIndex(1))
	infinite, infinities := ZMM(), K()
	MOVQ(U64(math.Float64bits(math.Inf(1))), r)
	VPBROADCASTQ(r, infinite)
	VPCMPEQQ(infinite, largest, infinities)
	KMOVB(infinities, count.As32())
	Store(count, ReturnIndex(2))
	VZEROUPPER()
	RET()
}
