package feature

import (
	"math"
	"strconv"
)

// written is a number as text, in the fewest digits that read back as it: as
// ECMAScript's Number::toString and encoding/json have it, and as it is for integers.
// Equal numbers are equal texts: -0 is "0".
func written(dst []byte, v float64, bits int) []byte {
	// Up to here floating numbers have every integer, so none has fewer digits than its own.
	wholes := int64(1 << 53)
	if bits == 32 {
		wholes = 1 << 24
	}
	if i := int64(v); float64(i) == v && -wholes <= i && i <= wholes {
		return strconv.AppendInt(dst, i, 10)
	}
	size := math.Abs(v)
	switch {
	case math.IsInf(v, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(v, -1):
		return append(dst, "-Infinity"...)
	case size >= 1e-6 && size < 1e21 || v != v:
		return strconv.AppendFloat(dst, v, 'f', -1, bits)
	}
	dst = strconv.AppendFloat(dst, v, 'e', -1, bits)
	if n := len(dst); dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' { // e-09 is e-9
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

// writtenRow is the value of a row of numbers as text.
func writtenRow(dst []byte, l *lane, form form, row int) []byte {
	switch form {
	case formInt:
		return strconv.AppendInt(dst, l.i[row], 10)
	case formUint:
		return strconv.AppendUint(dst, uint64(l.i[row]), 10)
	case formBool:
		return strconv.AppendBool(dst, l.f[row] != 0)
	case formFloat32:
		return written(dst, l.f[row], 32)
	default:
		return written(dst, l.f[row], 64)
	}
}
