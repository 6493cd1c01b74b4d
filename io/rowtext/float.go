package rowtext

import (
	"math"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow/float16"

	"github.com/millrace/millrace/internal/half"
)

// appendFloat appends the shortest text that reads back as v. As in JavaScript,
// exponents stand from 1e21 on and below 1e-6.
func appendFloat(dst []byte, v float64, bits int) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, "NaN"...)
	case math.IsInf(v, 1):
		return append(dst, "inf"...)
	case math.IsInf(v, -1):
		return append(dst, "-inf"...)
	}
	verb := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		verb = 'e'
	}
	return strconv.AppendFloat(dst, v, verb, -1, bits)
}

// appendHalf appends the fewest digits that read back as h, rounding to
// nearest. float16.New cannot be asked: it rounds towards zero.
func appendHalf(dst []byte, h float16.Num) []byte {
	v := float64(half.Float32(h))
	if h.IsNaN() || h.IsInf() {
		return appendFloat(dst, v, 32)
	}
	// Magnitudes halfway to the neighbours; bits of one sign count upwards.
	magnitude := h.Uint16() &^ 0x8000
	above := 65536.0 // beyond the largest number
	if up := float16.FromBits(magnitude + 1); !up.IsInf() {
		above = float64(half.Float32(up))
	}
	below := 0.0
	if magnitude > 0 {
		below = float64(half.Float32(float16.FromBits(magnitude - 1)))
	}
	low, high := (below+math.Abs(v))/2, (math.Abs(v)+above)/2
	for digits := range 5 {
		back, err := strconv.ParseFloat(strconv.FormatFloat(v, 'e', digits, 64), 64)
		if abs := math.Abs(back); err == nil && (abs > low || v == 0) && abs < high {
			return appendFloat(dst, back, 64)
		}
	}
	return appendFloat(dst, v, 64)
}
