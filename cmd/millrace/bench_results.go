package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/millrace/millrace/bench"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
)

// resultsFile is the file that a measurement's records are added to.
type resultsFile struct {
	file  *os.File
	fresh bool // it was not there, or was empty
	wrote bool
}

// openResults opens a file of records for more, or makes it. It refuses one that
// is anything else, to which records would be damage. A last line that was cut
// off, by a full disk or a kill, goes: nothing could be read of it, nor of a line
// added to it.
func openResults(path string, log *slog.Logger) (_ *resultsFile, err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: --results: %s is not a regular file, from which records could be read again", engine.ErrUsage, path)
	}
	if err := ledger.Outside(path); err != nil {
		return nil, fmt.Errorf("--results: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("%w: --results: %w", ledger.ErrOutput, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("%w: --results: %w", ledger.ErrOutput, err)
	}
	r := &resultsFile{file: file, fresh: size == 0}
	if r.fresh {
		return r, nil
	}
	if _, err := bench.ReadRecords(io.NewSectionReader(file, 0, size)); err != nil {
		return nil, fmt.Errorf("%w: --results: nothing is added to %s, which is there already: %w", engine.ErrUsage, path, err)
	}
	whole, err := wholeLines(file, size)
	if err != nil {
		return nil, fmt.Errorf("%w: --results: %w", ledger.ErrOutput, err)
	}
	last := make([]byte, size-whole)
	if _, err := file.ReadAt(last, whole); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: --results: %w", ledger.ErrOutput, err)
	}
	switch {
	case whole == size:
	case json.Valid(last): // an editor's file, without an end of its last line
		if _, err := file.WriteString("\n"); err != nil {
			return nil, fmt.Errorf("%w: --results: %w", ledger.ErrOutput, err)
		}
	default:
		log.Warn("the last record was cut off; it is dropped", "file", path, "bytes", size-whole)
		if err := file.Truncate(whole); err != nil {
			return nil, fmt.Errorf("%w: --results: %w", ledger.ErrOutput, err)
		}
	}
	return r, nil
}

// wholeLines is where the last line that ends in a file of a size ends.
func wholeLines(file io.ReaderAt, size int64) (int64, error) {
	const step = 4096
	for end := size; end > 0; end -= step {
		from := max(end-step, 0)
		block := make([]byte, end-from)
		if _, err := file.ReadAt(block, from); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if i := bytes.LastIndexByte(block, '\n'); i >= 0 {
			return from + int64(i) + 1, nil
		}
	}
	return 0, nil
}

// Write adds a record.
func (r *resultsFile) Write(record []byte) (int, error) {
	r.wrote = true
	return r.file.Write(record)
}

// kept says what an interrupted measurement has left.
func (r *resultsFile) kept() string {
	if !r.wrote {
		return "nothing was measured yet"
	}
	return fmt.Sprintf("what was measured until then is in %s; millrace bench --from %[1]s shows it", r.file.Name())
}

// read gives the records of one measurement back. Others may have added theirs
// meanwhile.
func (r *resultsFile) read(id string) (*bench.Bench, error) {
	if _, err := r.file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("--results: %w", err)
	}
	all, err := bench.ReadRecords(r.file)
	if err != nil {
		return nil, err
	}
	for _, b := range all {
		if b.ID == id {
			return b, nil
		}
	}
	return nil, fmt.Errorf("%w: --results: the records are gone from %s", ledger.ErrOutput, r.file.Name())
}

// close closes the file, and leaves none where nothing was measured.
func (r *resultsFile) close() error {
	info, err := r.file.Stat()
	if err = errors.Join(err, r.file.Close()); err != nil {
		return fmt.Errorf("%w: --results: %w", ledger.ErrOutput, err)
	}
	if r.fresh && info.Size() == 0 {
		_ = os.Remove(r.file.Name()) // an empty file says nothing
	}
	return nil
}
