package batcher

import (
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/models"
)

// go test -run '^$' -bench Assemble -count 5 ./batcher
//
// The case of name=memcpy copies as many bytes as the tensor has, which is
// what the others are to be measured against.
func BenchmarkAssemble(b *testing.B) {
	const rows, width = 4096, 32
	floats32 := func(nulls int) arrow.Array {
		return floats(memory.DefaultAllocator, rows, func(i int) bool { return nulls > 0 && i%nulls == 0 })
	}
	floats64 := func() arrow.Array {
		builder := array.NewFloat64Builder(memory.DefaultAllocator)
		defer builder.Release()
		for i := range rows {
			builder.Append(float64(i) / 10)
		}
		return builder.NewArray()
	}
	cases := []struct {
		name string
		make func() arrow.Array
	}{
		{"name=plain/from=float32", func() arrow.Array { return floats32(0) }},
		{"name=nulls5/from=float32", func() arrow.Array { return floats32(20) }},
		{"name=lossy/from=float64", floats64},
	}
	for _, c := range cases {
		b.Run(fmt.Sprintf("%s/rows=%d/width=%d", c.name, rows, width), func(b *testing.B) {
			fields, names, columns := make([]any, 0, 2*width), make([]string, width), make([]arrow.Array, width)
			for i := range width {
				columns[i] = c.make()
				names[i] = fmt.Sprint("c", i)
				fields = append(fields, names[i], columns[i].DataType())
			}
			benchAssemble(b, input("x", models.Float32, -1, width), schemaOf(fields...), names, columns)
		})
	}
	b.Run(fmt.Sprintf("name=view/from=list/rows=%d/width=%d", rows, width), func(b *testing.B) {
		column := lists(floats(memory.DefaultAllocator, rows*width, nil), width)
		benchAssemble(b, input("x", models.Float32, -1, width), schemaOf("x", column.DataType()), []string{"x"}, []arrow.Array{column})
	})
	b.Run(fmt.Sprintf("name=memcpy/rows=%d/width=%d", rows, width), func(b *testing.B) {
		src, dst := make([]byte, rows*width*4), make([]byte, rows*width*4)
		b.ReportAllocs()
		b.SetBytes(int64(len(dst)))
		for b.Loop() {
			copy(dst, src)
		}
		b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}

func benchAssemble(b *testing.B, in models.Value, schema *arrow.Schema, names []string, columns []arrow.Array) {
	b.Helper()
	plan, err := Bind([]models.Value{in}, schema, Options{
		Columns: map[string][]string{"x": names}, Lossy: AllowLossy, Nulls: NullPolicies{Default: NullPolicy{Action: NullNaN}},
	})
	if err != nil {
		b.Fatal(err)
	}
	batch := batchOf(schema, columns)
	defer batch.Release()
	a := plan.NewAssembler(batch.Rows, AllowLossy)
	var tensors *Tensors
	b.ReportAllocs()
	for b.Loop() {
		if tensors, err = a.Assemble(batch); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(tensors.Inputs[0].Data)))
	b.ReportMetric(float64(batch.Rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
