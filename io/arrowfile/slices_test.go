package arrowfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
)

func unionFields() []arrow.Field {
	return []arrow.Field{
		{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
	}
}

// slicedTypes are types that have gone wrong in slices, and values, as JSON.
var slicedTypes = map[string]struct {
	dt     arrow.DataType
	values string
}{
	"dense union":           {arrow.DenseUnionOf(unionFields(), []arrow.UnionTypeCode{0, 1}), `[[0, 5], [1, "x"], [1, "y"], [0, 6], [1, null]]`},
	"far codes":             {arrow.DenseUnionOf(unionFields(), []arrow.UnionTypeCode{5, 9}), `[[5, 5], [9, "x"], [9, "y"], [5, 6], [9, null]]`},
	"sparse union":          {arrow.SparseUnionOf(unionFields(), []arrow.UnionTypeCode{5, 9}), `[[5, 5], [9, "x"], [9, "y"], [5, 6], [9, null]]`},
	"views":                 {arrow.BinaryTypes.StringView, `["a", "longer than twelve bytes", null, "and another long one", ""]`},
	"lists of views":        {arrow.ListOf(arrow.BinaryTypes.StringView), `[["a"], ["longer than twelve bytes", null], null, ["and another long one"], []]`},
	"structs of list views": {arrow.StructOf(arrow.Field{Name: "v", Type: arrow.ListViewOf(arrow.PrimitiveTypes.Int8), Nullable: true}), `[{"v": [1, 2]}, {"v": null}, null, {"v": []}, {"v": [3]}]`},
	"runs":                  {arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int32, arrow.BinaryTypes.String), `["a", "a", null, "b", "b"]`},
	"structs of runs":       {arrow.StructOf(arrow.Field{Name: "v", Type: arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int32, arrow.BinaryTypes.String), Nullable: true}), `[{"v": "a"}, {"v": "a"}, {"v": null}, {"v": "b"}, {"v": "b"}]`},
	"structs of unions":     {arrow.StructOf(arrow.Field{Name: "v", Type: arrow.SparseUnionOf(unionFields(), []arrow.UnionTypeCode{5, 9}), Nullable: true}), `[{"v": [5, 5]}, {"v": [9, "x"]}, {"v": [9, "y"]}, {"v": [5, 6]}, {"v": [9, null]}]`},
	"lists of bools":        {arrow.ListOf(arrow.FixedWidthTypes.Boolean), `[[true], [false, true], null, [], [true, null, false]]`},
	"fixed lists of text":   {arrow.FixedSizeListOf(2, arrow.BinaryTypes.String), `[["a", "b"], null, ["c", null], ["d", "e"], ["", "f"]]`},
}

// exactly is data in buffers that have no byte more than their length, as those of
// compressed files.
func exactly(data arrow.ArrayData) arrow.ArrayData {
	buffers := make([]*memory.Buffer, len(data.Buffers()))
	for i, b := range data.Buffers() {
		if b != nil {
			bytes := make([]byte, b.Len())
			copy(bytes, b.Bytes())
			buffers[i] = memory.NewBufferBytes(bytes)
		}
	}
	children := make([]arrow.ArrayData, len(data.Children()))
	for i, c := range data.Children() {
		children[i] = exactly(c)
	}
	if d, ok := data.Dictionary().(*array.Data); ok && d != nil {
		return array.NewDataWithDictionary(data.DataType(), data.Len(), buffers, data.NullN(), data.Offset(), exactly(d).(*array.Data))
	}
	return array.NewData(data.DataType(), data.Len(), buffers, children, data.NullN(), data.Offset())
}

// Every slice of an array is written as its own rows.
func TestSlicesOfEveryType(t *testing.T) {
	types := maps.Clone(slicedTypes)
	maps.Copy(types, everyType)
	for name, c := range types {
		t.Run(name, func(t *testing.T) {
			var values []json.RawMessage
			if err := json.Unmarshal([]byte(c.values), &values); err != nil {
				t.Fatal(err)
			}
			const rows = 9
			text := make([]string, rows)
			for i := range text {
				text[i] = string(values[i%len(values)])
			}
			built := fromJSONBatch(t, checkedAllocator(t), c.dt, "["+strings.Join(text, ",")+"]")
			defer built.Release()
			b := array.NewRecordBatch(built.Schema(), []arrow.Array{array.MakeFromData(exactly(built.Column(0).Data()))}, rows)
			var out bytes.Buffer
			w, err := NewWriter(&out, b.Schema(), format.WriteOptions{Allocator: checkedAllocator(t)})
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for from := range rows {
				for to := from + 1; to <= rows; to++ {
					slice := b.NewSlice(int64(from), int64(to))
					if err := w.Write(slice); err != nil {
						t.Fatalf("Write(rows %d to %d) = %v", from, to, err)
					}
					slice.Release()
					for row := from; row < to; row++ {
						want = append(want, fmt.Sprint(b.Column(0).GetOneForMarshal(row)))
					}
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			r, err := ipc.NewFileReader(bytes.NewReader(out.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			got := make([]string, 0, len(want))
			for i := range r.NumRecords() {
				b, err := r.RecordBatchAt(i)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, columnRows(b, 0)...)
				b.Release()
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			ours := make([]string, 0, len(want))
			for _, b := range batchesOf(t, mustOpen(t, file(t, out.Bytes()), format.ReadOptions{})) {
				ours = append(ours, columnRows(b, 0)...)
			}
			for i := range want {
				if i >= len(got) || i >= len(ours) || got[i] != want[i] || ours[i] != want[i] {
					t.Fatalf("row %d of %d: arrow-go reads %s\nwe read %s\nwant %s", i, len(want), got, ours, want)
				}
			}
		})
	}
}

// A batch holds the text of its rows alone, not that of the span it is cut
// from.
func TestSlicesOfViewsAreSmall(t *testing.T) {
	const rows, long = 1000, "a text that is too long to stand in a view"
	for _, dt := range []arrow.DataType{arrow.BinaryTypes.StringView, arrow.ListOf(arrow.BinaryTypes.StringView)} {
		values := make([]string, rows)
		for i := range values {
			values[i] = fmt.Sprintf("%q", fmt.Sprint(long, i))
			if dt.ID() == arrow.LIST {
				values[i] = "[" + values[i] + "]"
			}
		}
		arr, _, err := array.FromJSON(checkedAllocator(t), dt, strings.NewReader("["+strings.Join(values, ",")+"]"))
		if err != nil {
			t.Fatal(err)
		}
		schema := arrow.NewSchema([]arrow.Field{{Name: "k", Type: dt, Nullable: true}}, nil)
		b := array.NewRecordBatch(schema, []arrow.Array{arr}, rows)
		var out bytes.Buffer
		w, err := NewWriter(&out, schema, format.WriteOptions{Allocator: checkedAllocator(t)})
		if err != nil {
			t.Fatal(err)
		}
		for at := int64(0); at < rows; at += 100 {
			slice := b.NewSlice(at, at+100)
			if err := w.Write(slice); err != nil {
				t.Fatal(err)
			}
			slice.Release()
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got, most := out.Len(), rows*(len(long)+4+16+4)+20000; got > most {
			t.Errorf("%s: %d slices take %d bytes; want at most %d", dt, rows/100, got, most)
		}
		b.Release()
		arr.Release()
	}
}
