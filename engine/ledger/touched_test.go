package ledger

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPieceThatWasChanged(t *testing.T) {
	for _, c := range []struct {
		what   string
		change func(path string) error
		gone   bool
	}{
		{"a flipped bit", func(path string) error {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			data[3] ^= 1
			return os.WriteFile(path, data, 0o666)
		}, true},
		{"a byte less", func(path string) error { return os.Truncate(path, 3) }, true},
		{"removed", os.Remove, true},
		{"nothing", func(string) error { return nil }, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			opts := jobOptions(t)
			opts.Output, opts.Single, opts.Pieces = filepath.Join(t.TempDir(), "out.parquet"), true, true
			s := begun(t, opts)
			p, err := s.Part(0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.PiecePath(0); err == nil {
				t.Error("a piece that is not committed has a path")
			}
			if _, err := p.Write([]byte("rows of the first piece")); err != nil {
				t.Fatal(err)
			}
			out, err := p.Commit(1)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Record(PartRecord{Part: 0, Outputs: []Output{out}}); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(s.dir, "piece-00000")
			if err := c.change(path); err != nil {
				t.Fatal(err)
			}
			got, err := s.PiecePath(0)
			if c.gone != errors.Is(err, ErrOutput) || !c.gone && got != path {
				t.Errorf("PiecePath = %q, %v; want an error that wraps ErrOutput: %v", got, err, c.gone)
			}
			if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) != c.gone {
				t.Errorf("the piece: %v; want it gone, so that the next start makes it again: %v", err, c.gone)
			}
		})
	}
}

func TestStagedFilesThatWentAway(t *testing.T) {
	for what, touch := range map[string]func(path string) error{
		"removed": os.Remove,
		"cut":     func(path string) error { return os.Truncate(path, 7) },
	} {
		t.Run(what, func(t *testing.T) {
			opts := jobOptions(t)
			_, err := runJobBy(opts, -1, func(s *Staging, i int, rows Rows) error {
				if err := writePart(s, i, rows); err != nil || i != jobParts-1 {
					return err
				}
				return touch(filepath.Join(s.DataPath(), "part-00001.parquet"))
			})
			if !errors.Is(err, ErrOutput) || !strings.Contains(err.Error(), "part-00001.parquet") {
				t.Errorf("publish: %v; want an error that wraps ErrOutput and names the file", err)
			}
			if _, err := os.Lstat(opts.Output); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the output: %v; want none", err)
			}
			opts.RunID = newRun
			if wrote, err := runJob(opts, -1); wrote != 1 || err != nil {
				t.Errorf("next start: %d parts, %v; want 1", wrote, err)
			}
			checkJob(t, opts.Output, testJob, 0)
		})
	}
}
