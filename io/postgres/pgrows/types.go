package pgrows

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace/io/query"
)

// appender appends a value that is not null, as the server sends it in binary, or says why
// it cannot.
type appender func(value []byte) error

// kind is how values of a type become Arrow's.
type kind struct {
	arrow    arrow.DataType
	appender func(array.Builder) appender
}

// column is one that a statement gives.
type column struct {
	name     string
	typeName string
	oid      uint32
	modifier int32
	kind     *kind // nil for a type that is not read
}

// catalogType is what pg_type says of a type.
type catalogType struct {
	name, kind, category         string
	element                      uint32
	elementKind, elementCategory string
}

// fit finds the column's kind.
func (c *column) fit(types map[uint32]catalogType) {
	t := types[c.oid]
	c.typeName = t.name
	if t.category == "A" && t.element != 0 {
		if of := scalar(t.element, c.modifier, t.elementKind, t.elementCategory); of != nil {
			c.kind = listOf(of, t.element)
		}
		return
	}
	c.kind = scalar(c.oid, c.modifier, t.kind, t.category)
}

// scalar is the kind of a type that is no array; nil where there is none.
func scalar(oid uint32, modifier int32, typeKind, category string) *kind {
	switch oid {
	case pgtype.BoolOID:
		return &kind{arrow.FixedWidthTypes.Boolean, appendBool}
	case pgtype.Int2OID:
		return fixed(arrow.PrimitiveTypes.Int16, 2, func(b *array.Int16Builder, v []byte) error {
			b.Append(int16(binary.BigEndian.Uint16(v)))
			return nil
		})
	case pgtype.Int4OID:
		return fixed(arrow.PrimitiveTypes.Int32, 4, func(b *array.Int32Builder, v []byte) error {
			b.Append(int32(binary.BigEndian.Uint32(v)))
			return nil
		})
	case pgtype.OIDOID:
		return fixed(arrow.PrimitiveTypes.Int64, 4, func(b *array.Int64Builder, v []byte) error {
			b.Append(int64(binary.BigEndian.Uint32(v)))
			return nil
		})
	case pgtype.Int8OID:
		return fixed(arrow.PrimitiveTypes.Int64, 8, func(b *array.Int64Builder, v []byte) error {
			b.Append(int64(binary.BigEndian.Uint64(v)))
			return nil
		})
	case pgtype.Float4OID:
		return fixed(arrow.PrimitiveTypes.Float32, 4, func(b *array.Float32Builder, v []byte) error {
			b.Append(math.Float32frombits(binary.BigEndian.Uint32(v)))
			return nil
		})
	case pgtype.Float8OID:
		return fixed(arrow.PrimitiveTypes.Float64, 8, func(b *array.Float64Builder, v []byte) error {
			b.Append(math.Float64frombits(binary.BigEndian.Uint64(v)))
			return nil
		})
	case pgtype.NumericOID:
		return numericKind(modifier)
	case pgtype.ByteaOID:
		return &kind{arrow.BinaryTypes.Binary, func(b array.Builder) appender {
			return func(v []byte) error {
				b.(*array.BinaryBuilder).Append(v)
				return nil
			}
		}}
	case pgtype.JSONBOID: // a byte of its version comes first
		return textOf(func(v []byte) (string, error) {
			if len(v) == 0 || v[0] != 1 {
				return "", errors.New("jsonb is not of version 1")
			}
			return string(v[1:]), nil
		})
	case pgtype.UUIDOID:
		return textOf(func(v []byte) (string, error) {
			id, err := uuid.FromBytes(v)
			return id.String(), err
		})
	case pgtype.JSONOID, pgtype.XMLOID, pgtype.QCharOID:
		return textOf(func(v []byte) (string, error) { return string(v), nil })
	}
	if k := timeKind(oid); k != nil {
		return k
	}
	if typeKind == "e" || category == "S" { // enumerations and texts, those of extensions too
		return textOf(func(v []byte) (string, error) { return string(v), nil })
	}
	return nil
}

// fixed is the kind of values of so many bytes.
func fixed[B array.Builder](t arrow.DataType, bytes int, add func(B, []byte) error) *kind {
	return &kind{t, func(b array.Builder) appender {
		builder := b.(B)
		return func(v []byte) error {
			if len(v) != bytes {
				return fmt.Errorf("it has %d bytes, and not %d", len(v), bytes)
			}
			return add(builder, v)
		}
	}}
}

func appendBool(b array.Builder) appender {
	return func(v []byte) error {
		if len(v) != 1 {
			return fmt.Errorf("it has %d bytes, and not 1", len(v))
		}
		b.(*array.BooleanBuilder).Append(v[0] != 0)
		return nil
	}
}

// textOf is the kind of values that are texts.
func textOf(read func([]byte) (string, error)) *kind {
	return &kind{arrow.BinaryTypes.String, func(b array.Builder) appender {
		return func(v []byte) error {
			s, err := read(v)
			switch {
			case err != nil:
				return err
			case !utf8.ValidString(s): // of a database in SQL_ASCII
				return fmt.Errorf("text %s is not UTF-8", query.Shorten(s))
			}
			b.(*array.StringBuilder).Append(s)
			return nil
		}
	}}
}

// listOf is the kind of arrays of one dimension:
//
//	dimensions i32, has nulls i32, type of elements i32; elements i32, first index i32; then
//	each: bytes i32, -1 for a null, and those
func listOf(of *kind, element uint32) *kind {
	return &kind{arrow.ListOf(of.arrow), func(b array.Builder) appender {
		list := b.(*array.ListBuilder)
		add := of.appender(list.ValueBuilder())
		return func(v []byte) error {
			s := &stream{b: v}
			dimensions := s.i32()
			s.i32()
			if got := s.i32(); s.short || uint32(got) != element {
				return errors.New("array is damaged")
			}
			count := int32(0)
			switch dimensions {
			case 0:
			case 1:
				count = s.i32()
				s.i32()
			default:
				return fmt.Errorf("array has %d dimensions, and only 1 is read; cast it in the query", dimensions)
			}
			list.Append(true)
			for range count {
				value, null := s.value()
				switch {
				case s.short || s.bad:
					return errors.New("array is damaged")
				case null:
					list.ValueBuilder().AppendNull()
					continue
				}
				if err := add(value); err != nil {
					return err
				}
			}
			return nil
		}
	}}
}
