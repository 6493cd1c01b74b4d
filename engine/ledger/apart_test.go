package ledger

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// scoreApart does what the process does that scores a part by itself.
func scoreApart(dir, runID string, part int, rejects string) error {
	s, err := StageApart(dir, StageOptions{RunID: runID, Ext: "parquet", Job: testJob})
	if err != nil {
		return err
	}
	if err := s.Begin(json.RawMessage(`{}`)); err != nil {
		return errors.Join(err, s.Discard())
	}
	err = func() error {
		record := PartRecord{Part: part, Rows: Rows{Read: 8, Scored: 7, Rejected: 1}, Detail: json.RawMessage(`{}`)}
		if rejects != "" {
			r, err := s.PartRejects(part)
			if err != nil {
				return err
			}
			if _, err := r.Write([]byte(rejects)); err != nil {
				return err
			}
			out, err := r.Commit(1)
			if err != nil {
				return err
			}
			record.Rejects = &out
		}
		p, err := s.Part(part)
		if err != nil {
			return err
		}
		if _, err := p.Write([]byte("abc")); err != nil {
			return err
		}
		out, err := p.Commit(7)
		if err != nil {
			return err
		}
		record.Outputs = []Output{out}
		return s.Record(record)
	}()
	_, kept := s.Suspend("to be taken over")
	return errors.Join(err, kept)
}

// begun is a run that has begun, for tests to end.
func begun(t *testing.T, opts StageOptions) *Staging {
	t.Helper()
	s := stage(t, opts)
	if err := s.Begin(json.RawMessage(`{}`)); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAdopt takes a part over that another process wrote: under its name here, and for
// good, since the next start finds it in the journal.
func TestAdopt(t *testing.T) {
	tests := []struct {
		name    string
		single  bool
		part    int
		rejects string
		file    string
	}{
		{"a part of several", false, 2, "", "part-00002.parquet"},
		{"with rejects", false, 0, "bad", "part-00000.parquet"},
		{"the one of a single file", true, 0, "bad", "out"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opts := jobOptions(t)
			opts.Single = test.single
			s := begun(t, opts)
			dir, err := s.Apart()
			if err != nil {
				t.Fatal(err)
			}
			if err := scoreApart(dir, s.RunID(), test.part, test.rejects); err != nil {
				t.Fatal(err)
			}
			got, err := s.Adopt(dir, test.part)
			if err != nil || got.Part != test.part || got.Outputs[0].Name != test.file || got.Rows.Read != 8 || (got.Rejects != nil) != (test.rejects != "") {
				t.Fatalf("Adopt() = %+v, %v; want %s", got, err, test.file)
			}
			if kept, err := s.Suspend("a test"); kept != 1 || err != nil {
				t.Fatalf("Suspend() = %d, %v; want the part kept", kept, err)
			}
			opts.RunID = newRun
			next := stage(t, opts)
			taken := next.Taken()
			if taken == nil || len(taken.Parts) != 1 || taken.Parts[0].Outputs[0] != got.Outputs[0] {
				t.Fatalf("the next start finds %+v; want the part", taken)
			}
			if data, err := os.ReadFile(filepath.Join(next.data, test.file)); err != nil || string(data) != "abc" {
				t.Errorf("%s: %q, %v; want abc", test.file, data, err)
			}
			if test.rejects != "" {
				if data, err := os.ReadFile(next.PartRejectsPath(test.part)); err != nil || string(data) != test.rejects {
					t.Errorf("rejects: %q, %v; want %s", data, err, test.rejects)
				}
			}
			if _, err := os.Stat(filepath.Join(next.dir, apartName)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the next start finds %s: %v", apartName, err)
			}
		})
	}
}

// TestAdoptRefuses has nothing to take over, or something else than was recorded.
func TestAdoptRefuses(t *testing.T) {
	tests := []struct {
		name string
		do   func(t *testing.T, s *Staging, dir string)
		want error // nil: any
	}{
		{"nothing was done", func(*testing.T, *Staging, string) {}, fs.ErrNotExist},
		{"another part was", func(t *testing.T, s *Staging, dir string) {
			t.Helper()
			if err := scoreApart(dir, s.RunID(), 2, ""); err != nil {
				t.Fatal(err)
			}
		}, fs.ErrNotExist},
		{"for another run", func(t *testing.T, _ *Staging, dir string) {
			t.Helper()
			if err := scoreApart(dir, thirdRun, 1, ""); err != nil {
				t.Fatal(err)
			}
		}, fs.ErrNotExist},
		{"its file was cut", func(t *testing.T, s *Staging, dir string) {
			t.Helper()
			if err := scoreApart(dir, s.RunID(), 1, ""); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(filepath.Join(dir, ".out.millrace-"+s.RunID(), "data/part-00001.parquet"), 1); err != nil {
				t.Fatal(err)
			}
		}, ErrOutput},
	}
	for _, test := range tests {
		s := begun(t, jobOptions(t))
		dir, err := s.Apart()
		if err != nil {
			t.Fatal(err)
		}
		test.do(t, s, dir)
		if got, err := s.Adopt(dir, 1); !errors.Is(err, test.want) {
			t.Errorf("%s: Adopt() = %+v, %v; want an error that wraps %v", test.name, got, err, test.want)
		}
		if kept, err := s.Suspend("a test"); kept != 0 || err != nil {
			t.Errorf("%s: Suspend() = %d, %v; want nothing kept", test.name, kept, err)
		}
	}
}

// TestSuspendKeepsDeaths stops a run of which nothing is finished, and of which earlier
// starts died: the next is to know.
func TestSuspendKeepsDeaths(t *testing.T) {
	opts := jobOptions(t)
	for i, run := range []string{oldRun, newRun, thirdRun} {
		opts.RunID = run
		s := begun(t, opts)
		deaths := 0
		if j := s.Taken(); j != nil {
			deaths = j.Deaths[1]
		}
		if want := min(i, 1); deaths != want {
			t.Errorf("start %d finds %d deaths; want %d", i, deaths, want)
		}
		if i == 0 { // killed
			if err := s.Enter(1); err != nil {
				t.Fatal(err)
			}
			if err := s.mu.lock.Release(); err != nil {
				t.Fatal(err)
			}
			s.mu.lock = nil
			continue
		}
		if kept, err := s.Suspend("a test"); kept != 0 || err != nil {
			t.Fatalf("Suspend() = %d, %v", kept, err)
		}
	}
}
