package main

import (
	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// extremes look for the least and the greatest of values, lane by lane:
//
//	func(values *byte, n int, lanes *byte)
//
// n is a number of registers, 4 or a multiple. lanes are two registers, of what
// is the least and the greatest so far. A NaN stands for no value: the
// instructions give their second operand where one is NaN, and that is never the
// value. Kernels of floats have a third register there, for bits in lanes that met one.
func extremes() {
	direct := func(of func(...Op)) func(v, acc, _ VecVirtual) {
		return func(v, acc, _ VecVirtual) { of(acc, v, acc) }
	}
	unordered := func(compare, or func(...Op)) func(v, acc, mask VecVirtual) {
		return func(v, acc, mask VecVirtual) {
			compare(U8(3), v, v, mask) // _CMP_UNORD_Q
			or(mask, acc, acc)
		}
	}
	extremesOf("Float32", direct(VMINPS), direct(VMAXPS), unordered(VCMPPS, VORPS))
	extremesOf("Float64", direct(VMINPD), direct(VMAXPD), unordered(VCMPPD, VORPD))
	extremesOf("Int32", direct(VPMINSD), direct(VPMAXSD), nil)
	extremesOf("Uint32", direct(VPMINUD), direct(VPMAXUD), nil)
	extremesOf("Int64", minInt64, func(v, hi, mask VecVirtual) {
		VPCMPGTQ(hi, v, mask)
		VBLENDVPD(mask, v, hi, hi)
	}, nil)
}

// minInt64 puts v into lo where it is less.
func minInt64(v, lo, mask VecVirtual) {
	VPCMPGTQ(v, lo, mask)
	VBLENDVPD(mask, v, lo, lo)
}

func extremesOf(name string, least, most, unordered func(v, acc, mask VecVirtual)) {
	function("minMax"+name+"AVX2", "func(values *byte, n int, lanes *byte)", "looks for the least and the greatest of n registers of values.")
	values, n, lanes := load("values"), load("n"), load("lanes")
	const parts = 4
	var lo, hi [parts]VecVirtual
	for i := range parts {
		lo[i], hi[i] = YMM(), YMM()
		VMOVDQU(Mem{Base: lanes}, lo[i])
		VMOVDQU(Mem{Base: lanes, Disp: 32}, hi[i])
	}
	var nan VecVirtual
	if unordered != nil {
		nan = YMM()
		VPXOR(nan, nan, nan)
	}
	Label("next")
	for i := range parts {
		v := YMM()
		VMOVDQU(Mem{Base: values, Disp: 32 * i}, v)
		least(v, lo[i], YMM())
		most(v, hi[i], YMM())
		if unordered != nil {
			unordered(v, nan, YMM())
		}
	}
	ADDQ(U8(32*parts), values)
	SUBQ(U8(parts), n)
	JNZ(LabelRef("next"))
	for i := 1; i < parts; i++ {
		least(lo[i], lo[0], YMM())
		most(hi[i], hi[0], YMM())
	}
	VMOVDQU(lo[0], Mem{Base: lanes})
	VMOVDQU(hi[0], Mem{Base: lanes, Disp: 32})
	if unordered != nil {
		VMOVDQU(nan, Mem{Base: lanes, Disp: 64})
	}
	end()
}
