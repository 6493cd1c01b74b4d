package batcher

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/batcher/decimal"
	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/models"
)

// halfFormats are the formats of elements of 16 bits.
var halfFormats = map[models.ElementType]kernel.HalfFormat{models.Float16: kernel.Float16, models.BFloat16: kernel.BFloat16}

// halfBlock is how many values go through float64 at a time.
const halfBlock = 256

func halfBits(a *array.Float16) []uint16 {
	return arrow.Uint16Traits.CastFromBytes(arrow.Float16Traits.CastToBytes(a.Values()))
}

// setHalf finds how values become float16 or bfloat16; D is uint16, their
// bits. Values go through float64, rounded to odd where they do not fit it,
// so that the one rounding that counts is the last.
func (s *stretch[D]) setHalf(a arrow.Array, elem models.ElementType) error {
	if t, ok := a.(*array.Float16); ok && elem == models.Float16 {
		bits := halfBits(t)
		s.direct, _ = any(bits).([]D)
		return s.enough(len(bits))
	}
	wide, err := s.oddFloats(a)
	if err != nil {
		return err
	}
	format := halfFormats[elem]
	s.convert = func(dst []D, at int) kernel.CheckResult {
		bits, ok := any(dst).([]uint16)
		if !ok {
			panic(fmt.Sprintf("batcher: half tensor assembled as %T", dst))
		}
		total := exact
		var block [halfBlock]float64
		for from := 0; from < len(bits); from += halfBlock {
			n := min(halfBlock, len(bits)-from)
			wide(block[:n], at+from)
			total = kernel.Merge(total, format.Narrow(bits[from:from+n], block[:n], s.validity, s.bit+at+from), from)
		}
		return total
	}
	return nil
}

// setFromHalf converts float16 bits to wider floats and, checked, to integers.
func (s *stretch[D]) setFromHalf(src []uint16) error {
	s.convert = func(dst []D, at int) kernel.CheckResult {
		total := exact
		var block [halfBlock]float64
		for from := 0; from < len(dst); from += halfBlock {
			n := min(halfBlock, len(dst)-from)
			kernel.Float16.Widen(block[:n], src[at+from:])
			total = kernel.Merge(total, kernel.CastChecked(dst[from:from+n], block[:n], s.validity, s.bit+at+from), from)
		}
		return total
	}
	return s.enough(len(src))
}

// oddFloats gives the array's values as float64, exact or rounded to odd.
func (s *stretch[D]) oddFloats(a arrow.Array) (func(dst []float64, at int), error) {
	switch t := a.(type) {
	case *array.Int64:
		src := t.Int64Values()
		src = src[min(s.first, len(src)):]
		return func(dst []float64, at int) { kernel.CastOdd(dst, src[at:]) }, s.enough(len(src))
	case *array.Uint64:
		src := t.Uint64Values()
		src = src[min(s.first, len(src)):]
		return func(dst []float64, at int) { kernel.CastOdd(dst, src[at:]) }, s.enough(len(src))
	}
	if value, ok := decimal.Values(a); ok {
		return func(dst []float64, at int) {
			for i := range dst {
				dst[i] = 0
				if !s.isNull(at + i) {
					dst[i] = value(at + i).Odd()
				}
			}
		}, nil
	}
	// Every other type is within float64.
	wide := stretch[float64]{extent: s.extent}
	if err := wide.setValues(a, models.Float64); err != nil {
		return nil, err
	}
	if wide.direct != nil {
		return func(dst []float64, at int) { copy(dst, wide.direct[at:]) }, nil
	}
	return func(dst []float64, at int) { wide.convert(dst, at) }, nil
}
