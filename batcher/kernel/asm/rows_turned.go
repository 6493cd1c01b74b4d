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
// byte in the lane of its column, and each of its bits, shifted, the sign of the lane in one of the rows.

// nullsKind says how a kernel learns which values are valid.
type nullsKind int

const (
	noNulls  nullsKind = iota
	byColumn           // from the columns' bitmaps
	// byRow is from a matrix that has turnedBytes bytes for eight rows; the bits of a
	// column are where its own byte of the first eight rows lies.
	byRow
)

// turnedBytes is what a kernel takes in a step for the next eight rows: the columns of a
// cache line of float32, times eight rows' bits.
const turnedBytes = 16

// turnedBits are those of the next eight rows: the bits of a column in its lane, the first
// row's the lowest.
func turnedBits(bits, row Register) VecVirtual {
	all := YMM()
	VPMOVZXBD(Mem{Base: bits, Index: row, Scale: turnedBytes / 8}, all)
	return all
}

// validRow has a row's bits as signs.
func validRow(bits VecVirtual, row int) VecVirtual {
	signs := YMM()
	VPSLLD(U8(31-row), bits, signs)
	return signs
}
