package nulls

import (
	"bytes"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Nulls of any type are written and read, also where the type null is within.
func TestArray(t *testing.T) {
	field := func(t arrow.DataType) arrow.Field { return arrow.Field{Name: "f", Type: t, Nullable: true} }
	within := func(t arrow.DataType) []arrow.DataType {
		return []arrow.DataType{
			t,
			arrow.StructOf(field(t), arrow.Field{Name: "g", Type: arrow.PrimitiveTypes.Int64, Nullable: true}),
			arrow.FixedSizeListOf(3, t),
			arrow.FixedSizeListOf(2, arrow.StructOf(field(t))),
			arrow.ListOf(arrow.FixedSizeListOf(2, arrow.FixedSizeListOf(3, t))),
			arrow.MapOf(arrow.BinaryTypes.String, arrow.StructOf(field(t))),
			arrow.StructOf(field(arrow.LargeListOf(arrow.StructOf(field(t))))),
			arrow.SparseUnionOf([]arrow.Field{field(t), field(arrow.BinaryTypes.String)}, []arrow.UnionTypeCode{5, 7}),
			arrow.DenseUnionOf([]arrow.Field{field(t), field(arrow.BinaryTypes.String)}, []arrow.UnionTypeCode{5, 7}),
		}
	}
	all := slices.Concat(within(arrow.Null), within(arrow.BinaryTypes.String), within(arrow.ListOf(arrow.Null)), within(extensions.NewUUIDType()), []arrow.DataType{
		&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.Null},
		&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.StructOf(field(arrow.Null))},
		arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int32, arrow.Null),
	})
	for _, typ := range all {
		for _, n := range []int{0, 1, 11} {
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			arr := Array(mem, typ, n)
			if arr.Len() != n || !arrow.TypeEqual(arr.DataType(), typ) {
				t.Errorf("%d of %s: %d of %s", n, typ, arr.Len(), arr.DataType())
			}
			for i := range n {
				if s := arr.ValueStr(i); s != array.NullValueStr && arr.IsValid(i) && !arrow.IsUnion(typ.ID()) && typ.ID() != arrow.RUN_END_ENCODED {
					t.Errorf("row %d of %d of %s is %s", i, n, typ, s)
				}
			}
			batch := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{field(typ)}, nil), []arrow.Array{arr}, int64(n))
			var file bytes.Buffer
			w := ipc.NewWriter(&file, ipc.WithSchema(batch.Schema()), ipc.WithAllocator(mem))
			if err := w.Write(batch); err != nil {
				t.Errorf("%d of %s are not written: %v", n, typ, err)
			} else if r, err := ipc.NewReader(&file); err != nil {
				t.Errorf("%d of %s are not read: %v", n, typ, err)
			} else if got, err := r.Read(); err != nil || !array.Equal(got.Column(0), arr) {
				t.Errorf("%d of %s are read as %v, %v", n, typ, got, err)
			}
			_ = w.Close()
			batch.Release()
			arr.Release()
			mem.AssertSize(t, 0)
		}
	}
}
