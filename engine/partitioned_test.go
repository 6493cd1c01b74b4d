package engine_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
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
	"github.com/millrace/millrace/io/format"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// outputFiles are the files of an output by their names in it, in order.
func outputFiles(t *testing.T, output string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(output, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "_millrace":
			return fs.SkipDir
		case d.IsDir() || d.Name() == "_SUCCESS":
			return nil
		}
		name, err := filepath.Rel(output, path)
		names = append(names, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// outputSums are the digests of an output's files, by name.
func outputSums(t *testing.T, summary *engine.Summary) map[string]string {
	t.Helper()
	sums := map[string]string{}
	for _, o := range summary.Outputs {
		sums[o.Name] = o.SHA256
	}
	if names := outputFiles(t, summary.Output); len(names) != len(sums) {
		t.Errorf("%d files in the output, and the summary lists %d", len(names), len(sums))
	}
	v, err := ledger.Verify(t.Context(), summary.Output, ledger.VerifyOptions{})
	if err != nil || v.Err() != nil {
		t.Errorf("Verify(%s) = %v, %v", summary.Output, v.Problems, err)
	}
	return sums
}

// outputTable reads all files of an output as one table: the columns in the order given, a
// row a line, sorted by the first, which is a number.
func outputTable(t *testing.T, output string, columns ...string) []string {
	t.Helper()
	paths, err := dataset.Resolve([]string{output})
	if err != nil {
		t.Fatal(err)
	}
	data, err := dataset.Open(t.Context(), paths, dataset.Options{Partitions: dataset.Partitions{Auto: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	var rows []string
	for _, part := range data.Parts(1 << 40) {
		for _, span := range part.Spans {
			err := data.ReadSpan(t.Context(), span, columns, func(b arrow.RecordBatch) error {
				for i := range int(b.NumRows()) {
					row := make([]string, b.NumCols())
					for k, c := range b.Columns() {
						row[k] = c.ValueStr(i)
					}
					rows = append(rows, strings.Join(row, "|"))
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	slices.SortStableFunc(rows, func(a, b string) int {
		x, _, _ := strings.Cut(a, "|")
		y, _, _ := strings.Cut(b, "|")
		m, _ := strconv.Atoi(x)
		n, _ := strconv.Atoi(y)
		return m - n
	})
	return rows
}

// A partitioned output, read as a table, is the one that is not; rejected rows are
// missing from both.
func TestPartitionedOutputIsTheSameTable(t *testing.T) {
	slow(t)
	opts := manyParts(t)
	opts.PartRows = 7000
	opts.Output = filepath.Join(t.TempDir(), "plain")
	plain := mustRun(t, opts)
	columns := []string{"id", "flag", "word", "y0", "y1", "y2", "y3"}
	want := outputTable(t, opts.Output, columns...)
	for _, by := range [][]string{{"word"}, {"flag", "word"}, {"word", "flag"}} {
		for _, size := range []int64{0, 2000} {
			opts.Output = filepath.Join(t.TempDir(), "out")
			opts.PartitionBy, opts.TargetFileBytes = by, size
			summary := mustRun(t, opts)
			if summary.Rows != plain.Rows {
				t.Errorf("by %v: rows %+v; want %+v", by, summary.Rows, plain.Rows)
			}
			outputSums(t, summary)
			if diff := cmp.Diff(want, outputTable(t, opts.Output, columns...)); diff != "" {
				t.Errorf("by %v, files of %d bytes: another table (-want +got):\n%.2000s", by, size, diff)
			}
			for _, o := range summary.Outputs {
				if depth := strings.Count(o.Name, "/"); depth != len(by) || !strings.HasPrefix(o.Name, by[0]+"=") {
					t.Fatalf("by %v: file %s", by, o.Name)
				}
			}
		}
	}
}

// Whoever writes the parts, however often it is stopped, the files have the same bytes.
func TestPartitionedOutputIsTheSameBytes(t *testing.T) {
	lib := orttest.Library(t)
	opts := manyParts(t)
	opts.BatchRows, opts.Workers, opts.PartRows = fewRows(), 1, 4000
	opts.PartitionBy, opts.TargetFileBytes = []string{"word", "flag"}, 3000
	opts.Output = filepath.Join(t.TempDir(), "whole")
	whole, took := wholeRun(t, opts)
	want := outputSums(t, whole)
	random := rand.New(rand.NewPCG(1, 2))
	starts := 0
	for i := range rounds(4) {
		opts.Output = filepath.Join(t.TempDir(), fmt.Sprint("out", i))
		for n := 1; ; n++ {
			opts.Workers = []int{1, 2, 5}[random.IntN(3)]
			summary, err := start(t, lib, opts, interruption(random, n, took, 0))
			starts++
			if errors.Is(err, engine.ErrInterrupted) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, outputSums(t, summary)); diff != "" {
				t.Errorf("after %d starts with %d workers last, other files:\n%.1000s", n, opts.Workers, diff)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(opts.Output), ".out*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			break
		}
	}
	if starts <= rounds(4) {
		t.Errorf("%d starts: none was stopped", starts)
	}
}

// Files of a target size hold a part's rows in order, and none is much larger.
func TestFilesOfATargetSize(t *testing.T) {
	dir := t.TempDir()
	powers(t, filepath.Join(dir, "in.arrow"), 0, 60_000)
	const target = 200_000
	for _, form := range []string{"parquet", "arrow", "csv"} {
		opts := engine.Options{
			Model: batchSum(t), Inputs: []string{filepath.Join(dir, "in.arrow")}, IDs: []string{"id"}, Keep: []string{"a"},
			Output: filepath.Join(dir, form), TargetFileBytes: target, BatchRows: 1000, Compression: "none",
		}
		opts.Format = format.Name(form)
		summary := mustRun(t, opts)
		outputSums(t, summary)
		if len(summary.Outputs) < 3 {
			t.Errorf("%s: %d files; want several", form, len(summary.Outputs))
		}
		next := 0
		for i, o := range summary.Outputs {
			if want := fmt.Sprintf("part-00000-%05d.%s", i, form); o.Name != want || o.Bytes > target*5/4 || i+1 < len(summary.Outputs) && o.Bytes < target/2 {
				t.Errorf("%s: file %s of %d bytes; want %s of about %d", form, o.Name, o.Bytes, want, target)
			}
			if form == "csv" {
				continue
			}
			for _, row := range rowsOf(t, filepath.Join(opts.Output, o.Name)) {
				if id, _, _ := strings.Cut(row, "|"); id != strconv.Itoa(next) {
					t.Fatalf("%s: row %s after row %d", o.Name, row, next-1)
				}
				next++
			}
		}
	}
}

// Input that is partitioned, and output by the same columns and others.
func TestPartitionedInputAndOutput(t *testing.T) {
	dir := t.TempDir()
	want := make([]string, 0, 30)
	id := 0
	for _, day := range []string{"2026-11-21", "2026-11-22"} {
		for _, region := range []string{"EU", "a%2Fb", "__HIVE_DEFAULT_PARTITION__"} {
			folder := filepath.Join(dir, "in", "day="+day, "region="+region)
			if err := os.MkdirAll(folder, 0o777); err != nil {
				t.Fatal(err)
			}
			powers(t, filepath.Join(folder, "part.arrow"), id, 5)
			for i := range 5 {
				value := map[string]string{"EU": "EU", "a%2Fb": "a/b"}[region]
				if value == "" {
					value = "(null)"
				}
				want = append(want, fmt.Sprintf("%d|%s|%s|%d", id+i, day, value, 1<<i))
			}
			id += 5
		}
	}
	opts := engine.Options{
		Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1)), Bind: map[string][]string{"x": {"a"}},
		Inputs: []string{filepath.Join(dir, "in")}, IDs: []string{"id"}, Keep: []string{"day", "region"}, BatchRows: 4, PartRows: 7,
	}
	for _, by := range [][]string{nil, {"day"}, {"region", "day"}} {
		opts.Output, opts.PartitionBy = filepath.Join(dir, strings.Join(append([]string{"out"}, by...), "-")), by
		summary := mustRun(t, opts)
		outputSums(t, summary)
		if diff := cmp.Diff(want, outputTable(t, opts.Output, "id", "day", "region", "y")); diff != "" {
			t.Errorf("by %v (-want +got):\n%s", by, diff)
		}
		for n := range id {
			r := replay(t, replayOf(t, opts.Output, n))
			if len(r.Rows) != 1 || r.Equal != 1 || r.Err() != nil {
				t.Fatalf("by %v: replay of row %d: %+v", by, n, r)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "out-region-day", "region=a%2Fb", "day=2026-11-22")); err != nil {
		t.Error(err)
	}
	opts.Output, opts.Keep, opts.PartitionBy, opts.Partitions = filepath.Join(dir, "none"), []string{"day"}, nil, "none"
	if _, err := run(t, opts); !errors.Is(err, engine.ErrUsage) || !strings.Contains(err.Error(), `no column "day"`) {
		t.Errorf("--partitions none: run = %v; want no column day", err)
	}
}

// Rows of a partitioned output are found in their input: by what their folder holds of
// the part, between rejected rows, across files of a target size, and whether null or
// the empty text named the folder.
func TestReplayOfAPartitionedOutput(t *testing.T) {
	slow(t)
	dir := t.TempDir()
	const rows = 60
	ids, values, words := make([]string, rows), make([]string, rows), make([]string, rows)
	for i := range rows {
		ids[i], values[i], words[i] = strconv.Itoa(i), strconv.Itoa(i), []string{`"x"`, `"y"`, `""`, "null"}[i*i%7%4]
		if i%5 == 1 {
			values[i] = "null"
		}
	}
	writeSpans(t, filepath.Join(dir, "in.arrow"), []int64{6, 2, 9},
		named{"id", fromJSON(t, arrow.PrimitiveTypes.Int64, "["+strings.Join(ids, ",")+"]")},
		named{"word", fromJSON(t, arrow.BinaryTypes.String, "["+strings.Join(words, ",")+"]")},
		named{"a", fromJSON(t, arrow.PrimitiveTypes.Float32, "["+strings.Join(values, ",")+"]")})
	for _, c := range []struct {
		name string
		by   []string
		size int64
	}{{"by", []string{"word"}, 0}, {"by-id", []string{"word", "id"}, 0}, {"size", nil, 1}, {"both", []string{"word"}, 1}} {
		out := filepath.Join(dir, c.name)
		mustRun(t, engine.Options{
			Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1)), Bind: map[string][]string{"x": {"a"}},
			Inputs: []string{filepath.Join(dir, "in.arrow")}, Output: out, IDs: []string{"id"}, Keep: []string{"word"}, BatchRows: 4, PartRows: 20, MaxRejects: -1,
			Nulls:       batcher.NullPolicies{Default: batcher.NullPolicy{Action: batcher.NullReject}},
			PartitionBy: c.by, TargetFileBytes: c.size,
		})
		for id := range rows {
			r := replay(t, replayOf(t, out, id))
			if values[id] == "null" {
				if len(r.Rows) != 0 || len(r.Rejected) != 1 || r.Rejected[0].Row != int64(id) {
					t.Errorf("%s, id %d: %+v; want it rejected", c.name, id, r)
				}
				continue
			}
			if len(r.Rows) != 1 || r.Equal != 1 || r.Rows[0].InputRow != int64(id) {
				t.Fatalf("%s, id %d: %+v; want row %d, equal", c.name, id, r, id)
			}
		}
		if c.by != nil {
			again := replayOf(t, out, 0)
			again.Where, again.Limit = []engine.Condition{{Column: "word", Value: "y"}}, rows
			r := replay(t, again)
			want := 0
			for i := range rows {
				if words[i] == `"y"` && values[i] != "null" {
					want++
				}
			}
			if len(r.Rows) != want || r.Equal != want {
				t.Errorf("%s: %d rows of y, %d equal; want %d", c.name, len(r.Rows), r.Equal, want)
			}
		}
	}
}

// An output without rows has one file, so that readers find its columns.
func TestPartitionedOutputWithoutRows(t *testing.T) {
	dir := t.TempDir()
	writeSpans(t, filepath.Join(dir, "in.arrow"), nil,
		named{"id", fromJSON(t, arrow.PrimitiveTypes.Int64, "[1,2]")},
		named{"a", fromJSON(t, arrow.PrimitiveTypes.Float32, "[null,null]")})
	opts := engine.Options{
		Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1)), Bind: map[string][]string{"x": {"a"}},
		Inputs: []string{filepath.Join(dir, "in.arrow")}, Output: filepath.Join(dir, "out"), IDs: []string{"id"}, PartitionBy: []string{"id"}, MaxRejects: -1,
		Nulls: batcher.NullPolicies{Default: batcher.NullPolicy{Action: batcher.NullReject}},
	}
	summary := mustRun(t, opts)
	outputSums(t, summary)
	want := []string{"id=__HIVE_DEFAULT_PARTITION__/part-00000.parquet"}
	if diff := cmp.Diff(want, outputFiles(t, opts.Output)); diff != "" || summary.Rows.Rejected != 2 {
		t.Errorf("files (-want +got):\n%s\nrows %+v", diff, summary.Rows)
	}
}

// What is appended to a partitioned output is partitioned alike, and goes to the same
// folders under names of its own.
func TestAppendToAPartitionedOutput(t *testing.T) {
	slow(t)
	opts := manyParts(t)
	opts.PartRows, opts.PartitionBy = 10_000, []string{"flag"}
	opts.Output = filepath.Join(t.TempDir(), "out")
	first := mustRun(t, opts)
	before := outputSums(t, first)
	more := opts
	more.Inputs, more.IfExists, more.PartitionBy = []string{opts.Inputs[0], opts.Inputs[0]}, ledger.IfExistsAppend, []string{"word"}
	if _, err := startPlain(t, more); !errors.Is(err, ledger.ErrExists) || !strings.Contains(err.Error(), "partitioned by flag, and files partitioned by word") {
		t.Errorf("append by another column = %v; want ErrExists that names both", err)
	}
	more.PartitionBy = nil
	if _, err := startPlain(t, more); !errors.Is(err, ledger.ErrExists) || !strings.Contains(err.Error(), "partitioned by nothing") {
		t.Errorf("append by none = %v; want ErrExists", err)
	}
	more.PartitionBy = opts.PartitionBy
	second, err := startPlain(t, more)
	if err != nil {
		t.Fatal(err)
	}
	names := outputFiles(t, opts.Output)
	if len(names) != len(first.Outputs)+len(second.Outputs) {
		t.Errorf("files %v; want %d and %d", names, len(first.Outputs), len(second.Outputs))
	}
	for _, o := range second.Outputs {
		if _, twice := before[o.Name]; twice {
			t.Errorf("%s is a file of both runs", o.Name)
		}
	}
	v, err := ledger.Verify(t.Context(), opts.Output, ledger.VerifyOptions{})
	if err != nil || v.Err() != nil || v.Runs != 2 || v.Files != len(names) {
		t.Errorf("Verify() = %+v, %v; want two sound runs", v, err)
	}
	// And a whole other output in its place.
	more.IfExists, more.PartitionBy = ledger.IfExistsReplace, []string{"word"}
	third, err := startPlain(t, more)
	if err != nil {
		t.Fatal(err)
	}
	outputSums(t, third)
}

// startPlain runs options over an output that may be there.
func startPlain(t *testing.T, opts engine.Options) (*engine.Summary, error) {
	t.Helper()
	return start(t, orttest.Library(t), opts, func(*engine.Plan, *engine.Progress) {})
}

func TestPartitionByRefuses(t *testing.T) {
	opts := manyParts(t)
	hidden := writeParquet(t, filepath.Join(t.TempDir(), "in.parquet"), 500, append(wideColumns(t, 9), named{"_day", fromJSON(t, arrow.PrimitiveTypes.Int64, "[1,2,3,4,5,6,7,8,9]")})...)
	for _, c := range []struct {
		sentence string
		change   func(o *engine.Options)
		want     string
	}{
		{"a column that is not in the output", func(o *engine.Options) { o.PartitionBy = []string{"wrod"} }, `column "wrod" must be among --ids or --keep (did you mean "word"?)`},
		{"a column of the model's", func(o *engine.Options) { o.PartitionBy = []string{"y0"} }, `column "y0" must be among --ids or --keep`},
		{"a column twice", func(o *engine.Options) { o.PartitionBy = []string{"word", "word"} }, `column "word" is named twice`},
		{"a list", func(o *engine.Options) { o.Keep, o.PartitionBy = []string{"list"}, []string{"list"} }, "only bools, integers, dates and texts can name folders"},
		{"a float", func(o *engine.Options) { o.Keep, o.PartitionBy = []string{"x0"}, []string{"x0"} }, `column "x0" is float32, and only`},
		{"a name that readers pass over", func(o *engine.Options) {
			o.Inputs = []string{hidden}
			o.Keep, o.PartitionBy = []string{"_day"}, []string{"_day"}
		}, "readers pass over folders whose names begin with \"_\""},
		{"a single file", func(o *engine.Options) { o.Output, o.PartitionBy = o.Output+".parquet", []string{"word"} }, "need a directory"},
		{"sizes of a single file", func(o *engine.Options) { o.Output, o.TargetFileBytes = o.Output+".csv", 5 }, "need a directory"},
		{"a size below 0", func(o *engine.Options) { o.TargetFileBytes = -1 }, "--target-file-size (-1)"},
		{"types that are none", func(o *engine.Options) { o.Partitions = "date=day" }, `column "date" cannot have the type "day"`},
	} {
		o := opts
		o.Output = filepath.Join(t.TempDir(), "out")
		c.change(&o)
		if _, err := run(t, o); !errors.Is(err, engine.ErrUsage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: run = %v; want ErrUsage with %q", c.sentence, err, c.want)
		}
	}
}

// A folder's name can be too long for any file system: that is found with the row, and
// nothing is published.
func TestPartitionByALongText(t *testing.T) {
	dir := t.TempDir()
	writeSpans(t, filepath.Join(dir, "in.arrow"), nil,
		named{"word", fromJSON(t, arrow.BinaryTypes.String, `["short","`+strings.Repeat("/", 100)+`"]`)},
		named{"a", fromJSON(t, arrow.PrimitiveTypes.Float32, "[1,2]")})
	_, err := run(t, engine.Options{
		Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1)), Bind: map[string][]string{"x": {"a"}},
		Inputs: []string{filepath.Join(dir, "in.arrow")}, Output: filepath.Join(dir, "out"), IDs: []string{"word"}, PartitionBy: []string{"word"},
	})
	if !errors.Is(err, ledger.ErrOutput) || !strings.Contains(err.Error(), `column "word" has the value "////`) || !strings.Contains(err.Error(), "305 bytes") {
		t.Errorf("run = %v; want ErrOutput that names column and value", err)
	}
}

// What a replay says of a rejected row stays true when the file of rejects is read on,
// in memory that is used again.
func TestReplayKeepsWhatItSays(t *testing.T) {
	dir := t.TempDir()
	const rows = 30_000
	ids, words := make([]string, rows), make([]string, rows)
	for i := range rows {
		ids[i], words[i] = strconv.Itoa(i), fmt.Sprintf(`"word %d"`, i)
	}
	folder := filepath.Join(dir, "in", "a=__HIVE_DEFAULT_PARTITION__")
	if err := os.MkdirAll(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	writeParquet(t, filepath.Join(folder, "in.parquet"), 5000,
		named{"id", fromJSON(t, arrow.PrimitiveTypes.Int64, "["+strings.Join(ids, ",")+"]")},
		named{"word", fromJSON(t, arrow.BinaryTypes.String, "["+strings.Join(words, ",")+"]")})
	out := filepath.Join(dir, "out")
	mustRun(t, engine.Options{
		Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1)), Bind: map[string][]string{"x": {"a"}}, Partitions: "a=float32",
		Inputs: []string{filepath.Join(dir, "in")}, Output: out, IDs: []string{"id", "word"}, OnBadRow: engine.BadReject, MaxRejects: -1,
	})
	r := replay(t, replayOf(t, out, 7))
	if len(r.Rejected) != 1 {
		t.Fatalf("%+v; want one rejected row", r)
	}
	got := r.Rejected[0]
	if got.Column != "a" || got.Stage != "assemble" || got.Reason != "null" || got.Row != 7 || got.Columns[1].Value != "word 7" {
		t.Errorf("rejected row %+v; want column a, assemble, null, word 7", got)
	}
}
