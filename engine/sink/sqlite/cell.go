package sqlite

import (
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/internal/half"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/query"
	"github.com/millrace/millrace/io/rowtext"
)

// errValue says that SQLite cannot keep a value.
var errValue = errors.New("value cannot be kept in SQLite")

// cell gives the value of a row that is not null: int64, float64, bool, string or []byte.
type cell func(row int) (any, error)

// cellOf reads an array's values.
func cellOf(a arrow.Array) (cell, error) {
	switch a := a.(type) {
	case array.ExtensionArray:
		return cellOf(a.Storage())
	case *array.Null:
		return func(int) (any, error) { return nil, nil }, nil
	case *array.Dictionary:
		of, err := cellOf(a.Dictionary())
		if err != nil {
			return nil, err
		}
		return func(row int) (any, error) {
			at := a.GetValueIndex(row)
			if a.Dictionary().IsNull(at) {
				return nil, nil
			}
			return of(at)
		}, nil
	case *array.Boolean:
		return func(row int) (any, error) { return a.Value(row), nil }, nil
	case *array.Int8:
		return integers(a.Int8Values()), nil
	case *array.Int16:
		return integers(a.Int16Values()), nil
	case *array.Int32:
		return integers(a.Int32Values()), nil
	case *array.Int64:
		return integers(a.Int64Values()), nil
	case *array.Uint8:
		return integers(a.Uint8Values()), nil
	case *array.Uint16:
		return integers(a.Uint16Values()), nil
	case *array.Uint32:
		return integers(a.Uint32Values()), nil
	case *array.Uint64:
		return func(row int) (any, error) {
			if v := a.Value(row); v > math.MaxInt64 {
				return nil, fmt.Errorf("%d is above 2^63-1", v)
			}
			return int64(a.Value(row)), nil
		}, nil
	case *array.Float16:
		return func(row int) (any, error) { return number(float64(half.Float32(a.Value(row)))) }, nil
	case *array.Float32:
		return func(row int) (any, error) { return number(float64(a.Value(row))) }, nil
	case *array.Float64:
		return func(row int) (any, error) { return number(a.Value(row)) }, nil
	case array.StringLike:
		return func(row int) (any, error) {
			s := a.Value(row)
			if !utf8.ValidString(s) {
				return nil, fmt.Errorf("text %s is not UTF-8", query.Shorten(s))
			}
			return s, nil
		}, nil
	}
	return longCellOf(a)
}

// longCellOf reads values of types that predictions seldom have.
func longCellOf(a arrow.Array) (cell, error) {
	switch a := a.(type) {
	case *array.Binary:
		return func(row int) (any, error) { return a.Value(row), nil }, nil
	case *array.LargeBinary:
		return func(row int) (any, error) { return a.Value(row), nil }, nil
	case *array.BinaryView:
		return func(row int) (any, error) { return a.Value(row), nil }, nil
	case *array.FixedSizeBinary:
		return func(row int) (any, error) { return a.Value(row), nil }, nil
	case *array.Date32:
		return func(row int) (any, error) { return timeText(a.Value(row).ToTime(), time.DateOnly) }, nil
	case *array.Date64:
		return func(row int) (any, error) {
			t := time.UnixMilli(int64(a.Value(row))).UTC() // ToTime gives the day alone
			if !t.Equal(t.Truncate(24 * time.Hour)) {
				return nil, fmt.Errorf("%s has a time of day, and the column has dates", t.Format(time.RFC3339Nano))
			}
			return timeText(t, time.DateOnly)
		}, nil
	case *array.Timestamp:
		t := a.DataType().(*arrow.TimestampType)
		form := "2006-01-02 15:04:05.999999999"
		if t.TimeZone != "" {
			form += "-07:00" // all are in UTC; a Z would be behind the point of a fraction in the order of texts
		}
		return func(row int) (any, error) { return timeText(a.Value(row).ToTime(t.Unit), form) }, nil
	case *array.Decimal32:
		return decimals(a, a.Value), nil
	case *array.Decimal64:
		return decimals(a, a.Value), nil
	case *array.Decimal128:
		return decimals(a, a.Value), nil
	case *array.Decimal256:
		return decimals(a, a.Value), nil
	case *array.Time32:
		return timesOfDay(a, a.Time32Values(), a.DataType().(*arrow.Time32Type).Unit), nil
	case *array.Time64:
		return timesOfDay(a, a.Time64Values(), a.DataType().(*arrow.Time64Type).Unit), nil
	case array.ListLike:
		text, err := rowtext.Bare(a)
		if err != nil {
			return nil, err
		}
		return func(row int) (any, error) { return string(text(nil, row)), nil }, nil
	}
	return nil, fmt.Errorf("%w: SQLite has nothing for %s", format.ErrColumnType, a.DataType())
}

func integers[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32](values []T) cell {
	return func(row int) (any, error) { return int64(values[row]), nil }
}

// decimals writes all their digits.
func decimals[V interface{ ToString(scale int32) string }](a arrow.Array, value func(int) V) cell {
	scale := a.DataType().(arrow.DecimalType).GetScale()
	return func(row int) (any, error) { return value(row).ToString(scale), nil }
}

// timesOfDay refuses those beyond a day, which would be written as times of another.
func timesOfDay[T arrow.Time32 | arrow.Time64](a arrow.Array, values []T, unit arrow.TimeUnit) cell {
	day := int64(24 * time.Hour / unit.Multiplier())
	return func(row int) (any, error) {
		if v := int64(values[row]); v < 0 || v >= day {
			return nil, fmt.Errorf("%d %s is no time of a day", v, unit)
		}
		return a.ValueStr(row), nil
	}
}

// number refuses what SQLite would make null.
func number(v float64) (any, error) {
	if v != v {
		return nil, errors.New("a NaN, which SQLite makes null; reject such rows by --refuse-nan-output, or --finite")
	}
	return v, nil
}

// timeText writes a time of the years that SQLite's functions take.
func timeText(t time.Time, form string) (any, error) {
	if t.Year() < 0 || t.Year() > 9999 {
		return nil, fmt.Errorf("%s is not of the years 0 to 9999", t.UTC().Format(time.RFC3339))
	}
	return t.UTC().Format(form), nil
}
