package ledger

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func options(t *testing.T) StageOptions {
	t.Helper()
	return StageOptions{
		Output: filepath.Join(t.TempDir(), "out"), RunID: NewRunID(time.Now()),
		Ext: "parquet", FS: &faultFS{},
	}
}

func stage(t *testing.T, opts StageOptions) *Staging {
	t.Helper()
	s, err := Stage(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Discard(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStageRefuses(t *testing.T) {
	file := func(t *testing.T, name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("mine"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name string
		set  func(t *testing.T, o *StageOptions)
		want error
		says string
	}{
		{"a directory that holds something", func(t *testing.T, o *StageOptions) {
			t.Helper()
			file(t, filepath.Join(o.Output, "x"))
		}, ErrExists, "--if-exists replace"},
		{"a file", func(t *testing.T, o *StageOptions) {
			t.Helper()
			file(t, o.Output)
			o.Single = true
		}, ErrExists, "--if-exists replace"},
		{"replacing a directory that is no output", func(t *testing.T, o *StageOptions) {
			t.Helper()
			file(t, filepath.Join(o.Output, "thesis.tex"))
			o.IfExists = IfExistsReplace
		}, ErrExists, "neither _SUCCESS nor _millrace"},
		{"replacing a directory by a file", func(t *testing.T, o *StageOptions) {
			t.Helper()
			file(t, filepath.Join(o.Output, "_SUCCESS"))
			o.Single, o.IfExists = true, IfExistsReplace
		}, ErrExists, "it is a directory"},
		{"replacing a file by a directory", func(t *testing.T, o *StageOptions) {
			t.Helper()
			file(t, o.Output)
			o.IfExists = IfExistsReplace
		}, ErrExists, "it is a file"},
		{"a fifo", func(t *testing.T, o *StageOptions) {
			t.Helper()
			if err := syscall.Mkfifo(o.Output, 0o666); err != nil {
				t.Skip(err)
			}
			o.Single, o.IfExists = true, IfExistsReplace
		}, ErrExists, "special file"},
		{"a parent that is a file", func(t *testing.T, o *StageOptions) {
			t.Helper()
			file(t, o.Output)
			o.Output = filepath.Join(o.Output, "out")
		}, ErrOutput, "not a directory"},
		{"the root directory", func(_ *testing.T, o *StageOptions) { o.Output = "/" }, ErrOutput, "root directory"},
		{"a mount point", func(_ *testing.T, o *StageOptions) { o.Output = "/proc" }, ErrOutput, "/proc"},
		{"a dangling link", func(t *testing.T, o *StageOptions) {
			t.Helper()
			if err := os.Symlink("nowhere", o.Output); err != nil {
				t.Fatal(err)
			}
		}, ErrOutput, "no such file"},
		{"bad options, all at once", func(_ *testing.T, o *StageOptions) {
			*o = StageOptions{IfExists: "maybe", RunID: "../x", Ext: "a/b"}
		}, nil, "Output is empty\nIfExists (\"maybe\")"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opts := options(t)
			dir := filepath.Dir(opts.Output)
			test.set(t, &opts)
			before := tree(t, dir)
			s, err := Stage(opts)
			if err == nil {
				_ = s.Discard()
			}
			if err == nil || (test.want != nil && !errors.Is(err, test.want)) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Stage() = %v; want %v saying %q", err, test.want, test.says)
			}
			if after := tree(t, dir); strings.Join(after, "\n") != strings.Join(before, "\n") {
				t.Errorf("left behind: %v; before: %v", after, before)
			}
		})
	}
}

func TestStageFollowsLink(t *testing.T) {
	opts := options(t)
	dir := filepath.Dir(opts.Output)
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", opts.Output); err != nil {
		t.Fatal(err)
	}
	if _, err := writeOutput(opts, newFill); err != nil {
		t.Fatal(err)
	}
	if got := seen(filepath.Join(dir, "real"), false); got != "new" {
		t.Errorf("directory behind the link is %s; want new", got)
	}
	if target, err := os.Readlink(opts.Output); err != nil || target != "real" {
		t.Errorf("link = %q, %v; want it kept", target, err)
	}
}

func TestStageRefusesALinkToNothing(t *testing.T) {
	opts := options(t)
	if err := os.Symlink("nowhere", opts.Output); err != nil {
		t.Fatal(err)
	}
	_, err := Stage(opts)
	if !errors.Is(err, ErrOutput) || !strings.Contains(err.Error(), "a link to what is not there; remove the link") {
		t.Errorf("Stage() on a dangling link = %v; want ErrOutput that says what to do", err)
	}
}

func TestHeld(t *testing.T) {
	opts := options(t)
	s := stage(t, opts)
	second := opts
	second.RunID = NewRunID(time.Now())
	_, err := Stage(second)
	var held *HeldError
	if !errors.As(err, &held) || !errors.Is(err, ErrHeld) {
		t.Fatalf("second Stage() = %v; want a *HeldError", err)
	}
	if held.Holder.Run != opts.RunID || held.Holder.PID != os.Getpid() || held.Holder.Host == "" {
		t.Errorf("holder = %+v; want this process and run %s", held.Holder, opts.RunID)
	}
	if err := s.Discard(); err != nil {
		t.Fatal(err)
	}
	third := stage(t, second)
	if err := third.Discard(); err != nil {
		t.Fatal(err)
	}
	if left := tree(t, filepath.Dir(opts.Output)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// TestLockFileOfDeadHolder shows that only flock counts, not the file.
func TestLockFileOfDeadHolder(t *testing.T) {
	opts := options(t)
	name := filepath.Join(filepath.Dir(opts.Output), ".out.millrace.lock")
	if err := os.WriteFile(name, []byte(`{"run":"x","pid":1,"host":"gone"}`), 0o666); err != nil {
		t.Fatal(err)
	}
	stage(t, opts)
}

// TestLockExcludes lets many race for a lock whose file comes and goes.
func TestLockExcludes(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	var inside, won atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				lock, err := osFS{}.Lock(name, []byte(`{}`))
				if _, ok := errors.AsType[*lockedError](err); ok {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				won.Add(1)
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d hold the lock", n)
				}
				if err := lock.Held(); err != nil {
					t.Error(err)
				}
				inside.Add(-1)
				if err := lock.Release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("won %d times", won.Load())
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("lock file is left: %v", err)
	}
}

func TestPublishNeedsTheLock(t *testing.T) {
	opts := options(t)
	s := stage(t, opts)
	p, err := s.Part(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Commit(0); err != nil {
		t.Fatal(err)
	}
	// As if this run had been stalled, and the lock given to another by a
	// file system that forgot it.
	if err := os.Remove(filepath.Join(filepath.Dir(opts.Output), ".out.millrace.lock")); err != nil {
		t.Fatal(err)
	}
	if err := s.Publish(&Manifest{Parts: []Rows{{}}}); !errors.Is(err, ErrHeld) {
		t.Errorf("Publish() = %v; want ErrHeld", err)
	}
	if got := seen(opts.Output, false); got != "absent" {
		t.Errorf("output is %s; want absent", got)
	}
}

// TestOutputAppears puts something at the output's name while a run works.
func TestOutputAppears(t *testing.T) {
	for _, single := range []bool{false, true} {
		opts := options(t)
		opts.Single = single
		s := stage(t, opts)
		p, err := s.Part(0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Commit(0); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(opts.Output, []byte("mine"), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := s.Publish(&Manifest{Parts: []Rows{{}}}); !errors.Is(err, ErrExists) {
			t.Errorf("single %v: Publish() = %v; want ErrExists", single, err)
		}
		if err := s.Discard(); err != nil {
			t.Error(err)
		}
		if got := tree(t, filepath.Dir(opts.Output)); len(got) != 2 || got[1] != "/out 4" {
			t.Errorf("single %v: left behind: %v", single, got)
		}
	}
}

func TestParents(t *testing.T) {
	opts := options(t)
	dir := filepath.Dir(opts.Output)
	opts.Output = filepath.Join(dir, "a", "b", "out")
	s := stage(t, opts)
	if err := s.Discard(); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, dir); len(got) != 1 {
		t.Errorf("after Discard: %v; want the parents gone", got)
	}
	if _, err := writeOutput(opts, newFill); err != nil {
		t.Fatal(err)
	}
	if got := seen(opts.Output, false); got != "new" {
		t.Errorf("output is %s; want new", got)
	}
}

// TestHeldErrors: each says what happened, and who did it.
func TestHeldErrors(t *testing.T) {
	for _, c := range []struct {
		why    string
		holder Holder
		want   string
	}{
		{"nobody said", Holder{}, `output "o" is held by another run`},
		{"one that lives", Holder{Run: "r", PID: 7, Host: "h"}, `output "o" is held by run r (process 7 on h, since 0001-01-01T00:00:00Z)`},
		{"one that published in between", Holder{Run: "r"}, `output "o" was taken by run r while this one began, which has published or ended since; run the same command again`},
	} {
		if got := (&HeldError{Output: "o", Holder: c.holder}).Error(); got != c.want {
			t.Errorf("%s: %s; want %s", c.why, got, c.want)
		}
	}
}
