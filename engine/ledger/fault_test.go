package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type faultCase struct {
	name     string
	single   bool
	folders  bool
	before   string // what stands at the output: absent, empty or old
	noFlags  bool
	mayBeOut []string // what a reader may find besides before and "new"
}

var faultCases = []faultCase{
	{name: "fresh directory", before: "absent"},
	{name: "empty directory", before: "empty"},
	{name: "replace directory", before: "old"},
	{name: "replace directory without exchange", before: "old", noFlags: true, mayBeOut: []string{"absent"}},
	{name: "fresh folders", folders: true, before: "absent"},
	{name: "replace folders", folders: true, before: "old"},
	{name: "fresh file", single: true, before: "absent"},
	{name: "fresh file without noreplace", single: true, before: "absent", noFlags: true},
	{name: "replace file", single: true, before: "old"},
}

const (
	oldRun   = "20260101T000000Z-000000"
	newRun   = "20260102T000000Z-00000a"
	thirdRun = "20260103T000000Z-00000b"
)

// setUp makes the state before, and returns the options of the new run.
func (c faultCase) setUp(t *testing.T) StageOptions {
	t.Helper()
	name := "out"
	if c.single {
		name = "out.parquet"
	}
	opts := StageOptions{
		Output: filepath.Join(t.TempDir(), "a", "b", name), Single: c.single,
		IfExists: IfExistsReplace, RunID: oldRun, Ext: "parquet", FS: &faultFS{},
	}
	if c.folders {
		opts.PartitionBy = []string{"k", "j"}
	}
	switch c.before {
	case "old":
		if _, err := writeOutput(opts, oldFill); err != nil {
			t.Fatal(err)
		}
	case "empty":
		if err := os.MkdirAll(opts.Output, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	opts.RunID = newRun
	return opts
}

// TestFaults fails operation k = 1, 2, ... until a run passes. Each time, at
// every moment, a reader finds the old output or the whole new one, and
// afterwards nothing is left behind.
func TestFaults(t *testing.T) {
	for _, c := range faultCases {
		t.Run(c.name, func(t *testing.T) {
			for k := 1; ; k++ {
				if k > 1000 {
					t.Fatal("no run passed")
				}
				if !c.failOnce(t, k) {
					t.Logf("%d operations", k-1)
					return
				}
			}
		})
	}
}

// watchOutput fails the test when a reader would find what it must not.
func (c faultCase) watchOutput(t *testing.T, output, what string) func() {
	t.Helper()
	allowed := append([]string{c.before, "new"}, c.mayBeOut...)
	return func() {
		t.Helper()
		if got := seen(output, c.single); !slices.Contains(allowed, got) {
			t.Fatalf("%s: a reader finds %s; want one of %v", what, got, allowed)
		}
	}
}

// failOnce reports whether a fault was injected.
func (c faultCase) failOnce(t *testing.T, k int) bool {
	t.Helper()
	opts := c.setUp(t)
	root := filepath.Dir(filepath.Dir(filepath.Dir(opts.Output)))
	before := tree(t, root)
	ffs := &faultFS{failAt: k, noFlags: c.noFlags}
	ffs.watch = c.watchOutput(t, opts.Output, fmt.Sprintf("operation %d", k))
	opts.FS = ffs
	published, err := writeOutput(opts, newFill)
	what := fmt.Sprintf("operation %d (%s): %v", k, ffs.injected, err)
	if ffs.open != 0 {
		t.Errorf("%s: %d files left open", what, ffs.open)
	}
	if err != nil && !errors.Is(err, ErrOutput) {
		t.Errorf("%s: want an error that wraps ErrOutput", what)
	}
	want := c.before
	if published {
		want = "new"
	}
	if got := seen(opts.Output, c.single); got != want {
		t.Fatalf("%s: output is %s; want %s", what, got, want)
	}
	after := tree(t, root)
	if !published {
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%s: left behind (-before +after):\n%s", what, diff)
		}
	} else {
		if text := strings.Join(after, "\n"); strings.Contains(text, ".millrace-") {
			t.Errorf("%s: left behind:\n%s", what, text)
		}
		c.checkChain(t, opts.Output, what, newRun)
	}
	return ffs.injected != ""
}

// TestDeath lets every operation from k = 1, 2, ... on fail, as when the
// process dies or the disk goes away. A reader finds the old output or the
// whole new one; the next run cleans up everything.
func TestDeath(t *testing.T) {
	oneThread(t)
	for _, c := range faultCases {
		t.Run(c.name, func(t *testing.T) {
			for k := 1; ; k++ {
				opts := c.setUp(t)
				ffs := &faultFS{failAt: k, dead: true, noFlags: c.noFlags}
				ffs.watch = c.watchOutput(t, opts.Output, fmt.Sprintf("dead from operation %d", k))
				opts.FS = ffs
				_, err := writeOutput(opts, newFill)
				ffs.watch()
				if ffs.injected == "" {
					return
				}
				if err == nil || ffs.open != 0 {
					t.Fatalf("dead from operation %d: error %v, %d files left open", k, err, ffs.open)
				}
				c.nextRun(t, opts, fmt.Sprintf("dead from operation %d (%s)", k, ffs.injected))
			}
		})
	}
}

// nextRun stages after a death, when an output must be there again if there
// was one, and then publishes.
func (c faultCase) nextRun(t *testing.T, opts StageOptions, what string) {
	t.Helper()
	opts.FS, opts.RunID = &faultFS{}, thirdRun
	s, err := Stage(opts)
	if err != nil {
		t.Fatalf("%s: next run: %v", what, err)
	}
	found := seen(opts.Output, c.single)
	if found != "new" && found != c.before {
		t.Fatalf("%s: next run finds %s; want %s or new", what, found, c.before)
	}
	if err := s.Discard(); err != nil {
		t.Fatalf("%s: next run: %v", what, err)
	}
	if _, err := writeOutput(opts, thirdFill); err != nil {
		t.Fatalf("%s: next run: %v", what, err)
	}
	if got := seen(opts.Output, c.single); got != "third" {
		t.Fatalf("%s: output after the next run is %s", what, got)
	}
	text := strings.Join(tree(t, filepath.Dir(opts.Output)), "\n")
	if strings.Contains(text, ".millrace-") {
		t.Fatalf("%s: left behind after the next run:\n%s", what, text)
	}
	runs := []string{thirdRun}
	if found == "new" {
		runs = append(runs, newRun)
	}
	c.checkChain(t, opts.Output, what, runs...)
}

// checkChain checks that the manifests of an output are those of the runs, newest
// first, and the one before the test, each naming the next by the digest of its
// file.
func (c faultCase) checkChain(t *testing.T, output, what string, runs ...string) {
	t.Helper()
	if c.before == "old" {
		runs = append(runs, oldRun)
	}
	dir := filepath.Join(output, "_millrace")
	if c.single {
		dir = filepath.Join(filepath.Dir(output), "_"+filepath.Base(output)+".millrace")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(runs) {
		t.Fatalf("%s: history has %v, %v; want %v", what, entries, err, runs)
	}
	var sum string // that the run before names
	for i, run := range runs {
		text, err := os.ReadFile(filepath.Join(dir, run, "manifest.json"))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		digest := sha256.Sum256(text)
		if got := hex.EncodeToString(digest[:]); i > 0 && got != sum {
			t.Fatalf("%s: manifest of %s has digest %s; its child says %s", what, run, got, sum)
		}
		m, err := ParseManifest(text)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if (m.Parent != nil) != (i+1 < len(runs)) || m.Parent != nil && m.Parent.Run != runs[i+1] {
			t.Fatalf("%s: parent of %s is %+v; want that of %v", what, run, m.Parent, runs)
		}
		if m.Parent != nil {
			sum = m.Parent.SHA256
		}
	}
}

// TestReaderNeverSeesPartial polls an output while runs replace it.
func TestReaderNeverSeesPartial(t *testing.T) {
	dir := t.TempDir()
	opts := StageOptions{Output: filepath.Join(dir, "out"), IfExists: IfExistsReplace, RunID: oldRun, Ext: "parquet", FS: &faultFS{}}
	if _, err := writeOutput(opts, oldFill); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan int)
	go func() {
		polls := 0
		defer func() { done <- polls }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			polls++
			// One open of the directory is one view of it; names below are
			// looked up in it, so an exchange meanwhile does not matter.
			root, err := os.OpenRoot(opts.Output)
			if err != nil {
				t.Errorf("output is gone: %v", err)
				return
			}
			_, err = root.Stat("_SUCCESS")
			var gone bool
			if err != nil { // the old output is being removed: it is not at the name any more
				now, serr := os.Stat(opts.Output)
				mine, merr := root.Stat(".")
				gone = serr == nil && merr == nil && !os.SameFile(now, mine)
			}
			_ = root.Close()
			if err != nil && !gone {
				t.Errorf("output is partial: %v", err)
				return
			}
		}
	}()
	for i := range 20 {
		opts.RunID = NewRunID(time.Now().Add(time.Duration(i) * time.Second))
		if _, err := writeOutput(opts, newFill); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	t.Logf("%d polls", <-done)
}
