package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/batcher/filter"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/engine/unique"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// keyed is a table of two files: row numbers, a key of an int64 that may be null and a
// text, and a value.
type keyed struct {
	files  []string
	rows   []keyedRow
	second int // row of the second file's first
}

type keyedRow struct{ k, t, x string } // as JSON

func newKeyed(t *testing.T, rows int) *keyed {
	t.Helper()
	random := rand.New(rand.NewPCG(7, 8))
	d := &keyed{second: rows * 2 / 5}
	for range rows {
		k := strconv.Itoa(random.IntN(rows / 8))
		if k == "3" {
			k = "null"
		}
		d.rows = append(d.rows, keyedRow{k, fmt.Sprintf("%q", "text "+strconv.Itoa(random.IntN(3))), strconv.Itoa(random.IntN(1000))})
	}
	dir := t.TempDir()
	for i, some := range [][]keyedRow{d.rows[:d.second], d.rows[d.second:]} {
		ids, ks, ts, xs := make([]string, len(some)), make([]string, len(some)), make([]string, len(some)), make([]string, len(some))
		for j, r := range some {
			ids[j], ks[j], ts[j], xs[j] = strconv.Itoa(i*d.second+j), r.k, r.t, r.x
		}
		column := func(name, kind string, values []string) named {
			return named{name, fromJSON(t, elementNamed(t, kind).column, "["+strings.Join(values, ",")+"]")}
		}
		columns := []named{column("id", "int64", ids), column("k", "int64", ks), column("t", "string", ts), column("x", "float32", xs)}
		d.files = append(d.files, writeParquet(t, filepath.Join(dir, fmt.Sprint(i, ".parquet")), 90, columns...))
	}
	return d
}

// options score the table by a model that gives x.
func (d *keyed) options(t *testing.T, columns ...string) engine.Options {
	t.Helper()
	return engine.Options{
		Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N")), Inputs: d.files, IDs: []string{"id"}, BatchRows: 16, PartRows: 150, MaxRejects: -1,
		Unique: unique.Spec{Columns: columns},
	}
}

// duplicates finds rows whose key an earlier one has, by a plain loop: row by row that
// row, or -1.
func (d *keyed) duplicates(key func(keyedRow) string) []int {
	first := map[string]int{}
	of := make([]int, len(d.rows))
	for i, r := range d.rows {
		f, again := first[key(r)]
		if of[i] = f; !again {
			of[i], first[key(r)] = -1, i
		}
	}
	return of
}

func count(of []int) (n int64) {
	for _, f := range of {
		if f >= 0 {
			n++
		}
	}
	return n
}

// outputRows are an output's ids and predictions, row by row.
func outputRows(t *testing.T, output string) (rows []string) {
	t.Helper()
	_, records := readBack(t, output)
	ids, ys := columnTexts(t, records, 0), columnTexts(t, records, 1)
	for i := range ids {
		rows = append(rows, ids[i]+" "+ys[i])
	}
	return rows
}

// Duplicates are counted, left out or null, by one column and by several, from two files;
// the first in the input's order is kept, for any number of workers.
func TestDuplicates(t *testing.T) {
	d := newKeyed(t, 700)
	keys := map[string]func(keyedRow) string{
		"k":   func(r keyedRow) string { return r.k },
		"t,k": func(r keyedRow) string { return r.t + r.k },
	}
	for columns, key := range keys {
		of := d.duplicates(key)
		for _, on := range []unique.On{unique.OnCount, unique.OnReject, unique.OnNull} {
			var want []string
			for i, r := range d.rows {
				switch {
				case of[i] < 0 || on == unique.OnCount:
					want = append(want, fmt.Sprint(i, " ", r.x))
				case on == unique.OnNull:
					want = append(want, fmt.Sprint(i, " null"))
				}
			}
			var first []string
			for _, workers := range []int{1, 2, 5} {
				opts := d.options(t, strings.Split(columns, ",")...)
				opts.Unique.On, opts.Workers, opts.Output = on, workers, filepath.Join(t.TempDir(), "out")
				summary := mustRun(t, opts)
				rows := ledger.Rows{Read: 700, Scored: 700}
				if on != unique.OnCount {
					rows.Scored, rows.Rejected = rows.Scored-count(of), count(of)
				}
				if on == unique.OnNull {
					rows.Nulled = rows.Rejected
				}
				if f := summary.Duplicates; summary.Rows != rows || f == nil || f.Rows != count(of) || f.On != on || f.Exact != (columns == "k") || (f.MistakeChance > 0) == f.Exact {
					t.Errorf("%s, %s: rows %+v, found %+v; want %+v, %d found", columns, on, summary.Rows, f, rows, count(of))
				}
				got := sums(t, summary, opts.Output)
				if on != unique.OnCount {
					got = append(got, string(rejectBytes(t, summary)))
				}
				if first == nil {
					first = got
					if diff := cmp.Diff(want, outputRows(t, opts.Output)); diff != "" {
						t.Errorf("%s, %s (-want +got):\n%.600s", columns, on, diff)
					}
					d.checkRejects(t, opts, of)
				} else if !slices.Equal(got, first) {
					t.Errorf("%s, %s: %d workers give other bytes than 1", columns, on, workers)
				}
			}
		}
	}
}

// checkRejects compares the rejects of a run with a plain loop's duplicates.
func (d *keyed) checkRejects(t *testing.T, opts engine.Options, of []int) {
	t.Helper()
	if opts.Unique.On == unique.OnCount {
		return
	}
	place := func(row int) (file string, at int) {
		if row < d.second {
			return d.files[0], row
		}
		return d.files[1], row - d.second
	}
	column, says := "", `"t", "k" are those of`
	if len(opts.Unique.Columns) == 1 {
		column, says = "k", `"k" is that of`
	}
	var want, got []string
	for i, f := range of {
		if f >= 0 {
			file, at := place(i)
			firstFile, firstAt := place(f)
			want = append(want, fmt.Sprint(strconv.Quote(file), at, strconv.Quote(column), `"unique"`, strconv.Quote(fmt.Sprintf("duplicate: %s row %d of %s", says, firstAt, firstFile))))
		}
	}
	_, records := readDataset(t, rejectsOf(t, opts.Output))
	columns := make([][]string, 5)
	for k := range columns {
		columns[k] = columnTexts(t, records, k)
	}
	for i := range columns[0] {
		row, _ := strconv.Atoi(columns[1][i])
		got = append(got, fmt.Sprint(columns[0][i], row, columns[2][i], columns[3][i], columns[4][i]))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%v rejects (-want +got):\n%.900s", opts.Unique, diff)
	}
}

// What becomes of duplicates where nothing else is asked follows the policy of bad rows,
// but for the one to fail.
func TestDuplicatesByThePolicyOfBadRows(t *testing.T) {
	d := newKeyed(t, 200)
	n := count(d.duplicates(func(r keyedRow) string { return r.k }))
	for on, want := range map[engine.OnBadRow]ledger.Rows{
		engine.BadFail:   {Read: 200, Scored: 200},
		engine.BadReject: {Read: 200, Scored: 200 - n, Rejected: n},
		engine.BadNull:   {Read: 200, Scored: 200 - n, Rejected: n, Nulled: n},
	} {
		opts := d.options(t, "k")
		opts.OnBadRow, opts.Output = on, filepath.Join(t.TempDir(), "out.arrow")
		if summary := mustRun(t, opts); summary.Rows != want || summary.Duplicates.Rows != n {
			t.Errorf("on-bad-row %s: %+v, %d duplicates; want %+v, %d", on, summary.Rows, summary.Duplicates.Rows, want, n)
		}
	}
}

// Runs with duplicates fail before a row is scored, or when there are too many of them.
func TestDuplicatesThatFail(t *testing.T) {
	d := newKeyed(t, 200)
	of := d.duplicates(func(r keyedRow) string { return r.k })
	first := slices.IndexFunc(of, func(f int) bool { return f >= 0 })
	tests := []struct {
		name   string
		change func(o *engine.Options)
		want   error
		says   string
	}{
		{
			"any", func(o *engine.Options) { o.Unique.On = unique.OnFail }, engine.ErrBadRows,
			fmt.Sprintf(`%d rows are duplicates; the first: %s row %d: duplicate: "k" is that of row %d of %s`, count(of), d.files[0], first, of[first], d.files[0]),
		},
		{"too many", func(o *engine.Options) { o.Unique.On, o.MaxRejects = unique.OnReject, 5 }, engine.ErrBadRows, "--max-bad-rows allows 5"},
		{"a list that is one text", func(o *engine.Options) { o.Unique.Columns = []string{"k,id"} }, engine.ErrUsage, `--unique: no column "k,id" in the data: a job file has a list in brackets, [k, id]`},
		{"no such column", func(o *engine.Options) { o.Unique.Columns = []string{"kk"} }, engine.ErrUsage, `--unique: no column "kk" in the data (did you mean "k"?)`},
		{"another word", func(o *engine.Options) { o.Unique.On = "drop" }, engine.ErrUsage, "--on-duplicate (drop) must be"},
	}
	for _, test := range tests {
		opts := d.options(t, "k")
		opts.Output = filepath.Join(t.TempDir(), "out")
		test.change(&opts)
		if _, err := run(t, opts); !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v; want %v saying %q", test.name, err, test.want, test.says)
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(opts.Output), ".out*")); len(left) > 0 {
			t.Errorf("%s: left behind: %v", test.name, left)
		}
	}
}

// A row that is a duplicate and bad besides is left out as a duplicate, and no reason to
// fail; other bad rows are what their policy makes of them.
func TestDuplicatesBesideBadRows(t *testing.T) {
	data := newBadData(30)
	key := func(row int) int { return row % 20 }
	data.noX[25], data.i[26], data.n[27] = true, 9, 2.5 // of duplicates: from row 20 on
	ids := make([]string, 30)
	for row := range ids {
		ids[row] = strconv.Itoa(key(row))
	}
	dir := t.TempDir()
	columns := append(data.columns(), named{"k", fromJSON(t, elementNamed(t, "int32").column, "["+strings.Join(ids, ",")+"]")})
	in := writeSpans(t, filepath.Join(dir, "in.arrow"), []int64{7, 9, 2}, columns...)
	opts := engine.Options{
		Model: badModel(t, "N"), Inputs: []string{in}, IDs: []string{"id"}, BatchRows: 8, MaxRejects: -1,
		Unique: unique.Spec{Columns: []string{"k"}, On: unique.OnReject}, Output: filepath.Join(dir, "out"),
	}
	summary := mustRun(t, opts)
	if want := (ledger.Rows{Read: 30, Scored: 20, Rejected: 10}); summary.Rows != want {
		t.Errorf("rows = %+v; want %+v", summary.Rows, want)
	}
	data.n[3] = 2.5 // of a first
	columns = append(data.columns(), columns[len(columns)-1])
	writeSpans(t, in, []int64{7, 9, 2}, columns...)
	opts.Output = filepath.Join(dir, "fails")
	if _, err := run(t, opts); !errors.Is(err, engine.ErrBadRows) || !strings.Contains(err.Error(), `column "n", row 3: value 2.5 does not fit int8`) {
		t.Errorf("a bad row among the first: %v; want it named", err)
	}
	// Duplicates stay, with null predictions, and other bad rows do not.
	opts.Output, opts.OnBadRow, opts.Unique.On = filepath.Join(dir, "nulled"), engine.BadReject, unique.OnNull
	summary = mustRun(t, opts)
	if want := (ledger.Rows{Read: 30, Scored: 19, Rejected: 11, Nulled: 7}); summary.Rows != want {
		t.Errorf("rows = %+v; want %+v", summary.Rows, want)
	}
	_, records := readBack(t, opts.Output)
	want := []string{"0", "1", "2", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19", "20", "21", "22", "23", "24", "28", "29"}
	if diff := cmp.Diff(want, columnTexts(t, records, 0)); diff != "" {
		t.Errorf("ids of the output (-want +got):\n%s", diff)
	}
}

// A row whose predictions are null for it is a duplicate is null again in a replay, which
// reads its batch alone.
func TestReplayOfDuplicates(t *testing.T) {
	slow(t)
	d := newKeyed(t, 200)
	of := d.duplicates(func(r keyedRow) string { return r.k })
	for _, on := range []unique.On{unique.OnNull, unique.OnReject, unique.OnCount} {
		opts := d.options(t, "k")
		opts.Unique.On, opts.Output = on, filepath.Join(t.TempDir(), "out")
		mustRun(t, opts)
		for id := 0; id < 200; id += 3 {
			r := replay(t, replayOf(t, opts.Output, id))
			again := d.rows[id].x
			switch {
			case of[id] < 0 || on == unique.OnCount:
			case on == unique.OnReject:
				if len(r.Rows) != 0 || len(r.Rejected) != 1 || r.Rejected[0].Stage != "unique" {
					t.Errorf("%s, id %d: %+v; want it rejected", on, id, r)
				}
				continue
			default:
				again = "(null)"
			}
			if len(r.Rows) != 1 || r.Equal != 1 || r.Rows[0].Predictions[0].Again != again {
				t.Errorf("%s, id %d: %+v; want %s, equal", on, id, r, again)
			}
		}
	}
}

// A run that is stopped and started again finds the same duplicates, those of parts that
// were finished before among them; so does a process that scores a part by itself.
func TestDuplicatesOfContinuedRuns(t *testing.T) {
	lib := orttest.Library(t)
	opts := newKeyed(t, 6000).options(t, "k", "t")
	opts.Unique.On, opts.Output = unique.OnReject, filepath.Join(t.TempDir(), "whole")
	whole := mustRun(t, opts)
	want, rejects := sums(t, whole, opts.Output), rejectBytes(t, whole)
	check := func(summary *engine.Summary) {
		t.Helper()
		if got := sums(t, summary, opts.Output); !slices.Equal(got, want) || string(rejectBytes(t, summary)) != string(rejects) {
			t.Error("parts or rejects are others")
		}
		if summary.Duplicates.Rows != whole.Duplicates.Rows {
			t.Errorf("%d duplicates; want %d", summary.Duplicates.Rows, whole.Duplicates.Rows)
		}
	}
	opts.Output = filepath.Join(t.TempDir(), "out")
	halfDone(t, lib, opts)
	opts.Workers = 1
	summary, err := start(t, lib, opts, func(*engine.Plan, *engine.Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	check(summary)
	opts.Output = filepath.Join(t.TempDir(), "out")
	killedIn(t, lib, opts, 2, len(whole.Outputs)-1)
	apartOnce, calls := apart(t, lib, opts), 0
	opts.ScoreApart = func(ctx context.Context, path string) error {
		calls++
		return apartOnce(ctx, path)
	}
	if summary, err = start(t, lib, opts, func(*engine.Plan, *engine.Progress) {}); err != nil || calls != 1 {
		t.Fatalf("%v, after %d processes; want one", err, calls)
	}
	check(summary)
	opts.Unique.On = unique.OnNull
	opts.ScoreApart, opts.Output = nil, filepath.Join(t.TempDir(), "out")
	halfDone(t, lib, opts)
	opts.Unique.Columns = []string{"k"}
	if _, err := start(t, lib, opts, func(*engine.Plan, *engine.Progress) {}); !errors.Is(err, ledger.ErrOtherJob) || !strings.Contains(err.Error(), "--unique was") {
		t.Errorf("with other columns: %v; want ErrOtherJob", err)
	}
}

// More rows than the memory limit has room for go by disk, and nothing of them is left.
func TestDuplicatesByDisk(t *testing.T) {
	slow(t)
	const rows = 1_200_000
	ids := make([]string, rows)
	for i := range ids {
		ids[i] = strconv.Itoa(i * 7 % (rows - 5)) // the last 5 are there before
	}
	dir := t.TempDir()
	column := named{"x", fromJSON(t, elementNamed(t, "float32").column, "["+strings.Join(ids, ",")+"]")}
	opts := engine.Options{
		Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N")), Inputs: []string{writeParquet(t, filepath.Join(dir, "in.parquet"), 100_000, column)},
		MemoryLimit: 140 << 20, Workers: 1, MaxRejects: -1, Unique: unique.Spec{Columns: []string{"x"}, On: unique.OnReject}, Output: filepath.Join(dir, "out"),
	}
	summary := mustRun(t, opts)
	if f := summary.Duplicates; f.Rows != 5 || f.SpilledBytes < rows*24 || summary.Rows.Rejected != 5 {
		t.Errorf("%+v, rows %+v; want 5, by disk", f, summary.Rows)
	}
	_, records := readDataset(t, rejectsOf(t, opts.Output))
	if diff := cmp.Diff([]string{"1199995", "1199996", "1199997", "1199998", "1199999"}, columnTexts(t, records, 1)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("left: %v, %v; want the input and the output", left, err)
	}
}

// A run that is stopped while it looks for duplicates ends at once, and leaves nothing.
func TestDuplicatesAreInterrupted(t *testing.T) {
	d := newKeyed(t, 500)
	opts := d.options(t, "k")
	opts.Output = filepath.Join(t.TempDir(), "out")
	plan, err := engine.NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	plan.Stop(engine.ErrInterrupted, time.Hour)
	if _, err := plan.Run(t.Context(), orttest.Library(t), plan.NewProgress()); !errors.Is(err, engine.ErrInterrupted) {
		t.Errorf("Run() = %v; want ErrInterrupted", err)
	}
	if left, err := os.ReadDir(filepath.Dir(opts.Output)); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// The same file listed twice has every row twice.
func TestDuplicatesOfAFileListedTwice(t *testing.T) {
	d := newKeyed(t, 200)
	opts := d.options(t, "id")
	opts.Inputs = []string{d.files[1], d.files[0], d.files[1]}
	opts.Unique.On, opts.Output = unique.OnReject, filepath.Join(t.TempDir(), "out")
	opts.Nulls = batcher.NullPolicies{}
	if summary := mustRun(t, opts); summary.Rows.Scored != 200 || summary.Rows.Rejected != int64(200-d.second) {
		t.Errorf("rows = %+v; want each of 200 once", summary.Rows)
	}
}

// Rows that a filter drops are no duplicates, nor is any row one of theirs; and rules are
// no matter for rows that are left out.
func TestDuplicatesAmongFilteredRows(t *testing.T) {
	d := newKeyed(t, 700)
	kept := func(row int) bool { return row%3 != 1 && (row < 90 || row >= 270) }
	first, want := map[string]int{}, []string{}
	filtered := int64(0)
	for i, r := range d.rows {
		if !kept(i) {
			filtered++
			continue
		}
		if _, again := first[r.k]; !again {
			first[r.k] = i
			want = append(want, fmt.Sprint(i, " ", r.x))
		}
	}
	for _, workers := range []int{1, 3} {
		opts := d.options(t, "k")
		opts.Where, opts.Workers, opts.Output = "id % 3 != 1 && (id < 90 || id >= 270)", workers, filepath.Join(t.TempDir(), "out")
		opts.Unique.On = unique.OnReject
		summary := mustRun(t, opts)
		rows := ledger.Rows{Read: 700, Scored: int64(len(want)), Filtered: filtered, Rejected: 700 - filtered - int64(len(want))}
		if summary.Rows != rows || summary.Duplicates.Rows != rows.Rejected {
			t.Errorf("%d workers: %+v, %d duplicates; want %+v", workers, summary.Rows, summary.Duplicates.Rows, rows)
		}
		if diff := cmp.Diff(want, outputRows(t, opts.Output)); diff != "" {
			t.Errorf("%d workers (-want +got):\n%.600s", workers, diff)
		}
	}
	// A rule that only duplicates break, where bad rows make the run fail.
	opts := d.options(t, "k")
	opts.Unique.On, opts.Output = unique.OnReject, filepath.Join(t.TempDir(), "out")
	last := 0
	for _, row := range first {
		last = max(last, row)
	}
	opts.Rules = []filter.Rule{{Expr: fmt.Sprintf("id <= %d", last)}}
	opts.Where = "id % 3 != 1 && (id < 90 || id >= 270)"
	if summary := mustRun(t, opts); summary.Rows.Scored != int64(len(want)) {
		t.Errorf("with a rule: %+v; want %d scored", summary.Rows, len(want))
	}
	opts.Rules[0].Expr = fmt.Sprintf("id < %d", last)
	opts.Output = filepath.Join(t.TempDir(), "out")
	if _, err := run(t, opts); !errors.Is(err, engine.ErrBadRows) || !strings.Contains(err.Error(), `column "id"`) {
		t.Errorf("with a rule that a first row breaks: %v; want ErrBadRows", err)
	}
}
