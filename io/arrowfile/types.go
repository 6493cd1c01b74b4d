package arrowfile

import (
	"encoding/binary"

	"github.com/apache/arrow-go/v18/arrow"
)

// The members of format/Schema.fbs's union Type.
const (
	typeNull            = 1
	typeInt             = 2
	typeFloatingPoint   = 3
	typeBinary          = 4
	typeUtf8            = 5
	typeBool            = 6
	typeDecimal         = 7
	typeDate            = 8
	typeTime            = 9
	typeTimestamp       = 10
	typeInterval        = 11
	typeList            = 12
	typeStruct          = 13
	typeUnion           = 14
	typeFixedSizeBinary = 15
	typeFixedSizeList   = 16
	typeMap             = 17
	typeDuration        = 18
	typeLargeBinary     = 19
	typeLargeUtf8       = 20
	typeLargeList       = 21
	typeRunEndEncoded   = 22
	typeBinaryView      = 23
	typeUtf8View        = 24
	typeListView        = 25
	typeLargeListView   = 26
)

// typeOf makes the data type of union member kind with parameters t. The
// caller checks t.f.err before it uses the result.
func typeOf(kind uint8, t table, children []arrow.Field) (arrow.DataType, error) {
	if want, ok := childCount[kind]; ok && want != len(children) {
		return nil, damaged("type %d has %d children; it needs %d", kind, len(children), want)
	}
	if kind != typeStruct && kind != typeUnion && childCount[kind] == 0 && len(children) != 0 {
		return nil, damaged("type %d has %d children; it can have none", kind, len(children))
	}
	switch kind {
	case typeNull:
		return arrow.Null, nil
	case typeInt:
		return intOf(t)
	case typeBool:
		return arrow.FixedWidthTypes.Boolean, nil
	case typeBinary:
		return arrow.BinaryTypes.Binary, nil
	case typeUtf8:
		return arrow.BinaryTypes.String, nil
	case typeLargeBinary:
		return arrow.BinaryTypes.LargeBinary, nil
	case typeLargeUtf8:
		return arrow.BinaryTypes.LargeString, nil
	case typeBinaryView:
		return arrow.BinaryTypes.BinaryView, nil
	case typeUtf8View:
		return arrow.BinaryTypes.StringView, nil
	case typeFixedSizeBinary:
		if w := t.i32(0, 0); w >= 1 {
			return &arrow.FixedSizeBinaryType{ByteWidth: int(w)}, nil
		} else if w == 0 {
			return nil, unsupported("FixedSizeBinary of 0 bytes")
		}
		return nil, damaged("FixedSizeBinary of %d bytes", t.i32(0, 0))
	case typeFloatingPoint, typeDecimal:
		return numberOf(kind, t)
	case typeDate, typeTime, typeTimestamp, typeInterval, typeDuration:
		return temporalOf(kind, t)
	default:
		return nestedOf(kind, t, children)
	}
}

// childCount is how many children a type must have, where that is fixed and
// not none.
var childCount = map[uint8]int{
	typeList: 1, typeLargeList: 1, typeListView: 1, typeLargeListView: 1, typeFixedSizeList: 1, typeMap: 1, typeRunEndEncoded: 2,
}

// intOf makes the integer type of an Int table.
func intOf(t table) (arrow.DataType, error) {
	type key struct {
		bits   int32
		signed bool
	}
	k := key{t.i32(0, 0), t.boolean(1)}
	dt, ok := map[key]arrow.DataType{
		{8, true}: arrow.PrimitiveTypes.Int8, {8, false}: arrow.PrimitiveTypes.Uint8,
		{16, true}: arrow.PrimitiveTypes.Int16, {16, false}: arrow.PrimitiveTypes.Uint16,
		{32, true}: arrow.PrimitiveTypes.Int32, {32, false}: arrow.PrimitiveTypes.Uint32,
		{64, true}: arrow.PrimitiveTypes.Int64, {64, false}: arrow.PrimitiveTypes.Uint64,
	}[k]
	if k.bits == 128 { // polars writes them, as a type of its own
		return nil, unsupported("integers of 128 bits, which Arrow has not; cast them, such as to a decimal")
	}
	if !ok {
		return nil, damaged("integers of %d bits", k.bits)
	}
	return dt, nil
}

func numberOf(kind uint8, t table) (arrow.DataType, error) {
	if kind == typeFloatingPoint {
		switch p := t.i16(0, 0); p {
		case 0:
			return arrow.FixedWidthTypes.Float16, nil
		case 1:
			return arrow.PrimitiveTypes.Float32, nil
		case 2:
			return arrow.PrimitiveTypes.Float64, nil
		default:
			return nil, damaged("floating point of precision %d", p)
		}
	}
	precision, scale, bits := t.i32(0, 0), t.i32(1, 0), t.i32(2, 128)
	most, ok := map[int32]int32{32: 9, 64: 18, 128: 38, 256: 76}[bits]
	if !ok {
		return nil, damaged("decimals of %d bits", bits)
	}
	// The scale may be negative or above the precision; beyond a power of
	// ten that a decimal can hold it would only overflow later code.
	if precision < 1 || precision > most || scale < -most || scale > most {
		return nil, damaged("decimal%d(%d, %d)", bits, precision, scale)
	}
	switch bits {
	case 32:
		return &arrow.Decimal32Type{Precision: precision, Scale: scale}, nil
	case 64:
		return &arrow.Decimal64Type{Precision: precision, Scale: scale}, nil
	case 128:
		return &arrow.Decimal128Type{Precision: precision, Scale: scale}, nil
	default:
		return &arrow.Decimal256Type{Precision: precision, Scale: scale}, nil
	}
}

func temporalOf(kind uint8, t table) (arrow.DataType, error) {
	switch kind {
	case typeInterval:
		switch u := t.i16(0, 0); u {
		case 0:
			return arrow.FixedWidthTypes.MonthInterval, nil
		case 1:
			return arrow.FixedWidthTypes.DayTimeInterval, nil
		case 2:
			return arrow.FixedWidthTypes.MonthDayNanoInterval, nil
		default:
			return nil, damaged("interval of unit %d", u)
		}
	case typeDate:
		switch u := t.i16(0, 1); u {
		case 0:
			return arrow.FixedWidthTypes.Date32, nil
		case 1:
			return arrow.FixedWidthTypes.Date64, nil
		default:
			return nil, damaged("date of unit %d", u)
		}
	}
	def := int16(1) // Time and Duration: milliseconds
	if kind == typeTimestamp {
		def = 0
	}
	u := t.i16(0, def)
	if u < 0 || u > 3 {
		return nil, damaged("time unit %d", u)
	}
	unit := [...]arrow.TimeUnit{arrow.Second, arrow.Millisecond, arrow.Microsecond, arrow.Nanosecond}[u]
	switch kind {
	case typeTimestamp:
		return &arrow.TimestampType{Unit: unit, TimeZone: t.text(1)}, nil
	case typeDuration:
		return &arrow.DurationType{Unit: unit}, nil
	}
	switch bits := t.i32(1, 32); {
	case bits == 32 && u <= 1:
		return &arrow.Time32Type{Unit: unit}, nil
	case bits == 64 && u >= 2:
		return &arrow.Time64Type{Unit: unit}, nil
	default:
		return nil, damaged("time of %d bits in %s", bits, unit)
	}
}

func nestedOf(kind uint8, t table, children []arrow.Field) (arrow.DataType, error) {
	switch kind {
	case typeList:
		return arrow.ListOfField(children[0]), nil
	case typeLargeList:
		return arrow.LargeListOfField(children[0]), nil
	case typeListView:
		return arrow.ListViewOfField(children[0]), nil
	case typeLargeListView:
		return arrow.LargeListViewOfField(children[0]), nil
	case typeFixedSizeList:
		switch n := t.i32(0, 0); {
		case n >= 1:
			return arrow.FixedSizeListOfField(n, children[0]), nil
		case n == 0:
			return nil, unsupported("FixedSizeList of 0 values")
		default:
			return nil, damaged("FixedSizeList of %d values", n)
		}
	case typeStruct:
		return arrow.StructOf(children...), nil
	case typeMap:
		entries, ok := children[0].Type.(*arrow.StructType)
		if !ok || entries.NumFields() != 2 {
			return nil, damaged("map of %s; its entries must be a struct of key and value", children[0].Type)
		}
		key := entries.Field(0)
		key.Nullable = false // required by the format; some writers do not say so
		m := arrow.MapOfFields(key, entries.Field(1))
		m.KeysSorted = t.boolean(0)
		return m, nil
	case typeUnion:
		return unionOf(t, children)
	case typeRunEndEncoded:
		switch children[0].Type.ID() {
		case arrow.INT16, arrow.INT32, arrow.INT64:
		default:
			return nil, damaged("run ends of type %s", children[0].Type)
		}
		ree := arrow.RunEndEncodedOf(children[0].Type, children[1].Type)
		ree.ValueNullable = children[1].Nullable
		return ree, nil
	default:
		return nil, unsupported("type %d", kind)
	}
}

func unionOf(t table, children []arrow.Field) (arrow.DataType, error) {
	codes := make([]arrow.UnionTypeCode, len(children))
	if len(children) > int(arrow.MaxUnionTypeCode)+1 {
		return nil, damaged("union of %d types", len(children))
	}
	for i := range codes {
		codes[i] = arrow.UnionTypeCode(i)
	}
	if ids, n := t.vector(1, 4); n > 0 {
		if n != len(children) {
			return nil, damaged("union of %d types with %d type ids", len(children), n)
		}
		seen := make(map[int32]bool, n)
		for i := range codes {
			id := int32(binary.LittleEndian.Uint32(ids[4*i:]))
			if id < 0 || id > int32(arrow.MaxUnionTypeCode) || seen[id] {
				return nil, damaged("union has type id %d, or has it twice", id)
			}
			seen[id] = true
			codes[i] = arrow.UnionTypeCode(id)
		}
	}
	switch mode := t.i16(0, 0); mode {
	case 0:
		return arrow.SparseUnionOf(children, codes), nil
	case 1:
		return arrow.DenseUnionOf(children, codes), nil
	default:
		return nil, damaged("union of mode %d", mode)
	}
}
