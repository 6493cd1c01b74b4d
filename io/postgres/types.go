package postgres

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace/internal/storage"
)

// Type is a column type of PostgreSQL.
type Type struct {
	OID uint32 // of the type itself, or of an array's elements
	// Precision and Scale are a numeric's; 0 where it takes any number.
	Precision, Scale int
	Length           int // of varchar and char, in characters; 0: any
	Array            bool
	Rounds           bool // to less than microseconds
	NotNull          bool // of a column that Fit found so: Copy writes no null to it

	// Nulls is the name of a type that nothing but nulls is written to, as the server writes
	// it: of any type that a column has.
	Nulls string

	// Enum is the name of an enumeration, as the server writes it, whose values are texts.
	Enum   string
	labels *labels // of a column that Fit found so
}

// labels are the values of an enumeration.
type labels map[string]bool

// Bare is the type without what Fit found of its column.
func (t Type) Bare() Type {
	t.NotNull, t.labels, t.Nulls = false, nil, ""
	return t
}

// names of types, by OID.
var names = map[uint32]string{
	pgtype.BoolOID: "boolean", pgtype.Int2OID: "smallint", pgtype.Int4OID: "integer", pgtype.Int8OID: "bigint",
	pgtype.Float4OID: "real", pgtype.Float8OID: "double precision", pgtype.NumericOID: "numeric",
	pgtype.TextOID: "text", pgtype.VarcharOID: "character varying", pgtype.BPCharOID: "character", pgtype.ByteaOID: "bytea", pgtype.UUIDOID: "uuid",
	pgtype.DateOID: "date", pgtype.TimeOID: "time without time zone",
	pgtype.TimestampOID: "timestamp without time zone", pgtype.TimestamptzOID: "timestamp with time zone", pgtype.IntervalOID: "interval",
}

// arrays are the array types of those types.
var arrays = map[uint32]uint32{
	pgtype.BoolArrayOID: pgtype.BoolOID, pgtype.Int2ArrayOID: pgtype.Int2OID, pgtype.Int4ArrayOID: pgtype.Int4OID, pgtype.Int8ArrayOID: pgtype.Int8OID,
	pgtype.Float4ArrayOID: pgtype.Float4OID, pgtype.Float8ArrayOID: pgtype.Float8OID, pgtype.NumericArrayOID: pgtype.NumericOID,
	pgtype.TextArrayOID: pgtype.TextOID, pgtype.VarcharArrayOID: pgtype.VarcharOID, pgtype.BPCharArrayOID: pgtype.BPCharOID, pgtype.ByteaArrayOID: pgtype.ByteaOID, pgtype.UUIDArrayOID: pgtype.UUIDOID,
	pgtype.DateArrayOID: pgtype.DateOID, pgtype.TimeArrayOID: pgtype.TimeOID,
	pgtype.TimestampArrayOID: pgtype.TimestampOID, pgtype.TimestamptzArrayOID: pgtype.TimestamptzOID, pgtype.IntervalArrayOID: pgtype.IntervalOID,
}

// String is the type as CREATE TABLE takes it.
func (t Type) String() string {
	name := names[t.OID]
	switch {
	case t.Nulls != "":
		return t.Nulls
	case t.Enum != "":
		name = t.Enum
	case t.OID == pgtype.NumericOID && t.Precision > 0:
		name = fmt.Sprintf("numeric(%d,%d)", t.Precision, t.Scale)
	case t.OID == pgtype.BPCharOID && t.Length == 0: // which "character" alone is not, but of one character
		name = "bpchar"
	case t.Length > 0:
		name = fmt.Sprintf("%s(%d)", name, t.Length)
	}
	if t.Array {
		name += "[]"
	}
	return name
}

// maxPrecision is the most digits that numeric can be declared with.
const maxPrecision = 1000

// TypeOf is the type that a column gets in a table that is made for it. The error wraps
// ErrType.
func TypeOf(t arrow.DataType) (Type, error) {
	if elem, ok := listElem(t); ok {
		for { // lists of a fixed size within one another are an array of several dimensions
			inner, fixed := storage.Type(elem).(*arrow.FixedSizeListType)
			if _, outer := storage.Type(t).(*arrow.FixedSizeListType); !fixed || !outer {
				break
			}
			elem = inner.Elem()
		}
		of, err := TypeOf(elem)
		if err != nil || of.Array {
			return Type{}, fmt.Errorf("%w: %s, whose lists may have different lengths, which an array of several dimensions may not", ErrType, t)
		}
		of.Array = true
		return of, nil
	}
	if ext, ok := t.(arrow.ExtensionType); ok && ext.ExtensionName() == "arrow.uuid" {
		return Type{OID: pgtype.UUIDOID}, nil
	}
	switch t := storage.Type(t).(type) {
	case *arrow.DictionaryType:
		return TypeOf(t.ValueType)
	case arrow.DecimalType:
		if t.GetScale() < 0 || t.GetScale() > t.GetPrecision() || t.GetPrecision() > maxPrecision {
			return Type{OID: pgtype.NumericOID}, nil
		}
		return Type{OID: pgtype.NumericOID, Precision: int(t.GetPrecision()), Scale: int(t.GetScale())}, nil
	case *arrow.TimestampType:
		if t.TimeZone != "" {
			return Type{OID: pgtype.TimestamptzOID}, nil
		}
		return Type{OID: pgtype.TimestampOID}, nil
	}
	if oid, ok := plain[storage.Type(t).ID()]; ok {
		of := Type{OID: oid}
		if oid == pgtype.NumericOID {
			of.Precision = 20 // of the largest uint64
		}
		return of, nil
	}
	return Type{}, fmt.Errorf("%w: %s", ErrType, t)
}

// plain are the types of Arrow that one of PostgreSQL's stands for.
var plain = map[arrow.Type]uint32{
	arrow.NULL: pgtype.TextOID, arrow.BOOL: pgtype.BoolOID,
	arrow.INT8: pgtype.Int2OID, arrow.INT16: pgtype.Int2OID, arrow.INT32: pgtype.Int4OID, arrow.INT64: pgtype.Int8OID,
	arrow.UINT8: pgtype.Int2OID, arrow.UINT16: pgtype.Int4OID, arrow.UINT32: pgtype.Int8OID, arrow.UINT64: pgtype.NumericOID,
	arrow.FLOAT16: pgtype.Float4OID, arrow.FLOAT32: pgtype.Float4OID, arrow.FLOAT64: pgtype.Float8OID,
	arrow.STRING: pgtype.TextOID, arrow.LARGE_STRING: pgtype.TextOID, arrow.STRING_VIEW: pgtype.TextOID,
	arrow.BINARY: pgtype.ByteaOID, arrow.LARGE_BINARY: pgtype.ByteaOID, arrow.BINARY_VIEW: pgtype.ByteaOID, arrow.FIXED_SIZE_BINARY: pgtype.ByteaOID,
	arrow.DATE32: pgtype.DateOID, arrow.DATE64: pgtype.DateOID, arrow.TIME32: pgtype.TimeOID, arrow.TIME64: pgtype.TimeOID,
	arrow.DURATION: pgtype.IntervalOID, arrow.INTERVAL_MONTHS: pgtype.IntervalOID, arrow.INTERVAL_DAY_TIME: pgtype.IntervalOID, arrow.INTERVAL_MONTH_DAY_NANO: pgtype.IntervalOID,
}

// listElem is the type of a list's elements.
func listElem(t arrow.DataType) (arrow.DataType, bool) {
	switch t := storage.Type(t).(type) {
	case *arrow.ListType:
		return t.Elem(), true
	case *arrow.LargeListType:
		return t.Elem(), true
	case *arrow.FixedSizeListType:
		return t.Elem(), true
	case *arrow.ListViewType:
		return t.Elem(), true
	case *arrow.LargeListViewType:
		return t.Elem(), true
	}
	return nil, false
}

// takers are the types of columns that take the values of another's, beside itself: all of
// them, or those that Copy finds to be the same there, since it refuses others.
var takers = map[uint32][]uint32{
	pgtype.Int2OID:    {pgtype.Int4OID, pgtype.Int8OID, pgtype.NumericOID, pgtype.Float4OID, pgtype.Float8OID},
	pgtype.Int4OID:    {pgtype.Int2OID, pgtype.Int8OID, pgtype.NumericOID, pgtype.Float4OID, pgtype.Float8OID},
	pgtype.Int8OID:    {pgtype.Int2OID, pgtype.Int4OID, pgtype.NumericOID, pgtype.Float8OID},
	pgtype.NumericOID: {pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID},
	pgtype.Float4OID:  {pgtype.Float8OID, pgtype.NumericOID},
	pgtype.Float8OID:  {pgtype.Float4OID, pgtype.NumericOID},
	pgtype.TextOID:    {pgtype.VarcharOID, pgtype.BPCharOID, pgtype.UUIDOID},
}

// digits are the most decimal digits of integers.
var digits = map[uint32]int{pgtype.Int2OID: 5, pgtype.Int4OID: 10, pgtype.Int8OID: 19}

// Takes says whether a column of type t takes the values of one of type from, as Copy
// writes them: every value, or each that is the same in it.
func (t Type) Takes(from Type) bool {
	switch {
	case t.Array != from.Array || t.Rounds:
		return false
	case t.Enum != "":
		return from.OID == pgtype.TextOID && !t.Array
	case t.Array && from.OID == pgtype.NumericOID && t.OID == pgtype.NumericOID:
		return !t.checksNumeric(from)
	case t.Array && t.OID != from.OID:
		return slices.Contains(takers[from.OID], t.OID) && !t.checks(from)
	}
	return t.OID == from.OID || slices.Contains(takers[from.OID], t.OID)
}

// checks says whether Copy has to look at each value of a type, since some have no place.
func (t Type) checks(from Type) bool {
	switch from.OID {
	case pgtype.Int2OID:
		return t.checksNumeric(from)
	case pgtype.Int4OID:
		return t.OID == pgtype.Int2OID || t.OID == pgtype.Float4OID || t.checksNumeric(from)
	case pgtype.Int8OID:
		return t.OID != pgtype.Int8OID && t.OID != pgtype.NumericOID || t.checksNumeric(from)
	case pgtype.Float4OID, pgtype.Float8OID:
		return t.OID == pgtype.Float4OID && from.OID == pgtype.Float8OID || t.OID == pgtype.NumericOID && t.Precision > 0
	case pgtype.NumericOID:
		return t.OID != pgtype.NumericOID || t.checksNumeric(from)
	}
	return false
}

// checksNumeric says whether a numeric column has too few digits for some values of a type.
func (t Type) checksNumeric(from Type) bool {
	switch {
	case t.OID != pgtype.NumericOID || t.Precision == 0:
		return false
	case from.OID == pgtype.NumericOID:
		return from.Precision == 0 || t.Scale < from.Scale || t.Precision-t.Scale < from.Precision-from.Scale
	}
	return t.Scale < 0 || t.Precision-t.Scale < digits[from.OID]
}
