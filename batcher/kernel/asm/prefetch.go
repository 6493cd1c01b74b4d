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

// nextColumns fetches what is read next where rows are made of eight columns after the other:
// the same rows of the next eight, or after the last ones the next rows of the first. A step
// fetches the set of cache lines whose like it has just done with, so that columns that
// meet in one set of the cache leave each other alone.
type nextColumns struct{ at [rowsColumns]Mem }

func openNext() *nextColumns {
	n := &nextColumns{}
	for i := range n.at {
		n.at[i] = AllocLocal(8)
	}
	return n
}

// find finds where these are for some columns, of which with the others as many are left;
// a chunk is as many bytes of each. Columns that are not streamed are in a cache, where this
// would cost more than it saves; of those it is what lies a little ahead.
func (n *nextColumns) find(cols Register, columnsLeft Mem, bytes int) {
	all, from, after, ahead, less := GP64(), GP64(), GP64(), GP64(), GP64()
	Load(Param("cols"), all)
	MOVQ(all, from)
	LEAQ(Mem{Base: all, Disp: rowsColumns * columnBytes}, after)
	MOVQ(U64(uint64(bytes)), ahead)
	MOVQ(U64(0), less)
	CMPQ(columnsLeft, U8(rowsColumns))
	CMOVQGT(after, from)
	CMOVQGT(less, ahead)
	MOVQ(U64(prefetchBytes256), less)
	CMPQ(Mem{Base: all, Disp: argsStreamed}, U8(0))
	CMOVQEQ(cols, from)
	CMOVQEQ(less, ahead)
	for i, at := range n.at {
		p := GP64()
		MOVQ(Mem{Base: from, Disp: i*columnBytes + columnValues}, p)
		ADDQ(ahead, p)
		MOVQ(p, at)
	}
}

// fetch fetches a cache line of one of them.
func (n *nextColumns) fetch(i int, row Register) {
	p := GP64()
	MOVQ(n.at[i], p)
	PREFETCHT0(Mem{Base: p, Index: row, Scale: 4})
}

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
