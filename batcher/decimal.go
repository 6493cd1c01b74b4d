package batcher

import (
	"fmt"
	"math"
	"math/big"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/models"
)

// decimalValue is a decimal's value as the nearest float64, and on which side of it
// the value itself lies: -1 below, 1 above, 0 when it is that float64.
type decimalValue struct {
	nearest float64
	side    int
}

// odd is the value rounded to odd: of the two float64 around it, the one whose
// last bit is 1. Rounded once more, to fewer bits, it gives what the value
// itself would (Boldo and Melquiond, "Emulation of a FMA and correctly-rounded
// sums: proved algorithms using rounding to odd", 2008).
func (d decimalValue) odd() float64 {
	if d.side == 0 || math.Float64bits(d.nearest)&1 == 1 || math.IsInf(d.nearest, 0) {
		return d.nearest
	}
	return math.Nextafter(d.nearest, math.Inf(d.side))
}

// maxExactInt is the bound below which every integer is a float64.
const maxExactInt = 1 << 53

// smallDecimal divides two integers that are both float64, so that the
// quotient is rounded once and the remainder is exact.
func smallDecimal(unscaled int64, scale int32) decimalValue {
	n, d := float64(unscaled), math.Pow10(int(scale))
	q := n / d
	side := 0
	switch r := math.FMA(q, d, -n); {
	case r < 0:
		side = 1
	case r > 0:
		side = -1
	}
	return decimalValue{nearest: q, side: side}
}

func bigDecimal(unscaled *big.Int, scale int32) decimalValue {
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(scale, -scale))), nil)
	v := new(big.Rat)
	if scale >= 0 {
		v.SetFrac(unscaled, power)
	} else {
		v.SetInt(power.Mul(power, unscaled))
	}
	nearest, _ := v.Float64()
	if math.IsInf(nearest, 0) {
		return decimalValue{nearest: nearest}
	}
	return decimalValue{nearest: nearest, side: v.Cmp(new(big.Rat).SetFloat64(nearest))}
}

// decimals gives access to the values of a decimal array.
func decimals(a arrow.Array) (value func(i int) decimalValue, ok bool) {
	t, ok := a.DataType().(arrow.DecimalType)
	if !ok {
		return nil, false
	}
	scale := t.GetScale()
	divides := scale >= 0 && scale <= 22 // 10^22 is the last power of ten that is a float64
	small := func(v int64) bool { return divides && v > -maxExactInt && v < maxExactInt }
	of := func(v int64) decimalValue {
		if small(v) {
			return smallDecimal(v, scale)
		}
		return bigDecimal(big.NewInt(v), scale)
	}
	switch t := a.(type) {
	case *array.Decimal32:
		return func(i int) decimalValue { return of(int64(t.Value(i))) }, true
	case *array.Decimal64:
		return func(i int) decimalValue { return of(int64(t.Value(i))) }, true
	case *array.Decimal128:
		return func(i int) decimalValue {
			v := t.Value(i)
			if low := int64(v.LowBits()); v.HighBits() == low>>63 && small(low) {
				return smallDecimal(low, scale)
			}
			return bigDecimal(v.BigInt(), scale)
		}, true
	case *array.Decimal256:
		return func(i int) decimalValue { return bigDecimal(t.Value(i).BigInt(), scale) }, true
	default:
		return nil, false
	}
}

// setDecimals finds how decimals become float32 or float64.
func (s *stretch[D]) setDecimals(a arrow.Array, elem models.ElementType) error {
	value, ok := decimals(a)
	if !ok {
		return fmt.Errorf("%w: a %s column became data after it was refused", ErrBind, a.DataType())
	}
	s.convert = func(dst []D, at int) kernel.CheckResult {
		res := exact
		for i := range dst {
			if s.isNull(at + i) {
				continue
			}
			v := value(at + i)
			dst[i] = D(v.nearest)
			if elem != models.Float64 {
				dst[i] = D(v.odd())
			}
			switch back := float64(dst[i]); {
			case math.IsInf(back, 0):
				if res.OutOfRange < 0 {
					res.OutOfRange = i
				}
			case v.side != 0 || back != v.nearest:
				if res.FirstInexact < 0 {
					res.FirstInexact = i
				}
				res.Inexact++
			}
		}
		return res
	}
	return nil
}
