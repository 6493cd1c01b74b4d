package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// sliceHeader is the size of a Go slice header, of which cols is an array.
const sliceHeader = 24

// transposer is one kernel: groups of some columns become groups of as many
// neighbouring elements of each row.
//
//	func(dst *byte, cols *byte, stride, groups, from, to int)
//
// dst is where row 0 of the first group begins, cols the address of an array
// of slice headers, stride the bytes from row to row, groups the number of
// column groups, and from and to are the first row and the one after the last;
// their difference is a multiple of the kernel's rows.
type transposer struct {
	name          string
	elem          int // bytes of an element
	columns, rows int // of a step
	// step loads a step and turns it. It gives a store for each row.
	step func(t *transposer, column func(c int) source) []store
	// inMemory leaves the columns' addresses in memory, where there are more
	// of them than registers.
	inMemory bool
}

// source is where some rows of a column lie, from row on; store writes one row.
type (
	source func(row int) Mem
	store  func(to Mem)
)

func transposes() {
	for _, t := range []transposer{
		{name: "transpose4x8AVX2", elem: 4, columns: 8, rows: 8, step: stepEightFours},
		{name: "transpose4x4AVX2", elem: 4, columns: 4, rows: 4, step: stepFourFours},
		{name: "transpose8x8AVX2", elem: 8, columns: 8, rows: 2, step: stepEights},
		{name: "transpose8x4AVX2", elem: 8, columns: 4, rows: 2, step: stepEights},
		{name: "transpose8x2AVX2", elem: 8, columns: 2, rows: 2, step: stepEights},
		{name: "transpose2x8AVX2", elem: 2, columns: 8, rows: 8, step: stepTwos},
		{name: "transpose1x8AVX2", elem: 1, columns: 8, rows: 16, step: stepOnes},
		{name: "transpose4x16AVX512", elem: 4, columns: 16, rows: 8, step: stepFours512, inMemory: true},
		{name: "transpose8x8AVX512", elem: 8, columns: 8, rows: 2, step: stepEights512},
	} {
		t.generate()
	}
}

func (t *transposer) generate() {
	TEXT(t.name, noSplit, "func(dst *byte, cols *byte, stride int, groups int, from int, to int)")
	Pragma("noescape")
	Doc(t.name + fmt.Sprintf(" turns columns of %d-byte elements, %d side by side, %d rows a step.", t.elem, t.columns, t.rows))
	// What the inner loop needs seldom lies on the stack.
	colsAt, groupsLeft, dstAt, first, end := AllocLocal(8), AllocLocal(8), AllocLocal(8), AllocLocal(8), AllocLocal(8)
	tmp := GP64()
	Load(Param("cols"), tmp)
	MOVQ(tmp, colsAt)
	Load(Param("groups"), tmp)
	MOVQ(tmp, groupsLeft)
	Load(Param("to"), tmp)
	IMUL3Q(U8(t.elem), tmp, tmp)
	MOVQ(tmp, end)
	Load(Param("from"), tmp)
	stride := Load(Param("stride"), GP64())
	d := Load(Param("dst"), GP64())
	rowsBefore := GP64()
	MOVQ(tmp, rowsBefore)
	IMULQ(stride, rowsBefore)
	ADDQ(rowsBefore, d)
	MOVQ(d, dstAt)
	IMUL3Q(U8(t.elem), tmp, tmp)
	MOVQ(tmp, first)
	stride3 := GP64()
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, stride3)

	Label("group")
	cols, index := GP64(), GP64()
	MOVQ(colsAt, cols)
	bases := make([]Register, t.columns)
	for c := range bases {
		bases[c] = nil
		if !t.inMemory {
			p := GP64()
			MOVQ(Mem{Base: cols, Disp: c * sliceHeader}, p)
			bases[c] = p
		}
	}
	MOVQ(first, index)
	MOVQ(dstAt, d)

	// stepAt is one step, some rows after index.
	stepAt := func(after int) {
		stores := t.step(t, func(c int) source {
			base := bases[c]
			if t.inMemory {
				p := GP64()
				MOVQ(Mem{Base: cols, Disp: c * sliceHeader}, p)
				base = p
			}
			return func(row int) Mem {
				return Mem{Base: base, Index: index, Scale: 1, Disp: (after + row) * t.elem}
			}
		})
		rows := []Mem{{Base: d}, {Base: d, Index: stride, Scale: 1}, {Base: d, Index: stride, Scale: 2}, {Base: d, Index: stride3, Scale: 1}}
		for i, s := range stores {
			s(rows[i%4])
			if i%4 == 3 || i == len(stores)-1 {
				LEAQ(Mem{Base: d, Index: stride, Scale: uint8(i%4 + 1)}, d)
			}
		}
	}
	limit := GP64()
	line := max(64/t.elem, t.rows) // rows of a cache line of every column
	Label("line")
	LEAQ(Mem{Base: index, Disp: line * t.elem}, limit)
	CMPQ(limit, end)
	JG(LabelRef("step"))
	for after := 0; after < line; after += t.rows {
		stepAt(after)
	}
	ADDQ(U32(line*t.elem), index)
	JMP(LabelRef("line"))

	Label("step")
	CMPQ(index, end)
	JGE(LabelRef("next"))
	stepAt(0)
	ADDQ(U32(t.rows*t.elem), index)
	JMP(LabelRef("step"))

	Label("next")
	ADDQ(U32(t.columns*sliceHeader), colsAt)
	ADDQ(U32(t.columns*t.elem), dstAt)
	DECQ(groupsLeft)
	JNZ(LabelRef("group"))
	VZEROUPPER()
	RET()
}

// lanes loads 16 bytes from each of several columns into one register, lane by
// lane: the lane crossings of the transpose, done by loads.
func lanes(from ...Mem) VecVirtual {
	low := XMM()
	VMOVUPS(from[0], low)
	switch len(from) {
	case 1:
		return low
	case 2:
		y := YMM()
		VINSERTF128(U8(1), from[1], low.AsY(), y)
		return y
	default:
		z := ZMM()
		VINSERTF32X4(U8(1), from[1], low.AsZ(), z)
		VINSERTF32X4(U8(2), from[2], z, z)
		VINSERTF32X4(U8(3), from[3], z, z)
		return z
	}
}

func like(v VecVirtual) VecVirtual {
	switch v.Size() {
	case 16:
		return XMM()
	case 32:
		return YMM()
	default:
		return ZMM()
	}
}

// turn4 turns the 4x4 blocks of 4-byte elements in the lanes of four
// registers.
func turn4(v [4]VecVirtual) [4]VecVirtual {
	var t, r [4]VecVirtual
	for i := range 4 {
		t[i], r[i] = like(v[0]), like(v[0])
	}
	VUNPCKLPS(v[1], v[0], t[0])
	VUNPCKHPS(v[1], v[0], t[1])
	VUNPCKLPS(v[3], v[2], t[2])
	VUNPCKHPS(v[3], v[2], t[3])
	VUNPCKLPD(t[2], t[0], r[0])
	VUNPCKHPD(t[2], t[0], r[1])
	VUNPCKLPD(t[3], t[1], r[2])
	VUNPCKHPD(t[3], t[1], r[3])
	return r
}

// stepFourFours: 4 rows of 4 columns.
func stepFourFours(_ *transposer, column func(c int) source) []store {
	var v [4]VecVirtual
	for c := range v {
		v[c] = lanes(column(c)(0))
	}
	return rowsOf(turn4(v))
}

// stepEightFours: 8 rows of 8 columns. Whole registers are loaded, although
// that leaves the lanes to be crossed by shuffles: columns often lie a multiple
// of 4 KiB apart, and then fewer loads are fewer conflicts in the cache.
func stepEightFours(_ *transposer, column func(c int) source) (stores []store) {
	var left, right [4]VecVirtual
	for c := range 4 {
		left[c] = YMM()
		VMOVUPS(column(c)(0), left[c])
	}
	left = turn4(left)
	for c := range 4 {
		right[c] = YMM()
		VMOVUPS(column(4+c)(0), right[c])
	}
	right = turn4(right)
	return joinEightFours(left, right)
}

func rowsOf(v [4]VecVirtual) (stores []store) {
	for _, r := range v {
		stores = append(stores, func(to Mem) { VMOVUPS(r, to) })
	}
	return stores
}

// stepFours512: 8 rows of 16 columns. Lane k of register j holds column 4*k+j,
// so that turning 4x4 blocks within lanes gives whole rows; twice, as an
// address loaded should serve more than one load.
func stepFours512(_ *transposer, column func(c int) source) []store {
	var low, high [4]VecVirtual
	for j := range low {
		var a, b []Mem
		for lane := range 4 {
			from := column(4*lane + j)
			a, b = append(a, from(0)), append(b, from(4))
		}
		low[j], high[j] = lanes(a...), lanes(b...)
	}
	return append(rowsOf(turn4(low)), rowsOf(turn4(high))...)
}

// stepEights: 2 rows of 2, 4 or 8 columns of 8-byte elements.
func stepEights(t *transposer, column func(c int) source) []store {
	parts := max(t.columns/4, 1)
	rows := make([][]VecVirtual, 2)
	for p := range parts {
		var v [2]VecVirtual
		for j := range v {
			from := []Mem{column(4*p + j)(0)}
			if t.columns > 2 {
				from = append(from, column(4*p+2+j)(0))
			}
			v[j] = lanes(from...)
		}
		a, b := like(v[0]), like(v[0])
		VUNPCKLPD(v[1], v[0], a)
		VUNPCKHPD(v[1], v[0], b)
		rows[0], rows[1] = append(rows[0], a), append(rows[1], b)
	}
	var stores []store
	for _, row := range rows {
		stores = append(stores, func(to Mem) {
			for p, part := range row {
				VMOVUPS(part, to.Offset(32*p))
			}
		})
	}
	return stores
}

// stepEights512: 2 rows of 8 columns in one register each.
func stepEights512(_ *transposer, column func(c int) source) []store {
	var v [2]VecVirtual
	for j := range v {
		v[j] = lanes(column(j)(0), column(2+j)(0), column(4+j)(0), column(6+j)(0))
	}
	a, b := ZMM(), ZMM()
	VUNPCKLPD(v[1], v[0], a)
	VUNPCKHPD(v[1], v[0], b)
	return []store{func(to Mem) { VMOVUPS(a, to) }, func(to Mem) { VMOVUPS(b, to) }}
}

// shuffled interleaves registers i and i+4, three times, for i < 4. Each time
// the highest bit of a register's number becomes the lowest of its elements'
// places, and the highest of the places the lowest of the numbers: after three
// times the columns' numbers are places.
func shuffled(column func(c int) source, low, high func(ops ...Op)) []VecVirtual {
	v := make([]VecVirtual, 8)
	for c := range v {
		v[c] = lanes(column(c)(0))
	}
	for range 3 {
		w := make([]VecVirtual, 8)
		for i := range 4 {
			w[2*i], w[2*i+1] = XMM(), XMM()
			low(v[i+4], v[i], w[2*i])
			high(v[i+4], v[i], w[2*i+1])
		}
		v = w
	}
	return v
}

// stepTwos: 8 rows of 8 columns of 2-byte elements; a register is a row.
func stepTwos(_ *transposer, column func(c int) source) (stores []store) {
	for _, v := range shuffled(column, VPUNPCKLWD, VPUNPCKHWD) {
		stores = append(stores, func(to Mem) { VMOVUPS(v, to) })
	}
	return stores
}

// stepOnes: 16 rows of 8 columns of 1-byte elements; a register is two rows.
func stepOnes(_ *transposer, column func(c int) source) (stores []store) {
	for _, v := range shuffled(column, VPUNPCKLBW, VPUNPCKHBW) {
		stores = append(stores, func(to Mem) { VMOVLPS(v, to) }, func(to Mem) { VMOVHPS(v, to) })
	}
	return stores
}
