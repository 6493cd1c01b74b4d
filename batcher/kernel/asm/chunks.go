package main

import (
	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// chunks is the outermost loop of a kernel that makes rows: as many rows of all columns
// before the next. What its inner loops do not need lies on the stack.
type chunks struct {
	dstAt, rowAt, rowsLeft, rows Mem
	tmp                          GPVirtual
	stride, stride3              Register
}

// startChunks loads the parameters that the loop goes by.
func startChunks() chunks {
	c := chunks{dstAt: AllocLocal(8), rowAt: AllocLocal(8), rowsLeft: AllocLocal(8), rows: AllocLocal(8), tmp: GP64()}
	Load(Param("dst"), c.tmp)
	MOVQ(c.tmp, c.dstAt)
	Load(Param("rows"), c.tmp)
	MOVQ(c.tmp, c.rowsLeft)
	MOVQ(U64(0), c.tmp)
	MOVQ(c.tmp, c.rowAt)
	c.stride, c.stride3 = Load(Param("stride"), GP64()), GP64()
	LEAQ(Mem{Base: c.stride, Index: c.stride, Scale: 2}, c.stride3)
	return c
}

// next goes on with the next 1<<shift rows, if there are more.
func (c *chunks) next(shift int) {
	ADDQ(U32(1<<shift), c.rowAt)
	done := GP64()
	MOVQ(c.stride, done)
	SHLQ(U8(shift), done)
	ADDQ(done, c.dstAt)
	SUBQ(U32(1<<shift), c.rowsLeft)
	JG(LabelRef("chunk"))
}
