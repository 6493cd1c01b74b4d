package engine_test

import (
	"bytes"
	"compress/gzip"
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

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/engine/unique"
	"github.com/millrace/millrace/io/lines"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// lined is a file of lines of columns id, k, t, a text of two lines in some rows, and x:
// some lines are no rows, and some have an x that is no number.
type lined struct {
	text []byte
	// By row: what is wrong with it, empty where nothing is, and its line.
	wrong []string
	line  []int
}

const linedRows = 6000

// newLined makes CSV, or JSON Lines.
func newLined(json bool) *lined {
	l := &lined{}
	var b bytes.Buffer
	line := 1
	if !json {
		b.WriteString("id,k,t,x\n")
		line++
	}
	for i := range linedRows {
		l.line = append(l.line, line)
		x, wrong := strconv.Itoa(i%100)+".5", ""
		if i%131 == 7 {
			x, wrong = "zz", `"zz" is no float32`
		}
		text := "plain"
		switch {
		case json && i%97 == 5:
			wrong = "the line is no JSON"
			fmt.Fprintf(&b, "{\"id\":%d,\n", i)
		case json:
			fmt.Fprintf(&b, "{\"id\":%d,\"k\":%d,\"t\":%q,\"x\":%s}\n", i, i%3000, text, strings.Replace(x, "zz", `"zz"`, 1))
		case i%97 == 5:
			wrong = "the line has 2 fields and not 4"
			fmt.Fprintf(&b, "%d,lost\n", i)
		case i%5 == 0:
			line++
			text = "\"two\nlines\""
			fallthrough
		default:
			fmt.Fprintf(&b, "%d,%d,%s,%s\n", i, i%3000, text, x)
		}
		line++
		l.wrong = append(l.wrong, wrong)
	}
	l.text = b.Bytes()
	return l
}

// lineRuns are the files of a lined, by how they are written.
func lineRuns(t *testing.T) map[string]*lined {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	csv, json := newLined(false), newLined(true)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	half := bytes.LastIndexByte(csv.text[:len(csv.text)/2], '\n')
	_, err := z.Write(csv.text[:half]) // two members, one after the other
	err = errors.Join(err, z.Close())
	z.Reset(&zipped)
	_, err2 := z.Write(csv.text[half:])
	if err = errors.Join(err, err2, z.Close()); err != nil {
		t.Fatal(err)
	}
	return map[string]*lined{write("in.csv", csv.text): csv, write("in.csv.gz", zipped.Bytes()): csv, write("in.jsonl", json.text): json}
}

// lineOptions score a file of lines by a model that gives x, in many spans and parts.
func lineOptions(t *testing.T, input string) engine.Options {
	t.Helper()
	return engine.Options{
		Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N")), Inputs: []string{input}, IDs: []string{"id"}, BatchRows: 61, PartRows: 700, MaxRejects: -1,
		OnBadRow: engine.BadReject, Lines: lines.Options{BlockBytes: 10_000, Types: []lines.ColumnType{{Name: "x", Type: arrow.PrimitiveTypes.Float32}}},
	}
}

// Every line is accounted for: a bad one is a reject with its number whatever the filter
// says, and no duplicate nor the first of any; the bytes are the same for any number of
// workers, stopped and continued or not.
func TestLinesAreAccountedFor(t *testing.T) {
	lib := orttest.Library(t)
	for input, l := range lineRuns(t) {
		var wantIDs, wantRejects []string
		first := map[int]bool{} // keys that some row has
		var filtered int64
		for i, wrong := range l.wrong {
			switch key := i % 3000; {
			case wrong != "":
				wantRejects = append(wantRejects, fmt.Sprintf("%d read %d %s", i, l.line[i], wrong))
			case i%7 == 3:
				filtered++
			case first[key]:
				wantRejects = append(wantRejects, fmt.Sprint(i, " unique null duplicate"))
			default:
				first[key] = true
				wantIDs = append(wantIDs, strconv.Itoa(i))
			}
		}
		accounts := ledger.Rows{Read: linedRows, Scored: int64(len(wantIDs)), Rejected: int64(len(wantRejects)), Filtered: filtered}
		var bytesOf []string
		for i, workers := range []int{1, 2, 5, 2} {
			opts := lineOptions(t, input)
			opts.Where, opts.Workers, opts.Output = "id % 7 != 3", workers, filepath.Join(t.TempDir(), "out")
			opts.Unique = unique.Spec{Columns: []string{"k"}, On: unique.OnReject}
			if i == 3 {
				halfDone(t, lib, opts)
			}
			summary := mustRun(t, opts)
			if summary.Rows != accounts {
				t.Errorf("%s: rows %+v; want %+v", input, summary.Rows, accounts)
			}
			_, records := readBack(t, opts.Output)
			if diff := cmp.Diff(wantIDs, columnTexts(t, records, 0)); diff != "" {
				t.Errorf("%s: ids (-want +got):\n%.600s", input, diff)
			}
			if diff := cmp.Diff(wantRejects, lineRejects(t, opts.Output)); diff != "" {
				t.Errorf("%s: rejects (-want +got):\n%.600s", input, diff)
			}
			got := append(sums(t, summary, opts.Output), string(rejectBytes(t, summary)))
			if bytesOf == nil {
				bytesOf = got
			} else if !slices.Equal(got, bytesOf) {
				t.Errorf("%s: %d workers give other bytes than 1", input, workers)
			}
		}
	}
}

// lineRejects are a run's rejects: row, stage, line and reason, of duplicates the first word.
func lineRejects(t *testing.T, output string) (all []string) {
	t.Helper()
	schema, records := readDataset(t, rejectsOf(t, output))
	column := func(name string) []string { return columnTexts(t, records, schema.FieldIndices(name)[0]) }
	rows, stages, numbers, reasons := column("row"), column("stage"), column("line"), column("reason")
	for i := range rows {
		stage, _ := strconv.Unquote(stages[i])
		reason, _ := strconv.Unquote(reasons[i])
		if stage == "unique" {
			reason, _, _ = strings.Cut(reason, ":")
		}
		all = append(all, strings.Join([]string{rows[i], stage, numbers[i], reason}, " "))
	}
	return all
}

// Where bad rows fail the run, or stay in the output, bad lines do.
func TestBadLinesByPolicy(t *testing.T) {
	for input, l := range lineRuns(t) {
		bad := slices.IndexFunc(l.wrong, func(w string) bool { return w != "" })
		opts := lineOptions(t, input)
		opts.OnBadRow, opts.Workers, opts.Output = engine.BadFail, 1, filepath.Join(t.TempDir(), "out") // one, so that the first is found first
		want := fmt.Sprintf("row %d: line %d: %s", bad, l.line[bad], l.wrong[bad])
		if _, err := run(t, opts); !errors.Is(err, engine.ErrBadRows) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want ErrBadRows with %q", input, err, want)
		}
		if _, err := os.Lstat(opts.Output); err == nil {
			t.Errorf("%s: a run that failed left an output", input)
		}
		opts.OnBadRow, opts.MaxRejects = engine.BadReject, 3
		if _, err := run(t, opts); !errors.Is(err, engine.ErrBadRows) || !strings.Contains(err.Error(), "--max-bad-rows allows 3") {
			t.Errorf("%s with three bad rows allowed: %v; want ErrBadRows", input, err)
		}
		var rejected int64
		for _, w := range l.wrong {
			if w != "" {
				rejected++
			}
		}
		opts.OnBadRow, opts.MaxRejects = engine.BadNull, -1
		if got := mustRun(t, opts).Rows; got != (ledger.Rows{Read: linedRows, Scored: linedRows - rejected, Rejected: rejected, Nulled: rejected}) {
			t.Errorf("%s with bad rows null: %+v", input, got)
		}
	}
}

// Types that were inferred are those of the run that goes on, and of a replay; a job with
// others does not go on with what they made.
func TestTypesAreOfTheJob(t *testing.T) {
	lib := orttest.Library(t)
	path := filepath.Join(t.TempDir(), "in.csv")
	var text strings.Builder
	text.WriteString("id,x\n")
	for i := range 4000 {
		fmt.Fprintf(&text, "%d,%d\n", i, i%9)
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	opts := lineOptions(t, path)
	opts.Output, opts.Lines.Types = filepath.Join(t.TempDir(), "out"), nil
	halfDone(t, lib, opts)
	other := opts
	other.Lines.Types = []lines.ColumnType{{Name: "x", Type: arrow.PrimitiveTypes.Float32}}
	if _, err := run(t, other); err == nil || !strings.Contains(err.Error(), "--types") {
		t.Errorf("run with another type after a half = %v; want an error with --types", err)
	}
	m := manifestOf(t, mustRun(t, opts))
	back, err := engine.OptionsOf(m)
	if want := []lines.ColumnType{{Name: "id", Type: arrow.PrimitiveTypes.Int64}, {Name: "x", Type: arrow.PrimitiveTypes.Int64}}; err != nil || !cmp.Equal(back.Lines.Types, want) {
		t.Errorf("types of the manifest = %v, %v; want %v", back.Lines.Types, err, want)
	}
}
