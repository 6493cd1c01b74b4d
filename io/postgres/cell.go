package postgres

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace/internal/half"
	"github.com/millrace/millrace/internal/storage"
)

// cell appends the value of a row as a field of a tuple: an int32 length, -1 for a null, and
// the type's binary form.
type cell func(dst []byte, row int) ([]byte, error)

// maxField is the most bytes of a field (MaxAllocSize of PostgreSQL's memutils.h).
const maxField = 1<<30 - 1

// newCell makes the cell of an array, which it borrows, for a column that Takes its type.
func newCell(a arrow.Array, to Type) (cell, error) {
	if storage.AllNull(a.DataType()) {
		return func(dst []byte, _ int) ([]byte, error) { return appendNull(dst), nil }, nil
	}
	var value cell
	var err error
	if d, ok := storage.Array(a).(*array.Dictionary); ok {
		value, err = newCell(d.Dictionary(), to)
		if err != nil {
			return nil, err
		}
		of := value
		value = func(dst []byte, row int) ([]byte, error) { return of(dst, d.GetValueIndex(row)) }
	} else if to.Array {
		value, err = listCell(storage.Array(a), to)
	} else {
		value, err = valueCell(storage.Array(a), to)
	}
	if err != nil || a.NullN() == 0 {
		return value, err
	}
	return func(dst []byte, row int) ([]byte, error) {
		if a.IsNull(row) {
			return appendNull(dst), nil
		}
		return value(dst, row)
	}, nil
}

func appendNull(dst []byte) []byte { return append(dst, 0xff, 0xff, 0xff, 0xff) }

// isNull says whether a field is a null.
func isNull(field []byte) bool { return field[0] == 0xff }

func append2(dst []byte, v uint16) []byte {
	return append(dst, 0, 0, 0, 2, byte(v>>8), byte(v))
}

func append4(dst []byte, v uint32) []byte {
	return append(dst, 0, 0, 0, 4, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

func append8(dst []byte, v uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 8), v)
}

// valueCell is the cell of an array of plain values.
func valueCell(a arrow.Array, to Type) (cell, error) {
	if to.Enum != "" {
		return enumCell(a, to)
	}
	switch to.OID {
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.NumericOID:
		return numberCell(a, to)
	case pgtype.Float4OID, pgtype.Float8OID:
		return floatCell(a, to)
	case pgtype.TextOID, pgtype.VarcharOID:
		return textCell(a, to)
	case pgtype.BPCharOID:
		return paddedCell(a, to)
	case pgtype.UUIDOID:
		if texts, ok := a.(array.StringLike); ok {
			return uuidCell(texts), nil
		}
		return bytesCell(a)
	case pgtype.ByteaOID:
		return bytesCell(a)
	case pgtype.BoolOID:
		if a, ok := a.(*array.Boolean); ok {
			return func(dst []byte, row int) ([]byte, error) {
				v := byte(0)
				if a.Value(row) {
					v = 1
				}
				return append(dst, 0, 0, 0, 1, v), nil
			}, nil
		}
	default:
		return timeCell(a, to)
	}
	return nil, mismatch(a, to)
}

// mismatch is a fault of the caller, who asks Takes first.
func mismatch(a arrow.Array, to Type) error {
	return fmt.Errorf("%w: %s into %s", ErrType, a.DataType(), to)
}

// integers gives the values of an array of whole numbers; nil for another.
func integers(a arrow.Array) func(row int) int64 {
	switch a := a.(type) {
	case *array.Int8:
		return func(row int) int64 { return int64(a.Value(row)) }
	case *array.Int16:
		return func(row int) int64 { return int64(a.Value(row)) }
	case *array.Int32:
		return func(row int) int64 { return int64(a.Value(row)) }
	case *array.Int64:
		return a.Value
	case *array.Uint8:
		return func(row int) int64 { return int64(a.Value(row)) }
	case *array.Uint16:
		return func(row int) int64 { return int64(a.Value(row)) }
	case *array.Uint32:
		return func(row int) int64 { return int64(a.Value(row)) }
	}
	return nil
}

func numberCell(a arrow.Array, to Type) (cell, error) {
	if text := shortestText(a); text != nil && to.OID == pgtype.NumericOID {
		return numericFloatCell(text, to), nil
	}
	if from, err := TypeOf(a.DataType()); err == nil && to.checks(from) {
		return checkedNumber(a, to)
	}
	if v := integers(a); v != nil {
		switch to.OID {
		case pgtype.Int2OID:
			return func(dst []byte, row int) ([]byte, error) { return append2(dst, uint16(v(row))), nil }, nil
		case pgtype.Int4OID:
			return func(dst []byte, row int) ([]byte, error) { return append4(dst, uint32(v(row))), nil }, nil
		case pgtype.Int8OID:
			return func(dst []byte, row int) ([]byte, error) { return append8(dst, uint64(v(row))), nil }, nil
		}
		return func(dst []byte, row int) ([]byte, error) { return scaledInt(dst, v(row), to.Scale), nil }, nil
	}
	if to.OID != pgtype.NumericOID {
		return nil, mismatch(a, to)
	}
	if a, ok := a.(*array.Uint64); ok {
		if to.Scale != 0 {
			return func(dst []byte, row int) ([]byte, error) {
				return scaledBig(dst, new(big.Int).SetUint64(a.Value(row)), 0, to), nil
			}, nil
		}
		return func(dst []byte, row int) ([]byte, error) { return appendNumericUint(dst, a.Value(row)), nil }, nil
	}
	v := decimals(a)
	if v == nil {
		return nil, mismatch(a, to)
	}
	scale := int(a.DataType().(arrow.DecimalType).GetScale())
	return func(dst []byte, row int) ([]byte, error) { return scaledBig(dst, v(row), scale, to), nil }, nil
}

// scaledInt appends a whole number with the zeros that the column's scale adds.
func scaledInt(dst []byte, v int64, scale int) []byte {
	start := len(dst)
	dst = appendNumericInt(dst, v)
	binary.BigEndian.PutUint16(dst[start+10:], uint16(max(scale, 0)))
	return dst
}

// scaledBig appends v / 10^scale, with as many digits after the point as the column has.
func scaledBig(dst []byte, v *big.Int, scale int, to Type) []byte {
	start := len(dst)
	dst = appendNumericBig(dst, v, scale)
	if to.Precision > 0 {
		binary.BigEndian.PutUint16(dst[start+10:], uint16(max(to.Scale, 0)))
	}
	return dst
}

// decimals gives the values of an array of decimals, without their point; nil for another.
func decimals(a arrow.Array) func(row int) *big.Int {
	switch a := a.(type) {
	case *array.Decimal32:
		return func(row int) *big.Int { return big.NewInt(int64(a.Value(row))) }
	case *array.Decimal64:
		return func(row int) *big.Int { return big.NewInt(int64(a.Value(row))) }
	case *array.Decimal128:
		return func(row int) *big.Int { return a.Value(row).BigInt() }
	case *array.Decimal256:
		return func(row int) *big.Int { return a.Value(row).BigInt() }
	}
	return nil
}

func floatCell(a arrow.Array, to Type) (cell, error) {
	if from, err := TypeOf(a.DataType()); err == nil && to.checks(from) {
		return checkedFloat(a, to), nil
	}
	var v func(row int) float64
	switch a := a.(type) {
	case *array.Float16:
		v = func(row int) float64 { return float64(half.Float32(a.Value(row))) }
	case *array.Float32:
		if to.OID == pgtype.Float4OID {
			values := a.Float32Values()
			return func(dst []byte, row int) ([]byte, error) { return append4(dst, math.Float32bits(values[row])), nil }, nil
		}
		v = func(row int) float64 { return float64(a.Value(row)) }
	case *array.Float64:
		if to.OID == pgtype.Float8OID {
			values := a.Float64Values()
			return func(dst []byte, row int) ([]byte, error) { return append8(dst, math.Float64bits(values[row])), nil }, nil
		}
	default:
		if n := integers(a); n != nil {
			v = func(row int) float64 { return float64(n(row)) }
		}
	}
	if v == nil {
		return nil, mismatch(a, to)
	}
	if to.OID == pgtype.Float4OID {
		return func(dst []byte, row int) ([]byte, error) { return append4(dst, math.Float32bits(float32(v(row)))), nil }, nil
	}
	return func(dst []byte, row int) ([]byte, error) { return append8(dst, math.Float64bits(v(row))), nil }, nil
}

var (
	errNUL   = errors.New("text has a NUL character, which PostgreSQL cannot hold")
	errUTF8  = errors.New("text is not UTF-8")
	errField = fmt.Errorf("it has more than the %d bytes that a field can have", maxField)
)

func textCell(a arrow.Array, to Type) (cell, error) {
	texts, ok := a.(array.StringLike)
	if !ok {
		return nil, mismatch(a, to)
	}
	return func(dst []byte, row int) ([]byte, error) {
		text := texts.Value(row)
		start := len(dst)
		dst = append(dst, byte(len(text)>>24), byte(len(text)>>16), byte(len(text)>>8), byte(len(text)))
		dst = append(dst, text...)
		switch {
		case len(text) > maxField:
			return dst, errField
		case bytes.IndexByte(dst[start+4:], 0) >= 0:
			return dst, errNUL
		case !utf8.Valid(dst[start+4:]):
			return dst, errUTF8
		case to.Length > 0 && len(text) > to.Length && utf8.RuneCount(dst[start+4:]) > to.Length:
			return dst, tooLong(utf8.RuneCount(dst[start+4:]), to)
		}
		return dst, nil
	}, nil
}

// paddedCell is textCell for char(n), as the server reads it: with blanks up to n characters,
// and without those behind them, which it takes for nothing.
func paddedCell(a arrow.Array, to Type) (cell, error) {
	ofAnyLength := to
	ofAnyLength.Length = 0
	text, err := textCell(a, ofAnyLength)
	if err != nil || to.Length == 0 {
		return text, err
	}
	return func(dst []byte, row int) ([]byte, error) {
		start := len(dst)
		dst, err := text(dst, row)
		if err != nil || isNull(dst[start:]) {
			return dst, err
		}
		extra := utf8.RuneCount(dst[start+4:]) - to.Length
		if extra > 0 {
			bare := bytes.TrimRight(dst[start+4:], " ")
			if n := utf8.RuneCount(bare); n > to.Length {
				return dst, tooLong(n, to)
			}
			dst = dst[:len(dst)-extra]
		}
		for range -extra {
			dst = append(dst, ' ')
		}
		binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
		return dst, nil
	}, nil
}

func tooLong(characters int, to Type) error {
	return fmt.Errorf("text has %d characters, which is too long for %s: ALTER the column's type", characters, to)
}

func bytesCell(a arrow.Array) (cell, error) {
	var v func(row int) []byte
	switch a := a.(type) {
	case interface{ Value(row int) []byte }: // of any offsets, views, or one size
		v = a.Value
	default:
		return nil, mismatch(a, Type{OID: pgtype.ByteaOID})
	}
	return func(dst []byte, row int) ([]byte, error) {
		value := v(row)
		if len(value) > maxField {
			return dst, errField
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(value)))
		return append(dst, value...), nil
	}, nil
}

var errUUID = errors.New("it is no UUID as PostgreSQL writes them, such as 0123abcd-0123-abcd-0123-0123456789ab: make the column text")

// uuidCell reads texts that come back as they are: in small letters, with four dashes.
func uuidCell(texts array.StringLike) cell {
	return func(dst []byte, row int) ([]byte, error) {
		text := texts.Value(row)
		var id [36]byte // the digits, without dashes
		digits := id[:0]
		for i := range len(text) {
			switch c := text[i]; {
			case i == 8 || i == 13 || i == 18 || i == 23:
				if c != '-' {
					return dst, errUUID
				}
			case len(text) != len(id) || (c < '0' || c > '9') && (c < 'a' || c > 'f'):
				return dst, errUUID
			default:
				digits = append(digits, c)
			}
		}
		if len(text) != len(id) {
			return dst, errUUID
		}
		return hex.AppendDecode(append(dst, 0, 0, 0, 16), digits)
	}
}
