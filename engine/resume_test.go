package engine_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// manyParts are the options of a run of some forty parts, of which rows of every
// third are rejected.
func manyParts(t *testing.T) engine.Options {
	t.Helper()
	const rows = 20_000
	dir := t.TempDir()
	model := identities(t,
		[]element{elementNamed(t, "float32"), elementNamed(t, "string"), elementNamed(t, "int8")},
		[][]any{{"N"}, {"N", 1}, {"N", 3}}, []int{2, 1, 1})
	return engine.Options{
		Model: model, Inputs: []string{writeParquet(t, filepath.Join(dir, "in.parquet"), 500, wideColumns(t, rows)...)},
		IDs: []string{"id"}, Keep: []string{"flag", "word"}, PartRows: 500, MaxRejects: -1,
		Nulls: batcher.NullPolicies{Default: batcher.ParseNullPolicy("reject"), ByColumn: map[string]batcher.NullPolicy{"x1": batcher.ParseNullPolicy("none")}},
	}
}

// start runs options once; stop is called while it does.
func start(t *testing.T, lib *ort.Library, opts engine.Options, stop func(*engine.Plan, *engine.Progress)) (*engine.Summary, error) {
	t.Helper()
	plan, err := engine.NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := plan.Close(); err != nil {
			t.Error(err)
		}
	}()
	progress := plan.NewProgress()
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		select {
		case <-done:
		default:
			stop(plan, progress)
		}
	}()
	summary, err := plan.Run(t.Context(), lib, progress)
	close(done)
	<-over
	return summary, err
}

// interruption stops a run's n-th start: the first when it has read half of the rows or
// less, so that one is stopped however fast the machine is, the others at moments of what
// a whole run took, later and later, so that it ends.
func interruption(random *rand.Rand, n int, took, grace time.Duration) func(*engine.Plan, *engine.Progress) {
	share := random.Int64N(100)
	return func(p *engine.Plan, progress *engine.Progress) {
		if n > 1 {
			time.Sleep(took * time.Duration(int64(n)*share) / 100)
		} else {
			for late := time.Now().Add(time.Minute); progress.RowsRead.Load() < progress.TotalRows*share/200 && time.Now().Before(late); {
				time.Sleep(20 * time.Microsecond)
			}
		}
		p.Stop(engine.ErrInterrupted, grace)
	}
}

// wholeRun is a run that nobody stops, and how long it took.
func wholeRun(t *testing.T, opts engine.Options) (*engine.Summary, time.Duration) {
	t.Helper()
	started := time.Now()
	return mustRun(t, opts), time.Since(started)
}

// rejectBytes are the bytes of a run's rejected rows.
func rejectBytes(t *testing.T, summary *engine.Summary) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(summary.Output, summary.Rejects.Name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestContinuedRunsAreTheSameBytes stops runs at random moments, at once or at parts'
// edges, and starts them again with other numbers of workers until they publish.
func TestContinuedRunsAreTheSameBytes(t *testing.T) {
	lib := orttest.Library(t)
	opts := manyParts(t)
	opts.BatchRows, opts.Workers = fewRows(), 1
	opts.Output = filepath.Join(t.TempDir(), "whole")
	whole, took := wholeRun(t, opts)
	want, rejects := sums(t, whole, opts.Output), rejectBytes(t, whole)
	random := rand.New(rand.NewPCG(1, 2))
	starts := 0
	for i := range rounds(6) {
		opts.Output = filepath.Join(t.TempDir(), fmt.Sprint("out", i))
		for n := 1; ; n++ {
			opts.Workers = []int{1, 2, 5}[random.IntN(3)]
			grace := time.Duration(random.IntN(2)) * time.Hour
			summary, err := start(t, lib, opts, interruption(random, n, took, grace))
			starts++
			if errors.Is(err, engine.ErrInterrupted) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := sums(t, summary, opts.Output); !slices.Equal(got, want) {
				t.Errorf("after %d starts the parts are others", n)
			}
			if summary.Rows != whole.Rows || summary.Starts > n {
				t.Errorf("rows %+v after %d of %d starts; want %+v", summary.Rows, summary.Starts, n, whole.Rows)
			}
			if string(rejectBytes(t, summary)) != string(rejects) {
				t.Errorf("after %d starts the rejected rows are others", n)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(opts.Output), ".out*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			break
		}
	}
	if starts <= rounds(6) {
		t.Errorf("%d starts: none was stopped", starts)
	}
	t.Logf("%d starts", starts)
}

// rounds are how often a test repeats itself: a third of n where it is to be short, since
// the race detector makes runs ten times as slow.
func rounds(n int) int {
	if testing.Short() {
		return (n + 2) / 3
	}
	return n
}

// fewRows are rows of a batch, so few that a small input has many batches, and not quite
// so many where a test is to be short.
func fewRows() int {
	if testing.Short() {
		return 4 * 61
	}
	return 61
}

// slow skips a test that races nothing which shorter ones do not, where it is to be short.
func slow(tb testing.TB) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("slow, and not about what runs at once")
	}
}

// halfDone starts a run and stops it with some parts finished.
func halfDone(t *testing.T, lib *ort.Library, opts engine.Options) {
	t.Helper()
	for range 50 {
		_, err := start(t, lib, opts, func(p *engine.Plan, progress *engine.Progress) {
			for progress.PartsDone.Load() == 0 {
				time.Sleep(10 * time.Microsecond)
			}
			p.Stop(engine.ErrInterrupted, 0)
		})
		if err == nil { // it was faster
			if err := os.RemoveAll(opts.Output); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if !errors.Is(err, engine.ErrInterrupted) || !strings.Contains(err.Error(), "run the same command again") {
			t.Fatalf("stopped run: %v", err)
		}
		return
	}
	t.Fatal("no run could be stopped")
}

func TestChangedJobs(t *testing.T) {
	slow(t)
	lib := orttest.Library(t)
	base := manyParts(t)
	base.BatchRows, base.Workers = 61, 2
	input := base.Inputs[0]
	tests := []struct {
		name   string
		change func(o *engine.Options)
		says   string // empty: the run goes on
		input  bool
	}{
		{"workers, readers, memory", func(o *engine.Options) { o.Workers, o.Readers, o.MemoryLimit = 1, 3, engine.NoMemoryLimit }, "", false},
		{"ids", func(o *engine.Options) { o.IDs = []string{"id", "small"} }, `--ids was ["id"] and is ["id","small"]`, false},
		{"a null policy", func(o *engine.Options) { o.Nulls.Default = batcher.ParseNullPolicy("0") }, `--nulls was "reject" and is "0"`, false},
		{"the batch size", func(o *engine.Options) { o.BatchRows = 62 }, "--batch-size was 61 and is 62", false},
		{"the version", func(o *engine.Options) { o.Build.Version = "v9" }, "millrace's version was", false},
		{"an input touched", func(*engine.Options) {
			if err := os.Chtimes(input, time.Time{}, time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}, "input " + input + " was ", true},
		{"an input more", func(o *engine.Options) { o.Inputs = []string{input, input} }, "(listed 2 times) is new", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opts := base
			opts.Output = filepath.Join(t.TempDir(), "out")
			halfDone(t, lib, opts)
			test.change(&opts)
			summary, err := start(t, lib, opts, func(*engine.Plan, *engine.Progress) {})
			if test.says == "" {
				if err != nil || summary.Starts != 2 || summary.RowsTaken == 0 {
					t.Errorf("Run() = %+v, %v; want it continued", summary, err)
				}
				return
			}
			if !errors.Is(err, ledger.ErrOtherJob) || errors.Is(err, ledger.ErrInputChanged) != test.input || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Run() = %v; want ErrOtherJob saying %q", err, test.says)
			}
			opts.Restart = true
			if summary, err := start(t, lib, opts, func(*engine.Plan, *engine.Progress) {}); err != nil || summary.Starts != 1 || summary.RowsTaken != 0 {
				t.Errorf("Run() with Restart = %+v, %v; want a fresh run", summary, err)
			}
		})
	}
}

// TestPublishedAlready runs a published job again.
func TestPublishedAlready(t *testing.T) {
	opts := manyParts(t)
	opts.Output = filepath.Join(t.TempDir(), "out")
	first := mustRun(t, opts)
	again := mustRun(t, opts)
	if !again.Already || again.Run != first.Run || again.Rows != first.Rows || len(again.Outputs) != len(first.Outputs) {
		t.Errorf("second run = %+v; want the first's, %+v", again, first)
	}
	opts.OutputPrefix = "p_"
	plan, err := engine.NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	if _, err := plan.Run(t.Context(), orttest.Library(t), plan.NewProgress()); !errors.Is(err, ledger.ErrExists) {
		t.Errorf("another job on the output = %v; want ErrExists", err)
	}
}

// TestChoiceIsKept stops a run whose batch size was chosen, and changes what the
// default would be: the run keeps its own.
func TestChoiceIsKept(t *testing.T) {
	lib := orttest.Library(t)
	opts := manyParts(t)
	opts.Output = filepath.Join(t.TempDir(), "out")
	halfDone(t, lib, opts)
	var chosen *engine.Choice
	plan, err := engine.NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	plan.Options.BatchRows = 77 // as a smaller limit of memory would have it
	progress := plan.NewProgress()
	progress.OnChoice = func(c *engine.Choice) { chosen = c }
	if _, err := plan.Run(t.Context(), lib, progress); err != nil {
		t.Fatal(err)
	}
	if chosen == nil || chosen.BatchRows == 77 || chosen.BatchRows == 0 {
		t.Errorf("continued with %+v; want the batch size of the first start", chosen)
	}
}

// TestSingleFilesAreContinued does the same for single files, which are joined of
// pieces: each has the rows that the parts of a directory have, in their order.
func TestSingleFilesAreContinued(t *testing.T) {
	lib := orttest.Library(t)
	opts := manyParts(t)
	opts.BatchRows = fewRows()
	opts.Output = filepath.Join(t.TempDir(), "parts")
	directory := mustRun(t, opts)
	parts := partsOf(t, opts.Output)
	want := rowsOf(t, parts[0])
	for _, part := range parts[1:] {
		want = append(want, rowsOf(t, part)...)
	}
	random := rand.New(rand.NewPCG(3, 4))
	names := []string{"one.parquet", "one.jsonl.zst", "one.arrow", "one.csv", "one.csv.gz"}
	for _, name := range names[:rounds(len(names))] {
		opts.Output, opts.Workers = filepath.Join(t.TempDir(), name), 1
		whole, took := wholeRun(t, opts)
		if whole.Rows != directory.Rows || len(whole.Outputs) != 1 || whole.Outputs[0].Rows != directory.Rows.Scored {
			t.Errorf("%s: %+v of %+v; want the rows of a directory, %+v", name, whole.Outputs, whole.Rows, directory.Rows)
		}
		once, err := os.ReadFile(opts.Output)
		if err != nil {
			t.Fatal(err)
		}
		if f, _ := engine.FormatOf(name); f.IsText() {
			checkText(t, opts, once)
		} else if got := rowsOf(t, opts.Output); !slices.Equal(got, want) {
			t.Errorf("%s has other rows than the directory, %d of %d", name, len(got), len(want))
		}
		opts.Output = filepath.Join(t.TempDir(), name)
		for n := 1; ; n++ {
			opts.Workers = []int{1, 2, 5}[random.IntN(3)]
			_, err := start(t, lib, opts, interruption(random, n, took, 0))
			if err == nil {
				break
			}
			if !errors.Is(err, engine.ErrInterrupted) {
				t.Fatal(err)
			}
		}
		again, err := os.ReadFile(opts.Output)
		if err != nil || string(again) != string(once) {
			t.Errorf("%s: %d bytes after it was stopped, %v; want the %d of a run that was not", name, len(again), err, len(once))
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(opts.Output), ".*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// checkText compares a single text file with the lines of the same run's files in a
// directory, which are not joined.
func checkText(t *testing.T, opts engine.Options, got []byte) {
	t.Helper()
	single := opts.Output
	opts.Format, _ = engine.FormatOf(single)
	opts.Output, opts.Compression = filepath.Join(t.TempDir(), "parts"), "none"
	mustRun(t, opts)
	var want []byte
	for i, part := range partsOf(t, opts.Output) {
		text, err := os.ReadFile(part)
		if err != nil {
			t.Fatal(err)
		}
		if opts.Format == format.CSV && i > 0 {
			text = text[bytes.IndexByte(text, '\n')+1:]
		}
		want = append(want, text...)
	}
	var from io.Reader = bytes.NewReader(got)
	var err error
	switch filepath.Ext(single) {
	case ".gz":
		from, err = gzip.NewReader(from)
	case ".zst":
		from, err = zstd.NewReader(from, zstd.WithDecoderConcurrency(1))
	}
	if err == nil {
		got, err = io.ReadAll(from)
	}
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes of text, %v; want the %d of the parts", single, len(got), err, len(want))
	}
}

// rowsOf are the rows of a Parquet or Arrow file as text.
func rowsOf(t *testing.T, path string) []string {
	t.Helper()
	data, err := dataset.Open(t.Context(), []string{path}, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	names := make([]string, 0, data.Schema().NumFields())
	for _, f := range data.Schema().Fields() {
		names = append(names, f.Name)
	}
	var rows []string
	for span := range data.Spans(0) {
		err := data.ReadSpan(t.Context(), dataset.SpanRef{Span: span}, names, func(r arrow.RecordBatch) error {
			for i := range int(r.NumRows()) {
				values := make([]string, r.NumCols())
				for k := range values {
					values[k] = r.Column(k).ValueStr(i)
				}
				rows = append(rows, strings.Join(values, "|"))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return rows
}
