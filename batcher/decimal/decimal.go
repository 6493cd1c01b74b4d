// Package decimal reads the decimals of Arrow as binary floating numbers, in a way
// that lets each be rounded once, whatever its target.
package decimal

import (
	"math"
	"math/big"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
)

// Value is a decimal's value as the nearest float64, and on which side of it
// the value itself lies: -1 below, 1 above, 0 when it is that float64.
type Value struct {
	Nearest float64
	Side    int
}

// Odd is the value rounded to odd: of the two float64 around it, the one whose
// last bit is 1. Rounded once more, to fewer bits, it gives what the value
// itself would (Boldo and Melquiond, "Emulation of a FMA and correctly-rounded
// sums: proved algorithms using rounding to odd", 2008).
func (d Value) Odd() float64 {
	if d.Side == 0 || math.Float64bits(d.Nearest)&1 == 1 || math.IsInf(d.Nearest, 0) {
		return d.Nearest
	}
	return math.Nextafter(d.Nearest, math.Inf(d.Side))
}

// maxExactInt is the bound below which every integer is a float64.
const maxExactInt = 1 << 53

// Quotient is an integer divided by a power of ten that are both float64, so that it is
// rounded once and the remainder is exact.
func Quotient(unscaled, power float64) Value {
	q := unscaled / power
	side := 0
	switch r := math.FMA(q, power, -unscaled); {
	case r < 0:
		side = 1
	case r > 0:
		side = -1
	}
	return Value{Nearest: q, Side: side}
}

// powerOf is what decimals of a scale are divided by; ok is false where that is no float64: 10^22
// is the last power of ten that is.
func powerOf(scale int32) (power float64, ok bool) {
	return math.Pow10(int(scale)), scale >= 0 && scale <= 22
}

// isSmall says whether an integer, and every one nearer to 0, is a float64.
func isSmall(v int64) bool { return v > -maxExactInt && v < maxExactInt }

// small128 and small256 give integers of one word, unless they are too large.
func small128(v decimal128.Num) (small int64, ok bool) {
	small = int64(v.LowBits())
	return small, v.HighBits() == small>>63 && isSmall(small)
}

func small256(v decimal256.Num) (small int64, ok bool) {
	words := v.Array()
	small = int64(words[0])
	sign := uint64(small >> 63)
	return small, words[1] == sign && words[2] == sign && words[3] == sign && isSmall(small)
}

// Small gives access to the values of a decimal array that are a Quotient each: fill puts the
// integers of rows from at on into dst, and returns how many there are before one that is too
// large. ok is false where the array's scale is, or it has no decimals.
func Small(a arrow.Array) (fill func(dst []float64, at int) (n int), power float64, ok bool) {
	t, ok := a.DataType().(arrow.DecimalType)
	if !ok {
		return nil, 0, false
	}
	if power, ok = powerOf(t.GetScale()); !ok {
		return nil, 0, false
	}
	switch t := a.(type) {
	case *array.Decimal32:
		fill = filler(t.Values(), func(v decimal.Decimal32) (int64, bool) { return int64(v), true })
	case *array.Decimal64:
		fill = filler(t.Values(), func(v decimal.Decimal64) (int64, bool) { return int64(v), isSmall(int64(v)) })
	case *array.Decimal128:
		fill = filler(t.Values(), small128)
	case *array.Decimal256:
		fill = filler(t.Values(), small256)
	default:
		return nil, 0, false
	}
	return fill, power, true
}

func filler[T any](values []T, small func(T) (int64, bool)) func(dst []float64, at int) int {
	return func(dst []float64, at int) int {
		for i, v := range values[at : at+len(dst)] {
			n, ok := small(v)
			if !ok {
				return i
			}
			dst[i] = float64(n)
		}
		return len(dst)
	}
}

func bigDecimal(unscaled *big.Int, scale int32) Value {
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(scale, -scale))), nil)
	v := new(big.Rat)
	if scale >= 0 {
		v.SetFrac(unscaled, power)
	} else {
		v.SetInt(power.Mul(power, unscaled))
	}
	nearest, _ := v.Float64()
	if math.IsInf(nearest, 0) {
		return Value{Nearest: nearest}
	}
	return Value{Nearest: nearest, Side: v.Cmp(new(big.Rat).SetFloat64(nearest))}
}

// Values gives access to the values of a decimal array; ok is false for others.
func Values(a arrow.Array) (value func(i int) Value, ok bool) {
	t, ok := a.DataType().(arrow.DecimalType)
	if !ok {
		return nil, false
	}
	scale := t.GetScale()
	power, divides := powerOf(scale)
	of := func(v int64) Value {
		if divides && isSmall(v) {
			return Quotient(float64(v), power)
		}
		return bigDecimal(big.NewInt(v), scale)
	}
	switch t := a.(type) {
	case *array.Decimal32:
		return func(i int) Value { return of(int64(t.Value(i))) }, true
	case *array.Decimal64:
		return func(i int) Value { return of(int64(t.Value(i))) }, true
	case *array.Decimal128:
		return func(i int) Value {
			v := t.Value(i)
			if small, ok := small128(v); ok && divides {
				return Quotient(float64(small), power)
			}
			return bigDecimal(v.BigInt(), scale)
		}, true
	case *array.Decimal256:
		return func(i int) Value {
			v := t.Value(i)
			if small, ok := small256(v); ok && divides {
				return Quotient(float64(small), power)
			}
			return bigDecimal(v.BigInt(), scale)
		}, true
	default:
		return nil, false
	}
}
