package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The kernels on rows make rows of columns in one pass: they load some values
// of each column, convert them, put a column's fill where its validity bit is
// 0, turn the square they have, and write whole cache lines. The columns are
// an array of rowColumn (see batcher/kernel), all of the same type.
//
// With AVX-512, columns become at most 64 bytes of each row, and rows may be
// any number; the columns beyond width are read, not written:
//
//	func(dst, cols *byte, stride, rows, width int) (beyond int)
//
// Rounded values are counted in each column. beyond is not 0 when a valid value
// does not fit: then dst is undefined, and the plain loop has the word.
//
// Of some there is a quick kind, for values that are not rounded: it does not look at
// each, the processor notes it (MXCSR). Then another kernel, which counts, has the word.

// Offsets in a rowColumn.
const (
	columnValues  = 0
	columnBits    = 8
	columnShift   = 16
	columnFill    = 24
	columnRounded = 32
	columnSigns   = 40
	columnBytes   = 184
	argsStreamed  = 2*rowsColumns*columnBytes + 7*64 // in rowArgs
)

// rower is a pair of types.
type rower struct {
	name     string
	from, to int // bytes of a value
	// judges says that values may be beyond.
	judges bool
	wide   func(c *wideColumn) VecVirtual
	// prepare and lanes are those of the cast for AVX2; see caster.
	prepare func(k *cast)
	lanes   func(k *cast, g int) []VecVirtual
	affine  bool // see affines
	// notes are the processor's that say that values are beyond; see affine.go.
	notes uint32
	// twoSteps says that with AVX-512 two steps of a column are made at a time.
	twoSteps bool
	slow     bool // computes longer than it waits for memory
	// across says that with AVX2 a narrow function is computed by rows; nans are filled.
	across, nans bool
}

// pairs are the indexes that interleave the lanes of two registers.
var pairs [2]Mem

func rows() {
	for i := range pairs {
		pairs[i] = GLOBL(fmt.Sprintf("pairs%d", i), readOnly)
		for place := range 8 {
			DATA(8*place, U64(4*i+place&1+place>>1&1*8+place>>2*2))
		}
	}
	narrows256()
	narrowRows()
	for _, r := range append([]rower{
		{name: "rows4", from: 4, to: 4, wide: wide4, lanes: lanesSame(1)},
		{name: "rowsF64F32", from: 8, to: 4, judges: true, wide: wideDoubles, prepare: prepareDoubles, lanes: lanesDoubles},
		{name: "rowsI64F32", from: 8, to: 4, wide: wideLongs, prepare: prepareLongs, lanes: lanesLongs},
		{name: "rowsI64I32", from: 8, to: 4, judges: true, wide: wideNarrow, prepare: prepareNarrow, lanes: lanesNarrow},
		{name: "rowsI32F32", from: 4, to: 4, wide: wideInts, prepare: prepareInts, lanes: lanesInts},
		{name: "rows8", from: 8, to: 8, wide: wideOne(VMOVUPD), lanes: lanesSame(2)},
		{name: "rowsI64F64", from: 8, to: 8, wide: wideLongDoubles, prepare: prepareLongDoubles, lanes: lanesLongDoubles},
		{name: "rowsF32F64", from: 4, to: 8, wide: wideOne(VCVTPS2PD), lanes: lanesWiden(VCVTPS2PD)},
		{name: "rowsI32F64", from: 4, to: 8, wide: wideOne(VCVTDQ2PD), lanes: lanesWiden(VCVTDQ2PD)},
		{name: "rowsI32I64", from: 4, to: 8, wide: wideOne(VPMOVSXDQ), lanes: lanesWiden(VPMOVSXDQ)},
		{name: "rowsI32F32Quick", from: 4, to: 4, notes: inexact, wide: wideOneFour(VCVTDQ2PS), lanes: lanesOne(VCVTDQ2PS)},
		{name: "rowsI64F32Quick", from: 8, to: 4, notes: inexact, wide: wideQuickLongs},
		{name: "rowsI64F64Quick", from: 8, to: 8, notes: inexact, wide: wideOne(VCVTQQ2PD)},
	}, append(append(bounds(), narrow()), affines()...)...) {
		for i, validity := range []bool{false, true} {
			if r.lanes != nil && !r.twoSteps {
				r.generate256([...]nullsKind{noNulls, byColumn}[i])
			}
			r.generate512(validity)
		}
		if r.from == 4 && r.to == 4 && r.prepare == nil && !r.affine {
			r.generate256(byRow)
		}
	}
}

// wideColumn is a column of which 64 bytes of results are loaded.
type wideColumn struct {
	at            func(disp int) Mem // values from the step's first row on
	fill, rounded Mem
	param         func(offset int) Mem // of an affine kernel
	held          map[int]VecVirtual   // parameters in registers, where steps share them; nil: they do not
	last          bool                 // the last rows: what is not valid may not be there
	// masked says that valid, the values not to be filled, is there.
	masked bool
	valid  OpmaskVirtual
	// beyond collects evidence for values that do not fit.
	beyond OpmaskVirtual
}

func (r *rower) generate512(validity bool) {
	name := r.name
	if validity {
		name += "Valid"
	}
	name += "AVX512"
	TEXT(name, noSplit, "func(dst *byte, cols *byte, stride int, rows int, width int) (beyond int)")
	Pragma("noescape")
	Doc(name + " makes rows of columns; see the generator.")
	loop := startChunks()
	dstAt, rowAt, rowsLeft, chunk := loop.dstAt, loop.rowAt, loop.rowsLeft, loop.rows
	stride, stride3 := loop.stride, loop.stride3
	beyond, rowMask, write := K(), K(), K()
	KXORW(beyond, beyond, beyond)
	indexes := [2]VecVirtual{}
	if r.to == 4 {
		indexes = [2]VecVirtual{ZMM(), ZMM()}
		VMOVDQU64(pairs[0], indexes[0])
		VMOVDQU64(pairs[1], indexes[1])
	}
	state := AllocLocal(8)
	if r.notes != 0 {
		forget(state, r.notes)
	}
	step := 64 / r.to
	cols, row, d, bitsAt, rowMaskBits := GP64(), GP64(), GP64(), GP64(), GP64()
	// block makes some steps of eight columns.
	block := func(steps int, kind stepKind) (stores []store) {
		tail := kind == lastRows
		v := make([][]VecVirtual, steps)
		if validity {
			MOVQ(row, bitsAt)
			SHRQ(U8(3), bitsAt)
		}
		for i := range rowsColumns {
			p := GP64()
			MOVQ(Mem{Base: cols, Disp: i*columnBytes + columnValues}, p)
			if !tail {
				prefetch(p, row, r.from, r.from*step*steps, prefetchBytes)
			}
			c := &wideColumn{
				fill:    Mem{Base: cols, Disp: i*columnBytes + columnFill},
				rounded: Mem{Base: cols, Disp: i*columnBytes + columnRounded},
				param:   func(offset int) Mem { return Mem{Base: cols, Disp: i*columnBytes + offset} },
				last:    tail,
				masked:  validity || tail, valid: rowMask, beyond: beyond,
			}
			if steps > 1 {
				c.held = map[int]VecVirtual{}
			}
			bits, shift := GP64(), GP64()
			if validity {
				MOVQ(Mem{Base: cols, Disp: i*columnBytes + columnBits}, bits)
				MOVQ(Mem{Base: cols, Disp: i*columnBytes + columnShift}, shift)
			}
			for h := range v {
				c.at = func(disp int) Mem {
					return Mem{Base: p, Index: row, Scale: uint8(r.from), Disp: r.from*step*h + disp}
				}
				if validity {
					mask := GP64()
					SHRXL(shift.As32(), Mem{Base: bits, Index: bitsAt, Scale: 1, Disp: step / 8 * h}, mask.As32())
					if tail {
						ANDL(rowMaskBits.As32(), mask.As32())
					}
					c.valid = K()
					KMOVW(mask.As32(), c.valid)
				}
				v[h] = append(v[h], r.wide(c))
			}
		}
		for h := range v {
			if r.to == 4 {
				stores = append(stores, turn16(v[h], indexes, write, kind == wholeRows)...)
			} else {
				stores = append(stores, turn8(v[h], write)...)
			}
		}
		return stores
	}

	Label("chunk")
	n, columns, left, limit := GP64(), GP64(), GP64(), GP64()
	chunkShift := r.chunkShift()
	MOVQ(U64(1<<chunkShift), limit)
	MOVQ(rowsLeft, n)
	CMPQ(n, limit)
	CMOVQGT(limit, n)
	MOVQ(n, chunk)
	Load(Param("cols"), cols)
	Load(Param("width"), columns)
	first := GP64()
	MOVQ(dstAt, first)

	Label("columns")
	all := GP64()
	MOVQ(U64(0xff), all)
	BZHIQ(columns, all, all)
	KMOVW(all.As32(), write)
	MOVQ(rowAt, row)
	MOVQ(first, d)
	MOVQ(chunk, left)

	CMPQ(columns, U8(rowsColumns))
	if r.affine {
		JL(LabelRef("tail")) // for all rows
	} else {
		JL(LabelRef("part"))
	}
	put := func(stores []store) {
		for i, put := range stores {
			put(rowsAt{d, stride, stride3}.row(i))
			if i%4 == 3 {
				LEAQ(Mem{Base: d, Index: stride, Scale: 4}, d)
			}
		}
		ADDQ(U8(len(stores)), row)
		SUBQ(U8(len(stores)), left)
	}
	if r.twoSteps {
		Label("steps")
		CMPQ(left, U8(2*step))
		JL(LabelRef("step"))
		put(block(2, wholeRows))
		JMP(LabelRef("steps"))
	}
	Label("step")
	CMPQ(left, U8(step))
	JL(LabelRef("tail"))
	r.prefetchRows(first, dstAt, rowsAt{d, stride, stride3}, step, "fetched")
	put(block(1, wholeRows))
	JMP(LabelRef("step"))

	if !r.affine {
		Label("part")
		CMPQ(left, U8(step))
		JL(LabelRef("tail"))
		r.prefetchRows(first, dstAt, rowsAt{d, stride, stride3}, step, "partFetched")
		put(block(1, partRows))
		JMP(LabelRef("part"))
	}

	Label("tail")
	TESTQ(left, left)
	JZ(LabelRef("next"))
	MOVQ(I32(-1), rowMaskBits)
	BZHIQ(left, rowMaskBits, rowMaskBits)
	KMOVW(rowMaskBits.As32(), rowMask)
	for _, put := range block(1, lastRows) {
		put(Mem{Base: d})
		ADDQ(stride, d)
		DECQ(left)
		JZ(LabelRef("next"))
	}
	if r.affine {
		ADDQ(U8(step), row)
		JMP(LabelRef("tail"))
	}

	Label("next")
	ADDQ(U32(rowsColumns*columnBytes), cols)
	ADDQ(U8(rowsColumns*r.to), first)
	SUBQ(U8(rowsColumns), columns)
	JG(LabelRef("columns"))
	loop.next(chunkShift)

	result := GP64()
	XORQ(result, result)
	switch {
	case r.judges:
		KMOVW(beyond, result.As32())
	case r.notes != 0:
		noted(state, result, r.notes)
	}
	Store(result, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// stepKind is what a step writes.
type stepKind int

const (
	wholeRows stepKind = iota // of eight columns
	partRows                  // of fewer
	lastRows                  // fewer rows than a step makes
)

const rowsColumns = 8 // at a time

// chunkShift is the logarithm of how many rows are made of some columns before the next
// ones. The fewer, the surer the next ones find the lines in the first level of cache,
// whatever set of it all columns meet in; the more, the better memory follows the columns.
// A slow kernel computes longer than it waits.
func (r *rower) chunkShift() int {
	if r.slow {
		return 7
	}
	return 6
}

// rowsAt are rows from d on.
type rowsAt struct{ d, stride, stride3 Register }

// row is a row's place; d moves on by four.
func (r rowsAt) row(i int) Mem {
	switch i % 4 {
	case 0:
		return Mem{Base: r.d}
	case 3:
		return Mem{Base: r.d, Index: r.stride3, Scale: 1}
	default:
		return Mem{Base: r.d, Index: r.stride, Scale: uint8(i % 4)}
	}
}

// turn16 makes sixteen rows of eight columns of 4-byte values. Where they are whole
// half a register goes to memory as it is; with a mask it would take no heed of what
// may not be written.
func turn16(v []VecVirtual, indexes [2]VecVirtual, write OpmaskVirtual, whole bool) []store {
	left, right := turn4([4]VecVirtual(v[:4])), turn4([4]VecVirtual(v[4:]))
	rows := make([]store, 16)
	for j := range 4 {
		low, high := ZMM(), left[j]
		VMOVAPS(left[j], low)
		VPERMT2PD(right[j], indexes[0], low)
		VPERMT2PD(right[j], indexes[1], high)
		for i, v := range []VecVirtual{low, high} {
			rows[8*i+j] = func(to Mem) { VMOVUPS(v.AsY(), write, to) }
			rows[8*i+4+j] = func(to Mem) {
				if whole {
					VEXTRACTF32X8(U8(1), v, to)
					return
				}
				y := YMM()
				VEXTRACTF32X8(U8(1), v, y)
				VMOVUPS(y, write, to)
			}
		}
	}
	return rows
}

// turn8 makes eight rows of eight columns.
func turn8(v []VecVirtual, write OpmaskVirtual) (rows []store) {
	var even, odd [4]VecVirtual
	for p := range 4 {
		even[p], odd[p] = ZMM(), ZMM()
		VUNPCKLPD(v[2*p+1], v[2*p], even[p])
		VUNPCKHPD(v[2*p+1], v[2*p], odd[p])
	}
	even, odd = turnLanes(even), turnLanes(odd)
	for lane := range 4 {
		for _, v := range []VecVirtual{even[lane], odd[lane]} {
			rows = append(rows, func(to Mem) { VMOVUPD(v, write, to) })
		}
	}
	return rows
}

// turnLanes turns the 4x4 lanes of 16 bytes of four registers.
func turnLanes(v [4]VecVirtual) (r [4]VecVirtual) {
	const even, odd = 0b10001000, 0b11011101
	var t [4]VecVirtual
	for i := range 4 {
		t[i], r[i] = ZMM(), ZMM()
	}
	VSHUFF32X4(U8(even), v[1], v[0], t[0])
	VSHUFF32X4(U8(odd), v[1], v[0], t[1])
	VSHUFF32X4(U8(even), v[3], v[2], t[2])
	VSHUFF32X4(U8(odd), v[3], v[2], t[3])
	VSHUFF32X4(U8(even), t[2], t[0], r[0])
	VSHUFF32X4(U8(even), t[3], t[1], r[1])
	VSHUFF32X4(U8(odd), t[2], t[0], r[2])
	VSHUFF32X4(U8(odd), t[3], t[1], r[3])
	return r
}
