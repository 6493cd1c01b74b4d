package batcher

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/models"
)

// tableTypes are the Arrow types in the order of the type table.
var tableTypes = []arrow.DataType{
	arrow.Null, arrow.FixedWidthTypes.Boolean,
	arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64,
	arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Uint64,
	arrow.FixedWidthTypes.Float16, arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64,
	&arrow.Decimal128Type{Precision: 18, Scale: 2},
	arrow.BinaryTypes.String, arrow.BinaryTypes.LargeString, arrow.BinaryTypes.StringView,
	arrow.BinaryTypes.Binary, arrow.BinaryTypes.LargeBinary, arrow.BinaryTypes.BinaryView,
	&arrow.FixedSizeBinaryType{ByteWidth: 16},
	arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Date64, arrow.FixedWidthTypes.Timestamp_us,
	arrow.FixedWidthTypes.Time32s, arrow.FixedWidthTypes.Time64us, arrow.FixedWidthTypes.Duration_us,
	arrow.FixedWidthTypes.MonthInterval,
	&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String},
	arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Float32),
	arrow.ListOf(arrow.PrimitiveTypes.Float32), arrow.StructOf(), arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int32),
}

// tableElements are the tensor types in the order of the type table.
var tableElements = []models.ElementType{
	models.Float32, models.Float64, models.Float16, models.BFloat16, models.Int8, models.Int16, models.Int32, models.Int64,
	models.Uint8, models.Uint16, models.Uint32, models.Uint64, models.Bool, models.String,
}

// TypeTable is the type table of a single column, as rows of cells: the first
// row is the header, the first cell of each other row the Arrow type.
func TypeTable() [][]string {
	header := append(make([]string, 0, 1+len(tableElements)), "Arrow type")
	for _, e := range tableElements {
		header = append(header, e.String())
	}
	rows := append(make([][]string, 0, 1+len(tableTypes)), header)
	for _, t := range tableTypes {
		name := t.Name()
		if dict, ok := t.(*arrow.DictionaryType); ok {
			name = "dictionary of " + dict.ValueType.Name()
		}
		row := append(make([]string, 0, len(header)), name)
		for _, e := range tableElements {
			cast, _ := CastOf(t, e)
			row = append(row, cast.String())
		}
		rows = append(rows, row)
	}
	return rows
}
