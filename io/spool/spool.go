package spool

import (
	"bufio"
	"errors"
	"fmt"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/format"
)

// ErrSpool says that the file cannot be made or written: no space, or no such folder.
var ErrSpool = errors.New("rows cannot be kept in the temporary folder, which TMPDIR names")

// What a span has: SpanRows rows, or as many blocks of blockRows as have spanBytes. It ends
// within a block where that alone would be more: in the first where it has spanBytes, in others
// where it has mostBytes.
const (
	SpanRows  = 1 << 16
	spanBytes = 12 << 20
	mostBytes = 2 * spanBytes
	blockRows = 1 << 10
)

// bufferBytes is how much is written at a time.
const bufferBytes = 1 << 20

// Options say where a spool lies.
type Options struct {
	// Dir is the folder of the file; empty means os.TempDir.
	Dir string
	// Allocator is for memory in which batches are joined; nil means
	// memory.DefaultAllocator.
	Allocator memory.Allocator
}

// Writer takes rows. It is for one goroutine, and ends by Finish or Abort.
type Writer struct {
	schema *arrow.Schema
	mem    memory.Allocator
	file   *os.File
	buffer *bufio.Writer
	writer format.Writer
	digest *digester
	rows   int64

	pending span
}

// Create makes an empty spool. Its error wraps ErrSpool, or format.ErrColumnType for
// a column that cannot be kept.
func Create(schema *arrow.Schema, opts Options) (*Writer, error) {
	if opts.Dir == "" {
		opts.Dir = os.TempDir()
	}
	if opts.Allocator == nil {
		opts.Allocator = memory.DefaultAllocator
	}
	f, err := os.CreateTemp(opts.Dir, "millrace-spool-*")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpool, err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrSpool, err), f.Close())
	}
	w := &Writer{schema: schema, mem: opts.Allocator, file: f, buffer: bufio.NewWriterSize(f, bufferBytes), digest: newDigester(schema)}
	if w.writer, err = arrowfile.NewWriter(w.buffer, schema, format.WriteOptions{Allocator: opts.Allocator}); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return w, nil
}

// Write appends the rows of a batch, which it borrows; rows that fill no span yet stay
// in memory.
func (w *Writer) Write(batch arrow.RecordBatch) error {
	for from, n := int64(0), batch.NumRows(); from < n; {
		to := w.pending.fill(batch, from)
		w.pending.add(batch, from, to)
		from = to
		if w.pending.full() {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Rows is how many rows were written.
func (w *Writer) Rows() int64 { return w.rows + w.pending.rows }

// flush writes the span that is gathered.
func (w *Writer) flush() error {
	if w.pending.rows == 0 {
		return nil
	}
	rows, err := w.pending.joined(w.schema, w.mem)
	if err != nil {
		return err
	}
	defer rows.Release()
	w.rows += rows.NumRows()
	w.digest.add(rows)
	if err := w.writer.Write(rows); err != nil {
		return w.failed(err)
	}
	return nil
}

func (w *Writer) failed(err error) error {
	if errors.Is(err, format.ErrColumnType) {
		return err
	}
	return fmt.Errorf("%w: after %d rows: %w", ErrSpool, w.rows, err)
}

// Finish ends the rows. After an error there is no spool, and nothing to abort.
func (w *Writer) Finish() (*Spool, error) {
	err := w.flush()
	if err == nil {
		if err = errors.Join(w.writer.Close(), w.buffer.Flush()); err != nil {
			err = w.failed(err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	s := &Spool{file: w.file, Rows: w.rows, Digest: w.digest.sum()}
	w.file = nil
	return s, nil
}

// Abort gives everything up. After Finish, or again, it does nothing.
func (w *Writer) Abort() error {
	if w.file == nil {
		return nil
	}
	w.pending.release()
	_ = w.writer.Close() // gives memory back; what it writes is dropped
	err := w.file.Close()
	w.file = nil
	return err
}

// Spool is a file of rows. It may be read concurrently, until Close.
type Spool struct {
	file *os.File

	Rows int64
	// Digest is that of the rows, with names and types of their columns.
	Digest string
}

// Path is a name by which this process, and no other, can open the file.
func (s *Spool) Path() string { return fmt.Sprintf("/proc/self/fd/%d", s.file.Fd()) }

// Close gives the file up; what has it open may read on. It is idempotent.
func (s *Spool) Close() error {
	if err := s.file.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
