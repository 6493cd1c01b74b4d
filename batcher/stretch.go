package batcher

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"

	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/models"
)

// stretch is a run of one column's values in one segment, on their way to D.
type stretch[D kernel.Number] struct {
	// direct holds the values when they are D already; nil otherwise.
	direct []D
	// convert writes len(dst) values, from value at on.
	convert func(dst []D, at int) kernel.CheckResult
	// validity is the values' bitmap, bit the bit of value 0; nulls counts
	// the zeros. allNull replaces them for a column of type null.
	validity []byte
	bit      int
	nulls    int
	allNull  bool
	length   int

	// Vectors only. rowNulls marks rows whose list, at any level, is null.
	// starts is each row's first value, where rows do not follow each other.
	rowNulls []bool
	starts   []int64

	values arrow.Array // owned: what the fields above alias
}

func (s *stretch[D]) release() {
	if s.values != nil {
		s.values.Release()
	}
}

// text is a value as a person would write it, for messages.
func (s *stretch[D]) text(i int) string { return s.values.ValueStr(i) }

// rowOf is the row that a vector's value belongs to.
func (s *stretch[D]) rowOf(value, width int) int {
	if s.starts == nil {
		return value / max(width, 1)
	}
	for r, start := range s.starts {
		if value >= int(start) && value < int(start)+width {
			return r
		}
	}
	return 0
}

// newStretch resolves a binding's column; the caller releases the stretch.
func newStretch[D kernel.Number](column arrow.Array, b *Binding) (stretch[D], error) {
	rows := column.Len()
	var s stretch[D]
	flat := column
	flat.Retain()
	var err error
	if b.Form == Vector {
		if flat, err = s.descend(flat, rows, b.Width); err != nil {
			return stretch[D]{}, err
		}
	}
	flat, err = plainArray(flat)
	if err != nil {
		return stretch[D]{}, err
	}
	s.values = flat
	s.length = flat.Len()
	if s.nulls = flat.NullN(); s.nulls > 0 {
		s.validity, s.bit = flat.NullBitmapBytes(), flat.Data().Offset()
	}
	if err := s.setValues(flat, b.Input.Elem); err != nil {
		s.release()
		return stretch[D]{}, err
	}
	return s, nil
}

// plainArray strips extension types and decodes dictionaries; it takes over
// the array and gives one to release.
func plainArray(a arrow.Array) (arrow.Array, error) {
	for {
		switch t := a.(type) {
		case array.ExtensionArray:
			storage := t.Storage()
			storage.Retain()
			a.Release()
			a = storage
		case *array.Dictionary:
			values, err := compute.TakeArray(context.Background(), t.Dictionary(), t.Indices())
			a.Release()
			if err != nil {
				return nil, fmt.Errorf("decode dictionary: %w", err)
			}
			a = values
		default:
			return a, nil
		}
	}
}

// setValues finds how the array's values become D. The type table of CastOf
// has allowed the pair.
func (s *stretch[D]) setValues(a arrow.Array, elem models.ElementType) error {
	if elem == models.Float16 || elem == models.BFloat16 {
		return s.setHalf(a, elem)
	}
	switch t := a.(type) {
	case *array.Null:
		s.allNull, s.nulls = true, t.Len()
	case *array.Boolean:
		bitmap, bit := t.Data().Buffers()[1], t.Data().Offset()
		s.convert = func(dst []D, at int) kernel.CheckResult {
			kernel.Bools(dst, bitmap.Bytes(), bit+at)
			return exact
		}
	case *array.Int8:
		setNumbers(s, t.Int8Values())
	case *array.Int16:
		setNumbers(s, t.Int16Values())
	case *array.Int32:
		setNumbers(s, t.Int32Values())
	case *array.Int64:
		setNumbers(s, t.Int64Values())
	case *array.Uint8:
		setNumbers(s, t.Uint8Values())
	case *array.Uint16:
		setNumbers(s, t.Uint16Values())
	case *array.Uint32:
		setNumbers(s, t.Uint32Values())
	case *array.Uint64:
		setNumbers(s, t.Uint64Values())
	case *array.Float32:
		setNumbers(s, t.Float32Values())
	case *array.Float64:
		setNumbers(s, t.Float64Values())
	case *array.Float16:
		s.setFromHalf(arrow.Uint16Traits.CastFromBytes(arrow.Float16Traits.CastToBytes(t.Values())))
	case *array.Date32:
		setNumbers(s, arrow.Int32Traits.CastFromBytes(arrow.Date32Traits.CastToBytes(t.Date32Values())))
	case *array.Time32:
		setNumbers(s, arrow.Int32Traits.CastFromBytes(arrow.Time32Traits.CastToBytes(t.Time32Values())))
	case *array.Date64:
		setNumbers(s, arrow.Int64Traits.CastFromBytes(arrow.Date64Traits.CastToBytes(t.Date64Values())))
	case *array.Time64:
		setNumbers(s, arrow.Int64Traits.CastFromBytes(arrow.Time64Traits.CastToBytes(t.Time64Values())))
	case *array.Timestamp:
		setNumbers(s, arrow.Int64Traits.CastFromBytes(arrow.TimestampTraits.CastToBytes(t.TimestampValues())))
	case *array.Duration:
		setNumbers(s, arrow.Int64Traits.CastFromBytes(arrow.DurationTraits.CastToBytes(t.DurationValues())))
	default:
		value, ok := decimals(a)
		if !ok {
			return fmt.Errorf("%w: a %s column became data after it was refused", ErrBind, a.DataType())
		}
		s.convert = func(dst []D, at int) kernel.CheckResult { return castDecimals(dst, a, at, value) }
	}
	return nil
}

// exact is the result of a cast that needs no check.
var exact = kernel.CheckResult{OutOfRange: -1, FirstInexact: -1}

func setNumbers[S, D kernel.Number](s *stretch[D], src []S) {
	if same, ok := any(src).([]D); ok {
		s.direct = same
		return
	}
	if widens[S, D]() {
		s.convert = func(dst []D, at int) kernel.CheckResult {
			kernel.Cast(dst, src[at:])
			return exact
		}
		return
	}
	s.convert = func(dst []D, at int) kernel.CheckResult {
		return kernel.CastChecked(dst, src[at:], s.validity, s.bit+at)
	}
}

// widens reports whether every S is a D.
func widens[S, D kernel.Number]() bool {
	return numberCast(numberOf[S](), numberOf[D]()) == Widening
}

func numberOf[T kernel.Number]() number {
	var t T
	switch any(t).(type) {
	case int8:
		return elementNumbers[models.Int8]
	case int16:
		return elementNumbers[models.Int16]
	case int32:
		return elementNumbers[models.Int32]
	case int64:
		return elementNumbers[models.Int64]
	case uint8:
		return elementNumbers[models.Uint8]
	case uint16:
		return elementNumbers[models.Uint16]
	case uint32:
		return elementNumbers[models.Uint32]
	case uint64:
		return elementNumbers[models.Uint64]
	case float32:
		return elementNumbers[models.Float32]
	default:
		return elementNumbers[models.Float64]
	}
}

// lengthError says that a list does not have the length that the model wants.
type lengthError struct {
	row          int
	length, want int64
}

func (e *lengthError) Error() string {
	return fmt.Sprintf("list has %d values; the model wants %d", e.length, e.want)
}

func asLength(err error, target **lengthError) bool { return errors.As(err, target) }

// descend takes a list column over and gives the array of its elements, cut to
// the rows' range. It notes null rows, and the start of each row where the
// rows' values do not follow each other.
func (s *stretch[D]) descend(list arrow.Array, rows, width int) (arrow.Array, error) {
	perRow := 1 // lists of this level that belong to one row
	for {
		if ext, ok := list.(array.ExtensionArray); ok {
			storage := ext.Storage()
			storage.Retain()
			list.Release()
			list = storage
		}
		switch t := list.(type) {
		case *array.FixedSizeList:
			s.noteNullRows(list, rows, perRow)
			k := int(t.DataType().(*arrow.FixedSizeListType).Len())
			start := int64(t.Data().Offset()) * int64(k)
			child := array.NewSlice(t.ListValues(), start, start+int64(t.Len()*k))
			list.Release()
			list, perRow = child, perRow*k
		case *array.List:
			return s.descendVariable(list, t.ListValues(), rows, width, t.ValueOffsets)
		case *array.LargeList:
			return s.descendVariable(list, t.ListValues(), rows, width, t.ValueOffsets)
		default:
			return list, nil
		}
	}
}

func (s *stretch[D]) descendVariable(list, values arrow.Array, rows, width int, offsets func(int) (int64, int64)) (arrow.Array, error) {
	defer list.Release()
	s.noteNullRows(list, rows, 1)
	starts := make([]int64, rows)
	contiguous := true
	for r := range rows {
		start, end := offsets(r)
		starts[r] = start
		if s.rowNulls != nil && s.rowNulls[r] {
			continue
		}
		if end-start != int64(width) {
			return nil, &lengthError{row: r, length: end - start, want: int64(width)}
		}
		contiguous = contiguous && start == starts[0]+int64(r*width)
	}
	if contiguous && s.rowNulls == nil && rows > 0 {
		return array.NewSlice(values, starts[0], starts[0]+int64(rows*width)), nil
	}
	s.starts = starts
	values.Retain()
	return values, nil
}

func (s *stretch[D]) noteNullRows(list arrow.Array, rows, perRow int) {
	if list.NullN() == 0 {
		return
	}
	if s.rowNulls == nil {
		s.rowNulls = make([]bool, rows)
	}
	for i := range list.Len() {
		if list.IsNull(i) {
			s.rowNulls[i/max(perRow, 1)] = true
		}
	}
}

// nullRows lists where a stretch is null: the number of nulls and the rows
// that hold them.
type nullRows struct {
	count int64
	each  func(func(row int))
}

func (n nullRows) first() int {
	first := -1
	n.each(func(r int) {
		if first < 0 {
			first = r
		}
	})
	return first
}

func (s *stretch[D]) nullRows(width int) nullRows {
	if s.nulls == 0 && s.rowNulls == nil {
		return nullRows{}
	}
	valid := func(i int) bool {
		return !s.allNull && (s.validity == nil || s.validity[(s.bit+i)>>3]&(1<<((s.bit+i)&7)) != 0)
	}
	if s.rowNulls == nil && s.starts == nil {
		return nullRows{count: int64(s.nulls), each: func(yield func(int)) {
			last := -1
			for i := range s.length {
				if row := i / max(width, 1); row != last && !valid(i) {
					yield(row)
					last = row
				}
			}
		}}
	}
	var count int64
	var rows []int
	total := s.length / max(width, 1)
	if s.rowNulls != nil {
		total = len(s.rowNulls)
	}
	if s.starts != nil {
		total = len(s.starts)
	}
	for r := range total {
		if s.rowNulls != nil && s.rowNulls[r] {
			count++
			rows = append(rows, r)
			continue
		}
		start := r * width
		if s.starts != nil {
			start = int(s.starts[r])
		}
		before := count
		for i := start; i < start+width && s.nulls > 0; i++ {
			if !valid(i) {
				count++
			}
		}
		if count > before {
			rows = append(rows, r)
		}
	}
	return nullRows{count: count, each: func(yield func(int)) {
		for _, r := range rows {
			yield(r)
		}
	}}
}
