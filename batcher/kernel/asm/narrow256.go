package main

import (
	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// With AVX2 the narrow kernels that fill nulls by the columns' bitmaps take four columns at
// a time and two steps of each, so that its parameters are loaded once for sixteen values.
// For the two kinds see narrowRows.

// held256 is such a kernel.
type held256 struct {
	nans            bool      // are filled, beside nulls
	cols, row, bits GPVirtual // bits is the place of the step's bits in a bitmap
}

func narrows256() {
	for _, nans := range []bool{false, true} {
		(&held256{nans: nans}).generate()
	}
}

func (h *held256) name() string {
	name := "narrowF32"
	if !h.nans {
		name += "Quick"
	}
	return name + "ValidAVX2"
}

func (h *held256) generate() {
	TEXT(h.name(), noSplit, "func(dst *byte, cols *byte, stride int, rows int, width int) (beyond int)")
	Pragma("noescape")
	Doc(h.name() + " makes rows of columns; see the generator.")
	const step, chunkShift = 8, 5
	loop := startChunks()
	dstAt, rowAt, rowsLeft, chunk := loop.dstAt, loop.rowAt, loop.rowsLeft, loop.rows
	tmp, stride, stride3 := loop.tmp, loop.stride, loop.stride3
	columnsLeft, state := AllocLocal(8), AllocLocal(8)
	forget(state, overflowed|invalid)
	h.cols, h.row, h.bits = GP64(), GP64(), GP64()

	Label("chunk")
	n, d, left, limit, first := GP64(), GP64(), GP64(), GP64(), GP64()
	MOVQ(U64(1<<chunkShift), limit)
	MOVQ(rowsLeft, n)
	CMPQ(n, limit)
	CMOVQGT(limit, n)
	MOVQ(n, chunk)
	Load(Param("cols"), h.cols)
	Load(Param("width"), tmp)
	MOVQ(tmp, columnsLeft)
	MOVQ(dstAt, first)

	Label("columns")
	MOVQ(rowAt, h.row)
	MOVQ(first, d)
	MOVQ(chunk, left)

	Label("steps")
	CMPQ(left, U8(2*step))
	JL(LabelRef("step"))
	h.turn(rowsAt{d, stride, stride3}, 2)
	LEAQ(Mem{Base: d, Index: stride, Scale: 8}, d)
	LEAQ(Mem{Base: d, Index: stride, Scale: 8}, d)
	ADDQ(U8(2*step), h.row)
	SUBQ(U8(2*step), left)
	JG(LabelRef("steps"))
	JMP(LabelRef("next"))

	Label("step")
	h.turn(rowsAt{d, stride, stride3}, 1)

	Label("next")
	// The next eight columns, or the last.
	SUBQ(U8(rowsColumns), columnsLeft)
	JLE(LabelRef("done"))
	ADDQ(U32(rowsColumns*columnBytes), h.cols)
	ADDQ(U8(rowsColumns*4), first)
	over := GP64()
	MOVQ(U64(rowsColumns), over)
	SUBQ(columnsLeft, over)
	JLE(LabelRef("columns"))
	MOVQ(U64(rowsColumns), tmp)
	MOVQ(tmp, columnsLeft)
	IMUL3Q(U32(columnBytes), over, tmp)
	SUBQ(tmp, h.cols)
	SHLQ(U8(2), over)
	SUBQ(over, first)
	JMP(LabelRef("columns"))

	Label("done")
	loop.next(chunkShift)

	result, flags := GP64(), uint32(overflowed)
	if !h.nans {
		flags |= invalid
	}
	noted(state, result, flags)
	Store(result, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// turn makes some steps of eight columns. The right half first: what it spills beyond
// narrow rows, the left half of the rows below writes again.
func (h *held256) turn(rows rowsAt, steps int) {
	MOVQ(h.row, h.bits)
	SHRQ(U8(3), h.bits)
	for _, half := range []int{1, 0} {
		v := make([][4]VecVirtual, steps)
		for c := range 4 {
			for s, y := range h.load(4*half+c, steps) {
				v[s][c] = y
			}
		}
		at := rows
		if steps > 1 {
			at.d = GP64()
			MOVQ(rows.d, at.d)
		}
		for s := range v {
			turned := turn4(v[s])
			for i, y := range turned {
				VMOVUPS(y.AsX(), at.row(i).Offset(16*half))
			}
			if s > 0 || steps == 1 {
				lower := GP64()
				LEAQ(Mem{Base: at.d, Index: at.stride, Scale: 4}, lower)
				at.d = lower
			} else {
				LEAQ(Mem{Base: at.d, Index: at.stride, Scale: 4}, at.d)
			}
			for i, y := range turned {
				VEXTRACTF128(U8(1), y, at.row(i).Offset(16*half))
			}
			if s < steps-1 {
				LEAQ(Mem{Base: at.d, Index: at.stride, Scale: 4}, at.d)
			}
		}
	}
}

// load gives some steps of a column.
func (h *held256) load(i, steps int) (values []VecVirtual) {
	const ordered = 7 // ORD_Q
	p, bits := GP64(), GP64()
	column := Mem{Base: h.cols, Disp: i * columnBytes}
	held := func(offset int) VecVirtual {
		v := YMM()
		VBROADCASTSS(column.Offset(offset), v)
		return v
	}
	MOVQ(column.Offset(columnValues), p)
	if steps > 1 {
		prefetch(p, h.row, 4, 64, prefetchBytes256)
	}
	for s := range steps {
		v := YMM()
		VMOVUPS(Mem{Base: p, Index: h.row, Scale: 4, Disp: 32 * s}, v)
		values = append(values, v)
	}
	each := func(do func(s int, v VecVirtual)) {
		for s, v := range values {
			do(s, v)
		}
	}
	zero := held(columnZero)
	each(func(_ int, d VecVirtual) { VSUBPS(zero, d, d) })
	rest, slope, sums := held(columnRest), held(columnSlope), make([]VecVirtual, steps)
	for s := range sums {
		sums[s] = held(columnAdd)
	}
	each(func(s int, d VecVirtual) { VFMADD231PS(rest, d, sums[s]) })
	each(func(s int, d VecVirtual) { VFMADD231PS(slope, d, sums[s]) })
	values = sums
	least := held(columnLeast)
	each(func(_ int, y VecVirtual) { VMAXPS(y, least, y) })
	most := held(columnMost)
	each(func(_ int, y VecVirtual) { VMINPS(y, most, y) })
	all, fill := YMM(), held(columnFill)
	MOVQ(column.Offset(columnBits), bits)
	VPBROADCASTD(Mem{Base: bits, Index: h.bits, Scale: 1}, all)
	var keep VecVirtual
	if h.nans {
		keep = held(columnKeepNaN)
	}
	each(func(s int, y VecVirtual) {
		valid := YMM()
		VPSLLVD(column.Offset(columnSigns+32*s), all, valid)
		if h.nans {
			stays := YMM()
			VCMPPS(U8(ordered), y, y, stays)
			VORPS(keep, stays, stays)
			VANDPS(stays, valid, valid)
		}
		VBLENDVPS(valid, y, fill, y)
	})
	return values
}
