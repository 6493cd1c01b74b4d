package main

import (
	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
)

// fills write a value again and again:
//
//	func(out *byte, bytes int, value uint64)
//
// bytes are 32 or more, a multiple of the value's width; one of less than 8 bytes
// is given as often as it fits 8. The last register overlaps the one before.
func fills() {
	function("fillAVX2", "func(out *byte, bytes int, value uint64)", "fills bytes, 32 or more, with a value of 8.")
	out, n := load("out"), load("bytes")
	x, value, last := YMM(), GP64(), GP64()
	Load(Param("value"), value)
	half := XMM()
	VMOVQ(value, half)
	VPBROADCASTQ(half, x)
	LEAQ(Mem{Base: out, Index: n, Scale: 1, Disp: -32}, last)
	Label("next")
	VMOVDQU(x, Mem{Base: out})
	ADDQ(U8(32), out)
	CMPQ(out, last)
	JLT(LabelRef("next"))
	VMOVDQU(x, Mem{Base: last})
	end()
}
