package kernel

import (
	"slices"
	"unsafe"
)

// Column is a column of numbers on its way into rows of D. It aliases the
// values and the bitmap that it is made of.
type Column[D Number] struct {
	kind     int
	values   *byte
	n        int
	validity []byte
	bit      int
	fill     uint64
}

// ColumnOf is a column of values. Where the validity bit is 0 rows get fill; a
// nil bitmap means that all are valid. bit is the bitmap's bit of src[0].
func ColumnOf[S, D Number](src []S, validity []byte, bit int, fill D) Column[D] {
	return Column[D]{
		kind: kindOf[S](), values: pointer(src), n: len(src),
		validity: validity, bit: bit, fill: bitsOf(fill),
	}
}

// rowColumn is what kernels know about a column; see asm.
type rowColumn struct {
	values, bits *byte
	shift        int
	fill         uint64
	rounded      int64
}

const (
	// rowColumns is how many columns a kernel takes at most, rowBits how many
	// rows with validity at a time.
	rowColumns, rowBits = 16, 1 << 15
	// bitsRead is how many bytes of a bitmap kernels read at a time, and
	// rowStep how many rows they make at least.
	bitsRead, rowStep = 4, 16
)

// allValid is the bitmap of columns without one.
var allValid = slices.Repeat([]byte{0xff}, rowBits/8+bitsRead)

// RowColumns is how many columns a Group of D takes best: a cache line of a row.
func RowColumns[D Number]() int { return 64 / sizeOf[D]() }

// Group is up to RowColumns columns on their way into rows of D, with the space
// that takes; it may be used again.
type Group[D Number] struct {
	Columns []Column[D]
	// Rounded counts by column the values that Rows rounded.
	Rounded [rowColumns]int64

	args [rowColumns]rowColumn
	ends [rowColumns][8]byte // the ends of bitmaps
}

// Rows writes rows from to to of the group's columns: dst[r*stride+c] is the
// value from+r of column c, converted like CastFill does it. It does so for
// columns of one type for which this machine has a kernel, and reports whether
// it did: where it did not, or met a value that is out of range, dst is
// undefined.
func (g *Group[D]) Rows(dst []D, stride, from, to int) bool {
	return g.rows(best, dst, stride, from, to)
}

func (g *Group[D]) rows(l *level, dst []D, stride, from, to int) bool {
	g.Rounded = [rowColumns]int64{}
	n, width := to-from, len(g.Columns)
	if n == 0 || width == 0 {
		return true
	}
	kind := g.Columns[0].kind
	k := l.rowsKernel(kind, kindOf[D]())
	if k.all == nil || width > RowColumns[D]() {
		return false
	}
	// Here and nowhere else it is checked that all is there.
	dst = dst[:(n-1)*stride+width]
	masked := false
	for i := range g.Columns {
		c := &g.Columns[i]
		if c.kind != kind {
			return false
		}
		if c.n < to || c.validity != nil && len(c.validity)*8 < c.bit+to {
			panic("kernel: a column is too short")
		}
		masked = masked || c.validity != nil
		g.args[i] = rowColumn{values: advance(c.values, from*kindSize(kind)), fill: c.fill}
	}
	// What is beyond the width is read, not written.
	for i := width; i < rowColumns; i++ {
		g.args[i] = rowColumn{values: g.args[0].values, bits: pointer(allValid)}
	}
	ok := false
	if masked {
		ok = g.rowsValid(k, dst, stride, from, to)
	} else {
		ok = k.all(pointer(dst), (*byte)(unsafe.Pointer(&g.args)), stride*sizeOf[D](), n, width) == 0
	}
	for i := range g.Columns {
		g.Rounded[i] = g.args[i].rounded
	}
	return ok
}

// rowsValid runs a kernel over bitmaps.
func (g *Group[D]) rowsValid(k *rowsKernel, dst []D, stride, from, to int) bool {
	for at := from; at < to; {
		n := g.openBitmaps(at, min(to-at, rowBits))
		if k.valid(pointer(dst[(at-from)*stride:]), (*byte)(unsafe.Pointer(&g.args)), stride*sizeOf[D](), n, len(g.Columns)) != 0 {
			return false
		}
		for i := range g.args {
			g.args[i].values = advance(g.args[i].values, n*kindSize(g.Columns[0].kind))
		}
		at += n
	}
	return true
}

// openBitmaps points to the bitmaps of up to n rows from row at on, and gives
// the number of rows. Kernels read some bytes at a time; so that they do not
// read beyond a bitmap, its end is copied, and for the last rows alone.
func (g *Group[D]) openBitmaps(at, n int) int {
	short := false
	for i := range g.Columns {
		c := &g.Columns[i]
		short = short || c.validity != nil && len(c.validity) < (c.bit+at+(n-1)&^7)>>3+bitsRead
	}
	if short && n > 2*rowStep {
		n = (n - rowStep - 1) &^ (rowStep - 1)
		short = false
	}
	for i := range g.Columns {
		c, arg := &g.Columns[i], &g.args[i]
		bit := c.bit + at
		switch {
		case c.validity == nil:
			arg.bits, arg.shift = pointer(allValid), 0
		case short:
			copy(g.ends[i][:], c.validity[bit>>3:])
			arg.bits, arg.shift = &g.ends[i][0], bit&7
		default:
			arg.bits, arg.shift = &c.validity[bit>>3], bit&7
		}
	}
	return n
}

func advance(p *byte, n int) *byte { return (*byte)(unsafe.Add(unsafe.Pointer(p), n)) }

// rowsKernel is the kernel of a pair of kinds.
func (l *level) rowsKernel(from, to int) *rowsKernel {
	if from == to {
		return &l.rowsSame[kindSize(from)]
	}
	return &l.rows[from][to]
}

// kindSize is the size of a value of a kind.
func kindSize(kind int) int {
	switch kind {
	case kindF32:
		return 4
	case kindF64:
		return 8
	default:
		return 1 << (kind & 3)
	}
}
