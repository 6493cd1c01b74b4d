package kernel

import (
	"os"

	"github.com/millrace/millrace/internal/cpulevel"
)

//go:generate go -C asm run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg kernel

// level is one set of vector kernels; what it lacks is done by plain loops.
// Which one a process uses is decided once, at its start.
type level struct {
	name string
	// transposes are by the size of an element, the widest first.
	transposes [9][]transposeKernel
	// fills and spreads are by the size of an element too.
	fills   [9]fillKernel
	spreads [9]spreadKernel
	casts   [kinds][kinds]castKernel
	// ones counts the 1 bits of some words, a multiple of countBits in all.
	ones func(bits *byte, words int) int
	// rows are by the kinds of value and result, rowsSame by the size where
	// these are the same.
	rows     [kinds][kinds]rowsKernel
	rowsSame [9]rowsKernel
	affines  [kinds][kinds]rowsKernel // for columns that pass an Affine
	bounds   [kinds]rowsKernel        // for those where it has bounds alone
	narrow   [narrowKinds]rowsKernel  // for those that narrowLine computes
	// affineValues are for the values of one such column.
	affineValues [kinds][kinds]affineKernel
	narrowValues affineKernel
	expands      [9]expandKernel
	log1p        log1pKernel
	haversine    haversineKernel
	// wholeSteps says that the kernels on rows make stepRows rows of StepColumns
	// columns at a time.
	wholeSteps bool
}

// block is how many values the kernels on values take at a time; what is left
// of a run is done by plain loops.
const block = 32

// countBits is how many bits are counted at a time.
const countBits = 512

type (
	// transposeKernel turns groups of columns of a multiple of rows; see asm.
	transposeKernel struct {
		columns, rows int
		run           func(dst, cols *byte, stride, groups, from, to int)
	}
	fillKernel   func(dst, src *byte, n int, bits *byte, bit int, fill uint64)
	spreadKernel func(dst *byte, n int, bits *byte, bit int, one uint64)
	// rowsKernel makes rows of up to 16 columns; see asm. Without all, columns without
	// a bitmap have one of ones. turned, which may be nil, is valid for validity bits that
	// were turned to rows.
	rowsKernel struct {
		all, valid, turned func(dst, cols *byte, stride, rows, width int) (beyond int)
		// quick, which may be nil, is the same for easy values, of which none is NaN or
		// rounded; others are beyond.
		quick *rowsKernel
		// ignored is what beyond says of no matter.
		ignored int
	}
	affineKernel func(dst, src, column *byte, n int, bits *byte, bit int) (beyond int)
	expandKernel struct {
		all   func(dst, bits *byte, stride, n, width int, one uint64)
		valid func(dst, bits, valid, fills *byte, stride, n, width int, one uint64)
	}
	castKernel struct {
		all   func(dst, src *byte, n int) (rounded, clean, beyond int)
		valid func(dst, src *byte, n int, bits *byte, bit int, fill uint64) (rounded, clean, beyond int)
	}
)

// plain is the level of machines that no kernel is for.
var plain = &level{name: "plain"}

// best is the level of this process.
var best = cpulevel.Choose(levels(), os.Getenv(cpulevel.Variable))

// Name is the level's name.
func (l *level) Name() string { return l.name }

// Level names the vector kernels that this process uses, the best that the
// processor allows: plain, avx2 or avx512.
func Level() string { return best.name }

// Kinds of numbers, as indexes.
const (
	kindI8 = iota
	kindI16
	kindI32
	kindI64
	kindU8
	kindU16
	kindU32
	kindU64
	kindF32
	kindF64
	kindBits // bools, as bits
	kinds
)

// kindOf is a type's kind; the compiler knows all of it.
func kindOf[T Number]() int {
	size := sizeOf[T]()
	log := size >> 1 // 0, 1, 2, 4
	if log == 4 {
		log = 3
	}
	switch {
	case isFloat[T]():
		return kindF32 + log - 2
	case isSigned[T]():
		return kindI8 + log
	default:
		return kindU8 + log
	}
}
