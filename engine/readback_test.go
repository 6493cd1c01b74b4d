package engine

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
)

// Text is read again as what was written of it, whether that stood in a dictionary or not.
func TestLineType(t *testing.T) {
	for _, c := range []struct{ written, read arrow.DataType }{
		{arrow.BinaryTypes.LargeString, arrow.BinaryTypes.String},
		{arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Date32},
		{arrow.FixedWidthTypes.Float16, arrow.BinaryTypes.String},
		{&arrow.TimestampType{Unit: arrow.Second, TimeZone: "America/New_York"}, &arrow.TimestampType{Unit: arrow.Second, TimeZone: "America/New_York"}},
		{&arrow.Decimal128Type{Precision: 5, Scale: 2}, &arrow.Decimal128Type{Precision: 5, Scale: 2}},
		{arrow.ListOf(arrow.PrimitiveTypes.Int64), arrow.BinaryTypes.String},
	} {
		dictionary := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: c.written}
		for _, written := range []arrow.DataType{c.written, dictionary} {
			if got := lineType(written.String()); !arrow.TypeEqual(got, c.read) {
				t.Errorf("what was written as %s is read as %s; want %s", written, got, c.read)
			}
		}
	}
}
