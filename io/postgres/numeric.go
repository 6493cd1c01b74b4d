package postgres

import (
	"encoding/binary"
	"math/big"
	"slices"
)

// A numeric in binary, as numeric_recv of PostgreSQL's numeric.c reads it:
//
//	int16 digits of base 10,000; int16 weight of the first (its power of 10,000);
//	uint16 sign (0 or 0x4000); uint16 decimal digits after the point; the digits
//
// Zeros at both ends are left out, as the server does, so that what it sends back has the
// same bytes.
const (
	numericBase     = 10000
	numericBasePow  = 4 // decimal digits of one of base 10,000
	numericNegative = 0x4000
)

// appendNumericUint appends a number with its length before it.
func appendNumericUint(dst []byte, v uint64) []byte {
	var digits [5]uint16 // of 20 decimal ones
	n := 0
	for ; v > 0; v /= numericBase {
		digits[n] = uint16(v % numericBase)
		n++
	}
	return appendNumericDigits(dst, digits[:n], numericForm{weight: n - 1})
}

func appendNumericInt(dst []byte, v int64) []byte {
	if v >= 0 {
		return appendNumericUint(dst, uint64(v))
	}
	start := len(dst)
	dst = appendNumericUint(dst, -uint64(v))
	binary.BigEndian.PutUint16(dst[start+8:], numericNegative)
	return dst
}

// numericForm is all of a numeric but its digits.
type numericForm struct {
	weight, scale int
	negative      bool
}

// appendNumericDigits appends a numeric of digits from the last to the first.
func appendNumericDigits(dst []byte, digits []uint16, form numericForm) []byte {
	for len(digits) > 0 && digits[len(digits)-1] == 0 {
		digits = digits[:len(digits)-1]
		form.weight--
	}
	for len(digits) > 0 && digits[0] == 0 {
		digits = digits[1:]
	}
	sign := uint16(0)
	if form.negative {
		sign = numericNegative
	}
	if len(digits) == 0 {
		form.weight, sign = 0, 0
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(8+2*len(digits)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(digits)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(int16(form.weight)))
	dst = binary.BigEndian.AppendUint16(dst, sign)
	dst = binary.BigEndian.AppendUint16(dst, uint16(form.scale))
	for _, d := range slices.Backward(digits) {
		dst = binary.BigEndian.AppendUint16(dst, d)
	}
	return dst
}

// appendNumericBig appends v / 10^scale.
func appendNumericBig(dst []byte, v *big.Int, scale int) []byte {
	negative := v.Sign() < 0
	v = new(big.Int).Abs(v)
	form := numericForm{scale: max(scale, 0), negative: negative}
	// The point has to stand between two digits of base 10,000.
	pad := -scale
	if scale > 0 {
		pad = (numericBasePow - scale%numericBasePow) % numericBasePow
	}
	if pad > 0 {
		v.Mul(v, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(pad)), nil))
	}
	after := 0 // digits of base 10,000 after the point
	if scale > 0 {
		after = (scale + pad) / numericBasePow
	}
	var digits []uint16
	base, rest := big.NewInt(numericBase), new(big.Int)
	for v.Sign() > 0 {
		v.QuoRem(v, base, rest)
		digits = append(digits, uint16(rest.Uint64()))
	}
	form.weight = len(digits) - 1 - after
	return appendNumericDigits(dst, digits, form)
}
