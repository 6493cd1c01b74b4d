package postgres

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/internal/half"
)

// A float in a column of numeric is its shortest decimal: the one of fewest digits that reads
// back as the same float of its width. psql's \copy of a CSV makes the same of it.

// Signs of numerics that are no number (numeric.c: NUMERIC_NAN, NUMERIC_PINF, NUMERIC_NINF).
const (
	numericNaN         = 0xC000
	numericInfinity    = 0xD000 // PostgreSQL 14 and later
	numericNegInfinity = 0xF000
)

// floatText appends the value of a row in strconv's format 'e': -1.25e-07, or NaN, +Inf, -Inf.
type floatText func(dst []byte, row int) []byte

// shortestText gives the shortest decimals of an array of floats; nil for another.
func shortestText(a arrow.Array) floatText {
	format := func(dst []byte, v float64, bits int) []byte { return strconv.AppendFloat(dst, v, 'e', -1, bits) }
	switch a := a.(type) {
	case *array.Float16:
		return func(dst []byte, row int) []byte { return format(dst, float64(half.Float32(a.Value(row))), 32) }
	case *array.Float32:
		return func(dst []byte, row int) []byte { return format(dst, float64(a.Value(row)), 32) }
	case *array.Float64:
		return func(dst []byte, row int) []byte { return format(dst, a.Value(row), 64) }
	}
	return nil
}

// numericFloatCell writes floats as numerics. One of which numeric(p, s) would keep other
// digits is refused.
func numericFloatCell(of floatText, to Type) cell {
	var text, digits []byte
	return func(dst []byte, row int) ([]byte, error) {
		text = of(text[:0], row)
		if sign := specialSign(text); sign != 0 {
			if sign != numericNaN && to.Precision > 0 {
				return dst, noPlace(string(text), to)
			}
			return appendNumericSpecial(dst, sign), nil
		}
		d, err := readDecimal(text, digits[:0])
		if err != nil {
			return dst, err
		}
		digits = d.digits
		if to.Precision == 0 {
			return d.appendNumeric(dst, max(-d.last(), 0)), nil
		}
		if len(digits) > 0 && (d.power >= to.Precision-to.Scale || d.last() < -to.Scale) {
			v, _ := strconv.ParseFloat(string(text), 64) // which it is the text of
			return dst, fmt.Errorf("%v has no place in %s without being rounded: ALTER the column's type to numeric", v, to)
		}
		return d.appendNumeric(dst, max(to.Scale, 0)), nil
	}
}

// specialSign is the sign of a numeric that is no number; 0 of one that is.
func specialSign(text []byte) uint16 {
	switch string(text) {
	case "NaN":
		return numericNaN
	case "+Inf":
		return numericInfinity
	case "-Inf":
		return numericNegInfinity
	}
	return 0
}

// appendNumericSpecial appends a numeric that is no number, with its length before it. The
// scale is the one that the server sends with it, bits of the sign (NUMERIC_DSCALE): a digest
// of what it sends back would be another otherwise.
func appendNumericSpecial(dst []byte, sign uint16) []byte {
	dst = append(dst, 0, 0, 0, 8, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, sign)
	return binary.BigEndian.AppendUint16(dst, sign&0x1f80>>7)
}

// decimal is d.ddd times 10^power. Its first digit and its last are not 0; zero has none.
type decimal struct {
	negative bool
	digits   []byte // '0' to '9'
	power    int
}

// readDecimal reads a number in strconv's format 'e', whose digits it appends to a buffer.
func readDecimal(text, digits []byte) (decimal, error) {
	d := decimal{negative: text[0] == '-', digits: digits}
	for i, c := range text {
		switch {
		case c == 'e':
			var err error
			d.power, err = strconv.Atoi(string(text[i+1:]))
			return d, err
		case c >= '1' && c <= '9', c == '0' && len(d.digits) > 0:
			d.digits = append(d.digits, c)
		}
	}
	return d, fmt.Errorf("%q is no number", text) // strconv writes none such
}

// last is the power of ten of the last digit.
func (d *decimal) last() int { return d.power - max(len(d.digits)-1, 0) }

// appendNumeric appends it as a numeric of so many decimal digits after the point.
func (d *decimal) appendNumeric(dst []byte, scale int) []byte {
	var buffer [8]uint16                                                          // of 17 digits, wherever the point stands
	form := numericForm{weight: d.power >> 2, scale: scale, negative: d.negative} // >> rounds down
	lead := numericBasePow - 1 - (d.power - form.weight*numericBasePow)           // zeros before the first digit within its group
	groups := buffer[:(lead+len(d.digits)+numericBasePow-1)/numericBasePow]
	for i := range len(groups) * numericBasePow {
		group := &groups[len(groups)-1-i/numericBasePow] // from the last to the first
		*group *= 10
		if at := i - lead; at >= 0 && at < len(d.digits) {
			*group += uint16(d.digits[at] - '0')
		}
	}
	return appendNumericDigits(dst, groups, form)
}
