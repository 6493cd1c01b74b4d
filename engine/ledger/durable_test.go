package ledger

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// parentFS fails some of the syncs of one directory.
type parentFS struct {
	FS
	parent string
	fails  func(sync int) bool // from 1
	asked  int
}

func (f *parentFS) SyncDirs(names ...string) error {
	if slices.Contains(names, f.parent) {
		if f.asked++; f.fails(f.asked) {
			return &fs.PathError{Op: "sync", Path: f.parent, Err: errors.New("input/output error")}
		}
	}
	return f.FS.SyncDirs(names...)
}

// TestPublishedAndNotDurable: no start says "published already" of a name that no sync
// made durable, be the run's directory still there or not.
func TestPublishedAndNotDurable(t *testing.T) {
	all, none := func(int) bool { return true }, func(int) bool { return false }
	for what, fails := range map[string]func(int) bool{
		"the sync after the step": func(sync int) bool { return sync == 2 }, // the first is Begin's
		"all from it on":          func(sync int) bool { return sync >= 2 },
	} {
		t.Run(what, func(t *testing.T) {
			opts := jobOptions(t)
			start := func(run string, fails func(int) bool) (asked int, err error) {
				f := &parentFS{FS: osFS{}, parent: filepath.Dir(opts.Output), fails: fails}
				opts.RunID, opts.FS = run, f
				_, err = runJob(opts, -1)
				return f.asked, err
			}
			if _, err := start(oldRun, fails); !errors.Is(err, ErrNotDurable) {
				t.Fatalf("first start: %v; want ErrNotDurable", err)
			}
			if _, err := start(newRun, all); !errors.Is(err, ErrOutput) || errors.Is(err, ErrPublished) {
				t.Errorf("second start: %v; want an error that wraps ErrOutput, and not ErrPublished", err)
			}
			// What was replaced may be in there.
			if _, err := os.Lstat(filepath.Join(filepath.Dir(opts.Output), ".out.millrace-"+oldRun)); what == "all from it on" && err != nil {
				t.Errorf("the first start's directory: %v; want it to stay until the new name is durable", err)
			}
			if asked, err := start(thirdRun, none); !errors.Is(err, ErrPublished) || asked == 0 {
				t.Errorf("third start: %d syncs, %v; want ErrPublished after one at least", asked, err)
			}
			checkJob(t, opts.Output, testJob, 0)
		})
	}
}
