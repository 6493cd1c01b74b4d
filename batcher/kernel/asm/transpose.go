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
}

// source is where some rows of a column lie, from row on; store writes one row.
type (
	source func(row int) Mem
	store  func(to Mem)
)

func transposes() {
	for _, t := range []transposer{
		{name: "transpose2x8AVX2", elem: 2, columns: 8, rows: 8, step: stepTwos},
		{name: "transpose1x8AVX2", elem: 1, columns: 8, rows: 16, step: stepOnes},
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
		p := GP64()
		MOVQ(Mem{Base: cols, Disp: c * sliceHeader}, p)
		bases[c] = p
	}
	MOVQ(first, index)
	MOVQ(dstAt, d)

	// stepAt is one step, some rows after index.
	stepAt := func(after int) {
		stores := t.step(t, func(c int) source {
			return func(row int) Mem {
				return Mem{Base: bases[c], Index: index, Scale: 1, Disp: (after + row) * t.elem}
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

// shuffled interleaves registers i and i+4, three times, for i < 4. Each time
// the highest bit of a register's number becomes the lowest of its elements'
// places, and the highest of the places the lowest of the numbers: after three
// times the columns' numbers are places.
func shuffled(column func(c int) source, low, high func(ops ...Op)) []VecVirtual {
	v := make([]VecVirtual, 8)
	for c := range v {
		v[c] = XMM()
		VMOVUPS(column(c)(0), v[c])
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
