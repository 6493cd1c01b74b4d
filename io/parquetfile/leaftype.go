package parquetfile

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// leafType is the Arrow type of a leaf column: what convert.go makes of its
// physical type. An annotation that does not fit the physical type is ignored.
func leafType(n *schema.PrimitiveNode, origin *originField) arrow.DataType {
	t := storedLeafType(n)
	if origin == nil {
		return t
	}
	// Types that Parquet does not keep.
	switch st := t.(type) {
	case *arrow.TimestampType:
		// Its unit may be another one: Parquet has no seconds.
		if origin.kind == originTimestamp && st.TimeZone == utc && origin.zone != "" {
			return &arrow.TimestampType{Unit: st.Unit, TimeZone: origin.zone}
		}
	case *arrow.Int64Type:
		if origin.kind == originDuration {
			return &arrow.DurationType{Unit: origin.unit}
		}
	case *arrow.StringType:
		if origin.kind == originLargeUtf8 {
			return arrow.BinaryTypes.LargeString
		}
	case *arrow.BinaryType:
		if origin.kind == originLargeBinary {
			return arrow.BinaryTypes.LargeBinary
		}
	case *arrow.Decimal128Type:
		if origin.kind == originDecimal && origin.size == 256 {
			return &arrow.Decimal256Type{Precision: st.Precision, Scale: st.Scale}
		}
	case *arrow.Date32Type:
		if origin.kind == originDate64 {
			return arrow.FixedWidthTypes.Date64
		}
	}
	return t
}

const utc = "UTC"

func storedLeafType(n *schema.PrimitiveNode) arrow.DataType {
	logical := n.LogicalType()
	if logical.Equals(schema.NullLogicalType{}) {
		return arrow.Null
	}
	physical := n.PhysicalType()
	if d, ok := logical.(schema.DecimalLogicalType); ok {
		if t := decimalType(d, physical, n.TypeLength()); t != nil {
			return t
		}
	}
	switch physical {
	case parquet.Types.Boolean:
		return arrow.FixedWidthTypes.Boolean
	case parquet.Types.Int32:
		return int32Type(logical)
	case parquet.Types.Int64:
		return int64Type(logical)
	case parquet.Types.Int96:
		return &arrow.TimestampType{Unit: arrow.Nanosecond}
	case parquet.Types.Float:
		return arrow.PrimitiveTypes.Float32
	case parquet.Types.Double:
		return arrow.PrimitiveTypes.Float64
	case parquet.Types.ByteArray:
		switch logical.(type) {
		case schema.StringLogicalType, schema.JSONLogicalType:
			return arrow.BinaryTypes.String
		}
		return arrow.BinaryTypes.Binary
	}
	switch logical.(type) {
	case schema.Float16LogicalType:
		if n.TypeLength() == arrow.Float16SizeBytes {
			return arrow.FixedWidthTypes.Float16
		}
	case schema.UUIDLogicalType:
		if t := extensions.NewUUIDType(); n.TypeLength() == t.StorageType().(*arrow.FixedSizeBinaryType).ByteWidth {
			return t
		}
	}
	return &arrow.FixedSizeBinaryType{ByteWidth: n.TypeLength()}
}

func decimalType(d schema.DecimalLogicalType, physical parquet.Type, width int) arrow.DataType {
	switch physical {
	case parquet.Types.Int32, parquet.Types.Int64, parquet.Types.ByteArray:
	case parquet.Types.FixedLenByteArray:
		if width <= 0 {
			return nil
		}
	default:
		return nil
	}
	switch p := d.Precision(); {
	case p < 1:
		return nil
	case p <= decimal128.MaxPrecision:
		return &arrow.Decimal128Type{Precision: p, Scale: d.Scale()}
	case p <= decimal256.MaxPrecision:
		return &arrow.Decimal256Type{Precision: p, Scale: d.Scale()}
	}
	return nil
}

func int32Type(logical schema.LogicalType) arrow.DataType {
	switch t := logical.(type) {
	case schema.DateLogicalType:
		return arrow.FixedWidthTypes.Date32
	case schema.TimeLogicalType:
		if t.TimeUnit() == schema.TimeUnitMillis {
			return arrow.FixedWidthTypes.Time32ms
		}
	case schema.IntLogicalType:
		switch {
		case t.BitWidth() == 8 && t.IsSigned():
			return arrow.PrimitiveTypes.Int8
		case t.BitWidth() == 8:
			return arrow.PrimitiveTypes.Uint8
		case t.BitWidth() == 16 && t.IsSigned():
			return arrow.PrimitiveTypes.Int16
		case t.BitWidth() == 16:
			return arrow.PrimitiveTypes.Uint16
		case t.BitWidth() == 32 && !t.IsSigned():
			return arrow.PrimitiveTypes.Uint32
		}
	}
	return arrow.PrimitiveTypes.Int32
}

func int64Type(logical schema.LogicalType) arrow.DataType {
	switch t := logical.(type) {
	case schema.IntLogicalType:
		if t.BitWidth() == 64 && !t.IsSigned() {
			return arrow.PrimitiveTypes.Uint64
		}
	case schema.TimeLogicalType:
		switch t.TimeUnit() {
		case schema.TimeUnitMicros:
			return arrow.FixedWidthTypes.Time64us
		case schema.TimeUnitNanos:
			return arrow.FixedWidthTypes.Time64ns
		}
	case schema.TimestampLogicalType:
		zone := ""
		if t.IsAdjustedToUTC() || t.IsFromConvertedType() {
			zone = utc
		}
		switch t.TimeUnit() {
		case schema.TimeUnitMillis:
			return &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: zone}
		case schema.TimeUnitMicros:
			return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: zone}
		case schema.TimeUnitNanos:
			return &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: zone}
		}
	}
	return arrow.PrimitiveTypes.Int64
}
