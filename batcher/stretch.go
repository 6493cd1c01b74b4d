package batcher

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/models"
)

// stretch is a run of one column's values in one segment, on their way to D.
type stretch[D kernel.Number] struct {
	extent
	// direct holds the values when they are D already; nil otherwise.
	direct []D
	// convert writes len(dst) values, from value at on. For nulls it writes
	// fill when filled is true; otherwise what it writes is left open. It may be there
	// after prepare only.
	convert func(dst []D, at int) kernel.CheckResult
	// column is where the same goes for kernel.Rows, if it is not nil; numbers says that
	// it is there.
	column  *kernel.Column[D]
	numbers bool
	line    *kernel.Line[D] // that the values pass; nil: none
	fill    D
	filled  bool
}

// exact is the result of a cast that needs no check.
var exact = kernel.CheckResult{OutOfRange: -1, FirstInexact: -1}

// resolve resolves a binding's column of a segment; the caller releases the stretch, on
// error too. It works in place, so that a column without a cast costs no
// allocation.
func (s *stretch[D]) resolve(segment Segment, f *Feature, b *Binding) (err error) {
	if err = s.open(segment, f, b); err != nil {
		return err
	}
	if s.index == nil {
		return s.setValues(s.values, b.Input.Elem)
	}
	return s.setEntries(b.Input.Elem)
}

// text is a value as a person would write it, for messages.
func (s *stretch[D]) text(i int) string {
	if s.index != nil {
		return s.entries.ValueStr(int(s.index[i]))
	}
	return s.values.ValueStr(s.first + i)
}

// setEntries reads values through a dictionary, one by one: each value is
// checked and counted where it stands, not once where its entry does.
func (s *stretch[D]) setEntries(elem models.ElementType) error {
	entries := stretch[D]{extent: extent{length: s.entries.Len()}}
	if err := entries.setValues(s.entries, elem); err != nil {
		return err
	}
	if entries.direct != nil {
		s.convert = func(dst []D, at int) kernel.CheckResult {
			kernel.Gather(dst, entries.direct, s.index[at:])
			return exact
		}
		return nil
	}
	s.convert = func(dst []D, at int) kernel.CheckResult {
		total := exact
		for i := range dst {
			if !s.isNull(at + i) {
				total = kernel.Merge(total, entries.convert(dst[i:i+1], int(s.index[at+i])), i)
			}
		}
		return total
	}
	return nil
}

// setValues finds how the array's values become D. The type table of CastOf
// has allowed the pair.
func (s *stretch[D]) setValues(a arrow.Array, elem models.ElementType) error {
	if s.allNull || s.length == 0 || s.nulls == s.length {
		s.allNull = true // the values are nobody's business, and may not be there
		return nil
	}
	if elem == models.Float16 || elem == models.BFloat16 {
		return s.setHalf(a, elem)
	}
	switch t := a.(type) {
	case *array.Boolean:
		bitmap, bit := t.Data().Buffers()[1].Bytes(), t.Data().Offset()+s.first
		if len(bitmap)*8 < bit+s.length {
			return fmt.Errorf("%w: %d values are %d bytes", ErrDamaged, bit+s.length, len(bitmap))
		}
		s.setColumn(kernel.ColumnOfBits(bitmap, bit, s.length, s.validity, s.bit, s.fill))
		s.convert = func(dst []D, at int) kernel.CheckResult {
			kernel.Bools(dst, bitmap, bit+at)
			return exact
		}
		return nil
	case *array.Int8:
		return setNumbers(s, t.Int8Values())
	case *array.Int16:
		return setNumbers(s, t.Int16Values())
	case *array.Int32:
		return setNumbers(s, t.Int32Values())
	case *array.Int64:
		return setNumbers(s, t.Int64Values())
	case *array.Uint8:
		return setNumbers(s, t.Uint8Values())
	case *array.Uint16:
		return setNumbers(s, t.Uint16Values())
	case *array.Uint32:
		return setNumbers(s, t.Uint32Values())
	case *array.Uint64:
		return setNumbers(s, t.Uint64Values())
	case *array.Float32:
		return setNumbers(s, t.Float32Values())
	case *array.Float64:
		return setNumbers(s, t.Float64Values())
	case *array.Float16:
		return s.setFromHalf(halfBits(t))
	case *array.Date32:
		return setNumbers(s, arrow.Int32Traits.CastFromBytes(arrow.Date32Traits.CastToBytes(t.Date32Values())))
	case *array.Time32:
		return setNumbers(s, arrow.Int32Traits.CastFromBytes(arrow.Time32Traits.CastToBytes(t.Time32Values())))
	case *array.Date64:
		return setNumbers(s, arrow.Int64Traits.CastFromBytes(arrow.Date64Traits.CastToBytes(t.Date64Values())))
	case *array.Time64:
		return setNumbers(s, arrow.Int64Traits.CastFromBytes(arrow.Time64Traits.CastToBytes(t.Time64Values())))
	case *array.Timestamp:
		return setNumbers(s, arrow.Int64Traits.CastFromBytes(arrow.TimestampTraits.CastToBytes(t.TimestampValues())))
	case *array.Duration:
		return setNumbers(s, arrow.Int64Traits.CastFromBytes(arrow.DurationTraits.CastToBytes(t.DurationValues())))
	default:
		return s.setDecimals(a, elem)
	}
}

// setNumbers takes the array's values, of which those from first on are meant.
func setNumbers[S, D kernel.Number](s *stretch[D], src []S) error {
	src = src[min(s.first, len(src)):]
	if err := s.enough(len(src)); err != nil {
		return err
	}
	column := kernel.ColumnOf(src, s.validity, s.bit, s.fill)
	if s.line != nil {
		column = column.Through(s.line)
	}
	s.setColumn(column)
	if same, ok := any(src).([]D); ok && s.line == nil {
		s.direct = same
		return nil
	}
	s.filled = true
	if s.column != nil {
		return nil // kernels mostly do without it, and it would be made for every batch
	}
	if s.line != nil {
		s.convert = func(dst []D, at int) kernel.CheckResult {
			return kernel.FillAffine(dst, src[at:], s.validity, s.bit+at, s.line)
		}
		return nil
	}
	s.convert = func(dst []D, at int) kernel.CheckResult {
		return kernel.CastFill(dst, src[at:], s.validity, s.bit+at, s.fill)
	}
	return nil
}

// prepare makes convert where kernels have not done without it.
func (s *stretch[D]) prepare(elem models.ElementType) error {
	if s.convert != nil {
		return nil
	}
	s.column = nil
	return s.setValues(s.values, elem)
}

func (s *stretch[D]) setColumn(c kernel.Column[D]) {
	if s.column != nil {
		*s.column, s.numbers = c, true
	}
}

// enough checks that there are as many values as the array says.
func (s *stretch[D]) enough(values int) error {
	if values < s.length {
		return fmt.Errorf("%w: of %d values %d are there", ErrDamaged, s.length, values)
	}
	return nil
}
