package batcher

import (
	"bytes"
	"slices"
	"testing"
	"unsafe" //nolint:depguard // the addresses of views are what is tested

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/models"
)

// floats makes a float32 array 0, 1, 2, ... with nulls where null says so.
func floats(mem memory.Allocator, n int, null func(i int) bool) arrow.Array {
	b := array.NewFloat32Builder(mem)
	defer b.Release()
	for i := range n {
		if null != nil && null(i) {
			b.AppendNull()
		} else {
			b.Append(float32(i))
		}
	}
	return b.NewArray()
}

// lists calls values lists of k; it takes values over.
func lists(values arrow.Array, k int) arrow.Array {
	defer values.Release()
	t := fsl(int32(k), values.DataType())
	data := array.NewData(t, values.Len()/k, []*memory.Buffer{nil}, []arrow.ArrayData{values.Data()}, 0, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// variableLists calls values lists of any length, each of k; it takes values
// over.
func variableLists(values arrow.Array, k int) arrow.Array {
	defer values.Release()
	n := values.Len() / k
	offsets := make([]int32, n+1)
	for i := range offsets {
		offsets[i] = int32(i * k)
	}
	buffers := []*memory.Buffer{nil, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(offsets))}
	data := array.NewData(arrow.ListOf(values.DataType()), n, buffers, []arrow.ArrayData{values.Data()}, 0, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// cutOut is rows from..to of an array, which it takes over.
func cutOut(a arrow.Array, from, to int) arrow.Array {
	defer a.Release()
	return array.NewSlice(a, int64(from), int64(to))
}

// batchOf makes a batch of records, each of some columns, which it takes over.
func batchOf(schema *arrow.Schema, segments ...[]arrow.Array) *Batch {
	batch := &Batch{}
	for _, columns := range segments {
		record := array.NewRecordBatch(schema, columns, int64(columns[0].Len()))
		batch.Segments = append(batch.Segments, Whole(record, Origin{Row: int64(batch.Rows)}))
		batch.Rows += columns[0].Len()
		for _, c := range columns {
			c.Release()
		}
	}
	return batch
}

func TestViews(t *testing.T) {
	third := func(i int) bool { return i == 3 }
	one := func(build func(mem memory.Allocator) arrow.Array) func(memory.Allocator) [][]arrow.Array {
		return func(mem memory.Allocator) [][]arrow.Array { return [][]arrow.Array{{build(mem)}} }
	}
	tests := []struct {
		name     string
		input    models.Value
		opts     Options
		segments func(mem memory.Allocator) [][]arrow.Array
		// view is the number of the float32 in the column's memory where the
		// tensor begins; -1 when it is a copy.
		view           int
		viewed, copied int64
	}{
		{
			"a column is [N]", input("x", models.Float32, -1),
			Options{},
			one(func(mem memory.Allocator) arrow.Array { return floats(mem, 8, nil) }), 0, 32, 0,
		},
		{
			"or [N,1]", input("x", models.Float32, -1, 1),
			Options{},
			one(func(mem memory.Allocator) arrow.Array { return floats(mem, 8, nil) }), 0, 32, 0,
		},
		{
			"a slice begins in the middle", input("x", models.Float32, -1),
			Options{},
			one(func(mem memory.Allocator) arrow.Array { return cutOut(floats(mem, 8, nil), 3, 7) }), 3, 16, 0,
		},
		{
			"a list is a row", input("x", models.Float32, -1, 4),
			Options{},
			one(func(mem memory.Allocator) arrow.Array { return lists(floats(mem, 12, nil), 4) }), 0, 48, 0,
		},
		{
			"a slice of lists", input("x", models.Float32, -1, 4),
			Options{},
			one(func(mem memory.Allocator) arrow.Array { return cutOut(lists(floats(mem, 24, nil), 4), 2, 5) }), 8, 48, 0,
		},
		{
			"lists of a slice", input("x", models.Float32, -1, 4),
			Options{},
			one(func(mem memory.Allocator) arrow.Array {
				return cutOut(lists(cutOut(floats(mem, 24, nil), 2, 22), 4), 1, 3)
			}),
			6, 32, 0,
		},
		{
			"nested lists", input("x", models.Float32, -1, 2, 3),
			Options{},
			one(func(mem memory.Allocator) arrow.Array {
				return cutOut(lists(cutOut(lists(floats(mem, 36, nil), 3), 2, 10), 2), 1, 3)
			}),
			12, 48, 0,
		},
		{
			"lists of any length that have the same", input("x", models.Float32, -1, 4),
			Options{},
			one(func(mem memory.Allocator) arrow.Array { return cutOut(variableLists(floats(mem, 24, nil), 4), 1, 3) }), 4, 32, 0,
		},
		{
			"a full batch of a fixed size", input("x", models.Float32, 8),
			Options{},
			one(func(mem memory.Allocator) arrow.Array { return floats(mem, 8, nil) }), 0, 32, 0,
		},
		{
			"a short one is padded", input("x", models.Float32, 10),
			Options{},
			one(func(mem memory.Allocator) arrow.Array { return floats(mem, 8, nil) }), -1, 0, 40,
		},
		{
			"nulls outside a slice are nobody's", input("x", models.Float32, -1),
			Options{},
			one(func(mem memory.Allocator) arrow.Array { return cutOut(floats(mem, 8, third), 4, 8) }), 4, 16, 0,
		},
		{
			"a null must be filled", input("x", models.Float32, -1),
			Options{Nulls: NullPolicies{Default: NullPolicy{Action: NullNaN}}},
			one(func(mem memory.Allocator) arrow.Array { return floats(mem, 8, third) }), -1, 0, 32,
		},
		{
			"two segments are two places", input("x", models.Float32, -1),
			Options{},
			func(mem memory.Allocator) [][]arrow.Array {
				return [][]arrow.Array{{floats(mem, 5, nil)}, {floats(mem, 3, nil)}}
			}, -1, 0, 32,
		},
		{
			"a cast makes new values", input("x", models.Float64, -1),
			Options{},
			one(func(mem memory.Allocator) arrow.Array { return floats(mem, 8, nil) }), -1, 0, 64,
		},
		{
			"a matrix of 3 is copied, rows*3*4 bytes", input("x", models.Float32, -1, 3),
			Options{Columns: map[string][]string{"x": {"x", "x", "x"}}},
			one(func(mem memory.Allocator) arrow.Array { return floats(mem, 8, nil) }), -1, 0, 8 * 3 * 4,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			alloc := memory.NewCheckedAllocator(memory.DefaultAllocator)
			defer alloc.AssertSize(t, 0)
			segments := test.segments(alloc)
			first := segments[0][0]
			schema := schemaOf("x", first.DataType())
			plan, err := Bind([]models.Value{test.input}, schema, test.opts)
			if err != nil {
				t.Fatal(err)
			}
			batch := batchOf(schema, segments...)
			defer batch.Release()
			a := plan.NewAssembler(batch.Rows, RefuseLossy)
			tensors, err := a.Assemble(batch)
			if err != nil {
				t.Fatal(err)
			}
			in := &tensors.Inputs[0]
			counts := a.Counts()
			if counts.BytesViewed != test.viewed || counts.BytesCopied != test.copied || in.View != (test.view >= 0) {
				t.Errorf("Assemble: %d bytes viewed, %d copied, View = %t; want %d, %d, %t", counts.BytesViewed, counts.BytesCopied, in.View, test.viewed, test.copied, test.view >= 0)
			}
			whole := slices.Clone(in.Data)
			given := kernel.Aligned[byte](4096)
			d := plan.NewAssembler(batch.Rows, RefuseLossy)
			d.UseMemory(func(bytes int) ([]byte, error) { return given[:bytes], nil })
			if tensors, err := d.Assemble(batch); err != nil {
				t.Fatal(err)
			} else if c := &tensors.Inputs[0]; c.View || &c.Data[0] != &given[0] || !bytes.Equal(c.Data, whole) {
				t.Errorf("in memory that is given: View = %t, %x; want a copy there of %x", c.View, c.Data, whole)
			}
			if test.view < 0 {
				return
			}
			data := batch.Segments[0].Record.Column(0).Data()
			for len(data.Children()) > 0 {
				data = data.Children()[0]
			}
			want := unsafe.Pointer(&data.Buffers()[1].Bytes()[test.view*4])
			if got := unsafe.Pointer(&in.Data[0]); got != want {
				t.Errorf("the tensor is at %p; want %p, float %d of the column's memory", got, want, test.view)
			}
		})
	}
}

// TestTextViews looks for the column's own text in the tensor.
func TestTextViews(t *testing.T) {
	tests := []struct {
		name   string
		texts  []string
		valid  []bool
		policy string
		want   []string
		view   bool
	}{
		{"a slice is given where it lies", []string{"skipped", "one", "", "three"}, nil, "error", []string{"one", "", "three"}, true},
		{"nulls outside it are nobody's", []string{"skipped", "one", "", "three"}, []bool{false, true, true, true}, "error", []string{"one", "", "three"}, true},
		{"a null must be filled", []string{"skipped", "one", "", "three"}, []bool{true, true, false, true}, "none", []string{"one", "none", "three"}, false},
		{"or left empty for a reject", []string{"skipped", "one", "", "three"}, []bool{true, false, true, true}, "reject", []string{"", "", "three"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			alloc := memory.NewCheckedAllocator(memory.DefaultAllocator)
			defer alloc.AssertSize(t, 0)
			b := array.NewStringBuilder(alloc)
			defer b.Release()
			b.AppendValues(test.texts, nil)
			all := b.NewArray()
			bits := []byte{0xff}
			for i, valid := range test.valid {
				if !valid {
					bits[0] &^= 1 << i
				}
			}
			column := raw(text, len(test.texts), array.UnknownNullCount, nil, bits, all.Data().Buffers()[1].Bytes(), all.Data().Buffers()[2].Bytes())
			defer all.Release()
			schema := schemaOf("s", text)
			plan, err := Bind([]models.Value{input("s", models.String, -1)}, schema, Options{Nulls: NullPolicies{Default: ParseNullPolicy(test.policy)}})
			if err != nil {
				t.Fatal(err)
			}
			batch := batchOf(schema, []arrow.Array{cutOut(column, 1, len(test.texts))})
			defer batch.Release()
			a := plan.NewAssembler(batch.Rows, RefuseLossy)
			tensors, err := a.Assemble(batch)
			if err != nil {
				t.Fatal(err)
			}
			in := &tensors.Inputs[0]
			size := 0
			for i, e := range elementsOf(in) {
				size += len(e.text)
				if e.text != test.want[i] {
					t.Errorf("row %d = %q; want %q", i, e.text, test.want[i])
				}
			}
			own := batch.Segments[0].Record.Column(0).Data().Buffers()[2].Bytes()
			if got := &in.Text[0] == &own[0]; got != test.view {
				t.Errorf("the tensor's text is the column's = %t; want %t", got, test.view)
			}
			if got := a.Counts().BytesCopied; got != int64(size) {
				t.Errorf("BytesCopied = %d; want %d, the text of the rows", got, size)
			}
		})
	}
}
