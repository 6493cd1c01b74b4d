package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// adoptPart has a part written as by another process, on the same file system, and takes
// it over.
func adoptPart(s *Staging, i int, rows Rows) error {
	dir, err := s.Apart()
	if err != nil {
		return err
	}
	other, err := Stage(StageOptions{Output: filepath.Join(dir, apartOutput), RunID: s.RunID(), Ext: s.opts.Ext, Job: s.opts.Job, FS: s.fs})
	if err != nil {
		return err
	}
	if err = other.Begin(json.RawMessage(`{}`)); err == nil {
		err = writePart(other, i, rows)
	}
	_, kept := other.Suspend("to be taken over")
	if err := errors.Join(err, kept); err != nil {
		return err
	}
	_, err = s.Adopt(dir, i)
	return err
}

// TestAdoptFaults fails operation k = 1, 2, ... of a run one of whose parts another process
// writes, alone and with all after it, until one passes: the next start publishes the same
// bytes, and nothing is left.
func TestAdoptFaults(t *testing.T) {
	write := func(s *Staging, i int, rows Rows) error {
		if i == 1 {
			return adoptPart(s, i, rows)
		}
		return writePart(s, i, rows)
	}
	for _, dead := range []bool{false, true} {
		for k := 1; ; k++ {
			opts := jobOptions(t)
			ffs := &faultFS{failAt: k, dead: dead}
			opts.FS = ffs
			what := fmt.Sprintf("operation %d, all after it too: %t", k, dead)
			_, err := runJobBy(opts, -1, write)
			if ffs.injected == "" {
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%d operations", k-1)
				break
			}
			if ffs.open != 0 {
				t.Errorf("%s (%s): %d files left open", what, ffs.injected, ffs.open)
			}
			if err != nil && !errors.Is(err, ErrOutput) {
				t.Errorf("%s (%s): %v; want an error that wraps ErrOutput", what, ffs.injected, err)
			}
			opts.FS, opts.RunID = &faultFS{}, newRun
			if _, err := runJobBy(opts, -1, write); err != nil && !errors.Is(err, ErrPublished) {
				t.Fatalf("%s (%s): the next start: %v", what, ffs.injected, err)
			}
			checkJob(t, opts.Output, testJob, 0)
			if text := strings.Join(tree(t, filepath.Dir(opts.Output)), "\n"); strings.Contains(text, ".millrace-") {
				t.Errorf("%s (%s): left behind:\n%s", what, ffs.injected, text)
			}
		}
	}
}

// TestLoading counts the starts that die while the model is loaded: only those of the same
// job, one after the other.
func TestLoading(t *testing.T) {
	opts := jobOptions(t)
	other := &Job{Facts: []Fact{{Name: "model", Value: "another"}}}
	steps := []struct {
		name    string
		job     *Job
		restart bool
		dies    bool
		want    int // deaths that it finds
	}{
		{"the first start", testJob, false, true, 0},
		{"the second", testJob, false, true, 1},
		{"the third, which is told to stop", testJob, false, false, 2},
		{"one after that", testJob, false, true, 0},
		{"another job", other, false, true, 0},
		{"the same again", other, false, true, 1},
		{"one that starts over", other, true, true, 0},
		{"one after that", other, false, false, 1},
	}
	for i, step := range steps {
		opts.RunID, opts.Job, opts.Restart = fmt.Sprintf("2026010%dT000000Z-00000a", i+1), step.job, step.restart
		s := stage(t, opts)
		if got := s.LoadDeaths(); got != step.want {
			t.Errorf("%s finds %d deaths; want %d", step.name, got, step.want)
		}
		if err := s.Loading(); err != nil {
			t.Fatal(err)
		}
		if step.dies {
			if err := s.mu.lock.Release(); err != nil {
				t.Fatal(err)
			}
			s.mu.lock = nil
			continue
		}
		if err := errors.Join(s.Loaded(), s.Discard()); err != nil {
			t.Fatal(err)
		}
	}
	if left := tree(t, filepath.Dir(opts.Output)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}
