package engine_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/format"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// Every row of every kind of text is found in its input, and scored in its batch.
func TestReplayOfText(t *testing.T) {
	slow(t)
	dir := t.TempDir()
	powers(t, filepath.Join(dir, "in.arrow"), 0, 31, 7, 3, 12, 2, 2)
	model := batchSum(t)
	for _, c := range []struct {
		output string
		change func(o *engine.Options)
	}{
		{"one.csv", nil},
		{"one.csv.gz", nil},
		{"one.tsv", nil},
		{"one.jsonl", nil},
		{"one.ndjson.zst", nil},
		{"parts", func(o *engine.Options) { o.Format, o.Delimiter = format.CSV, ";" }},
		{"zipped", func(o *engine.Options) { o.Format, o.Compression = format.JSONLines, "gzip" }},
		{"folders", func(o *engine.Options) { o.Format, o.Keep, o.PartitionBy = format.CSV, []string{"a"}, []string{"id"} }},
		{"guarded.csv", func(o *engine.Options) { o.SpreadsheetSafe, o.OutputPrefix = true, "=" }},
	} {
		out := filepath.Join(dir, c.output)
		opts := engine.Options{Model: model, Inputs: []string{filepath.Join(dir, "in.arrow")}, Output: out, IDs: []string{"id"}, BatchRows: 4, PartRows: 11, Workers: 2}
		if c.change != nil {
			c.change(&opts)
		}
		mustRun(t, opts)
		for id := range 31 {
			r := replay(t, replayOf(t, out, id))
			if len(r.Rows) != 1 || r.Equal != 1 || r.Rows[0].InputRow != int64(id) || len(r.Notes) > 0 {
				t.Fatalf("%s, id %d: %+v; want one row, equal", c.output, id, r)
			}
		}
	}
}

// typed are two values of a type, as JSON.
type typed struct {
	is     arrow.DataType
	values string
}

// writeTypes writes a file of two rows: an id, a list v of what a model takes, and columns of
// types, whose names it gives.
func writeTypes(t *testing.T, path string, types []typed) (names []string) {
	t.Helper()
	columns := append(make([]named, 0, 2+len(types)),
		named{"id", fromJSON(t, arrow.PrimitiveTypes.Int64, `[1,2]`)},
		named{"v", fromJSON(t, arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Float32), `[[1.5,-2],[0.1,1e30]]`)})
	for i, c := range types {
		names = append(names, fmt.Sprintf("c%d", i))
		columns = append(columns, named{names[i], fromJSON(t, c.is, c.values)})
	}
	writeSpans(t, path, nil, columns...)
	return names
}

// Values of types that text does not have are compared as the file has them.
func TestReplayOfTypesAsText(t *testing.T) {
	slow(t)
	dir := t.TempDir()
	keep := writeTypes(t, filepath.Join(dir, "in.arrow"), []typed{
		{arrow.BinaryTypes.String, `["=a,\"b\"\nc", ""]`},
		{arrow.BinaryTypes.LargeString, `["x", null]`},
		{&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, `["-1", "ü"]`},
		{arrow.BinaryTypes.Binary, `["AAEC", "/+8="]`},
		{arrow.FixedWidthTypes.Boolean, `[true, null]`},
		{arrow.FixedWidthTypes.Date32, `["2013-01-31", null]`},
		{arrow.FixedWidthTypes.Time32ms, `["17:05:00.25", "00:00:00"]`},
		{&arrow.TimestampType{Unit: arrow.Nanosecond}, `["2013-01-31 17:05:00.123456789", null]`},
		{&arrow.TimestampType{Unit: arrow.Second, TimeZone: "Europe/Berlin"}, `["2013-01-31 17:05:00Z", "2013-07-31 17:05:00Z"]`},
		{arrow.FixedWidthTypes.Duration_ms, `["1500ms", null]`},
		{&arrow.Decimal128Type{Precision: 10, Scale: 2}, `["1.50", "-0.07"]`},
		{&arrow.Decimal256Type{Precision: 60, Scale: 3}, `["1.500", "-0.070"]`},
		{arrow.PrimitiveTypes.Float64, `[0.1, 1e-300]`},
		{arrow.FixedWidthTypes.Float16, `[0.1, 60000]`},
		{arrow.PrimitiveTypes.Uint64, `[18446744073709551615, 0]`},
		{arrow.ListOf(arrow.BinaryTypes.String), `[["a\"b", null], []]`},
		{arrow.StructOf(arrow.Field{Name: "x", Type: arrow.PrimitiveTypes.Float64, Nullable: true}), `[{"x": 1.5}, {"x": null}]`},
	})
	model := onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 2))
	for _, output := range []string{"out.csv", "safe.csv", "out.jsonl"} {
		out := filepath.Join(dir, output)
		mustRun(t, engine.Options{
			Model: model, Bind: map[string][]string{"x": {"v"}}, Inputs: []string{filepath.Join(dir, "in.arrow")}, Output: out,
			IDs: []string{"id"}, Keep: keep, SpreadsheetSafe: output == "safe.csv", Layout: engine.LayoutList,
		})
		for id := 1; id <= 2; id++ {
			r := replay(t, replayOf(t, out, id))
			if r.Equal != 1 || len(r.Rows[0].Columns) != len(keep)+1 || len(r.Rows[0].Predictions) != 1 {
				t.Errorf("%s, id %d: %+v; want one prediction, equal, and %d columns", output, id, r, len(keep)+1)
			}
		}
		edit(t, out, "0.1,1e+30]", "0.1,1.1e+30]")
		r := replay(t, replayOf(t, out, 2))
		if p := r.Rows[0].Predictions[0]; r.Different != 1 || p.Element == nil || *p.Element != 1 || p.Recorded != "1.1e+30" || p.Again != "1e+30" {
			t.Errorf("%s, an element that was changed: %+v; want it named, with both numbers", output, r)
		}
		edit(t, out, "17:05:00.123456789", "17:05:00.123456788")
		if _, err := replayOf(t, out, 1).Replay(t.Context()); !errors.Is(err, format.ErrChanged) || !strings.Contains(err.Error(), `its column "c7"`) {
			t.Errorf("%s, a time that was changed: %v; want ErrChanged with its column", output, err)
		}
	}
}

// Where JSON has null for a NaN, the two are one.
func TestReplayOfNaNAsJSON(t *testing.T) {
	slow(t)
	dir := t.TempDir()
	nan := fromJSON(t, arrow.PrimitiveTypes.Float32, `["NaN", "-Inf", 2.5]`)
	writeSpans(t, filepath.Join(dir, "in.arrow"), nil, named{"id", fromJSON(t, arrow.PrimitiveTypes.Int64, `[0,1,2]`)}, named{"a", nan})
	for output, equal := range map[string]int{"out.jsonl": 2, "out.csv": 2} {
		out := filepath.Join(dir, output)
		mustRun(t, engine.Options{
			Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1)), Bind: map[string][]string{"x": {"a"}},
			Inputs: []string{filepath.Join(dir, "in.arrow")}, Output: out, IDs: []string{"id"},
		})
		got := 0
		for id := range 2 {
			got += replay(t, replayOf(t, out, id)).Equal
		}
		if got != equal {
			t.Errorf("%s: %d of NaN and -Inf are equal; want %d", output, got, equal)
		}
	}
	edit(t, filepath.Join(dir, "out.jsonl"), `2.5`, `null`)
	if r := replay(t, replayOf(t, filepath.Join(dir, "out.jsonl"), 2)); r.Different != 1 {
		t.Errorf("a number that became null: %+v; want it different", r)
	}
}

// A broken line elsewhere is said, and does not keep a row from being found.
func TestReplayPassesOverBrokenLines(t *testing.T) {
	slow(t)
	out := publishedText(t)
	edit(t, out, "4,16\n", "4,16,17\n")
	r := replay(t, replayOf(t, out, 2))
	if r.Equal != 1 || !strings.Contains(strings.Join(r.Notes, "\n"), "1 lines that are not as its run wrote them") {
		t.Errorf("%+v; want an equal row, and a note of the line", r)
	}
	if _, err := replayOf(t, out, 4).Replay(t.Context()); !errors.Is(err, engine.ErrNoRow) {
		t.Errorf("the broken one: %v; want ErrNoRow", err)
	}
	edit(t, out, "id,y\n", "id,why\n")
	if _, err := replayOf(t, out, 2).Replay(t.Context()); !errors.Is(err, ledger.ErrUnsound) {
		t.Errorf("another header: %v; want ErrUnsound", err)
	}
}

// publishedText is published as CSV.
func publishedText(t *testing.T) (out string) {
	t.Helper()
	dir := published(t)
	out = filepath.Join(dir, "out.csv")
	mustRun(t, engine.Options{
		Model: filepath.Join(dir, "m.onnx"), Bind: map[string][]string{"x": {"a"}}, Inputs: []string{filepath.Join(dir, "in.arrow")}, Output: out, IDs: []string{"id"},
	})
	return out
}

// edit replaces the one place of a text in a file.
func edit(t *testing.T, path, from, to string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil || strings.Count(string(data), from) != 1 {
		t.Fatalf("%s has %q %d times, %v: %s", path, from, strings.Count(string(data), from), err, data)
	}
	writeFile(t, path, []byte(strings.Replace(string(data), from, to, 1)))
}
