package dataset

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// alike says that files may have a column as either type: of texts, and of bytes, the types
// differ in their layout in memory alone. A Parquet file has one for all of them, and
// notes which the writer had.
func alike(a, b arrow.DataType) bool {
	return arrow.TypeEqual(a, b) || widest(a) != nil && widest(a) == widest(b)
}

// widest is the type that holds what any type of texts, or of bytes, does, however much a
// record batch has; nil of other types.
func widest(t arrow.DataType) arrow.DataType {
	switch t.ID() {
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW:
		return arrow.BinaryTypes.LargeString
	case arrow.BINARY, arrow.LARGE_BINARY, arrow.BINARY_VIEW:
		return arrow.BinaryTypes.LargeBinary
	}
	return nil
}

// widen makes columns of texts and bytes those of the dataset, where the file's are of
// another layout. The caller releases what it made.
func (r *spanRead) widen(columns []arrow.Array) (all, made []arrow.Array) {
	for i, c := range columns {
		if i >= r.schema.NumFields() {
			break
		}
		want := r.schema.Field(i).Type
		if arrow.TypeEqual(c.DataType(), want) || !alike(c.DataType(), want) {
			continue
		}
		if made == nil {
			columns = slices.Clone(columns)
		}
		columns[i] = widened(c, want)
		made = append(made, columns[i])
	}
	return columns, made
}

// widened copies texts or bytes as the widest type of them.
func widened(c arrow.Array, to arrow.DataType) arrow.Array {
	b := array.NewBinaryBuilder(memory.DefaultAllocator, arrow.BinaryTypes.LargeBinary)
	defer b.Release()
	b.Reserve(c.Len())
	texts, _ := c.(interface{ Value(i int) string })
	bytes, _ := c.(interface{ Value(i int) []byte })
	for i := range c.Len() {
		switch {
		case c.IsNull(i):
			b.AppendNull()
		case texts != nil:
			b.AppendString(texts.Value(i))
		default:
			b.Append(bytes.Value(i))
		}
	}
	built := b.NewArray()
	defer built.Release()
	data := built.Data()
	as := array.NewData(to, data.Len(), data.Buffers(), nil, data.NullN(), 0)
	defer as.Release()
	return array.MakeFromData(as)
}
