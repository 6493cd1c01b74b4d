package main

import (
	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// How far ahead a column is fetched into the second level of cache, by kernels for AVX-512
// and for AVX2: the processor itself does not see so many columns coming, and never beyond
// a page. Columns that lie a power of two apart meet in one set of that level. There sixteen
// of them, far ahead, push each other out where it has eight ways, as on the processors
// that AVX2 is the best of.
const (
	prefetchBytes    = 1024
	prefetchBytes256 = 128
)

// prefetch fetches what a step will read later of a column.
func prefetch(base, row Register, elem, bytes, ahead int) {
	for at := 0; at < bytes; at += 64 {
		PREFETCHT1(Mem{Base: base, Index: row, Scale: uint8(elem), Disp: ahead + at})
	}
}

// prefetchRows fetches the lines that a step will write into the first level of cache. A
// store that waits for its line keeps all behind it waiting; of lines that are fetched
// many are on their way at once. Lines of 4-byte values are half made by the columns
// before: those of the first columns fetch them. Affine kernels are slower with it.
func (r *rower) prefetchRows(first Register, dstAt Mem, rows rowsAt, step int, done string) {
	if r.affine {
		return
	}
	if r.to == 4 {
		CMPQ(first, dstAt)
		JNE(LabelRef(done))
	}
	at := GP64()
	MOVQ(rows.d, at)
	rows.d = at
	for i := range step {
		PREFETCHT0(rows.row(i))
		if i%4 == 3 && i < step-1 {
			LEAQ(Mem{Base: at, Index: rows.stride, Scale: 4}, at)
		}
	}
	Label(done)
}
