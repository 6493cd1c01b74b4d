package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Part contents of three runs.
const (
	oldFill, newFill, thirdFill = 'o', 'n', '3'
	fillBytes                   = 5000
)

// writeOutput stages, writes and publishes an output whose files are filled
// with one byte, then discards; it is what a run does.
func writeOutput(opts StageOptions, fill byte) (published bool, err error) {
	s, err := Stage(opts)
	if err != nil {
		return false, err
	}
	defer func() {
		if derr := s.Discard(); derr != nil {
			err = errors.Join(err, derr, s.Discard())
		}
	}()
	m := &Manifest{Ledger: Rows{Read: 0}}
	parts := 2
	if opts.Single {
		parts = 1
	}
	for i := range parts {
		if err := fillPart(s, i, fill); err != nil {
			return false, err
		}
		m.Parts = append(m.Parts, Rows{Read: 10, Scored: 10})
	}
	staged, err := s.PartRejects(0)
	if err != nil {
		return false, err
	}
	if err := fillAndCommit(staged, fill, 1); err != nil {
		return false, err
	}
	r, err := s.Rejects()
	if err != nil {
		return false, err
	}
	if err := fillAndCommit(r, fill, 1); err != nil {
		return false, err
	}
	m.Parts[0].Read++
	m.Parts[0].Rejected++
	for _, part := range m.Parts {
		m.Ledger = m.Ledger.Add(part)
	}
	m.Inputs = []Input{{Path: "in.parquet", Rows: m.Ledger.Read, Ledger: m.Ledger}}
	err = s.Publish(m)
	return err == nil || errors.Is(err, ErrNotDurable), err
}

// fillPart writes a part of 10 rows, as one file or as several.
func fillPart(s *Staging, i int, fill byte) error {
	if !s.several() {
		p, err := s.Part(i)
		if err != nil {
			return err
		}
		return fillAndCommit(p, fill, 10)
	}
	p, err := s.PartFiles(i)
	if err != nil {
		return err
	}
	for _, folder := range []string{"k=a", "k=b/j=1"} {
		f, err := p.Create(folder)
		if err == nil {
			_, err = f.Write(bytes.Repeat([]byte{fill}, fillBytes))
		}
		if err == nil {
			err = p.End(5)
		}
		if err != nil {
			return errors.Join(err, p.Abort())
		}
	}
	_, err = p.Commit(10)
	return err
}

func fillAndCommit(p *PartFile, fill byte, rows int64) error {
	if _, err := p.Write(bytes.Repeat([]byte{fill}, fillBytes)); err != nil {
		return errors.Join(err, p.Abort())
	}
	_, err := p.Commit(rows)
	return err
}

// seen is what a reader finds at the output: "absent", "empty", "old", "new",
// or a description of something that it must never find.
func seen(output string, single bool) string {
	file := output
	if !single {
		entries, err := os.ReadDir(output)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "absent"
		case err != nil:
			return err.Error()
		case len(entries) == 0:
			return "empty"
		}
		file = filepath.Join(output, "part-00000.parquet")
		if isDir(filepath.Join(output, "k=a")) {
			file = filepath.Join(output, "k=a", "part-00000.parquet")
		}
	}
	fill, err := filledWith(file)
	switch {
	case single && errors.Is(err, fs.ErrNotExist):
		return "absent"
	case err != nil:
		return err.Error()
	}
	if err := wholeOutput(output, single, fill); err != nil {
		return err.Error()
	}
	return map[byte]string{oldFill: "old", newFill: "new", thirdFill: "third"}[fill]
}

// filledWith is the first byte of a file, which must have its full size.
func filledWith(name string) (byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.Read(b[:]); err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != fillBytes {
		err = fmt.Errorf("%s has %d bytes", name, info.Size())
	}
	return b[0], err
}

// fillDigests are the digests of the files of each run.
var fillDigests = func() map[byte]string {
	digests := make(map[byte]string)
	for _, fill := range []byte{oldFill, newFill, thirdFill} {
		sum := sha256.Sum256(bytes.Repeat([]byte{fill}, fillBytes))
		digests[fill] = hex.EncodeToString(sum[:])
	}
	return digests
}()

// wholeOutput checks that everything published with part 0 is there.
func wholeOutput(output string, single bool, fill byte) error {
	pattern := filepath.Join(output, "_millrace", "*", "manifest.json")
	if single {
		pattern = filepath.Join(filepath.Dir(output), "_"+filepath.Base(output)+".millrace", "*", "manifest.json")
	} else {
		if _, err := os.Stat(filepath.Join(output, "_SUCCESS")); err != nil {
			return err
		}
		last := filepath.Join(output, "part-00001.parquet")
		if isDir(filepath.Join(output, "k=a")) {
			last = filepath.Join(output, "k=b", "j=1", "part-00001.parquet")
		}
		second, err := filledWith(last)
		if err != nil || second != fill {
			return fmt.Errorf("second part is %q: %w", second, err)
		}
	}
	manifests, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	for _, path := range manifests {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		m, err := ParseManifest(text)
		if err == nil && m.Outputs[0].SHA256 == fillDigests[fill] {
			if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 3 {
				return fmt.Errorf("beside the manifest are %v, %w; want its digest and rejects.parquet alone", entries, err)
			}
			_, err = os.Stat(filepath.Join(filepath.Dir(path), "rejects.parquet"))
			return err
		}
	}
	return fmt.Errorf("none of %d manifests fits the data", len(manifests))
}

// tree lists everything below dir with sizes, except lock files, which mean
// nothing by themselves.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || strings.HasSuffix(path, ".millrace.lock") {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(path, dir)
		if d.IsDir() || d.Name() == "manifest.json" {
			names = append(names, rel)
		} else {
			names = append(names, fmt.Sprintf("%s %d", rel, info.Size()))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
