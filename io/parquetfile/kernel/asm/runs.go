package main

import (
	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// runs decode the hybrid encoding of levels of one bit, as it is where nulls are
// strewn in, into a bitmap:
//
//	func(bitmap *byte, at, n int, word uint64, runs *byte, size int) (levels, bytes int, last uint64)
//
// at is the bitmap's bit to begin with, word those of its word of 64 that are set
// already, n how many levels there is room for, size the bytes of runs.
//
//	count<<1 u8, the level u8, groups<<1|1 u8, the groups
//
// A pair of a repeated run of up to 63 levels and a packed one of up to 7 groups is
// taken at a time, for as long as such pairs come, have room and are followed by
// bytes enough to load 8 for the groups. levels is how many there were, bytes of
// how many bytes, last the word after them. It is not stored where all of its
// bits belong to levels to come.
func runs() {
	const pairBytes = 3 + 8
	function("pairsBMI2", "func(bitmap *byte, at int, n int, word uint64, runs *byte, size int) (levels int, bytes int, last uint64)",
		"decodes pairs of short runs of one bit.")
	bitmap, at, n, word, run, size := load("bitmap"), load("at"), load("n"), load("word"), load("runs"), load("size")
	begin, first, stop := GP64(), GP64(), GP64()
	MOVQ(run, begin)
	MOVQ(at, first)
	LEAQ(Mem{Base: run, Index: size, Scale: 1, Disp: -pairBytes}, stop)
	end := GP64() // of the room
	LEAQ(Mem{Base: at, Index: n, Scale: 1}, end)
	Label("pair")
	CMPQ(run, stop)
	JA(LabelRef("done"))
	head, x := GP64(), GP64()
	MOVL(Mem{Base: run}, head.As32())
	// The level is 0 or 1, and the counts are no more than those above.
	MOVL(head.As32(), x.As32())
	ANDL(U32(0x00f1fe81), x.As32())
	CMPL(x.As32(), U32(0x00010000))
	JNE(LabelRef("done"))
	repeated, packed, level, groups := GP64(), GP64(), GP64(), GP64()
	MOVL(head.As32(), repeated.As32())
	SHRL(U8(1), repeated.As32())
	ANDL(U8(63), repeated.As32())
	MOVL(head.As32(), groups.As32())
	SHRL(U8(17), groups.As32())
	ANDL(U8(7), groups.As32())
	JZ(LabelRef("done")) // as the last bit may end a word of the bitmap, and no store is to follow
	MOVL(groups.As32(), packed.As32())
	SHLL(U8(3), packed.As32())
	next := GP64()
	LEAQ(Mem{Base: at, Index: repeated, Scale: 1}, next)
	ADDQ(packed, next)
	CMPQ(next, end)
	JGT(LabelRef("done"))
	MOVL(head.As32(), level.As32())
	SHRL(U8(8), level.As32())
	ANDL(U8(1), level.As32())
	NEGQ(level)
	BZHIQ(repeated, level, level)
	bits := GP64()
	MOVQ(Mem{Base: run, Disp: 3}, bits)
	BZHIQ(packed, bits, bits)
	push(bitmap, at, word, level, repeated)
	push(bitmap, at, word, bits, packed)
	LEAQ(Mem{Base: run, Index: groups, Scale: 1, Disp: 3}, run)
	JMP(LabelRef("pair"))
	Label("done")
	SUBQ(begin, run)
	SUBQ(first, at)
	Store(at, ReturnIndex(0))
	Store(run, ReturnIndex(1))
	Store(word, ReturnIndex(2))
	RET()
}

// push appends the low count bits of w, up to 63, where the others are 0.
func push(bitmap, at, word, w, count Register) {
	t, spill := GP64(), GP64()
	SHLXQ(at, w, t)
	ORQ(t, word)
	MOVQ(at, t)
	SHRQ(U8(6), t)
	MOVQ(word, Mem{Base: bitmap, Index: t, Scale: 8})
	MOVQ(at, t)
	NEGQ(t)
	SHRXQ(t, w, spill)
	MOVQ(at, t)
	ADDQ(count, at)
	XORQ(at, t)
	TESTQ(U32(64), t)
	CMOVQNE(spill, word)
}
