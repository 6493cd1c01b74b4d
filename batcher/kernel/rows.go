package kernel

import (
	"math/bits"
	"slices"
	"unsafe"
)

// Column is a column of numbers on its way into rows of D. It aliases the
// values and the bitmap that it is made of.
type Column[D Number] struct {
	kind     int
	values   *byte
	size, n  int // of a value; values
	validity []byte
	bit      int
	fill     uint64
}

// ColumnOf is a column of values. Where the validity bit is 0 rows get fill; a
// nil bitmap means that all are valid. bit is the bitmap's bit of src[0].
func ColumnOf[S, D Number](src []S, validity []byte, bit int, fill D) Column[D] {
	return Column[D]{
		kind: kindOf[S](), values: pointer(src), size: sizeOf[S](), n: len(src),
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

// RowColumns is how many columns Rows takes best: a cache line of D.
func RowColumns[D Number]() int { return 64 / sizeOf[D]() }

// Rows writes rows from to to of columns: dst[r*stride+c] is the value from+r of
// column c, converted like CastFill does it. It does so for up to RowColumns
// columns of one type for which this machine has a kernel, and reports whether
// it did: where it did not, or met a value that is out of range, dst is
// undefined. It adds the number of values that were rounded to rounded, by
// column.
func Rows[D Number](dst []D, stride int, cols []Column[D], from, to int, rounded []int64) bool {
	return rows(best, dst, stride, cols, from, to, rounded)
}

func rows[D Number](l *level, dst []D, stride int, cols []Column[D], from, to int, rounded []int64) bool {
	n, width := to-from, len(cols)
	if n == 0 || width == 0 {
		return true
	}
	k := l.rowsKernel(cols[0].kind, kindOf[D]())
	if k.all == nil || width > RowColumns[D]() {
		return false
	}
	// Here and nowhere else it is checked that all is there.
	dst = dst[:(n-1)*stride+width]
	var group [rowColumns]rowColumn
	masked := false
	for i := range cols {
		c := &cols[i]
		if c.kind != cols[0].kind {
			return false
		}
		if c.n < to || c.validity != nil && len(c.validity)*8 < c.bit+to {
			panic("kernel: a column is too short")
		}
		masked = masked || c.validity != nil
		group[i].values = (*byte)(unsafe.Add(unsafe.Pointer(c.values), from*c.size))
		group[i].fill = c.fill
	}
	for i := width; i < rowColumns; i++ {
		group[i].values, group[i].bits = group[0].values, pointer(allValid)
	}
	ok := true
	if !masked {
		ok = k.all(pointer(dst), (*byte)(unsafe.Pointer(&group)), stride*sizeOf[D](), n, width) == 0
	} else {
		ok = rowsValid(k, dst, stride, cols, &group, from, to)
	}
	for i := range cols {
		rounded[i] += group[i].rounded
	}
	return ok
}

// rowsValid runs a kernel over bitmaps. It reads some bytes at a time, so the
// last rows have bitmaps of their own.
func rowsValid[D Number](k *rowsKernel, dst []D, stride int, cols []Column[D], group *[rowColumns]rowColumn, from, to int) bool {
	width := len(cols)
	var ends [rowColumns][8]byte
	for at := from; at < to; {
		n := min(to-at, rowBits)
		short := false
		for i := range cols {
			c := &cols[i]
			short = short || c.validity != nil && len(c.validity) < (c.bit+at+(n-1)&^7)>>3+bitsRead
		}
		if short && n > 2*rowStep {
			n = (n - rowStep - 1) &^ (rowStep - 1)
			short = false
		}
		for i := range cols {
			c, g := &cols[i], &group[i]
			switch bit := c.bit + at; {
			case c.validity == nil:
				g.bits, g.shift = pointer(allValid), 0
			case short:
				copy(ends[i][:], c.validity[bit>>3:])
				g.bits, g.shift = &ends[i][0], bit&7
			default:
				g.bits, g.shift = &c.validity[bit>>3], bit&7
			}
		}
		if k.valid(pointer(dst[(at-from)*stride:]), (*byte)(unsafe.Pointer(group)), stride*sizeOf[D](), n, width) != 0 {
			return false
		}
		for i := range group {
			group[i].values = (*byte)(unsafe.Add(unsafe.Pointer(group[i].values), n*cols[0].size))
		}
		at += n
	}
	return true
}

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

var _ = bits.Len
