package main

import (
	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// With AVX2 the kernels on rows make whole steps of eight rows, and write whole
// registers: where columns are no multiple of eight, the last eight are done
// again, and where they are fewer than eight, what is written beyond a row is
// undefined. Columns that are done again count their rounded values again.

// slidingBits says which bit stands for a value, of 4 bytes and after these of 8
// bytes: from place shift on, for bits that begin at shift.
var slidingBits Mem

const sliding8 = 64 // where those of 8 bytes begin

func slidingTables() {
	slidingBits = GLOBL("sliding", readOnly)
	for i := range 16 {
		DATA(4*i, U32(1<<i))
	}
	for i := range 16 {
		DATA(sliding8+8*i, U64(1<<i))
	}
}

// slidingMask makes masks of a column's next eight values.
type slidingMask struct {
	all          VecVirtual // their bits, in every lane
	table, shift Register
}

func (m *slidingMask) valid4(int) VecVirtual {
	v, bit := YMM(), Mem{Base: m.table, Index: m.shift, Scale: 4}
	VPAND(bit, m.all, v)
	VPCMPEQD(bit, v, v)
	return v
}

func (m *slidingMask) valid8(g int) VecVirtual {
	v, bit := YMM(), Mem{Base: m.table, Index: m.shift, Scale: 8, Disp: sliding8 + 32*g}
	VPAND(bit, m.all, v)
	VPCMPEQQ(bit, v, v)
	return v
}

// generate256 makes a kernel. nulls says how it learns which values are valid.
func (r *rower) generate256(nulls nullsKind) {
	name := r.name + [...]string{"", "Valid", "Turned"}[nulls] + "AVX2"
	TEXT(name, noSplit, "func(dst *byte, cols *byte, stride int, rows int, width int) (beyond int)")
	Pragma("noescape")
	Doc(name + " makes rows of columns; see the generator.")
	const step = 8
	loop := startChunks()
	dstAt, rowAt, rowsLeft, chunk := loop.dstAt, loop.rowAt, loop.rowsLeft, loop.rows
	tmp, stride, stride3 := loop.tmp, loop.stride, loop.stride3
	columnsLeft := AllocLocal(8)
	cols, row, bitsAt, table := GP64(), GP64(), GP64(), GP64()
	k := &cast{}
	state := AllocLocal(8)
	if r.notes != 0 {
		forget(state, r.notes)
	}
	if r.prepare != nil {
		r.prepare(k)
	}
	if nulls == byColumn && r.prepare != nil {
		LEAQ(slidingBits, table)
	}

	// Kernels that need no more of a column in a step than where its values are keep that
	// in registers, and what only the next columns need lies on the stack.
	held := r.prepare == nil && !r.affine && nulls != byColumn
	colsAt, firstAt, endAt := AllocLocal(8), AllocLocal(8), AllocLocal(8)
	var bases [rowsColumns]GPVirtual
	var turned GPVirtual
	var line *acrossLine

	// Where these make rows of sixteen columns, the next eight are fetched, a chunk ahead: then
	// it has to be long.
	chunkShift := r.chunkShift()
	var next *nextColumns
	if held && r.from == 4 && r.to == 4 {
		next, chunkShift = openNext(), 7
	}

	// load gives a column's eight values in one register or two.
	load := func(i int, fetch bool) []VecVirtual {
		p := bases[i]
		if !held {
			p = GP64()
			MOVQ(Mem{Base: cols, Disp: i*columnBytes + columnValues}, p)
		}
		if fetch && next == nil {
			prefetch(p, row, r.from, r.from*step, prefetchBytes256)
		}
		k.at = func(disp int) Mem { return Mem{Base: p, Index: row, Scale: uint8(r.from), Disp: disp} }
		k.count = func(changed VecVirtual, lane int) {
			n := GP64()
			if lane == 4 {
				VMOVMSKPS(changed, n.As32())
			} else {
				VMOVMSKPD(changed, n.As32())
			}
			POPCNTL(n.As32(), n.As32())
			ADDQ(n, Mem{Base: cols, Disp: i*columnBytes + columnRounded})
		}
		column := Mem{Base: cols, Disp: i * columnBytes}
		k.param = column.Offset
		switch {
		case r.affine && nulls == noNulls:
			return r.filled(k, nil, column)
		case nulls != byColumn:
			return r.lanes(k, 0)
		}
		bits := GP64()
		mask := &slidingMask{all: YMM(), table: table}
		MOVQ(Mem{Base: cols, Disp: i*columnBytes + columnBits}, bits)
		if r.prepare != nil {
			mask.shift = GP64()
			MOVQ(Mem{Base: cols, Disp: i*columnBytes + columnShift}, mask.shift)
		}
		VPBROADCASTD(Mem{Base: bits, Index: bitsAt, Scale: 1}, mask.all)
		k.bits = mask
		return r.filled(k, mask.all, column)
	}

	Label("chunk")
	n, d, left, limit, first := GP64(), GP64(), GP64(), GP64(), GP64()
	MOVQ(U64(1<<chunkShift), limit)
	MOVQ(rowsLeft, n)
	CMPQ(n, limit)
	CMOVQGT(limit, n)
	MOVQ(n, chunk)
	Load(Param("cols"), cols)
	Load(Param("width"), tmp)
	MOVQ(tmp, columnsLeft)
	MOVQ(dstAt, first)

	Label("columns")
	if next != nil {
		next.find(cols, columnsLeft, r.from<<chunkShift)
	}
	MOVQ(rowAt, row)
	MOVQ(first, d)
	MOVQ(chunk, left)
	if held {
		MOVQ(cols, colsAt)
		MOVQ(first, firstAt)
		ADDQ(row, left)
		MOVQ(left, endAt)
		for i := range bases {
			bases[i] = GP64()
			MOVQ(Mem{Base: cols, Disp: i*columnBytes + columnValues}, bases[i])
		}
	}
	if nulls == byRow {
		turned = GP64()
		MOVQ(Mem{Base: cols, Disp: columnBits}, turned)
	}
	if nulls == byRow || r.across {
		line = r.openAcross(first, dstAt, nulls)
	}

	// unless and again go on after a step, where it was the last and where it was not.
	unless, again := JLE, JG
	made := func() {
		ADDQ(U8(step), row)
		SUBQ(U8(step), left)
	}
	if held {
		unless, again = JGE, JL
		made = func() {
			ADDQ(U8(step), row)
			CMPQ(row, endAt)
		}
	}

	at := rowsAt{d, stride, stride3}
	turn := func(fetch bool) {
		if nulls == byColumn {
			MOVQ(row, bitsAt)
			SHRQ(U8(3), bitsAt)
		}
		if r.to == 4 {
			// The second step of the same lines goes through the columns backwards: nine lines
			// in a set of eight that are read in the same order again all miss.
			second := next != nil && !fetch
			var halves [2][4]VecVirtual
			for i := range rowsColumns {
				c := i
				if second {
					c = rowsColumns - 1 - i
				}
				half := &halves[c/4]
				half[c%4] = load(c, fetch)[0]
				if i%4 == 3 {
					*half = turn4(*half)
				}
			}
			rows := joinEightFours(halves[0], halves[1])
			if r.across {
				rows = line.through(rows)
			}
			var bits VecVirtual
			if nulls == byRow {
				bits = turnedBits(turned, row)
			}
			for i, values := range rows {
				v := values()
				if nulls == byRow {
					line.fill(v, validRow(bits, i))
				}
				VMOVUPS(v, at.row(i))
				if second {
					next.fetch(rowsColumns-1-i, row)
				}
				if i%4 == 3 {
					LEAQ(Mem{Base: d, Index: stride, Scale: 4}, d)
				}
			}
			return
		}
		// The right half first: what it spills beyond narrow rows, the left half
		// of the rows below writes again.
		for _, half := range []int{1, 0} {
			var low, high [4]VecVirtual
			for c := range 4 {
				v := load(4*half+c, fetch)
				low[c], high[c] = v[0], v[1]
			}
			for i, v := range turn4x4(low) {
				VMOVUPD(v, at.row(i).Offset(32*half))
			}
			lower := GP64()
			LEAQ(Mem{Base: d, Index: stride, Scale: 4}, lower)
			for i, v := range turn4x4(high) {
				to := at.row(i).Offset(32 * half)
				to.Base = lower
				VMOVUPD(v, to)
			}
		}
		LEAQ(Mem{Base: d, Index: stride, Scale: 8}, d)
	}
	Label("step")
	together := step
	if r.from == 4 {
		together = 2 * step // to fetch what no step comes to write does no harm
	}
	if held {
		tmp := GP64()
		MOVQ(firstAt, tmp)
		r.prefetchRows(tmp, dstAt, at, together, "fetched")
	} else {
		r.prefetchRows(first, dstAt, at, together, "fetched")
	}
	turn(true)
	made()
	if r.from == 4 {
		// A step is half a cache line of a column: the other half is there.
		unless(LabelRef("next"))
		turn(false)
		made()
	}
	again(LabelRef("step"))

	Label("next")
	if held {
		MOVQ(colsAt, cols)
		MOVQ(firstAt, first)
	}
	// The next eight columns, or the last.
	SUBQ(U8(rowsColumns), columnsLeft)
	JLE(LabelRef("done"))
	ADDQ(U32(rowsColumns*columnBytes), cols)
	ADDQ(U8(rowsColumns*r.to), first)
	over := GP64()
	MOVQ(U64(rowsColumns), over)
	SUBQ(columnsLeft, over)
	JLE(LabelRef("columns"))
	MOVQ(U64(rowsColumns), tmp)
	MOVQ(tmp, columnsLeft)
	IMUL3Q(U32(columnBytes), over, tmp)
	SUBQ(tmp, cols)
	SHLQ(U8(r.to/4+1), over)
	SUBQ(over, first)
	JMP(LabelRef("columns"))

	Label("done")
	loop.next(chunkShift)

	result := GP64()
	XORQ(result, result)
	k.isBeyond(result)
	if r.notes != 0 {
		notes := GP64()
		noted(state, notes, r.notes)
		ORQ(notes, result)
	}
	Store(result, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// filled puts a column's fill where values are not valid. A blend looks at the signs of
// a mask, and shifted by the column's signs, bits are there. Without bits all are valid,
// and only a function's NaN is filled.
func (r *rower) filled(k *cast, bits VecVirtual, column Mem) (out []VecVirtual) {
	values := []Op{k.at(0), k.at(32)}[:r.to/4]
	if r.from != r.to || r.prepare != nil || r.notes != 0 {
		for h, v := range r.lanes(k, 0) {
			values[h] = v
		}
	}
	fill := YMM()
	if r.to == 4 {
		VBROADCASTSS(column.Offset(columnFill), fill)
	} else {
		VBROADCASTSD(column.Offset(columnFill), fill)
	}
	for h, v := range values {
		signs, shift := YMM(), column.Offset(columnSigns+32*h)
		switch {
		case bits == nil:
			signs = k.stays(v, r.to)
		case r.affine:
			VPSLLVD(shift, bits, signs)
			VANDPS(k.stays(v, r.to), signs, signs)
		default:
			VPSLLVD(shift, bits, signs)
		}
		if r.to == 4 {
			VBLENDVPS(signs, v, fill, signs)
		} else {
			VBLENDVPD(signs, v, fill, signs)
		}
		out = append(out, signs)
	}
	return out
}

// joinEightFours makes eight rows of two halves, each when it is asked for.
func joinEightFours(left, right [4]VecVirtual) (rows [8]func() VecVirtual) {
	for i := range 4 {
		rows[i] = func() VecVirtual {
			y := YMM()
			VINSERTF128(U8(1), right[i].AsX(), left[i], y)
			return y
		}
		rows[4+i] = func() VecVirtual {
			y := YMM()
			VPERM2F128(U8(0x31), right[i], left[i], y)
			return y
		}
	}
	return rows
}

// turn4x4 makes four rows of four columns of 8-byte values.
func turn4x4(v [4]VecVirtual) (rows [4]VecVirtual) {
	var t [4]VecVirtual
	for i := range 4 {
		t[i], rows[i] = YMM(), YMM()
	}
	VUNPCKLPD(v[1], v[0], t[0])
	VUNPCKHPD(v[1], v[0], t[1])
	VUNPCKLPD(v[3], v[2], t[2])
	VUNPCKHPD(v[3], v[2], t[3])
	VINSERTF128(U8(1), t[2].AsX(), t[0], rows[0])
	VINSERTF128(U8(1), t[3].AsX(), t[1], rows[1])
	VPERM2F128(U8(0x31), t[2], t[0], rows[2])
	VPERM2F128(U8(0x31), t[3], t[1], rows[3])
	return rows
}
