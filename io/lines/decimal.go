package lines

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// parseDecimal reads a number as a decimal of a type, exactly: it must not have more
// digits before or after the point than that, zeros aside.
func parseDecimal(text []byte, t *arrow.Decimal128Type) (v decimal128.Num, ok bool) {
	negative := false
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		negative = text[0] == '-'
		text = text[1:]
	}
	digits, after, any := int32(0), int32(-1), false
	ten := decimal128.FromU64(10)
	for _, c := range text {
		switch {
		case c == '.' && after < 0:
			after = 0
			continue
		case c-'0' > 9:
			return v, false
		}
		any = true
		if after >= 0 && after == t.Scale {
			if c != '0' {
				return v, false
			}
			continue
		}
		if after >= 0 {
			after++
		}
		if digits > 0 || c != '0' {
			if digits++; digits > t.Precision {
				return v, false
			}
		}
		v = v.Mul(ten).Add(decimal128.FromU64(uint64(c - '0')))
	}
	for after = max(after, 0); after < t.Scale; after++ {
		if digits > 0 {
			if digits++; digits > t.Precision {
				return v, false
			}
		}
		v = v.Mul(ten)
	}
	if negative {
		v = v.Negate()
	}
	return v, any
}
