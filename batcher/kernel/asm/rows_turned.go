package main

import (
	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Validity bits of a column are masks of values before these are turned to rows: a load,
// a shift and a blend for each register of a column, and bitmaps in the way of each other
// in the first level of cache. Turned themselves before, as bytes, the bits of eight rows of
// eight columns are eight neighbours, so that one load gives the masks of eight rows: each
// byte in the lane of its column, and its bits one after the other the lane's sign.

// nullsKind says how a kernel learns which values are valid.
type nullsKind int

const (
	noNulls  nullsKind = iota
	byColumn           // from the columns' bitmaps
	// byRow is from a matrix that has turnedBytes bytes for eight rows; the bits of a
	// column are where its own byte of the first eight rows lies. Rows are of eight columns
	// or more: they are written from the last to the first.
	byRow
)

// turnedBytes is what a kernel takes in a step for the next eight rows: the columns of a
// cache line of float32, times eight rows' bits.
const turnedBytes = 16

// fillsOf has the fills of eight columns of 4 bytes in a register.
func fillsOf(cols Register) VecVirtual {
	half := func(first int) VecVirtual {
		v, fill := XMM(), func(i int) Mem { return Mem{Base: cols, Disp: (first+i)*columnBytes + columnFill} }
		VMOVD(fill(0), v)
		for i := 1; i < 4; i++ {
			VPINSRD(U8(i), fill(i), v, v)
		}
		return v
	}
	fills := YMM()
	VINSERTI128(U8(1), half(4), half(0).AsY(), fills)
	return fills
}

// turnedBits are those of the next eight rows; the last one's are signs.
func turnedBits(bits, row Register) VecVirtual {
	signs := YMM()
	VPMOVZXBD(Mem{Base: bits, Index: row, Scale: turnedBytes / 8}, signs)
	VPSLLD(U8(31-7), signs, signs)
	return signs
}

// putValid writes eight rows, from the last to the first, and has d move on. blend puts
// fills where a value is not valid, which signs say.
func putValid(at rowsAt, rows [8]func() VecVirtual, signs VecVirtual, blend func(v, signs VecVirtual)) {
	lower := rowsAt{GP64(), at.stride, at.stride3}
	LEAQ(Mem{Base: at.d, Index: at.stride, Scale: 4}, lower.d)
	for i := len(rows) - 1; i >= 0; i-- {
		v, to := rows[i](), at
		if i >= 4 {
			to = lower
		}
		blend(v, signs)
		VMOVUPS(v, to.row(i))
		if i > 0 {
			VPADDD(signs, signs, signs)
		}
	}
	LEAQ(Mem{Base: at.d, Index: at.stride, Scale: 8}, at.d)
}
