// Package main writes the vector kernels of batcher/kernel as Go assembly:
//
//	go generate ./batcher/kernel
//
// It is a module of its own, so that who builds millrace needs none of it.
//
// Conventions of all kernels: dst never overlaps src, unless it is the same
// memory where a comment says so; counts of rows and values are multiples of
// what a step takes, the caller does the rest; bitmaps are read to the byte of
// the last value and no further.
package main

import (
	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	"github.com/mmcloughlin/avo/operand"
)

func main() {
	ConstraintExpr("amd64,!purego")
	tables()
	slidingTables()
	transposes()
	fills()
	ones()
	ones512()
	casts()
	wides()
	rows()
	affineValues()
	expands()
	functions()
	Generate()
}

// table32 and table64 declare 32 bytes of constants.
func table32(name string, lane func(i int) uint32) operand.Mem {
	t := GLOBL(name, readOnly) // RODATA|NOPTR
	for i := range 8 {
		DATA(4*i, operand.U32(lane(i)))
	}
	return t
}

func table64(name string, lane func(i int) uint64) operand.Mem {
	t := GLOBL(name, readOnly)
	for i := range 4 {
		DATA(8*i, operand.U64(lane(i)))
	}
	return t
}

// The attributes of functions and tables.
const (
	noSplit  = 4      // NOSPLIT
	readOnly = 8 | 16 // RODATA|NOPTR
)
