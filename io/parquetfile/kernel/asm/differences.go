package main

import (
	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// differences are the inner loops of DELTA_BINARY_PACKED.
func differences() {
	difference()
	rebase()
}

// difference subtracts each value from the next: n, a multiple of 4, of them, with
// n+1 values.
func difference() {
	function("differencesAVX2", "func(out *uint64, values *int64, n int)", "subtracts n values from those after them, n a multiple of 4.")
	out, values, n, x := load("out"), load("values"), load("n"), YMM()
	Label("next")
	VMOVDQU(Mem{Base: values, Disp: 8}, x)
	VPSUBQ(Mem{Base: values}, x, x)
	VMOVDQU(x, Mem{Base: out})
	ADDQ(U8(32), values)
	ADDQ(U8(32), out)
	SUBQ(U8(4), n)
	JNZ(LabelRef("next"))
	end()
}

// rebase finds the least of a block of 128 differences, subtracts it from all and
// leaves the bits set in each quarter of the results, lane by lane.
func rebase() {
	const registers, parts = 32, 4
	function("rebaseAVX2", "func(block *uint64, set *uint64) (least int64)",
		"subtracts the least of 128 values and gathers the bits set in each 32 of them, in 4 lanes.")
	block, set := load("block"), load("set")
	var lo [parts]VecVirtual
	for i := range parts {
		lo[i] = YMM()
		VMOVDQU(Mem{Base: block, Disp: 32 * i}, lo[i])
	}
	for r := parts; r < registers; r++ {
		v := YMM()
		VMOVDQU(Mem{Base: block, Disp: 32 * r}, v)
		minInt64(v, lo[r%parts], YMM())
	}
	minInt64(lo[1], lo[0], YMM())
	minInt64(lo[3], lo[2], YMM())
	minInt64(lo[2], lo[0], YMM())
	half, least := XMM(), GP64()
	VEXTRACTI128(U8(1), lo[0], half)
	low := lo[0].AsX().(VecVirtual)
	minInt64(half, low, XMM())
	VPSHUFD(U8(0x4e), low, half) // its other half
	minInt64(half, low, XMM())
	VMOVQ(low, least)
	Store(least, ReturnIndex(0))
	VPBROADCASTQ(low, lo[1])
	for q := range registers / 8 {
		bits := YMM()
		for r := range 8 {
			v, at := bits, Mem{Base: block, Disp: 32 * (8*q + r)}
			if r > 0 {
				v = YMM()
			}
			VMOVDQU(at, v)
			VPSUBQ(lo[1], v, v)
			VMOVDQU(v, at)
			if r > 0 {
				VPOR(v, bits, bits)
			}
		}
		VMOVDQU(bits, Mem{Base: set, Disp: 32 * q})
	}
	end()
}
