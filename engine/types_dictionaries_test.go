package engine_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/io/format"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// dictionaryBatch is a record batch of x, 0, 1, ... (or null), and of k, a
// dictionary array with the given values and indices; index -1 is a null.
func dictionaryBatch(t *testing.T, dt *arrow.DictionaryType, x []string, values string, indices ...int) arrow.RecordBatch {
	t.Helper()
	text := make([]string, len(indices))
	for i, at := range indices {
		text[i] = strconv.Itoa(at)
		if at < 0 {
			text[i] = "null"
		}
	}
	k := array.NewDictionaryArray(dt, fromJSON(t, dt.IndexType, jsonList(text)), fromJSON(t, dt.ValueType, values))
	return recordOf([]named{{"x", fromJSON(t, arrow.PrimitiveTypes.Float32, jsonList(x))}, {"k", k}})
}

// Dictionaries that differ between batches, between files, and within a batch
// that joins spans, keep type and values in each format, whatever the number of
// workers.
func TestDictionariesThatChange(t *testing.T) {
	model := onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N"))
	for _, dt := range []*arrow.DictionaryType{
		{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String},
		{IndexType: arrow.PrimitiveTypes.Uint16, ValueType: arrow.BinaryTypes.LargeString},
		{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String},
		{IndexType: arrow.PrimitiveTypes.Uint64, ValueType: arrow.BinaryTypes.StringView},
	} {
		t.Run(dt.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			one := writeStream(t, filepath.Join(dir, "1.arrow"),
				dictionaryBatch(t, dt, []string{"0", "1", "null", "3", "4"}, `["a", "b"]`, 0, 1, 0, -1, 1),
				dictionaryBatch(t, dt, []string{"5"}, `["b", "c"]`, 1),
				dictionaryBatch(t, dt, []string{"6"}, `["b", "c", "a"]`, 2),
				dictionaryBatch(t, dt, []string{"7"}, `["d", null]`, 1))
			two := writeStream(t, filepath.Join(dir, "2.arrow"),
				dictionaryBatch(t, dt, []string{"8", "9"}, `["z", "a", "z"]`, 2, 1),
				dictionaryBatch(t, dt, []string{"null", "11"}, `["z", "a", "z"]`, 0, 1))
			want := []string{`"a"`, `"b"`, "null", `"b"`, `"c"`, `"a"`, "null", `"z"`, `"a"`, `"a"`}
			for _, batch := range []int{1, 2, 3, 100} {
				for _, file := range []string{"out.arrow", "out.parquet", "out.csv"} {
					var sums []string
					for _, workers := range []int{1, 3} {
						opts := engine.Options{
							Model: model, Inputs: []string{one, two}, Output: filepath.Join(dir, fmt.Sprint(batch, workers), file), Keep: []string{"k"},
							BatchRows: batch, Workers: workers, MaxRejects: -1, Nulls: batcher.NullPolicies{Default: batcher.ParseNullPolicy("reject")},
						}
						sums = append(sums, mustRun(t, opts).Outputs[0].SHA256)
						if file == "out.csv" {
							_, rows := readCSV(t, opts.Output)
							got := make([]string, len(rows))
							for i, row := range rows {
								got[i] = strings.ReplaceAll(fmt.Sprintf("%q", row[0]), `""`, "null")
							}
							if !slices.Equal(got, want) {
								t.Errorf("batches of %d: %s = %s; want %s", batch, file, got, want)
							}
							continue
						}
						schema, records := readBack(t, opts.Output)
						wantType := arrow.DataType(dt)
						if file == "out.parquet" {
							wantType = dt.ValueType
							if wantType.ID() == arrow.STRING_VIEW { // stored as text
								wantType = arrow.BinaryTypes.String
							}
						}
						if got := schema.Field(0).Type.String(); got != wantType.String() {
							t.Errorf("batches of %d: %s has %s; want %s", batch, file, got, wantType)
						}
						if got := columnTexts(t, records, 0); !slices.Equal(got, want) {
							t.Errorf("batches of %d: %s = %s; want %s", batch, file, got, want)
						}
					}
					if sums[0] != sums[1] {
						t.Errorf("batches of %d: %s differs with the number of workers", batch, file)
					}
				}
			}
		})
	}
}

// manyWords is n words as JSON, from number first on.
func manyWords(first, n int) (values string, indices []int, x []string) {
	words := make([]string, n)
	for i := range n {
		words[i] = fmt.Sprintf("%q", fmt.Sprintf("w%d", first+i))
		indices, x = append(indices, i), append(x, strconv.Itoa(first+i))
	}
	return jsonList(words), indices, x
}

// Dictionaries that together have more values than their indices can count, and
// ordered ones that change, cannot be one dictionary of an Arrow file: the run
// fails, and says what to do. Parquet and CSV hold values and take them.
func TestDictionariesThatCannotBeMerged(t *testing.T) {
	model := onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N"))
	for _, c := range []struct {
		why   string
		dt    *arrow.DictionaryType
		words int // of each of two batches
		ok    bool
	}{
		{"128 values fit into int8", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, 64, true},
		{"130 values do not fit into int8", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, 65, false},
		{"256 values fit into uint8", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint8, ValueType: arrow.BinaryTypes.String}, 128, true},
		{"ordered values have no common order", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String, Ordered: true}, 2, false},
	} {
		for _, batch := range []int{10, 1000} { // within spans, and over both
			dir := t.TempDir()
			records := make([]arrow.RecordBatch, 0, 2)
			want := make([]string, 0, 2*c.words)
			for i := range 2 {
				values, indices, x := manyWords(i*c.words, c.words)
				records = append(records, dictionaryBatch(t, c.dt, x, values, indices...))
				want = append(want, texts(t, records[i].Column(1))...)
			}
			opts := engine.Options{
				Model: model, Inputs: []string{writeStream(t, filepath.Join(dir, "in.arrow"), records...)},
				Keep: []string{"k"}, BatchRows: batch, Output: filepath.Join(dir, "out.arrow"),
			}
			_, err := run(t, opts)
			switch {
			case c.ok && err != nil:
				t.Errorf("%s: batches of %d: run = %v; want no error", c.why, batch, err)
			case !c.ok && (!errors.Is(err, format.ErrColumnType) || !strings.Contains(err.Error(), `"k"`)):
				t.Errorf("%s: batches of %d: run = %v; want an error that wraps %v and names \"k\"", c.why, batch, err, format.ErrColumnType)
			}
			opts.Output = filepath.Join(dir, "out.parquet")
			mustRun(t, opts)
			_, got := readBack(t, opts.Output)
			if got := columnTexts(t, got, 0); !slices.Equal(got, want) {
				t.Errorf("%s: batches of %d: Parquet = %s; want %s", c.why, batch, got, want)
			}
			opts.Output = filepath.Join(dir, "out.csv")
			mustRun(t, opts)
			if _, rows := readCSV(t, opts.Output); len(rows) != len(want) {
				t.Errorf("%s: batches of %d: CSV has %d rows; want %d", c.why, batch, len(rows), len(want))
			}
		}
	}
}

// An ordered dictionary that is the same in all batches stays ordered.
func TestOrderedDictionaryStays(t *testing.T) {
	dt := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String, Ordered: true}
	dir := t.TempDir()
	opts := engine.Options{
		Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N")), Keep: []string{"k"}, BatchRows: 2,
		Inputs: []string{writeStream(t, filepath.Join(dir, "in.arrow"),
			dictionaryBatch(t, dt, []string{"0", "1", "2"}, `["low", "high"]`, 0, 1, -1),
			dictionaryBatch(t, dt, []string{"3"}, `["low", "high"]`, 1))},
		Output: filepath.Join(dir, "out.arrow"),
	}
	mustRun(t, opts)
	schema, records := readBack(t, opts.Output)
	if got := schema.Field(0).Type.String(); got != dt.String() {
		t.Errorf("type = %s; want %s", got, dt)
	}
	want := []string{`"low"`, `"high"`, "null", `"high"`}
	if got := columnTexts(t, records, 0); !slices.Equal(got, want) {
		t.Errorf("k = %s; want %s", got, want)
	}
}
