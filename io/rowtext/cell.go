package rowtext

import (
	"encoding/base64"
	"fmt"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"

	"github.com/millrace/millrace/io/format"
)

// Append appends the text of a row's value.
type Append func(dst []byte, row int) []byte

// kind says how a value's text stands in CSV and in JSON.
type kind int

const (
	plainKind   kind = iota // the same in both: a number, true, false
	floatKind               // plain unless it is no number, which is a text in JSON
	missingKind             // plain unless it is no number, which is null in JSON
	exactKind               // a decimal: as it is in CSV, a text in JSON
	codeKind                // a text in JSON that neither has to escape: a date
	base64Kind              // likewise, and it may be empty
	textKind                // quoted where CSV needs it, always in JSON
	jsonKind                // JSON; quoted where CSV needs it
)

// cell renders the rows of one array.
type cell struct {
	kind kind
	null func(row int) bool // nil where no row is
	// value appends the text of a row that is not null; of textKind, text gives it.
	value Append
	text  func(row int) string
}

// style is what the cells of a format differ in.
type style struct{ float kind }

var (
	csvStyle  = style{floatKind}
	jsonStyle = style{missingKind}
)

// nulls is the null function of an array that has its own validity bitmap.
func nulls(a arrow.Array) func(row int) bool {
	if a.NullN() == 0 {
		return nil
	}
	bits, offset := a.NullBitmapBytes(), a.Data().Offset()
	return func(row int) bool { return bitutil.BitIsNotSet(bits, offset+row) }
}

// isNull says whether a row is.
func (c *cell) isNull(row int) bool { return c.null != nil && c.null(row) }

// ints renders signed integers.
func ints[T int8 | int16 | int32 | int64](a arrow.Array, values []T) cell {
	return cell{kind: plainKind, null: nulls(a), value: func(dst []byte, i int) []byte { return strconv.AppendInt(dst, int64(values[i]), 10) }}
}

// uints renders unsigned integers.
func uints[T uint8 | uint16 | uint32 | uint64](a arrow.Array, values []T) cell {
	return cell{kind: plainKind, null: nulls(a), value: func(dst []byte, i int) []byte { return strconv.AppendUint(dst, uint64(values[i]), 10) }}
}

// codes renders what has one text for each value, which needs no escape.
func codes[T any](a arrow.Array, values []T, text func(dst []byte, v T) []byte) cell {
	return cell{kind: codeKind, null: nulls(a), value: func(dst []byte, i int) []byte { return text(dst, values[i]) }}
}

func textCell(a arrow.Array, text func(row int) string) cell {
	return cell{kind: textKind, null: nulls(a), text: text}
}

func base64Cell(a arrow.Array, bytes func(row int) []byte) cell {
	return cell{kind: base64Kind, null: nulls(a), value: func(dst []byte, i int) []byte { return base64.StdEncoding.AppendEncode(dst, bytes(i)) }}
}

// cellOf returns the cell of an array, which it borrows.
func (s style) cellOf(a arrow.Array) (cell, error) {
	switch a := a.(type) {
	case *array.Null:
		return cell{kind: plainKind, null: func(int) bool { return true }}, nil
	case *array.Boolean:
		return cell{kind: plainKind, null: nulls(a), value: func(dst []byte, i int) []byte { return strconv.AppendBool(dst, a.Value(i)) }}, nil
	case *array.Int8:
		return ints(a, a.Int8Values()), nil
	case *array.Int16:
		return ints(a, a.Int16Values()), nil
	case *array.Int32:
		return ints(a, a.Int32Values()), nil
	case *array.Int64:
		return ints(a, a.Int64Values()), nil
	case *array.Uint8:
		return uints(a, a.Uint8Values()), nil
	case *array.Uint16:
		return uints(a, a.Uint16Values()), nil
	case *array.Uint32:
		return uints(a, a.Uint32Values()), nil
	case *array.Uint64:
		return uints(a, a.Uint64Values()), nil
	case *array.Float16:
		values := a.Values()
		return cell{kind: s.float, null: nulls(a), value: func(dst []byte, i int) []byte { return appendHalf(dst, values[i]) }}, nil
	case *array.Float32:
		values := a.Float32Values()
		return cell{kind: s.float, null: nulls(a), value: func(dst []byte, i int) []byte { return appendFloat(dst, float64(values[i]), 32) }}, nil
	case *array.Float64:
		values := a.Float64Values()
		return cell{kind: s.float, null: nulls(a), value: func(dst []byte, i int) []byte { return appendFloat(dst, values[i], 64) }}, nil
	case *array.String:
		return textCell(a, func(row int) string { return a.Value(row) }), nil
	case *array.LargeString:
		return textCell(a, func(row int) string { return a.Value(row) }), nil
	case *array.StringView:
		return textCell(a, func(row int) string { return a.Value(row) }), nil
	case *array.Binary:
		return base64Cell(a, a.Value), nil
	case *array.LargeBinary:
		return base64Cell(a, a.Value), nil
	case *array.BinaryView:
		return base64Cell(a, a.Value), nil
	case *array.FixedSizeBinary:
		return base64Cell(a, a.Value), nil
	case array.ExtensionArray:
		return s.cellOf(a.Storage())
	}
	if c, ok := temporalCell(a); ok {
		return c, nil
	}
	if c, ok := decimalCell(a); ok {
		return c, nil
	}
	return s.nestedCell(a)
}

// CheckType reports whether there is a text for arrays of a type: its error wraps
// format.ErrColumnType.
func CheckType(dt arrow.DataType) error {
	switch dt := dt.(type) {
	case *arrow.DictionaryType:
		return CheckType(dt.ValueType)
	case *arrow.RunEndEncodedType:
		return CheckType(dt.Encoded())
	case arrow.ExtensionType:
		return CheckType(dt.StorageType())
	case arrow.NestedType:
		for _, f := range dt.Fields() {
			if err := CheckType(f.Type); err != nil {
				return err
			}
		}
		return nil
	}
	switch dt.ID() {
	case arrow.NULL, arrow.BOOL, arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32,
		arrow.UINT64, arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64, arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW,
		arrow.BINARY, arrow.LARGE_BINARY, arrow.BINARY_VIEW, arrow.FIXED_SIZE_BINARY, arrow.DATE32, arrow.DATE64,
		arrow.TIME32, arrow.TIME64, arrow.TIMESTAMP, arrow.DURATION, arrow.INTERVAL_MONTHS, arrow.INTERVAL_DAY_TIME,
		arrow.INTERVAL_MONTH_DAY_NANO, arrow.DECIMAL32, arrow.DECIMAL64, arrow.DECIMAL128, arrow.DECIMAL256:
		return nil
	default:
		return columnType(dt)
	}
}

func columnType(dt arrow.DataType) error {
	return fmt.Errorf("%w: %s as text", format.ErrColumnType, dt)
}
