package feature

import (
	"math"
	"slices"
	"strconv"

	"github.com/millrace/millrace/internal/numerals"
)

// writer writes numbers as text. It belongs to one goroutine.
type writer struct {
	powers *numerals.PowerTable
	texts  []byte              // room for those of a block, mostWritten each
	ends   [writerBlock]uint16 // of each in its room
}

const (
	// mostWritten is more than any number has bytes, with room behind it for words to be written.
	mostWritten = 64
	// writerBlock is how many are written before the first is read: the machine would wait for bytes
	// that were just written.
	writerBlock = 64
)

func newWriter() *writer {
	return &writer{powers: numerals.Powers(), texts: make([]byte, writerBlock*mostWritten)}
}

// float is a floating number as text, in the fewest digits that read back as it: as
// ECMAScript's Number::toString and encoding/json have it, and as it is for integers.
// Equal numbers are equal texts: -0 is "0". dst has room for mostWritten bytes.
func (w *writer) float(dst []byte, v float64, bits int) []byte {
	// Up to here floating numbers have every integer, so none has fewer digits than its own.
	wholes := int64(1 << 53)
	if bits == 32 {
		wholes = 1 << 24
	}
	if i := int64(v); float64(i) == v && -wholes <= i && i <= wholes {
		return numerals.AppendInt(dst, i)
	}
	size := math.Abs(v)
	switch {
	case math.IsInf(v, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(v, -1):
		return append(dst, "-Infinity"...)
	case v != v:
		return append(dst, "NaN"...)
	}
	dst = append(dst, '-')[:len(dst)+int(math.Float64bits(v)>>63)]
	if bits == 64 && size < 1e9 {
		// Decimals of up to 15 digits are numbers of their own, so one that reads back as this has the
		// fewest digits, but for zeros at its end. The quotient is what it reads back as: both are exact.
		const places = 1e6
		if millionths := int64(size*places + 0.5); float64(millionths)/places == size {
			return appendMillionths(dst, uint64(millionths))
		}
	}
	var digits uint64
	var exponent int
	if bits == 32 {
		digits, exponent = w.powers.Shortest32(float32(size))
	} else {
		digits, exponent = w.powers.Shortest(size)
	}
	switch {
	case size < 1e-6 || size >= 1e21:
		first := len(dst) + 1
		if dst = numerals.AppendUint(dst, digits); digits >= 10 {
			exponent += len(dst) - first
			dst = slices.Insert(dst, first, '.')
		}
		if dst = append(dst, 'e'); exponent > 0 {
			dst = append(dst, '+')
		}
		return numerals.AppendInt(dst, int64(exponent))
	case exponent >= 0:
		dst = numerals.AppendUint(dst, digits)
		return append(dst, "000000000000000000000"[:exponent]...)
	}
	// How many digits are behind the point, 23 at most, cannot be foreseen, nor whether others stand
	// before it, so neither is a branch. No byte is read again that was just written.
	power := numerals.PowerOfTen(min(-exponent, 19))
	whole := digits / power
	dst = append(numerals.AppendUint(dst, whole), '.')
	first, zeros := len(dst), max(-exponent-17, 0)
	copy(dst[first:first+8], "00000000")
	numerals.Put17(dst[first+zeros:first+zeros+17], (digits-whole*power)*numerals.PowerOfTen(17+exponent+zeros))
	return dst[:first-exponent]
}

// appendMillionths appends so many millionths, which are no whole number.
func appendMillionths(dst []byte, v uint64) []byte {
	whole := v / 1e6
	dst = append(numerals.AppendUint(dst, whole), '.')
	first := len(dst)
	return dst[:first+numerals.PutFraction(dst[first:first+8], v-whole*1e6)]
}

// row is the value of a row of numbers as text, valid until the next.
func (w *writer) row(l *lane, form form, row int) []byte {
	return w.append(w.texts[:0:mostWritten], l, form, row)
}

// write writes the values of a block of rows, marked ones too.
func (w *writer) write(l *lane, form form, from, rows int) {
	for i := range rows {
		at := i * mostWritten
		w.ends[i] = uint16(len(w.append(w.texts[at:at:at+mostWritten], l, form, from+i)))
	}
}

// text is that of a row of the block, behind which there is room that may be read.
func (w *writer) text(i int) []byte { return w.texts[i*mostWritten:][:w.ends[i]] }

// append appends the value of a row to what has room for mostWritten bytes.
func (w *writer) append(dst []byte, l *lane, form form, row int) []byte {
	switch form {
	case formInt:
		return numerals.AppendInt(dst, l.i[row])
	case formUint:
		return numerals.AppendUint(dst, uint64(l.i[row]))
	case formBool:
		return strconv.AppendBool(dst, l.f[row] != 0)
	case formFloat32:
		return w.float(dst, l.f[row], 32)
	default:
		return w.float(dst, l.f[row], 64)
	}
}
