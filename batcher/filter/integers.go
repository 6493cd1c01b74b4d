package filter

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/batcher/kernel"
)

// intSet is in of a list of integers, or of counts of a unit.
type intSet struct {
	sorted []int64
	has    map[int64]struct{}
	near   []bool // of values from the first on, where they lie near each other
}

// mostNear bounds the values between the first and the last of a set that has a table.
const mostNear = 1 << 12

func newIntSet(values []int64) *intSet {
	s := &intSet{sorted: slices.Compact(slices.Sorted(slices.Values(values))), has: map[int64]struct{}{}}
	for _, v := range s.sorted {
		s.has[v] = struct{}{}
	}
	if n := len(s.sorted); n > 0 {
		if width := uint64(s.sorted[n-1]) - uint64(s.sorted[0]); width < mostNear {
			s.near = make([]bool, width+1)
			for v := range s.has {
				s.near[v-s.sorted[0]] = true
			}
		}
	}
	return s
}

func (p *intSet) eval(t *tile, a arrow.Array) truth {
	values := t.int64s()
	widen(values, a, t.from)
	out := t.bits()
	clear(out)
	if p.near == nil {
		for i, v := range values {
			_, has := p.has[v]
			out[i/64] |= bit(has) << (i & 63)
		}
		return t.of(out, t.valid(a))
	}
	for i, v := range values {
		at := uint64(v) - uint64(p.sorted[0])
		out[i/64] |= bit(at < uint64(len(p.near)) && p.near[at]) << (i & 63)
	}
	return t.of(out, t.valid(a))
}

func (p *intSet) outcomes(s Stats) outcomes {
	low, high, known := boundsOf[int64](s)
	if !known {
		return mayBeTrue | mayBeFalse
	}
	at, _ := slices.BinarySearch(p.sorted, low)
	switch {
	case at == len(p.sorted) || p.sorted[at] > high:
		return mayBeFalse
	case low == high:
		return mayBeTrue
	}
	return mayBeTrue | mayBeFalse
}

// widen copies the values of a signed integer array, or one of times, from a row on.
func widen(out []int64, a arrow.Array, from int) {
	switch a := a.(type) {
	case *array.Int8:
		wide(out, a.Int8Values()[from:])
	case *array.Int16:
		wide(out, a.Int16Values()[from:])
	case *array.Int32:
		wide(out, a.Int32Values()[from:])
	case *array.Int64:
		copy(out, a.Int64Values()[from:])
	case *array.Uint8:
		wide(out, a.Uint8Values()[from:])
	case *array.Uint16:
		wide(out, a.Uint16Values()[from:])
	case *array.Uint32:
		wide(out, a.Uint32Values()[from:])
	case *array.Uint64:
		wide(out, a.Uint64Values()[from:])
	case *array.Date32:
		wide(out, a.Date32Values()[from:])
	case *array.Date64:
		wide(out, a.Date64Values()[from:])
	case *array.Timestamp:
		wide(out, a.TimestampValues()[from:])
	case *array.Time32:
		wide(out, a.Time32Values()[from:])
	case *array.Time64:
		wide(out, a.Time64Values()[from:])
	case *array.Duration:
		wide(out, a.DurationValues()[from:])
	}
}

func wide[T integer](out []int64, values []T) {
	for i := range out {
		out[i] = int64(values[i])
	}
}

// widenFloats copies the values of a floating point array from a row on.
func widenFloats(out []float64, a arrow.Array, from int) {
	switch a := a.(type) {
	case *array.Float16:
		bits := arrow.Uint16Traits.CastFromBytes(a.Data().Buffers()[1].Bytes())
		kernel.Float16.Widen(out, bits[a.Data().Offset()+from:][:len(out)])
	case *array.Float32:
		for i, v := range a.Float32Values()[from:][:len(out)] {
			out[i] = float64(v)
		}
	case *array.Float64:
		copy(out, a.Float64Values()[from:])
	}
}
