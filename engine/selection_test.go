package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/dataset/datasettest"
)

// nightly are the options of a run of two files, of forty parts each, that appends what is
// new, and a third file that comes later: it is written by calling add.
func nightly(t *testing.T) (opts engine.Options, add func()) {
	t.Helper()
	opts = manyParts(t)
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.Link(opts.Inputs[0], filepath.Join(dir, name+".parquet")); err != nil {
			t.Fatal(err)
		}
	}
	opts.Inputs, opts.Output = []string{dir}, filepath.Join(t.TempDir(), "out")
	opts.OnlyNew, opts.IfExists, opts.BatchRows, opts.Workers = true, ledger.IfExistsAppend, 61, 2
	return opts, func() { writeParquet(t, filepath.Join(dir, "0.parquet"), 500, wideColumns(t, 1000)...) }
}

// readBy are the names of the files that a run read.
func readBy(t *testing.T, output, run string) (names []string) {
	t.Helper()
	data, err := os.ReadFile(ledger.ManifestPath(output, run))
	if err != nil {
		t.Fatal(err)
	}
	m, err := ledger.ParseManifest(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range m.Inputs {
		names = append(names, filepath.Base(in.Path))
	}
	return names
}

func nothing(*engine.Plan, *engine.Progress) {}

// A run that stopped, and files that came since: its own are finished first, and the rest
// are the next run's; the output is that of runs which nobody stopped.
func TestOnlyNewFinishesWhatWasBegun(t *testing.T) {
	slow(t)
	lib := orttest.Library(t)
	opts, add := nightly(t)
	whole := opts
	whole.Output = filepath.Join(t.TempDir(), "whole")
	mustRun(t, whole)

	halfDone(t, lib, opts)
	add()
	for _, want := range []struct {
		files []string
		later int
		taken bool
	}{{[]string{"a.parquet", "b.parquet"}, 1, true}, {[]string{"0.parquet"}, 0, false}} {
		plan, err := engine.NewPlan(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		summary, err := plan.Run(t.Context(), lib, plan.NewProgress())
		if err != nil {
			t.Fatal(err)
		}
		if got := readBy(t, opts.Output, summary.Run); !slices.Equal(got, want.files) || plan.Selection.Later != want.later || (summary.RowsTaken > 0) != want.taken {
			t.Errorf("a run read %q, took %d rows over and left %d files; want %+v", got, summary.RowsTaken, plan.Selection.Later, want)
		}
		plan.Close()
	}
	mustRun(t, whole)
	got, want := partsOf(t, opts.Output), partsOf(t, whole.Output)
	if len(got) != len(want) {
		t.Fatalf("%d files; want %d", len(got), len(want))
	}
	for i := range got {
		if a, b := rowsOf(t, got[i]), rowsOf(t, want[i]); !slices.Equal(a, b) {
			t.Errorf("%s has other rows than that of runs which nobody stopped", got[i])
		}
	}
	if _, err := engine.NewPlan(t.Context(), opts); !errors.Is(err, engine.ErrNothingNew) {
		t.Errorf("one run more = %v; want ErrNothingNew", err)
	}
}

// What cannot be continued is said, and --restart takes all that is new.
func TestOnlyNewAfterAStop(t *testing.T) {
	slow(t)
	lib := orttest.Library(t)
	for _, tc := range []struct {
		why    string
		change func(o *engine.Options)
		wants  error // nil: it runs
		files  []string
	}{
		{"--restart drops what was begun", func(o *engine.Options) { o.Restart = true }, nil, []string{"0.parquet", "a.parquet", "b.parquet"}},
		{"a time from which on does not part what was begun", func(o *engine.Options) { o.Since = time.Now().Add(time.Hour) }, nil, []string{"a.parquet", "b.parquet"}},
		{"other settings", func(o *engine.Options) { o.IDs = []string{"id", "small"} }, ledger.ErrOtherJob, nil},
		{"a file of it changed", func(o *engine.Options) {
			if err := os.Chtimes(filepath.Join(o.Inputs[0], "a.parquet"), time.Time{}, time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}, ledger.ErrInputChanged, nil},
		{"a file of it is gone", func(o *engine.Options) { _ = os.Remove(filepath.Join(o.Inputs[0], "a.parquet")) }, ledger.ErrInputChanged, nil},
	} {
		opts, add := nightly(t)
		halfDone(t, lib, opts)
		add()
		tc.change(&opts)
		summary, err := start(t, lib, opts, nothing)
		if !errors.Is(err, tc.wants) {
			t.Errorf("%s: Run() = %v; want %v", tc.why, err, tc.wants)
		} else if err == nil {
			if got := readBy(t, opts.Output, summary.Run); !slices.Equal(got, tc.files) {
				t.Errorf("%s: the run read %q; want %q", tc.why, got, tc.files)
			}
		}
	}
}

// Of two runs that saw the same files as new, one scores them.
func TestOnlyNewBesideAnother(t *testing.T) {
	slow(t)
	lib := orttest.Library(t)
	opts, add := nightly(t)
	late, err := engine.NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	add()
	first := mustRun(t, opts)
	if _, err := late.Run(t.Context(), lib, late.NewProgress()); !errors.Is(err, ledger.ErrHeld) {
		t.Errorf("the run of a plan from before another published = %v; want ErrHeld", err)
	}
	if _, err := os.Stat(ledger.ManifestPath(opts.Output, first.Run)); err != nil {
		t.Error(err)
	}
	if got, _ := filepath.Glob(filepath.Join(opts.Output, "_millrace", "*")); len(got) != 1 {
		t.Errorf("%d runs have published; want 1", len(got))
	}
}

// A run that rejected too much published nothing, so its files are new still. So are those
// of a run that died while it published a single file.
func TestOnlyNewKnowsPublishedRunsAlone(t *testing.T) {
	slow(t)
	lib := orttest.Library(t)
	opts, _ := nightly(t)
	opts.MaxRejects = 0
	if _, err := start(t, lib, opts, nothing); !errors.Is(err, engine.ErrBadRows) {
		t.Fatalf("Run() = %v; want ErrBadRows", err)
	}
	opts.MaxRejects = -1
	if summary := mustRun(t, opts); len(readBy(t, opts.Output, summary.Run)) != 2 {
		t.Error("files of a run that published nothing are not new")
	}

	opts.Output, opts.IfExists = filepath.Join(t.TempDir(), "one.csv"), ledger.IfExistsReplace
	summary := mustRun(t, opts)
	if _, err := engine.NewPlan(t.Context(), opts); !errors.Is(err, engine.ErrNothingNew) {
		t.Errorf("a single file again = %v; want ErrNothingNew", err)
	}
	// As it is between the two renames: the manifest has its place, the file has not.
	staged := filepath.Join(filepath.Dir(opts.Output), ".one.csv.millrace-"+summary.Run, "data")
	if err := errors.Join(os.MkdirAll(staged, 0o777), os.Rename(opts.Output, filepath.Join(staged, "one.csv"))); err != nil {
		t.Fatal(err)
	}
	plan, err := engine.NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatalf("after a death while a single file was published: %v; want a plan of its files", err)
	}
	defer plan.Close()
	if plan.Selection.Chosen != 2 {
		t.Errorf("%+v; want both files", plan.Selection)
	}
	if _, err := plan.Run(t.Context(), lib, plan.NewProgress()); err != nil {
		t.Error(err)
	}
}

// A manifest that cannot be read might have seen any file.
func TestOnlyNewRefusesABrokenChain(t *testing.T) {
	slow(t)
	opts, add := nightly(t)
	first := mustRun(t, opts)
	add()
	mustRun(t, opts)
	for _, tc := range []struct {
		why    string
		damage func(manifest string) error
		says   string
	}{
		{"a byte of an older manifest", func(m string) error { return os.WriteFile(m, []byte("{"), 0o666) }, "manifest.json"},
		{"an older manifest is gone", func(m string) error { return os.RemoveAll(filepath.Dir(m)) }, "history is cut here"},
	} {
		if err := tc.damage(ledger.ManifestPath(opts.Output, first.Run)); err != nil {
			t.Fatal(err)
		}
		if _, err := engine.NewPlan(t.Context(), opts); !errors.Is(err, ledger.ErrUnsound) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: NewPlan() = %v; want ErrUnsound saying %q", tc.why, err, tc.says)
		}
	}
}

// Objects of a store are known by their versions: the same bytes under another name are
// new, and other bytes under a name that was read are a change.
func TestOnlyNewOfAStore(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"1", "2"} {
		powers(t, filepath.Join(dir, name+".arrow"), i*31, 31)
	}
	store := &datasettest.Folder{Dir: dir, Versions: map[string]string{"box://1.arrow": "v1", "box://2.arrow": "v1"}}
	opts := engine.Options{
		Model: batchSum(t), Inputs: []string{"box://?.arrow"}, Output: filepath.Join(dir, "out"), IDs: []string{"id"}, BatchRows: 4, OnlyNew: true,
		IfExists: ledger.IfExistsAppend, Stores: map[string]dataset.Store{"box": store},
	}
	mustRun(t, opts)
	plan := func() (*engine.Selection, error) {
		p, err := engine.NewPlan(t.Context(), opts)
		if err != nil {
			return nil, err
		}
		return p.Selection, p.Close()
	}
	if _, err := plan(); !errors.Is(err, engine.ErrNothingNew) {
		t.Errorf("the same objects = %v; want ErrNothingNew", err)
	}
	powers(t, filepath.Join(dir, "3.arrow"), 62, 31)
	store.Versions["box://3.arrow"] = "v1"
	if s, err := plan(); err != nil || s.Chosen != 1 || s.Seen != 2 {
		t.Errorf("an object more = %+v, %v; want it alone", s, err)
	}
	store.Versions["box://1.arrow"] = "v2"
	if _, err := plan(); !errors.Is(err, ledger.ErrInputChanged) || !strings.Contains(err.Error(), `"box://1.arrow", which run`) {
		t.Errorf("another version = %v; want ErrInputChanged that names it", err)
	}
	if store.Opened.Load() != 0 {
		t.Errorf("%d objects are left open", store.Opened.Load())
	}
}
