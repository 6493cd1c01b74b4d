package filter

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Rows of views are those that slices join, and what their texts lie in is shared once, not for
// each row: a batch of which every other row passes would have thousands of buffers.
func TestTakenViews(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	b := array.NewStringViewBuilder(memory.DefaultAllocator)
	defer b.Release()
	for range 3000 {
		if random.IntN(8) == 0 {
			b.AppendNull()
		} else {
			b.Append(strings.Repeat("é", random.IntN(20)))
		}
	}
	whole := b.NewArray()
	defer whole.Release()
	for _, from := range []int64{0, 5} {
		a := array.NewSlice(whole, from, int64(whole.Len()))
		defer a.Release()
		rows := []int32{}
		for row := range int32(a.Len()) {
			if random.IntN(2) == 0 {
				rows = append(rows, row)
			}
		}
		got, err := TakeRows(a, rows)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Release()
		want, err := joined(a, rows)
		if err != nil {
			t.Fatal(err)
		}
		defer want.Release()
		if !array.Equal(got, want) || got.NullN() != want.NullN() {
			t.Errorf("rows from %d on: TakeRows = %v; want %v", from, got, want)
		}
		if n := len(got.Data().Buffers()); n != len(a.Data().Buffers()) {
			t.Errorf("rows from %d on: %d buffers; want %d", from, n, len(a.Data().Buffers()))
		}
	}
}

// Rows of unions, and of what holds them, which arrow-go joins not: each is the row that it
// was, in any order and of slices too.
func TestTakenUnions(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	kinds := []arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "s", Type: arrow.BinaryTypes.String, Nullable: true}}
	sparse, dense := arrow.SparseUnionOf(kinds, []arrow.UnionTypeCode{7, 3}), arrow.DenseUnionOf(kinds, []arrow.UnionTypeCode{0, 99})
	for _, of := range []arrow.DataType{
		sparse, dense,
		arrow.StructOf(arrow.Field{Name: "u", Type: sparse, Nullable: true}, arrow.Field{Name: "v", Type: dense, Nullable: true}),
		arrow.ListOf(sparse), arrow.LargeListOf(dense), arrow.FixedSizeListOf(2, sparse), arrow.MapOf(arrow.PrimitiveTypes.Int64, dense),
		arrow.ListOf(arrow.StructOf(arrow.Field{Name: "u", Type: dense, Nullable: true})),
	} {
		whole := unions(of, 200, random)
		for _, from := range []int64{0, 9} {
			a := array.NewSlice(whole, from, int64(whole.Len()))
			rows := random.Perm(a.Len())[:random.IntN(a.Len())]
			got, err := TakeRows(a, rows)
			if err != nil {
				t.Fatalf("%s: %v", of, err)
			}
			if got.Len() != len(rows) {
				t.Errorf("%s from %d on: %d rows; want %d", of, from, got.Len(), len(rows))
			}
			for i, row := range rows {
				if got.IsNull(i) != a.IsNull(row) || got.ValueStr(i) != a.ValueStr(row) {
					t.Errorf("%s from %d on: row %d = %s; want %s", of, from, row, got.ValueStr(i), a.ValueStr(row))
					break
				}
			}
			got.Release()
			a.Release()
		}
		whole.Release()
	}
}

// unions are random values of a type.
func unions(of arrow.DataType, rows int, random *rand.Rand) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, of)
	defer b.Release()
	for range rows {
		appendAny(b, random)
	}
	return b.NewArray()
}

func appendAny(b array.Builder, random *rand.Rand) {
	union := func(b array.UnionBuilder, sparse bool) {
		codes := b.Type().(arrow.UnionType).TypeCodes()
		kind := random.IntN(len(codes))
		b.Append(codes[kind])
		for i := range codes {
			if i == kind {
				appendAny(b.Child(i), random)
			} else if sparse {
				b.Child(i).AppendEmptyValue()
			}
		}
	}
	null := random.IntN(5) == 0
	switch b := b.(type) {
	case *array.SparseUnionBuilder:
		union(b, true)
	case *array.DenseUnionBuilder:
		union(b, false)
	case *array.StructBuilder:
		b.Append(!null)
		for i := range b.NumField() {
			appendAny(b.FieldBuilder(i), random)
		}
	case *array.MapBuilder:
		b.Append(!null)
		for range random.IntN(3) {
			b.KeyBuilder().(*array.Int64Builder).Append(random.Int64())
			appendAny(b.ItemBuilder(), random)
		}
	case *array.FixedSizeListBuilder:
		b.Append(!null)
		for range 2 {
			appendAny(b.ValueBuilder(), random)
		}
	case array.ListLikeBuilder:
		if null {
			b.AppendNull()
			return
		}
		b.(interface{ Append(valid bool) }).Append(true)
		for range random.IntN(3) {
			appendAny(b.ValueBuilder(), random)
		}
	case *array.Int64Builder:
		if null {
			b.AppendNull()
		} else {
			b.Append(random.Int64())
		}
	case *array.StringBuilder:
		b.Append(strings.Repeat("é", random.IntN(20)))
	}
}
