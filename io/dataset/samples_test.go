package dataset

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
)

// samplesDir holds real flights, each sample as Parquet and as Arrow with the
// same values; its README.md says how many rows.
const samplesDir = "../../testdata"

// readAll reads all parts of a dataset into one array per column.
func readAll(t *testing.T, d *Dataset, columns []string) []arrow.Array {
	t.Helper()
	chunks := make([][]arrow.Array, len(columns))
	for _, part := range d.Parts(15_000) {
		for _, ref := range part.Spans {
			err := d.ReadSpan(t.Context(), ref, columns, func(b arrow.RecordBatch) error {
				for i, col := range b.Columns() {
					col.Retain()
					chunks[i] = append(chunks[i], col)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	all := make([]arrow.Array, len(columns))
	for i, list := range chunks {
		whole, err := array.Concatenate(list, memory.DefaultAllocator)
		if err != nil {
			t.Fatal(err)
		}
		for _, chunk := range list {
			chunk.Release()
		}
		all[i] = whole
	}
	return all
}

// TestSamples compares the two readers' views of the same flights, and both
// with the numbers of rows that the script printed which made them.
func TestSamples(t *testing.T) {
	for name, rows := range map[string]int64{"flights": 50_000, "nyc": 48_111, "embed": 20_000} {
		t.Run(name, func(t *testing.T) {
			var all [2][]arrow.Array
			for i, ext := range []string{".parquet", ".arrow"} {
				path := filepath.Join(samplesDir, name+"-sample"+ext)
				if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
					t.Skipf("%s is not here", path)
				}
				alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
				defer alloc.AssertSize(t, 0)
				d, err := Open(t.Context(), []string{path}, Options{Read: format.ReadOptions{Allocator: alloc}})
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				if d.Rows() != rows {
					t.Errorf("%s: Rows() = %d; want %d", path, d.Rows(), rows)
				}
				var columns []string
				for _, field := range d.Schema().Fields() {
					columns = append(columns, field.Name)
				}
				slices.Sort(columns) // not the file's own order
				all[i] = readAll(t, d, columns)
				checkNulls(t, d, columns, all[i])
				if err := d.Changed(); err != nil {
					t.Error(err)
				}
			}
			for i, col := range all[0] {
				if !array.Equal(col, all[1][i]) {
					t.Errorf("column %d (%s, %s) differs between Parquet and Arrow", i, col.DataType(), all[1][i].DataType())
				}
				col.Release()
				all[1][i].Release()
			}
		})
	}
}

// checkNulls compares statistics with data.
func checkNulls(t *testing.T, d *Dataset, columns []string, data []arrow.Array) {
	t.Helper()
	for i, name := range columns {
		if n, ok := d.NullCount(name); ok && n != int64(data[i].NullN()) {
			t.Errorf("NullCount(%s) = %d; the data has %d", name, n, data[i].NullN())
		}
	}
}

// TestSamplesTogether reads Parquet and Arrow as one table.
func TestSamplesTogether(t *testing.T) {
	paths, err := Resolve([]string{samplesDir + "/flights-sample.*"})
	if errors.Is(err, ErrNoMatch) {
		t.Skip("no samples here")
	}
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(t.Context(), paths, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	cols := readAll(t, d, []string{"id"})
	defer cols[0].Release()
	n := int64(cols[0].Len())
	if n != 100_000 || d.Rows() != n {
		t.Fatalf("%d rows read, %d announced; want 100,000", n, d.Rows())
	}
	if !array.SliceEqual(cols[0], 0, n/2, cols[0], n/2, n) {
		t.Error("ids of the two files differ")
	}
}
