package batcher

import (
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/models"
)

// halfBlock is how many values go through float64 at a time.
const halfBlock = 256

// setHalf finds how values become float16 or bfloat16; D is uint16, their
// bits.
func (s *stretch[D]) setHalf(a arrow.Array, elem models.ElementType) error {
	if t, ok := a.(*array.Float16); ok && elem == models.Float16 {
		bits := arrow.Uint16Traits.CastFromBytes(arrow.Float16Traits.CastToBytes(t.Values()))
		s.direct, _ = any(bits).([]D)
		return nil
	}
	if _, ok := a.(*array.Null); ok {
		s.allNull, s.nulls = true, a.Len()
		return nil
	}
	wide := stretch[float64]{validity: s.validity, bit: s.bit, nulls: s.nulls}
	if err := wide.setValues(a, models.Float64); err != nil {
		return err
	}
	round := kernel.Half
	if elem == models.BFloat16 {
		round = kernel.BFloat
	}
	s.convert = func(dst []D, at int) kernel.CheckResult {
		bits, ok := any(dst).([]uint16)
		if !ok {
			panic(fmt.Sprintf("batcher: half tensor assembled as %T", dst))
		}
		total := exact
		var block [halfBlock]float64
		for from := 0; from < len(bits); from += halfBlock {
			n := min(halfBlock, len(bits)-from)
			values := block[:n]
			if wide.direct != nil {
				values = wide.direct[at+from : at+from+n]
			} else {
				total = merge(total, wide.convert(values, at+from), from)
			}
			total = merge(total, round(bits[from:from+n], values, s.validity, s.bit+at+from), from)
		}
		return total
	}
	return nil
}

// setFromHalf converts float16 bits to wider floats and, checked, to integers.
func (s *stretch[D]) setFromHalf(src []uint16) {
	s.convert = func(dst []D, at int) kernel.CheckResult {
		total := exact
		var block [halfBlock]float64
		for from := 0; from < len(dst); from += halfBlock {
			n := min(halfBlock, len(dst)-from)
			kernel.HalfToFloat(block[:n], src[at+from:])
			total = merge(total, kernel.CastChecked(dst[from:from+n], block[:n], s.validity, s.bit+at+from), from)
		}
		return total
	}
}

// merge adds the result of a block that starts at value from.
func merge(total, block kernel.CheckResult, from int) kernel.CheckResult {
	if total.OutOfRange < 0 && block.OutOfRange >= 0 {
		total.OutOfRange = block.OutOfRange + from
	}
	if total.FirstInexact < 0 && block.FirstInexact >= 0 {
		total.FirstInexact = block.FirstInexact + from
	}
	total.Inexact += block.Inexact
	return total
}

// decimal is the value of one decimal as the nearest float64, and whether the
// value is exactly a float64 product of integers below 2^53, so that exactness
// can be judged.
type decimal struct {
	value    float64
	unscaled float64
	scale    float64 // power of ten that unscaled is divided by
	small    bool
}

// decimals gives access to the values of a decimal array.
func decimals(a arrow.Array) (func(i int) decimal, bool) {
	make := func(value float64, unscaled int64, fits bool, scale int32) decimal {
		small := fits && unscaled > -1<<53 && unscaled < 1<<53 && scale >= 0 && scale <= 22
		d := decimal{value: value, small: small}
		if small {
			d.unscaled, d.scale = float64(unscaled), math.Pow10(int(scale))
			d.value = d.unscaled / d.scale // both exact, so the quotient is rounded once
		}
		return d
	}
	switch t := a.(type) {
	case *array.Decimal32:
		scale := t.DataType().(*arrow.Decimal32Type).Scale
		return func(i int) decimal { return make(t.Value(i).ToFloat64(scale), int64(t.Value(i)), true, scale) }, true
	case *array.Decimal64:
		scale := t.DataType().(*arrow.Decimal64Type).Scale
		return func(i int) decimal { return make(t.Value(i).ToFloat64(scale), int64(t.Value(i)), true, scale) }, true
	case *array.Decimal128:
		scale := t.DataType().(*arrow.Decimal128Type).Scale
		return func(i int) decimal {
			v := t.Value(i)
			low := int64(v.LowBits())
			return make(v.ToFloat64(scale), low, v.HighBits() == low>>63, scale)
		}, true
	case *array.Decimal256:
		scale := t.DataType().(*arrow.Decimal256Type).Scale
		return func(i int) decimal { return make(t.Value(i).ToFloat64(scale), 0, false, scale) }, true
	default:
		return nil, false
	}
}

func castDecimals[D kernel.Number](dst []D, a arrow.Array, at int, value func(int) decimal) kernel.CheckResult {
	res := exact
	for i := range dst {
		if a.IsNull(at + i) {
			dst[i] = 0
			continue
		}
		v := value(at + i)
		dst[i] = D(v.value)
		back := float64(dst[i])
		switch {
		case math.IsInf(back, 0):
			if res.OutOfRange < 0 {
				res.OutOfRange = i
			}
		case !v.small || math.FMA(back, v.scale, -v.unscaled) != 0:
			if res.FirstInexact < 0 {
				res.FirstInexact = i
			}
			res.Inexact++
		}
	}
	return res
}
