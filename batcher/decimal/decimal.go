// Package decimal reads the decimals of Arrow as binary floating numbers, in a way
// that lets each be rounded once, whatever its target.
package decimal

import (
	"math"
	"math/big"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
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

// smallDecimal divides two integers that are both float64, so that the
// quotient is rounded once and the remainder is exact.
func smallDecimal(unscaled int64, scale int32) Value {
	n, d := float64(unscaled), math.Pow10(int(scale))
	q := n / d
	side := 0
	switch r := math.FMA(q, d, -n); {
	case r < 0:
		side = 1
	case r > 0:
		side = -1
	}
	return Value{Nearest: q, Side: side}
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
	divides := scale >= 0 && scale <= 22 // 10^22 is the last power of ten that is a float64
	small := func(v int64) bool { return divides && v > -maxExactInt && v < maxExactInt }
	of := func(v int64) Value {
		if small(v) {
			return smallDecimal(v, scale)
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
			if low := int64(v.LowBits()); v.HighBits() == low>>63 && small(low) {
				return smallDecimal(low, scale)
			}
			return bigDecimal(v.BigInt(), scale)
		}, true
	case *array.Decimal256:
		return func(i int) Value {
			v := t.Value(i)
			words := v.Array()
			low := int64(words[0])
			if sign := uint64(low >> 63); words[1] == sign && words[2] == sign && words[3] == sign && small(low) {
				return smallDecimal(low, scale)
			}
			return bigDecimal(v.BigInt(), scale)
		}, true
	default:
		return nil, false
	}
}
