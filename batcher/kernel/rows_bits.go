package kernel

import (
	"encoding/binary"
)

// ColumnOfBits is a column of n bools, each a bit of a bitmap from bit on; the
// rest is like ColumnOf.
func ColumnOfBits[D Number](bitmap []byte, bit, n int, validity []byte, validBit int, fill D) Column[D] {
	return Column[D]{kind: kindBits, values: pointer(bitmap), bits: bitmap, at: bit, n: n, validity: validity, bit: validBit, fill: bitsOf(fill)}
}

// expandRows is how many rows of bits are turned at a time, and copyRows how many
// of them are copied where they cannot be written in place.
const expandRows, copyRows = 2048, 256

// expandSpace is the space for that, beside the bits themselves.
type expandSpace struct {
	fills [64]byte
	rows  [copyRows * 64]byte
}

// bitRows are bits of some columns turned to rows: a byte for eight rows of a column.
// Bitmaps that do not begin with a byte are copied first, each to bytes of its own.
type bitRows struct {
	columns       [][]uint8
	shifted, rows []byte
	bytes         int
}

// The two of a Group.
const turnedValues, turnedValidity = 0, 1

func newBitRows(columns, bytes int) bitRows {
	return bitRows{make([][]uint8, columns), make([]byte, bytes*columns), make([]byte, bytes*columns), bytes}
}

// validBits is the column's bitmap, and the bit that it begins with.
func (c *Column[D]) validBits() (bits []byte, bit int) { return c.validity, c.bit }

// rowsBits is rows for columns of bools.
func (g *Group[D]) rowsBits(l *level, dst []D, stride, from, to int, masked bool) bool {
	size, width := sizeOf[D](), len(g.Columns)
	k := &l.expands[size]
	if k.all == nil {
		return false
	}
	if g.expand == nil {
		g.expand = &expandSpace{}
	}
	x := g.expand
	for i := range g.Columns {
		var fill [8]byte
		binary.LittleEndian.PutUint64(fill[:], g.Columns[i].fill)
		copy(x.fills[i*size:], fill[:size])
	}
	one := bitsOf(D(1))
	whole := !l.wholeSteps || width*size%32 == 0
	for at := from; at < to; at += expandRows {
		n := min(expandRows, to-at)
		bytes := (n + 7) / 8
		g.turnBits(l, turnedValues, at, n, func(c *Column[D]) ([]byte, int) { return c.bits, c.at })
		if masked {
			g.turnBits(l, turnedValidity, at, n, (*Column[D]).validBits)
		}
		run := func(to *byte, stride, first, bytes int) {
			bits := &g.turned[turnedValues].rows[first*64/size]
			if masked {
				valid := &g.turned[turnedValidity].rows[first*64/size]
				k.valid(to, bits, valid, &x.fills[0], stride, bytes, width, one)
			} else {
				k.all(to, bits, stride, bytes, width, one)
			}
		}
		direct := 0
		if whole {
			direct = n / 8
		}
		if direct > 0 {
			run(pointer(dst[(at-from)*stride:]), stride*size, 0, direct)
		}
		// Rows that are no multiple of a register or of eight are copied.
		for first := direct; first < bytes; first += copyRows / 8 {
			run(&x.rows[0], 64, first, min(bytes-first, copyRows/8))
			for r := first * 8; r < min(n, first*8+copyRows); r++ {
				copy(Bytes(dst[(at-from+r)*stride:][:width]), x.rows[(r-first*8)*64:])
			}
		}
	}
	return true
}

// turnBits turns the bits of rows at to at+n of all columns, of the values or of
// their validity, to a matrix.
func (g *Group[D]) turnBits(l *level, which, at, n int, bitmap func(c *Column[D]) ([]byte, int)) {
	x, bytes, most := &g.turned[which], (n+7)/8, RowColumns[D]()
	if x.bytes < bytes {
		*x = newBitRows(most, bytes)
	}
	for i := range g.Columns {
		bits, bit := bitmap(&g.Columns[i])
		bit += at
		switch {
		case bits == nil:
			x.columns[i] = allValid[:bytes]
		case bit&7 == 0:
			x.columns[i] = bits[bit>>3:][:bytes]
		default:
			x.columns[i] = x.shifted[i*x.bytes:][:bytes]
			shiftBits(x.columns[i], bits, bit, n)
		}
	}
	// There are kernels for eight columns.
	width := len(g.Columns)
	for ; width < min(StepColumns, most); width++ {
		x.columns[width] = allValid[:bytes]
	}
	transpose(l, x.rows, most, x.columns[:width], bytes)
}

// shiftBits copies n bits from bit on; what is beyond them in the last byte is
// undefined.
func shiftBits(dst, bitmap []byte, bit, n int) {
	src, shift := bitmap[bit>>3:(bit+n+7)>>3], bit&7
	i := 0
	for ; i+8 <= len(dst) && i+9 <= len(src); i += 8 {
		w := binary.LittleEndian.Uint64(src[i:])>>shift | uint64(src[i+8])<<(64-shift)
		binary.LittleEndian.PutUint64(dst[i:], w)
	}
	for ; i < len(dst); i++ {
		b := src[i] >> shift
		if i+1 < len(src) {
			b |= src[i+1] << (8 - shift)
		}
		dst[i] = b
	}
}
