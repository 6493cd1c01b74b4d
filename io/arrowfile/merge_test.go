package arrowfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
)

func dictOf(index, values arrow.DataType) *arrow.DictionaryType {
	return &arrow.DictionaryType{IndexType: index, ValueType: values}
}

// fromJSONBatch makes a batch of one column k.
func fromJSONBatch(t *testing.T, mem memory.Allocator, dt arrow.DataType, values string) arrow.RecordBatch {
	t.Helper()
	arr, _, err := array.FromJSON(mem, dt, strings.NewReader(values))
	if err != nil {
		t.Fatal(err)
	}
	defer arr.Release()
	schema := arrow.NewSchema([]arrow.Field{{Name: "k", Type: dt, Nullable: true}}, nil)
	return array.NewRecordBatch(schema, []arrow.Array{arr}, int64(arr.Len()))
}

// columnRows are the values of a batch's column as text.
func columnRows(b arrow.RecordBatch, from int) []string {
	var rows []string
	for i := from; i < int(b.NumRows()); i++ {
		rows = append(rows, fmt.Sprint(b.Column(0).GetOneForMarshal(i)))
	}
	return rows
}

// A file whose batches, and slices of them, have different dictionaries at any
// depth reads back equal, by arrow-go and by this package.
func TestMergedDictionaries(t *testing.T) {
	text := dictOf(arrow.PrimitiveTypes.Int8, arrow.BinaryTypes.String)
	structOfDicts := arrow.StructOf(
		arrow.Field{Name: "x", Type: text, Nullable: true},
		arrow.Field{Name: "y", Type: arrow.ListOf(text), Nullable: true})
	for _, c := range []struct {
		dt      arrow.DataType
		batches []string // JSON
	}{
		{text, []string{`["a", "b", null]`, `["b", "c"]`, `[null]`, `[]`, `["c", "a", "d"]`}},
		{dictOf(arrow.PrimitiveTypes.Uint64, arrow.PrimitiveTypes.Float64), []string{`[1.5, 2.5]`, `[2.5, null, 3.5]`}},
		{dictOf(arrow.PrimitiveTypes.Int32, &arrow.FixedSizeBinaryType{ByteWidth: 2}), []string{`["YWI=", "Y2Q="]`, `["Y2Q=", "ZWY="]`}},
		{dictOf(arrow.PrimitiveTypes.Int16, &arrow.Decimal128Type{Precision: 20, Scale: 2}), []string{`["1.25"]`, `["3.50", "1.25"]`}},
		{arrow.ListOf(text), []string{`[["a", "b"], null, []]`, `[]`, `[["b", null, "c"], ["a"]]`}},
		{
			arrow.StructOf(
				arrow.Field{Name: "x", Type: text, Nullable: true},
				arrow.Field{Name: "y", Type: arrow.MapOf(arrow.BinaryTypes.String, arrow.LargeListOf(arrow.PrimitiveTypes.Int8)), Nullable: true},
				arrow.Field{Name: "z", Type: arrow.ListOf(arrow.LargeListOf(text)), Nullable: true}),
			[]string{`[{"x": "a", "y": [{"key": "k", "value": [1]}], "z": null}]`, `[]`, `[{"x": "b", "y": null, "z": [["q"], []]}]`},
		},
		{
			arrow.StructOf(
				arrow.Field{Name: "x", Type: text, Nullable: true},
				arrow.Field{Name: "none", Type: arrow.Null, Nullable: true}),
			[]string{`[{"x": "a", "none": null}]`, `[null, {"x": "b", "none": null}]`},
		},
		{structOfDicts, []string{`[{"x": "a", "y": ["p"]}, null]`, `[{"x": "b", "y": ["q", "p"]}, {"x": null, "y": null}]`}},
	} {
		t.Run(c.dt.String(), func(t *testing.T) {
			mem := checkedAllocator(t)
			var out bytes.Buffer
			schema := arrow.NewSchema([]arrow.Field{{Name: "k", Type: c.dt, Nullable: true}}, nil)
			w, err := NewWriter(&out, schema, format.WriteOptions{Allocator: mem, Compression: "zstd"})
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, values := range c.batches {
				b := fromJSONBatch(t, mem, c.dt, values)
				want = append(want, columnRows(b, 0)...)
				if err := w.Write(b); err != nil {
					t.Fatal(err)
				}
				if b.NumRows() > 1 {
					slice := b.NewSlice(1, b.NumRows())
					want = append(want, columnRows(b, 1)...)
					if err := w.Write(slice); err != nil {
						t.Fatal(err)
					}
					slice.Release()
				}
				b.Release()
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			r, err := ipc.NewFileReader(bytes.NewReader(out.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			got, ours := make([]string, 0, len(want)), make([]string, 0, len(want))
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
			for _, b := range batchesOf(t, mustOpen(t, file(t, out.Bytes()), format.ReadOptions{})) {
				ours = append(ours, columnRows(b, 0)...)
			}
			if fmt.Sprint(got) != fmt.Sprint(want) || fmt.Sprint(ours) != fmt.Sprint(want) {
				t.Errorf("%s:\narrow-go reads %s\nwe read %s\nwant %s", c.batches, got, ours, want)
			}
		})
	}
}

// What cannot be one dictionary is an error, and nothing leaks.
func TestUnmergeableDictionaries(t *testing.T) {
	ordered := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String, Ordered: true}
	var many [2]string
	for i := range many {
		values := make([]string, 65)
		for j := range values {
			values[j] = fmt.Sprintf("%q", fmt.Sprint("w", i*65+j))
		}
		many[i] = "[" + strings.Join(values, ",") + "]"
	}
	for _, c := range []struct {
		why     string
		dt      arrow.DataType
		batches [2]string
	}{
		{"more values than int8 counts", dictOf(arrow.PrimitiveTypes.Int8, arrow.BinaryTypes.String), many},
		{"no common order", ordered, [2]string{`["a", "b"]`, `["b", "a"]`}},
	} {
		mem := checkedAllocator(t)
		a, b := fromJSONBatch(t, mem, c.dt, c.batches[0]), fromJSONBatch(t, mem, c.dt, c.batches[1])
		w, err := NewWriter(io.Discard, a.Schema(), format.WriteOptions{Allocator: mem})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Write(a), w.Write(a)); err != nil {
			t.Errorf("%s: Write of the same = %v; want no error", c.why, err)
		}
		if err := w.Write(b); !errors.Is(err, format.ErrColumnType) || !strings.Contains(err.Error(), `"k"`) {
			t.Errorf("%s: Write = %v; want an error that wraps %v and names \"k\"", c.why, err, format.ErrColumnType)
		}
		if err := w.Close(); !errors.Is(err, format.ErrColumnType) {
			t.Errorf("%s: Close = %v; want the same error", c.why, err)
		}
		a.Release()
		b.Release()
	}
}
