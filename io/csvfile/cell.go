package csvfile

import (
	"encoding/base64"
	"fmt"
	"math"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/float16"

	"github.com/millrace/millrace/io/format"
)

// kind says how a cell's text stands in CSV and in JSON.
type kind int

const (
	plainKind kind = iota // the same in both: a number, true, false
	floatKind             // plain unless it is no number
	textKind              // quoted where CSV needs it, always in JSON
	jsonKind              // JSON; quoted where CSV needs it
)

// cell renders the rows of one array.
type cell struct {
	kind kind
	null func(row int) bool
	// value appends the text of a row that is not null.
	value func(dst []byte, row int) []byte
}

// appendCSV appends the field of a row.
func (c *cell) appendCSV(dst []byte, row int, alone bool) []byte {
	if c.null(row) {
		if alone {
			return append(dst, `""`...)
		}
		return dst
	}
	start := len(dst)
	dst = c.value(dst, row)
	if c.kind == plainKind || c.kind == floatKind {
		return dst
	}
	return appendField(dst[:start], string(dst[start:]))
}

// appendJSON appends the value of a row.
func (c *cell) appendJSON(dst []byte, row int) []byte {
	if c.null(row) {
		return append(dst, "null"...)
	}
	start := len(dst)
	dst = c.value(dst, row)
	switch last := dst[len(dst)-1:]; {
	case c.kind == textKind, c.kind == floatKind && (last[0] == 'N' || last[0] == 'f'):
		return appendString(dst[:start], string(dst[start:]))
	default:
		return dst
	}
}

// valued is an array with values of type T.
type valued[T any] interface {
	arrow.Array
	Value(i int) T
}

// ints renders signed integers.
func ints[T int8 | int16 | int32 | int64](a valued[T]) cell {
	return cell{plainKind, a.IsNull, func(dst []byte, i int) []byte { return strconv.AppendInt(dst, int64(a.Value(i)), 10) }}
}

// uints renders unsigned integers.
func uints[T uint8 | uint16 | uint32 | uint64](a valued[T]) cell {
	return cell{plainKind, a.IsNull, func(dst []byte, i int) []byte { return strconv.AppendUint(dst, uint64(a.Value(i)), 10) }}
}

// texts renders what has one text for each value.
func texts[T any](a valued[T], text func(dst []byte, v T) []byte) cell {
	return cell{textKind, a.IsNull, func(dst []byte, i int) []byte { return text(dst, a.Value(i)) }}
}

func appendText(dst []byte, s string) []byte { return append(dst, s...) }

func appendBase64(dst, b []byte) []byte { return base64.StdEncoding.AppendEncode(dst, b) }

// cellOf returns the cell of an array, which it borrows.
func cellOf(a arrow.Array) (cell, error) {
	switch a := a.(type) {
	case *array.Null:
		return cell{plainKind, func(int) bool { return true }, nil}, nil
	case *array.Boolean:
		return cell{plainKind, a.IsNull, func(dst []byte, i int) []byte { return strconv.AppendBool(dst, a.Value(i)) }}, nil
	case *array.Int8:
		return ints(a), nil
	case *array.Int16:
		return ints(a), nil
	case *array.Int32:
		return ints(a), nil
	case *array.Int64:
		return ints(a), nil
	case *array.Uint8:
		return uints(a), nil
	case *array.Uint16:
		return uints(a), nil
	case *array.Uint32:
		return uints(a), nil
	case *array.Uint64:
		return uints(a), nil
	case *array.Float16:
		return cell{floatKind, a.IsNull, func(dst []byte, i int) []byte { return appendHalf(dst, a.Value(i)) }}, nil
	case *array.Float32:
		return cell{floatKind, a.IsNull, func(dst []byte, i int) []byte { return appendFloat(dst, float64(a.Value(i)), 32) }}, nil
	case *array.Float64:
		return cell{floatKind, a.IsNull, func(dst []byte, i int) []byte { return appendFloat(dst, a.Value(i), 64) }}, nil
	case *array.String:
		return texts(a, appendText), nil
	case *array.LargeString:
		return texts(a, appendText), nil
	case *array.StringView:
		return texts(a, appendText), nil
	case *array.Binary:
		return texts(a, appendBase64), nil
	case *array.LargeBinary:
		return texts(a, appendBase64), nil
	case *array.BinaryView:
		return texts(a, appendBase64), nil
	case *array.FixedSizeBinary:
		return texts(a, appendBase64), nil
	case array.ExtensionArray:
		return cellOf(a.Storage())
	}
	if c, ok := temporalCell(a); ok {
		return c, nil
	}
	if c, ok := decimalCell(a); ok {
		return c, nil
	}
	return nestedCell(a)
}

// checkType reports whether cellOf has a text for arrays of a type.
func checkType(dt arrow.DataType) error {
	switch dt := dt.(type) {
	case *arrow.DictionaryType:
		return checkType(dt.ValueType)
	case *arrow.RunEndEncodedType:
		return checkType(dt.Encoded())
	case arrow.ExtensionType:
		return checkType(dt.StorageType())
	case arrow.NestedType:
		for _, f := range dt.Fields() {
			if err := checkType(f.Type); err != nil {
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
	return fmt.Errorf("%w: %s in CSV", format.ErrColumnType, dt)
}

// appendFloat appends the shortest text that reads back as v. As in JavaScript,
// exponents stand from 1e21 on and below 1e-6.
func appendFloat(dst []byte, v float64, bits int) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, "NaN"...)
	case math.IsInf(v, 1):
		return append(dst, "inf"...)
	case math.IsInf(v, -1):
		return append(dst, "-inf"...)
	}
	verb := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		verb = 'e'
	}
	return strconv.AppendFloat(dst, v, verb, -1, bits)
}

// appendHalf appends the fewest digits that read back as h, rounding to
// nearest. float16.New cannot be asked: it rounds towards zero.
func appendHalf(dst []byte, h float16.Num) []byte {
	v := float64(h.Float32())
	if h.IsNaN() || h.IsInf() {
		return appendFloat(dst, v, 32)
	}
	// Magnitudes halfway to the neighbours; bits of one sign count upwards.
	magnitude := h.Uint16() &^ 0x8000
	above := 65536.0 // beyond the largest number
	if up := float16.FromBits(magnitude + 1); !up.IsInf() {
		above = float64(up.Float32())
	}
	below := 0.0
	if magnitude > 0 {
		below = float64(float16.FromBits(magnitude - 1).Float32())
	}
	low, high := (below+math.Abs(v))/2, (math.Abs(v)+above)/2
	for digits := range 5 {
		back, err := strconv.ParseFloat(strconv.FormatFloat(v, 'e', digits, 64), 64)
		if abs := math.Abs(back); err == nil && (abs > low || v == 0) && abs < high {
			return appendFloat(dst, back, 64)
		}
	}
	return appendFloat(dst, v, 64)
}
