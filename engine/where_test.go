package engine_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/io/dataset"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// A filtered run has the rows that pass and no others, rejects keep their numbers in
// the file, and the bytes are the same for any number of workers, stopped and continued
// or not, and whether or not statistics spare it the reading of spans.
func TestFilteredRunsAreTheSameBytes(t *testing.T) {
	lib := orttest.Library(t)
	const rows = 20_000
	opts := manyParts(t)
	arrowFile := writeSpans(t, filepath.Join(t.TempDir(), "in.arrow"), []int64{700, 20, 30, 41}, wideColumns(t, rows)...)
	var wantIDs, wantRejected []string
	for i := range rows {
		if (i < 3000 || i >= 9000) && i%7 != 3 && i%4 != 3 { // every fourth word is null
			if i%11 == 10 { // and every eleventh x0, which is rejected
				wantRejected = append(wantRejected, strconv.Itoa(i))
			} else {
				wantIDs = append(wantIDs, strconv.Itoa(i))
			}
		}
	}
	accounts := ledger.Rows{Read: rows, Scored: int64(len(wantIDs)), Rejected: int64(len(wantRejected))}
	accounts.Filtered = rows - accounts.Scored - accounts.Rejected
	const where = "(%s < 3000 || %[1]s >= 9000) && id %% 7 != 3 && word != nil"
	inputs := []string{opts.Inputs[0], arrowFile}
	for _, in := range inputs[:rounds(len(inputs))] {
		opts.Inputs, opts.BatchRows = []string{in}, fewRows()
		var first []string
		for i, arm := range []struct {
			sentence, where string
			workers         int
			stopped         bool
		}{
			{"by statistics", fmt.Sprintf(where, "id"), 1, false},
			{"by reading all", fmt.Sprintf(where, "(id + 0)"), 1, false},
			{"two workers", fmt.Sprintf(where, "id"), 2, false},
			{"five workers", fmt.Sprintf(where, "(id + 0)"), 5, false},
			{"continued", fmt.Sprintf(where, "id"), 2, true},
		} {
			opts.Where, opts.Workers = arm.where, arm.workers
			opts.Output = filepath.Join(t.TempDir(), fmt.Sprint("out", i))
			if arm.stopped {
				halfDone(t, lib, opts)
				opts.Workers = 5
			}
			summary := mustRun(t, opts)
			if summary.Rows != accounts {
				t.Errorf("%s, %s: rows %+v; want %+v", in, arm.sentence, summary.Rows, accounts)
			}
			_, records := readBack(t, opts.Output)
			if diff := cmp.Diff(wantIDs, columnTexts(t, records, 0)); diff != "" {
				t.Errorf("%s, %s: ids (-want +got):\n%s", in, arm.sentence, diff)
			}
			_, records = readDataset(t, rejectsOf(t, opts.Output))
			for _, column := range []string{"row", "id"} {
				at := records[0].Schema().FieldIndices(column)[0]
				if diff := cmp.Diff(wantRejected, columnTexts(t, records, at)); diff != "" {
					t.Errorf("%s, %s: rejects' %s (-want +got):\n%s", in, arm.sentence, column, diff)
				}
			}
			got := append(sums(t, summary, opts.Output), string(rejectBytes(t, summary)))
			if first == nil {
				first = got
			} else if !slices.Equal(got, first) {
				t.Errorf("%s, %s: other bytes than one worker gives", in, arm.sentence)
			}
		}
	}
}

// The accounts of a manifest are by span, and what was never read is among them.
func TestFilteredRowsAreCountedBySpan(t *testing.T) {
	slow(t)
	opts := manyParts(t)
	opts.Where, opts.Output = "id >= 700 && id < 1800", filepath.Join(t.TempDir(), "out")
	mustRun(t, opts)
	history, err := ledger.ReadHistory(opts.Output)
	if err != nil {
		t.Fatal(err)
	}
	spans := history.Live()[0].Manifest.Inputs[0].Spans
	for i, filtered := range []int64{500, 200, 0, 200, 500} {
		if got := spans[i]; got.Read != 500 || got.Filtered != filtered || got.Check() != nil {
			t.Errorf("span %d has %+v; want 500 rows read and %d filtered", i, got, filtered)
		}
	}
	plan, err := engine.NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plan.Close() }()
	want := &engine.ExplainedFilter{
		Expression: "((id >= 700) && (id < 1800))", Columns: []string{"id"},
		SpansSkipped: 37, RowsSkipped: 18_500, SpansWhole: 1, RowsToRead: 1500,
	}
	if diff := cmp.Diff(want, plan.Explain().Filter); diff != "" {
		t.Errorf("the plan says (-want +got):\n%s", diff)
	}
}

// Whole files are spared by the values of their folders.
func TestFoldersAreFiltered(t *testing.T) {
	dir := t.TempDir()
	for day := range 5 {
		folder := filepath.Join(dir, fmt.Sprintf("day=2013-01-0%d", day+1))
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		powers(t, filepath.Join(folder, "in.arrow"), 10*day, 10, 3)
	}
	opts := engine.Options{
		Model: batchSum(t), Inputs: []string{dir}, Output: filepath.Join(t.TempDir(), "out"), IDs: []string{"id"}, BatchRows: 4,
		Where: `day > "2013-01-01" && day < date("2013-01-04") && id != 15`,
	}
	summary := mustRun(t, opts)
	_, records := readBack(t, opts.Output)
	var want []string
	for id := 10; id < 30; id++ {
		if id != 15 {
			want = append(want, strconv.Itoa(id))
		}
	}
	if diff := cmp.Diff(want, columnTexts(t, records, 0)); diff != "" || summary.Rows.Filtered != 31 {
		t.Errorf("rows %+v, ids (-want +got):\n%s", summary.Rows, diff)
	}
	plan, err := engine.NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plan.Close() }()
	if got := plan.Explain().Filter; got.FilesSkipped != 3 || got.RowsToRead != 20 {
		t.Errorf("the plan says %+v; want 3 files skipped and 20 rows to read", got)
	}
}

// A run of which no row passes publishes an output without rows, whose columns are
// those that it would have.
func TestAllRowsFiltered(t *testing.T) {
	slow(t)
	opts := manyParts(t)
	opts.Output = filepath.Join(t.TempDir(), "whole")
	mustRun(t, opts)
	want, _ := readBack(t, opts.Output)
	for _, c := range []struct{ sentence, where, output string }{
		{"nothing is read", "id < 0", "out"},
		{"everything is", "id + 1 < 1", "out"},
		{"into one file", "id < 0", "out.parquet"},
	} {
		opts.Where, opts.Output = c.where, filepath.Join(t.TempDir(), c.output)
		summary := mustRun(t, opts)
		if want := (ledger.Rows{Read: 20_000, Filtered: 20_000}); summary.Rows != want {
			t.Errorf("%s: rows %+v; want %+v", c.sentence, summary.Rows, want)
		}
		schema, records := readBack(t, opts.Output)
		if !schema.Equal(want) {
			t.Errorf("%s: columns %v; want %v", c.sentence, schema, want)
		}
		for _, r := range records {
			if r.NumRows() > 0 {
				t.Errorf("%s: %d rows", c.sentence, r.NumRows())
			}
		}
	}
}

// A bad row is named by its number in the file, and a null that the filter takes out is
// none, whatever statistics say.
func TestBadRowsBesideAFilter(t *testing.T) {
	data := newBadData(200)
	data.noX[13], data.noX[14] = true, true
	in := writeParquet(t, filepath.Join(t.TempDir(), "in.parquet"), 60, data.columns()...)
	opts := engine.Options{Model: badModel(t, "N"), Inputs: []string{in}, IDs: []string{"id"}, BatchRows: 16, Output: filepath.Join(t.TempDir(), "out")}
	opts.Where = "id % 2 == 0"
	if _, err := run(t, opts); !errors.Is(err, engine.ErrBadRows) || !strings.Contains(err.Error(), `column "x", row 14`) {
		t.Errorf("run = %v; want row 14 named", err)
	}
	opts.Where = "x != nil"
	if summary := mustRun(t, opts); summary.Rows.Scored != 198 {
		t.Errorf("rows %+v; want 198 scored", summary.Rows)
	}
	opts.Where, opts.Output = "y > 0", filepath.Join(t.TempDir(), "out")
	if _, err := run(t, opts); !errors.Is(err, engine.ErrUsage) || !strings.Contains(err.Error(), "--where: character 1: no column \"y\"") {
		t.Errorf("run = %v; want a usage error that shows where", err)
	}
}

// With filtered and rejected rows between them, rows are still found in their input and
// scored in the batch that they were in.
func TestReplayPassesOverFilteredRows(t *testing.T) {
	slow(t)
	dir := t.TempDir()
	const rows = 40
	ids, values := make([]string, rows), make([]string, rows)
	for i := range rows {
		ids[i], values[i] = strconv.Itoa(i), strconv.Itoa(1<<(i%20))
		if i%7 == 0 {
			values[i] = "null"
		}
	}
	for i, test := range []struct {
		spans    []int64
		partRows int64
		where    string
	}{
		{[]int64{6, 2, 9}, 9, "id % 5 != 2"},
		{[]int64{6, 2, 9}, 1000, "id > 3 && id != 20"},
		{nil, 1000, "id % 3 != 1"},
	} {
		in, out := filepath.Join(dir, fmt.Sprintf("in-%d.arrow", i)), filepath.Join(dir, fmt.Sprintf("out-%d", i))
		writeSpans(t, in, test.spans,
			named{"id", fromJSON(t, arrow.PrimitiveTypes.Int64, "["+strings.Join(ids, ",")+"]")},
			named{"a", fromJSON(t, arrow.PrimitiveTypes.Float32, "["+strings.Join(values, ",")+"]")})
		summary := mustRun(t, engine.Options{
			Model: batchSum(t), Inputs: []string{in, in}, Output: out, IDs: []string{"id"}, BatchRows: 4, PartRows: test.partRows, MaxRejects: -1,
			Nulls: batcher.NullPolicies{Default: batcher.NullPolicy{Action: batcher.NullReject}}, Where: test.where,
		})
		found := int64(0)
		for id := range rows {
			r, err := replayOf(t, out, id).Replay(t.Context())
			if errors.Is(err, engine.ErrNoRow) {
				continue
			}
			if err != nil {
				t.Fatalf("%s, id %d: %v", test.where, id, err)
			}
			if r.Equal != len(r.Rows) || r.Err() != nil {
				t.Errorf("%s, id %d: %+v; want equal rows", test.where, id, r)
			}
			for _, row := range r.Rows {
				if row.InputRow != int64(id) {
					t.Errorf("%s, id %d: row %d of the input", test.where, id, row.InputRow)
				}
			}
			found += int64(len(r.Rows))
		}
		if found != summary.Rows.Scored || found == 0 {
			t.Errorf("%s: %d rows scored again; want %d", test.where, found, summary.Rows.Scored)
		}
	}
}

// Parts that a filter leaves without rows, the first or all of them, have the columns that a
// model gives which does not say how many: those of a part with rows.
func TestPartsWithoutRowsOfAnOpenModel(t *testing.T) {
	dir := t.TempDir()
	in, numbers := filepath.Join(dir, "in.arrow"), make([]string, 40)
	for i := range numbers {
		numbers[i] = strconv.Itoa(i)
	}
	list := "[" + strings.Join(numbers, ",") + "]"
	writeSpans(t, in, []int64{10, 10, 10, 10}, named{"id", fromJSON(t, arrow.PrimitiveTypes.Int64, list)}, named{"a", fromJSON(t, arrow.PrimitiveTypes.Float32, list)}, named{"b", fromJSON(t, arrow.PrimitiveTypes.Float32, list)})
	model := onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "A", "B"))
	for i, c := range []struct {
		where string
		rows  int64
	}{{"id >= 0", 40}, {"id < 10", 10}, {"id >= 10", 30}, {"id % 10 < 5 && id >= 20", 10}, {"id > 100", 0}} {
		for _, out := range []string{fmt.Sprintf("out-%d", i), fmt.Sprintf("out-%d.parquet", i)} {
			summary := mustRun(t, engine.Options{
				Model: model, Features: []string{"a", "b"}, Inputs: []string{in}, Output: filepath.Join(dir, out), IDs: []string{"id"}, BatchRows: 4, PartRows: 10, MaxRejects: -1, Where: c.where,
			})
			columns := fmt.Sprint(summary.Manifest.Schema)
			if summary.Rows.Scored != c.rows || !strings.Contains(columns, "fixed_size_list") {
				t.Errorf("%s into %s: %d rows scored of columns %s; want %d, of lists", c.where, out, summary.Rows.Scored, columns, c.rows)
			}
		}
	}
}

// Files may differ in columns that the run does not look at, and in no others.
func TestDrift(t *testing.T) {
	dir := t.TempDir()
	number := func(name string, dt arrow.DataType) named {
		return named{name, fromJSON(t, dt, "[1,2,3]")}
	}
	i64, i32 := arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Int32
	writeSpans(t, filepath.Join(dir, "0.arrow"), nil, number("x", i64), number("a", i64), number("b", i64), number("c", i64))
	for i := 1; i < 6; i++ {
		writeSpans(t, filepath.Join(dir, fmt.Sprintf("%d.arrow", i)), nil, number("x", i64), number("a", i32), number("c", i64), number("new", i64))
	}
	opts := engine.Options{
		Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_INT64, "N")), Inputs: []string{dir}, Output: filepath.Join(t.TempDir(), "out"), Where: "c > 1",
	}
	if summary := mustRun(t, opts); summary.Rows.Scored != 12 {
		t.Errorf("rows %+v; want 12 scored", summary.Rows)
	}
	plan, err := engine.NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plan.Close() }()
	if got := plan.Explain().Differences; len(got) != 3 || !strings.Contains(got[2], `"new" (int64) is not in the first file`) || !strings.Contains(got[2], "and 2 more") {
		t.Errorf("the plan says %q; want a, b and new, and of how many files", got)
	}
	for _, c := range []struct {
		sentence string
		change   func(*engine.Options)
		want     []string
		not      string
	}{
		{"the filter's columns are needed", func(o *engine.Options) { o.Where = "a > 1 || b > 1" }, []string{`column "a" is int64 in the first file, and int32 in`, `column "b" (int64) is missing in`, "and 2 more"}, `"new"`},
		{"so are ids", func(o *engine.Options) { o.IDs = []string{"b"} }, []string{`column "b"`}, `"a"`},
		{"and kept ones", func(o *engine.Options) { o.Keep = []string{"a"} }, []string{`column "a"`}, `"b"`},
		{"and the model's", func(o *engine.Options) { o.Bind = map[string][]string{"x": {"a"}} }, []string{`column "a"`}, `"b"`},
	} {
		changed := opts
		c.change(&changed)
		_, err := engine.NewPlan(t.Context(), changed)
		if !errors.Is(err, dataset.ErrSchema) {
			t.Errorf("%s: NewPlan() = %v; want ErrSchema", c.sentence, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), c.not) {
				t.Errorf("%s: NewPlan() = %v; want %s and not %s", c.sentence, err, want, c.not)
			}
		}
	}
	opts.Where = "new > 1"
	if _, err := engine.NewPlan(t.Context(), opts); !errors.Is(err, engine.ErrUsage) || !strings.Contains(err.Error(), `column "new" (int64) is not in the first file, and is in`) {
		t.Errorf("NewPlan() = %v; want it to say that other files have the column", err)
	}
}
