package engine

import (
	"bytes"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/format"
)

// A record batch of no rows can be made of every type that a stream may have: polars writes
// its categories as a dictionary of large texts, for which arrow-go has no builder.
func TestEmptyRecordOfAnyType(t *testing.T) {
	dictionary := func(values arrow.DataType) arrow.DataType {
		return &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint32, ValueType: values}
	}
	item := []arrow.Field{{Name: "item", Type: arrow.PrimitiveTypes.Int32, Nullable: true}}
	for _, dt := range []arrow.DataType{
		arrow.BinaryTypes.LargeString, arrow.BinaryTypes.StringView, arrow.Null, arrow.ListOf(dictionary(arrow.BinaryTypes.LargeString)),
		dictionary(arrow.BinaryTypes.LargeString), dictionary(arrow.BinaryTypes.LargeBinary), dictionary(arrow.BinaryTypes.StringView),
		dictionary(arrow.FixedWidthTypes.Boolean), dictionary(arrow.ListOf(arrow.PrimitiveTypes.Int32)), arrow.FixedSizeListOf(2, arrow.BinaryTypes.LargeString),
		arrow.MapOf(arrow.BinaryTypes.String, dictionary(arrow.BinaryTypes.LargeString)), arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int32, arrow.BinaryTypes.LargeString),
		arrow.SparseUnionOf(item, []arrow.UnionTypeCode{5}), arrow.DenseUnionOf(item, []arrow.UnionTypeCode{5}), arrow.LargeListViewOf(arrow.PrimitiveTypes.Int8), arrow.ListOf(arrow.LargeListOf(arrow.PrimitiveTypes.Int8)),
	} {
		schema := arrow.NewSchema([]arrow.Field{{Name: "c", Type: dt, Nullable: true}}, nil)
		var stream bytes.Buffer
		out := &streamOut{to: countedWriter{Writer: &stream}, opts: format.WriteOptions{}}
		out.owe()
		if err := out.begin(schema); err != nil {
			t.Errorf("%s: %v", dt, err)
			continue
		}
		if err := out.writer.End(); err != nil {
			t.Errorf("%s: %v", dt, err)
		}
		in, err := arrowfile.OpenStream(&stream, arrowfile.StreamOptions{})
		if err == nil {
			err = in.Want([]int{0})
		}
		if err != nil {
			t.Errorf("%s: %v", dt, err)
			continue
		}
		b, err := in.Next()
		if err != nil {
			t.Errorf("%s: %v", dt, err)
		} else {
			if b.NumRows() != 0 || !arrow.TypeEqual(b.Column(0).DataType(), dt) {
				t.Errorf("%s: %d rows of %s; want none", dt, b.NumRows(), b.Column(0).DataType())
			}
			b.Release()
		}
		in.Close()
	}
}
