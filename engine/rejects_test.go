package engine_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/io/format"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// rejectsOf is the path of a published output's rejects.
func rejectsOf(t *testing.T, output string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(output, "_millrace", "*", "*"))
	if err != nil || len(files) != 3 || filepath.Base(files[2]) != "rejects.parquet" {
		t.Fatalf("a run of its own has the files %q, %v; want manifest.json, manifest.sha256 and rejects.parquet", files, err)
	}
	return files[2]
}

func fieldNames(schema *arrow.Schema) []string {
	names := make([]string, schema.NumFields())
	for i, f := range schema.Fields() {
		names[i] = f.Name
	}
	return names
}

func nullPolicies(policy string) batcher.NullPolicies {
	return batcher.NullPolicies{Default: batcher.ParseNullPolicy(policy)}
}

// rejectedRow says which rows of wideColumns have a null in x0 or x1, and which
// column is the first.
func rejectedRow(row int) (column string, rejected bool) {
	if row%11 == 10 {
		return "x0", true
	}
	return "x1", row%7 == 6
}

// Rejects are in the input's order and the same bytes, however many workers wrote the
// parts, from files of several spans and from several files.
func TestRejectsAreInOrder(t *testing.T) {
	const rows = 2500
	dir := t.TempDir()
	columns := wideColumns(t, rows)
	model := identities(t, []element{elementNamed(t, "float32"), elementNamed(t, "string"), elementNamed(t, "int8")}, [][]any{{"N"}, {"N", 1}, {"N", 3}}, []int{2, 1, 1})
	inputs := map[string]string{
		"arrow":   writeSpans(t, filepath.Join(dir, "in.arrow"), []int64{300, 7, 1, 1, 90}, columns...),
		"parquet": writeParquet(t, filepath.Join(dir, "in.parquet"), 410, columns...),
	}
	var wantRows, wantColumns, wantIDs []string
	for range 2 {
		for row := range rows {
			if column, rejected := rejectedRow(row); rejected {
				wantRows, wantIDs = append(wantRows, strconv.Itoa(row)), append(wantIDs, strconv.Itoa(row))
				wantColumns = append(wantColumns, strconv.Quote(column))
			}
		}
	}
	wantFeatures := []engine.FeatureSummary{
		{Input: "x0", Column: "x0", Nulls: 2 * (rows / 11), Policy: "reject"}, {Input: "x1", Column: "x1", Nulls: 2 * (rows / 7), Policy: "reject"},
	}
	for from, in := range inputs {
		var first []byte
		for _, workers := range []int{1, 2, 5} {
			opts := engine.Options{
				Model: model, Inputs: []string{in, in}, Format: format.ArrowFile, IDs: []string{"id"}, Keep: []string{"word", "list"},
				BatchRows: 61, PartRows: 700, MaxRejects: -1, Workers: workers, Nulls: nullPolicies("reject"),
				Output: filepath.Join(dir, from, strconv.Itoa(workers)),
			}
			summary := mustRun(t, opts)
			if summary.Rejects.Rows != int64(len(wantRows)) || len(summary.Outputs) < 4 {
				t.Errorf("%s: %d parts, rejects = %+v; want several parts, %d rows", from, len(summary.Outputs), summary.Rejects, len(wantRows))
			}
			if diff := cmp.Diff(wantFeatures, summary.Features); diff != "" {
				t.Errorf("%s, %d workers: features (-want +got):\n%s", from, workers, diff)
			}
			data, err := os.ReadFile(rejectsOf(t, opts.Output))
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = data
			}
			if !slices.Equal(data, first) {
				t.Errorf("%s, %d workers: rejects are %d bytes, other than the %d of one worker", from, workers, len(data), len(first))
			}
			schema, records := readDataset(t, rejectsOf(t, opts.Output))
			checkColumn(t, schema, records, "row", fromJSON(t, arrow.PrimitiveTypes.Int64, jsonList(wantRows)))
			checkColumn(t, schema, records, "column", fromJSON(t, arrow.BinaryTypes.String, jsonList(wantColumns)))
			checkColumn(t, schema, records, "id", fromJSON(t, arrow.PrimitiveTypes.Int64, jsonList(wantIDs)))
			if got, want := fieldNames(schema), []string{"file", "row", "column", "stage", "reason", "id", "word", "list", "x0", "x1", "x2"}; !slices.Equal(got, want) {
				t.Errorf("%s: columns = %q; want %q", from, got, want)
			}
		}
	}
}

// Rejected rows are scored again by the same settings but for the policy, to what
// they would have become at first; and what is rejected again can be scored again.
func TestRejectsAreScoredAgain(t *testing.T) {
	const rows = 300
	dir := t.TempDir()
	columns := wideColumns(t, rows)
	var rejected []int
	for row := range rows {
		if _, ok := rejectedRow(row); ok {
			rejected = append(rejected, row)
		}
	}
	model := identities(t, []element{elementNamed(t, "float32"), elementNamed(t, "string"), elementNamed(t, "int8")}, [][]any{{"N"}, {"N", 1}, {"N", 3}}, []int{2, 1, 1})
	opts := engine.Options{
		Model: model, Inputs: []string{writeParquet(t, filepath.Join(dir, "in.parquet"), 40, columns...)}, Format: format.ArrowFile,
		IDs: []string{"id"}, Keep: []string{"flag", "list"}, BatchRows: 16, PartRows: 100, MaxRejects: -1, Nulls: nullPolicies("reject"),
		Output: filepath.Join(dir, "first"),
	}
	mustRun(t, opts)

	filled := opts
	filled.Nulls, filled.Output = nullPolicies("7"), filepath.Join(dir, "filled")
	mustRun(t, filled)
	schema, whole := readBack(t, filled.Output)

	again := opts
	for _, turn := range []string{"again", "once more"} {
		again.Inputs = []string{rejectsOf(t, again.Output)}
		again.Nulls, again.Output = nullPolicies("7"), filepath.Join(dir, turn)
		if s := mustRun(t, again); s.Rows.Scored != int64(len(rejected)) {
			t.Errorf("%s: rows = %+v; want %d scored", turn, s.Rows, len(rejected))
		}
		got, records := readBack(t, again.Output)
		if !slices.Equal(fieldNames(got), fieldNames(schema)) {
			t.Errorf("%s: columns = %q; want %q", turn, fieldNames(got), fieldNames(schema))
		}
		for i, name := range fieldNames(schema) {
			all := columnTexts(t, whole, i)
			want := make([]string, len(rejected))
			for k, row := range rejected {
				want[k] = all[row]
			}
			if texts := columnTexts(t, records, i); !slices.Equal(texts, want) {
				t.Errorf("%s: column %q = %s; want %s", turn, name, texts, want)
			}
		}
		again.Nulls, again.Keep, again.Output = nullPolicies("reject"), []string{"flag", "list", "reason"}, filepath.Join(dir, turn+", rejected")
		if s := mustRun(t, again); s.Rows.Rejected != int64(len(rejected)) {
			t.Fatalf("%s: rows = %+v; want all rejected", turn, s.Rows)
		}
		again.Keep = opts.Keep
	}
	schema, _ = readDataset(t, rejectsOf(t, again.Output))
	if got, want := fieldNames(schema), []string{"file", "row", "column", "stage", "reject_reason", "id", "flag", "list", "reason", "x0", "x1", "x2"}; !slices.Equal(got, want) {
		t.Errorf("rejects of rejects have columns %q; want %q", got, want)
	}
}

// A reason gives way to a column and to a model's input of its name, and times in
// seconds keep their count, which Parquet alone would make milliseconds.
func TestRejectsKeepWhatTheModelReads(t *testing.T) {
	dir := t.TempDir()
	g := onnxtest.Graph(
		onnxtest.Values(onnxtest.Tensor("reason", pb.TensorProto_FLOAT, "N"), onnxtest.Tensor("at", pb.TensorProto_INT64, "N"), onnxtest.Tensor("clock", pb.TensorProto_INT32, "N")),
		onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N"), onnxtest.Tensor("z", pb.TensorProto_INT64, "N"), onnxtest.Tensor("c", pb.TensorProto_INT32, "N")),
		onnxtest.Node("Identity", onnxtest.Names("reason"), onnxtest.Names("y")), onnxtest.Node("Identity", onnxtest.Names("at"), onnxtest.Names("z")),
		onnxtest.Node("Identity", onnxtest.Names("clock"), onnxtest.Names("c")))
	seconds := &arrow.TimestampType{Unit: arrow.Second}
	opts := engine.Options{
		Model: onnxtest.Write(t, onnxtest.Model(g)), Bind: map[string][]string{"reason": {"x"}},
		Inputs: []string{writeSpans(t, filepath.Join(dir, "in.arrow"), nil,
			named{"x", fromJSON(t, arrow.PrimitiveTypes.Float32, `[null, 1, null]`)},
			named{"at", fromJSON(t, seconds, `["1970-01-01 00:00:07", "1970-01-01 00:00:08", "1970-01-01 00:01:00"]`)},
			named{"clock", fromJSON(t, arrow.FixedWidthTypes.Time32s, `["00:00:01", "00:00:02", "00:00:03"]`)},
			named{"file", fromJSON(t, arrow.BinaryTypes.String, `["a", "b", "c"]`)})},
		IDs: []string{"file"}, Output: filepath.Join(dir, "out"), Nulls: nullPolicies("reject"), MaxRejects: -1,
	}
	mustRun(t, opts)
	schema, records := readDataset(t, rejectsOf(t, opts.Output))
	if got, want := fieldNames(schema), []string{"reject_file", "row", "column", "stage", "reject_reason", "file", "x", "at", "clock"}; !slices.Equal(got, want) {
		t.Errorf("columns of rejects = %q; want %q", got, want)
	}
	checkColumn(t, schema, records, "at", fromJSON(t, arrow.PrimitiveTypes.Int64, `[7, 60]`))
	again := opts
	again.Inputs, again.Nulls, again.Output = []string{rejectsOf(t, opts.Output)}, nullPolicies("0"), filepath.Join(dir, "again.arrow")
	mustRun(t, again)
	schema, records = readBack(t, again.Output)
	checkColumn(t, schema, records, "file", fromJSON(t, arrow.BinaryTypes.String, `["a", "c"]`))
	checkColumn(t, schema, records, "z", fromJSON(t, arrow.PrimitiveTypes.Int64, `[7, 60]`))
	checkColumn(t, schema, records, "c", fromJSON(t, arrow.PrimitiveTypes.Int32, `[1, 3]`))

	list := arrow.FixedSizeListOf(1, seconds)
	opts.Model = onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_INT64, "N", 1))
	opts.Inputs = []string{writeSpans(t, filepath.Join(dir, "lists.arrow"), nil, named{"x", fromJSON(t, list, `[null]`)})}
	opts.Bind, opts.IDs, opts.Output = nil, nil, filepath.Join(dir, "lists")
	_, err := run(t, opts)
	checkRefused(t, err, "x", list)
}

// Whatever a column's dictionaries are from batch to batch, rejects have its values.
func TestRejectsOfManyDictionaries(t *testing.T) {
	dir := t.TempDir()
	word := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String, Ordered: true}
	records := make([]arrow.RecordBatch, 4)
	want := make([]string, 0, 2*len(records))
	for i := range records {
		words := []string{fmt.Sprintf(`"%d"`, 100*i), fmt.Sprintf(`"%d"`, 100*i+1), fmt.Sprintf(`"%d"`, 100*i+2)}
		want = append(want, words[0], words[2])
		records[i] = recordOf([]named{{"x", fromJSON(t, arrow.PrimitiveTypes.Float32, `[null, 1, null]`)}, {"word", fromJSON(t, word, jsonList(words))}})
	}
	opts := engine.Options{
		Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N")), BatchRows: 5, PartRows: 6, MaxRejects: -1,
		Inputs: []string{writeStream(t, filepath.Join(dir, "in.arrow"), records...)}, IDs: []string{"word"}, Output: filepath.Join(dir, "out"), Nulls: nullPolicies("reject"),
	}
	mustRun(t, opts)
	schema, rejects := readDataset(t, rejectsOf(t, opts.Output))
	checkColumn(t, schema, rejects, "word", fromJSON(t, arrow.BinaryTypes.String, jsonList(want)))
}
