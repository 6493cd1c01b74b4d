package rowtext

import (
	"math/big"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
)

// decimalCell renders decimals, which are text in JSON: as numbers, most
// readers would make binary fractions of them.
func decimalCell(a arrow.Array) (cell, bool) {
	dt, ok := a.DataType().(arrow.DecimalType)
	if !ok {
		return cell{}, false
	}
	scale := int(dt.GetScale())
	var c cell
	switch a := a.(type) {
	case *array.Decimal32:
		c = codes(a, a.Values(), func(dst []byte, v decimal.Decimal32) []byte { return appendSmall(dst, int64(v), scale) })
	case *array.Decimal64:
		c = codes(a, a.Values(), func(dst []byte, v decimal.Decimal64) []byte { return appendSmall(dst, int64(v), scale) })
	case *array.Decimal128:
		c = codes(a, a.Values(), func(dst []byte, v decimal128.Num) []byte {
			if low := int64(v.LowBits()); v.HighBits() == low>>63 {
				return appendSmall(dst, low, scale)
			}
			return appendBig(dst, v.BigInt(), scale)
		})
	case *array.Decimal256:
		c = codes(a, a.Values(), func(dst []byte, v decimal256.Num) []byte { return appendBig(dst, v.BigInt(), scale) })
	default:
		return cell{}, false
	}
	c.kind = exactKind
	return c, true
}

func appendSmall(dst []byte, v int64, scale int) []byte {
	var digits [20]byte // of the longest, with its sign
	return appendScaled(dst, strconv.AppendInt(digits[:0], v, 10), scale)
}

func appendBig(dst []byte, v *big.Int, scale int) []byte {
	return appendScaled(dst, v.Append(nil, 10), scale)
}

// appendScaled appends digits, an integer, divided by 10 to the scale.
func appendScaled(dst, digits []byte, scale int) []byte {
	if digits[0] == '-' {
		dst, digits = append(dst, '-'), digits[1:]
	}
	if scale <= 0 {
		dst = append(dst, digits...)
		if digits[0] != '0' {
			for range -scale {
				dst = append(dst, '0')
			}
		}
		return dst
	}
	whole := len(digits) - scale
	if whole <= 0 {
		dst = append(dst, '0')
	} else {
		dst = append(dst, digits[:whole]...)
	}
	dst = append(dst, '.')
	for range -whole {
		dst = append(dst, '0')
	}
	return append(dst, digits[max(whole, 0):]...)
}
