// Package nulls makes arrays of nulls alone, of any type.
package nulls

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Array is n nulls, which the caller releases. mem must give memory that is zero, as Go's
// is. array.MakeArrayOfNull panics where the type null is within a struct, a list of a fixed
// size, a union or a dictionary (18.8.0): those are made here.
func Array(mem memory.Allocator, t arrow.DataType, n int) arrow.Array {
	data := dataOf(mem, t, n)
	defer data.Release()
	return array.MakeFromData(data)
}

func dataOf(mem memory.Allocator, t arrow.DataType, n int) arrow.ArrayData {
	switch t := t.(type) {
	case arrow.ExtensionType:
		stored := dataOf(mem, t.StorageType(), n)
		defer stored.Release()
		data := array.NewData(t, n, stored.Buffers(), stored.Children(), stored.NullN(), 0)
		data.SetDictionary(stored.Dictionary())
		return data
	case *arrow.DictionaryType:
		values, indices := dataOf(mem, t.ValueType, 0), dataOf(mem, t.IndexType, n)
		defer values.Release()
		defer indices.Release()
		data := array.NewData(t, n, indices.Buffers(), nil, n, 0)
		data.SetDictionary(values)
		return data
	case *arrow.StructType:
		return parent(mem, t, n, n, zeros(mem, int(bitutil.BytesForBits(int64(n)))))
	case *arrow.FixedSizeListType:
		return parent(mem, t, n, n*int(t.Len()), zeros(mem, int(bitutil.BytesForBits(int64(n)))))
	case *arrow.SparseUnionType:
		return parent(mem, t, n, n, nil, codes(mem, t, n))
	case *arrow.DenseUnionType: // all are the first child's first
		return parent(mem, t, n, 1, nil, codes(mem, t, n), zeros(mem, arrow.Int32Traits.BytesRequired(n)))
	}
	arr := array.MakeArrayOfNull(mem, t, n)
	defer arr.Release()
	data := arr.Data()
	data.Retain()
	return data
}

// parent is n nulls over children of so many nulls each. It takes the buffers over.
func parent(mem memory.Allocator, t arrow.NestedType, n, children int, buffers ...*memory.Buffer) arrow.ArrayData {
	nulls := n
	if buffers[0] == nil { // a union, which has no validity of its own
		nulls = 0
	}
	all := make([]arrow.ArrayData, t.NumFields())
	for i, f := range t.Fields() {
		all[i] = dataOf(mem, f.Type, children)
		defer all[i].Release()
	}
	for _, b := range buffers {
		if b != nil {
			defer b.Release()
		}
	}
	return array.NewData(t, n, buffers, all, nulls, 0)
}

func zeros(mem memory.Allocator, bytes int) *memory.Buffer {
	b := memory.NewResizableBuffer(mem)
	b.Resize(bytes)
	return b
}

// codes are those of a union's first child.
func codes(mem memory.Allocator, t arrow.UnionType, n int) *memory.Buffer {
	b := zeros(mem, n)
	if all := t.TypeCodes(); len(all) > 0 {
		memory.Set(b.Bytes(), byte(all[0]))
	}
	return b
}
