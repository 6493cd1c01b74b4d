package engine_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/parquetfile"
)

// wideColumns are rows of inputs of three types and of kept columns, with nulls
// in all of them.
func wideColumns(t *testing.T, rows int) []named {
	t.Helper()
	column := func(dt arrow.DataType, every int, value func(i int) string) arrow.Array {
		values := make([]string, rows)
		for i := range values {
			values[i] = value(i)
			if i%every == every-1 {
				values[i] = "null"
			}
		}
		return fromJSON(t, dt, jsonList(values))
	}
	number := func(i int) string { return strconv.Itoa(i % 97) }
	word := func(i int) string { return fmt.Sprintf(`"word %d"`, i*i%31) }
	return []named{
		{"id", column(arrow.PrimitiveTypes.Int64, rows+1, strconv.Itoa)},
		{"x0", column(arrow.PrimitiveTypes.Float32, 11, number)},
		{"x1", column(arrow.BinaryTypes.String, 7, word)},
		{"x2", column(arrow.FixedSizeListOf(3, arrow.PrimitiveTypes.Int8), rows+1, func(i int) string { return fmt.Sprintf("[%d,%d,%d]", i%5, i%7, -(i % 9)) })},
		{"flag", column(arrow.FixedWidthTypes.Boolean, 5, func(i int) string { return strconv.FormatBool(i%3 == 0) })},
		{"small", column(arrow.PrimitiveTypes.Int8, 3, number)},
		{"word", column(dictionary(arrow.PrimitiveTypes.Int16, arrow.BinaryTypes.String), 4, word)},
		{"list", column(arrow.ListOf(arrow.PrimitiveTypes.Int16), 6, func(i int) string { return jsonList(counting(i % 4)) })},
	}
}

// writeParquet writes a Parquet file; arrow-go's own writer repeats the first
// rows of fixed size lists in each row group.
func writeParquet(t *testing.T, path string, groupRows int, columns ...named) string {
	t.Helper()
	record := recordOf(columns)
	defer record.Release()
	var out bytes.Buffer
	w, err := parquetfile.NewWriter(&out, record.Schema(), format.WriteOptions{RowGroupRows: groupRows})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(record), w.Close()); err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, out.Bytes())
	return path
}

// sums are the digests of an output's data files, which the summary must agree
// with.
func sums(t *testing.T, summary *engine.Summary, output string) []string {
	t.Helper()
	parts := partsOf(t, output)
	all := make([]string, 0, len(parts))
	for i, path := range parts {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		all = append(all, hex.EncodeToString(sum[:]))
		if all[i] != summary.Outputs[i].SHA256 {
			t.Errorf("%s has digest %s; the summary says %s", path, all[i], summary.Outputs[i].SHA256)
		}
	}
	return all
}

// The same plan gives the same bytes whatever the numbers of workers and
// readers, from Arrow and from Parquet, into each format; and Parquet and CSV
// give the same bytes for the same rows in other files and spans, as long as
// the parts are the same.
func TestOutputsAreTheSameBytes(t *testing.T) {
	const rows = 2500
	dir := t.TempDir()
	columns := wideColumns(t, rows)
	model := identities(t,
		[]element{elementNamed(t, "float32"), elementNamed(t, "string"), elementNamed(t, "int8")},
		[][]any{{"N"}, {"N", 1}, {"N", 3}}, []int{2, 1, 1})
	inputs := map[string][]string{
		"arrow":   {writeSpans(t, filepath.Join(dir, "in.arrow"), []int64{300, 7, 1, 1, 90}, columns...)},
		"parquet": {writeParquet(t, filepath.Join(dir, "in.parquet"), 410, columns...)},
	}
	// The same rows in three files.
	record := recordOf(columns)
	pieces := make([]string, 0, 3)
	for i, edge := range [][2]int64{{0, 900}, {900, 901}, {901, rows}} {
		piece := record.NewSlice(edge[0], edge[1])
		part := make([]named, len(columns))
		for k, c := range columns {
			part[k] = named{c.name, piece.Column(k)}
		}
		pieces = append(pieces, writeSpans(t, filepath.Join(dir, fmt.Sprint("piece", i, ".arrow")), []int64{64}, part...))
	}
	for _, f := range []format.Name{format.Parquet, format.ArrowFile, format.CSV} {
		for from, in := range inputs {
			t.Run(string(f)+" from "+from, func(t *testing.T) {
				t.Parallel()
				opts := engine.Options{
					Model: model, Inputs: in, Format: f, IDs: []string{"id"}, Keep: []string{"flag", "small", "word", "list"},
					BatchRows: 61, PartRows: 1000, MaxRejects: -1,
					Nulls: batcher.NullPolicies{Default: batcher.ParseNullPolicy("reject"), ByColumn: map[string]batcher.NullPolicy{"x1": batcher.ParseNullPolicy("none")}},
				}
				var want []string
				n := 0
				for _, workers := range []int{1, 2, 5} {
					for _, readers := range []int{1, 3} {
						opts.Workers, opts.Readers, opts.Output = workers, readers, filepath.Join(dir, string(f)+from, strconv.Itoa(n))
						n++
						got := sums(t, mustRun(t, opts), opts.Output)
						if want == nil {
							want = got
						}
						if !slices.Equal(got, want) {
							t.Errorf("%d workers, %d readers: digests = %q; want %q", workers, readers, got, want)
						}
					}
				}
				if len(want) < 2 {
					t.Errorf("%d parts; want several", len(want))
				}
				if f == format.ArrowFile || from == "parquet" {
					return
				}
				opts.PartRows = rows
				var single []string
				same := [][]string{in, pieces}
				if f == format.CSV { // Parquet has the dictionary as its values
					same = append(same, inputs["parquet"])
				}
				for i, in := range same {
					opts.Inputs, opts.Output = in, filepath.Join(dir, string(f)+from, fmt.Sprint("one", i))
					got := sums(t, mustRun(t, opts), opts.Output)
					if single == nil {
						single = got
					}
					if !slices.Equal(got, single) {
						t.Errorf("the same rows in %d files: digests = %q; want %q", len(in), got, single)
					}
				}
			})
		}
	}
}

func elementNamed(t *testing.T, name string) element {
	t.Helper()
	i := slices.IndexFunc(elements, func(e element) bool { return e.name == name })
	if i < 0 {
		t.Fatalf("no element %q", name)
	}
	return elements[i]
}
