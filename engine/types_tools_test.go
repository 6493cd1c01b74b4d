package engine_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/io/dataset"
)

// run plans and runs. Its error is the plan's or the run's; whichever it was,
// nothing may stand at the output's place after it.
func run(t *testing.T, opts engine.Options) (*engine.Summary, error) {
	t.Helper()
	lib := orttest.Library(t)
	if opts.Output == "" {
		t.Fatal("no output")
	}
	summary, err := func() (*engine.Summary, error) {
		plan, err := engine.NewPlan(t.Context(), opts)
		if err != nil {
			return nil, err
		}
		summary, err := plan.Run(t.Context(), lib, plan.NewProgress())
		return summary, errors.Join(err, plan.Close())
	}()
	if err != nil {
		if _, statErr := os.Stat(opts.Output); !errors.Is(statErr, os.ErrNotExist) {
			t.Errorf("run failed (%v) and the output is there; want none", err)
		}
	}
	return summary, err
}

// mustRun is run without an error.
func mustRun(t *testing.T, opts engine.Options) *engine.Summary {
	t.Helper()
	summary, err := run(t, opts)
	if err != nil {
		t.Fatalf("run = %v; want no error", err)
	}
	return summary
}

// fromJSON makes an array of JSON values, as arrow-go reads them.
func fromJSON(t *testing.T, dt arrow.DataType, values string) arrow.Array {
	t.Helper()
	a, _, err := array.FromJSON(memory.DefaultAllocator, dt, strings.NewReader(values))
	if err != nil {
		t.Fatalf("%s from JSON %s: %v", dt, values, err)
	}
	return a
}

// named is a column of a test's input or output.
type named struct {
	name   string
	values arrow.Array
}

func schemaOf(columns []named) *arrow.Schema {
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = arrow.Field{Name: c.name, Type: c.values.DataType(), Nullable: true}
	}
	return arrow.NewSchema(fields, nil)
}

func recordOf(columns []named) arrow.RecordBatch {
	arrays := make([]arrow.Array, len(columns))
	for i, c := range columns {
		arrays[i] = c.values
	}
	return array.NewRecordBatch(schemaOf(columns), arrays, int64(arrays[0].Len()))
}

// writeSpans writes an Arrow file with arrow-go's own writer, cut into spans of
// the given numbers of rows, over and over; none says one span.
func writeSpans(t *testing.T, path string, spans []int64, columns ...named) string {
	t.Helper()
	record := recordOf(columns)
	defer record.Release()
	var out bytes.Buffer
	w, err := ipc.NewFileWriter(&out, ipc.WithSchema(record.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	for i, at := 0, int64(0); at < record.NumRows(); i++ {
		n := record.NumRows() - at
		if len(spans) > 0 {
			n = min(n, spans[i%len(spans)])
		}
		slice := sliced(t, record, at, at+n)
		if err := w.Write(slice); err != nil {
			t.Fatal(err)
		}
		slice.Release()
		at += n
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, out.Bytes())
	return path
}

// sliced cuts rows out of a record. List views and dense unions are made anew,
// since arrow-go's writer panics on their slices.
func sliced(t *testing.T, record arrow.RecordBatch, from, to int64) arrow.RecordBatch {
	t.Helper()
	slice := record.NewSlice(from, to)
	columns := slices.Clone(slice.Columns())
	for i, c := range columns {
		switch c.DataType().ID() {
		case arrow.LIST_VIEW, arrow.LARGE_LIST_VIEW, arrow.DENSE_UNION:
			columns[i] = fromJSON(t, c.DataType(), jsonList(texts(t, c)))
		}
	}
	return array.NewRecordBatch(record.Schema(), columns, to-from)
}

// writeStream writes an Arrow stream of record batches, whose dictionaries may
// differ.
func writeStream(t *testing.T, path string, records ...arrow.RecordBatch) string {
	t.Helper()
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(records[0].Schema()))
	for _, r := range records {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, out.Bytes())
	return path
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// partsOf lists an output's data files in order.
func partsOf(t *testing.T, output string) []string {
	t.Helper()
	info, err := os.Stat(output)
	if err != nil {
		t.Fatal(err)
	}
	if !info.IsDir() {
		return []string{output}
	}
	parts, err := filepath.Glob(filepath.Join(output, "part-*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(parts)
	return parts
}

// readArrow reads an Arrow output with arrow-go's own reader.
func readArrow(t *testing.T, output string) (*arrow.Schema, []arrow.RecordBatch) {
	t.Helper()
	var schema *arrow.Schema
	var records []arrow.RecordBatch
	for _, path := range partsOf(t, output) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := ipc.NewFileReader(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if schema != nil && !schema.Equal(r.Schema()) {
			t.Errorf("%s has schema %s; want %s", path, r.Schema(), schema)
		}
		schema = r.Schema()
		for i := range r.NumRecords() {
			rec, err := r.RecordBatchAt(i)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			records = append(records, rec)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return schema, records
}

// readDataset reads an output of any readable format with millrace's readers.
func readDataset(t *testing.T, output string) (*arrow.Schema, []arrow.RecordBatch) {
	t.Helper()
	paths, err := dataset.Resolve([]string{output})
	if err != nil {
		t.Fatal(err)
	}
	data, err := dataset.Open(t.Context(), paths, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, data.Schema().NumFields())
	for _, f := range data.Schema().Fields() {
		names = append(names, f.Name)
	}
	var records []arrow.RecordBatch
	for _, part := range data.Parts(math.MaxInt64) {
		for _, span := range part.Spans {
			err := data.ReadSpan(t.Context(), span, names, func(b arrow.RecordBatch) error {
				b.Retain()
				records = append(records, b)
				t.Cleanup(b.Release)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := data.Close(); err != nil {
		t.Fatal(err)
	}
	return data.Schema(), records
}

// readBack reads an output that is no CSV.
func readBack(t *testing.T, output string) (*arrow.Schema, []arrow.RecordBatch) {
	t.Helper()
	if strings.HasSuffix(partsOf(t, output)[0], ".arrow") {
		return readArrow(t, output)
	}
	return readDataset(t, output)
}

// readCSV reads CSV outputs, whose headers must be equal, as rows of text; an
// empty text is a null.
func readCSV(t *testing.T, output string) (header []string, rows [][]string) {
	t.Helper()
	for _, path := range partsOf(t, output) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if header != nil && !slices.Equal(header, all[0]) {
			t.Errorf("%s has header %q; want %q", path, all[0], header)
		}
		header = all[0]
		rows = append(rows, all[1:]...)
	}
	return header, rows
}

// texts are the values of a column as JSON, row by row, which makes arrays of
// different chunks, dictionaries and encodings comparable.
func texts(t *testing.T, a arrow.Array) []string {
	t.Helper()
	out := make([]string, a.Len())
	for i := range out {
		value := a.GetOneForMarshal(i)
		if b, ok := value.([]byte); ok && b == nil && a.IsValid(i) {
			value = "" // of no bytes
		}
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatalf("%s: %v", a.DataType(), err)
		}
		out[i] = string(text)
	}
	return out
}

// columnTexts are texts of one column of all records.
func columnTexts(t *testing.T, records []arrow.RecordBatch, column int) []string {
	t.Helper()
	out := make([]string, 0, len(records))
	for _, r := range records {
		out = append(out, texts(t, r.Column(column))...)
	}
	return out
}

// checkColumn compares one column of records with an array, value by value.
func checkColumn(t *testing.T, schema *arrow.Schema, records []arrow.RecordBatch, name string, want arrow.Array) {
	t.Helper()
	at := schema.FieldIndices(name)
	if len(at) != 1 {
		t.Errorf("column %q stands %d times in %s; want once", name, len(at), schema)
		return
	}
	// Parquet calls the values of a list "element".
	if got, want := schema.Field(at[0]).Type.String(), want.DataType().String(); strings.ReplaceAll(got, "element:", "item:") != want {
		t.Errorf("column %q has type %s; want %s", name, got, want)
	}
	if got, want := columnTexts(t, records, at[0]), texts(t, want); !slices.Equal(got, want) {
		t.Errorf("column %q = %s; want %s", name, got, want)
	}
	row := 0
	for _, r := range records {
		got := r.Column(at[0])
		if row+got.Len() > want.Len() {
			return // reported above
		}
		slice := array.NewSlice(want, int64(row), int64(row+got.Len()))
		// Dictionaries may differ where the values are the same.
		if want.DataType().ID() != arrow.DICTIONARY && arrow.TypeEqual(got.DataType(), want.DataType()) &&
			!array.ApproxEqual(got, slice, array.WithNaNsEqual(true), array.WithAbsTolerance(0)) {
			t.Errorf("column %q from row %d = %s; want %s", name, row, got, slice)
		}
		slice.Release()
		row += got.Len()
	}
}
