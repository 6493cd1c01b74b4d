package table

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
)

// file is a file of rejects on this machine.
type file struct {
	staging *staging
	name    string // of the account
	path    string
	keep    func(f *file) // called once it is committed
	out     *os.File      // nil once it ended
	hash    hash.Hash
	bytes   int64
}

func (s *staging) newFile(name, label string, keep func(f *file)) (sink.File, error) {
	path, err := s.path(name)
	if err != nil {
		return nil, err
	}
	out, err := os.Create(path)
	if err != nil {
		return nil, s.localError(err)
	}
	return &file{staging: s, name: label, path: path, keep: keep, out: out, hash: sha256.New()}, nil
}

func (f *file) Write(p []byte) (int, error) {
	if f.out == nil {
		return 0, fmt.Errorf("output %s: write %s: %w", f.staging.output, f.name, ledger.ErrDiscarded)
	}
	n, err := f.out.Write(p)
	f.hash.Write(p[:n])
	f.bytes += int64(n)
	return n, f.staging.localError(err)
}

func (f *file) Commit(rows int64) (ledger.Output, error) {
	if f.out == nil {
		return ledger.Output{}, fmt.Errorf("output %s: commit %s: %w", f.staging.output, f.name, ledger.ErrDiscarded)
	}
	if err := f.out.Close(); err != nil {
		return ledger.Output{}, errors.Join(f.staging.localError(err), f.Abort())
	}
	f.out = nil
	f.staging.mu.Lock()
	defer f.staging.mu.Unlock()
	f.keep(f)
	return ledger.Output{Name: f.name, SHA256: hex.EncodeToString(f.hash.Sum(nil)), Bytes: f.bytes, Rows: rows}, nil
}

func (f *file) Abort() error {
	if f.out == nil {
		return nil
	}
	err := errors.Join(f.out.Close(), os.Remove(f.path))
	f.out = nil
	return f.staging.localError(err)
}

func partRejectsName(part int) string { return fmt.Sprintf("rejects-%05d.arrow", part) }

func (s *staging) PartRejects(part int) (sink.File, error) {
	return s.newFile(partRejectsName(part), partRejectsName(part), func(f *file) { s.rejects[part] = f })
}

// PartRejectsPath fetches the rejects of a part that an earlier start recorded.
func (s *staging) PartRejectsPath(part int) (string, error) {
	s.mu.Lock()
	f := s.rejects[part]
	s.mu.Unlock()
	if f != nil {
		return f.path, nil
	}
	path, err := s.path(partRejectsName(part))
	if err != nil {
		return "", err
	}
	out, err := os.Create(path)
	if err != nil {
		return "", s.localError(err)
	}
	err = s.db.Rejects(s.ctx, s.run, part, out)
	return path, errors.Join(err, s.localError(out.Close()))
}

func (s *staging) Rejects() (sink.File, error) {
	return s.newFile("rejects.parquet", s.db.RejectsName(), func(f *file) { s.merged = f })
}

// mergedPath is the file of all rejects; empty where there are none.
func (s *staging) mergedPath() string {
	if s.merged == nil {
		return ""
	}
	return s.merged.path
}
