package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/renameio/v2"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/parquetfile"
)

// besideFile is a file that a run of a stream writes beside it: its rejects, or its
// manifest. It has its name when the stream has its end.
type besideFile struct {
	path    string
	pending *renameio.PendingFile
	hash    hash.Hash
	bytes   int64
}

// newBesideFile makes the file, under another name. Errors wrap ledger.ErrOutput.
func newBesideFile(path string) (*besideFile, error) {
	if err := ledger.Replaceable(path); err != nil {
		return nil, err
	}
	pending, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o644))
	if err != nil {
		return nil, besideError(path, err)
	}
	return &besideFile{path: path, pending: pending, hash: sha256.New()}, nil
}

func besideError(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s: %w", ledger.ErrOutput, path, err)
}

// Write implements io.Writer.
func (f *besideFile) Write(b []byte) (int, error) {
	n, err := f.pending.Write(b)
	_, _ = f.hash.Write(b[:n]) // a hash has no errors
	f.bytes += int64(n)
	return n, besideError(f.path, err)
}

// sync makes what is written durable, so that to name it is all that is left to do.
func (f *besideFile) sync() error { return besideError(f.path, f.pending.Sync()) }

// name gives the file its name.
func (f *besideFile) name() error {
	return besideError(f.path, f.pending.CloseAtomicallyReplace())
}

// drop removes the file, unless it has its name.
func (f *besideFile) drop() error { return besideError(f.path, f.pending.Cleanup()) }

// streamRejects is the file of a run's rejects; there is one if it has a name, whether
// there are rejects or not, so that what an earlier run left is not taken for this one's.
type streamRejects struct {
	file   *besideFile // nil where they are dropped
	writer format.Writer
	rows   int64
}

// newStreamRejects makes the file; nil where none is asked for.
func (c *collector) newStreamRejects() (*streamRejects, error) {
	r := &streamRejects{}
	path := c.plan.Options.Piped.Rejects
	if path == "" || path == NoRejects {
		return r, nil
	}
	var err error
	if r.file, err = newBesideFile(path); err != nil {
		return nil, err
	}
	if r.writer, err = parquetfile.NewWriter(r.file, c.form.schema, format.WriteOptions{RowGroupRows: rejectGroupRows}); err != nil {
		return nil, errors.Join(err, r.file.drop())
	}
	return r, nil
}

// write appends rows, which it borrows.
func (r *streamRejects) write(rows []arrow.RecordBatch) error {
	for _, rows := range rows {
		if r.writer == nil {
			return nil
		}
		if err := r.writer.Write(rows); err != nil {
			return fmt.Errorf("write rejects: %w", err)
		}
		r.rows += rows.NumRows()
	}
	return nil
}

// end completes the file, which then only lacks its name, and gives its account; nil
// where there is none.
func (r *streamRejects) end() (*ledger.Output, error) {
	if r.writer == nil {
		return nil, nil //nolint:nilnil // no file, and no account of it
	}
	w := r.writer
	r.writer = nil
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write rejects: %w", err)
	}
	if err := r.file.sync(); err != nil {
		return nil, err
	}
	return &ledger.Output{Name: r.file.path, SHA256: hex.EncodeToString(r.file.hash.Sum(nil)), Bytes: r.file.bytes, Rows: r.rows}, nil
}

// keep names the file of a run that has too many, and says where it is.
func (r *streamRejects) keep(cause error) error {
	if r.file == nil {
		return cause
	}
	_, err := r.end()
	if err == nil {
		err = r.file.name()
	}
	if err != nil {
		return errors.Join(cause, err)
	}
	return fmt.Errorf("%w (the rejected rows are in %s)", cause, r.file.path)
}

// drop gives up what was not ended or named.
func (r *streamRejects) drop() error {
	if r.file == nil {
		return nil
	}
	if r.writer != nil {
		_ = r.writer.Close() // gives memory back; what it writes is dropped
		r.writer = nil
	}
	return r.file.drop()
}

var _ io.Writer = (*besideFile)(nil)
