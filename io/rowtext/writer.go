package rowtext

import (
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/io/format"
)

// flushBytes is how much text is gathered before it is written.
const flushBytes = 64 << 10

// Layout is how rows become lines.
type Layout struct {
	Name   string   // of the format, for errors
	Head   []byte   // stands once at the start of a file
	Before [][]byte // stands before the value of each column
	After  string   // ends a row
	// Column is how values of a column's array stand in a row.
	Column func(arrow.Array) (Append, error)
}

// writer implements format.Writer.
type writer struct {
	schema *arrow.Schema
	layout Layout
	out    io.WriteCloser
	text   []byte // gathered, not yet written
	closed bool
	err    error // the first failure; what follows it would not be a file
}

// NewWriter writes the head and then the rows of each batch. opts.Compression is none
// (or empty), gzip or zstd; any other gives an error that wraps ErrCodec. A type
// without a text gives one that wraps format.ErrColumnType.
func NewWriter(w io.Writer, schema *arrow.Schema, layout Layout, opts format.WriteOptions) (format.Writer, error) {
	for _, f := range schema.Fields() {
		if err := CheckType(f.Type); err != nil {
			return nil, fmt.Errorf("write %s: column %q: %w", layout.Name, f.Name, err)
		}
	}
	out, err := Compressed(w, opts.Compression)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", layout.Name, err)
	}
	rw := &writer{schema: schema, layout: layout, out: out}
	if !opts.Headless {
		rw.text = append(rw.text, layout.Head...)
	}
	return rw, nil
}

// Write implements format.Writer.
func (w *writer) Write(batch arrow.RecordBatch) error {
	if w.err != nil {
		return w.err
	}
	if w.closed {
		return w.failed(errors.New("writer is closed"))
	}
	w.err = w.failed(w.write(batch))
	return w.err
}

// failed says what was being done.
func (w *writer) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("write %s: %w", w.layout.Name, err)
}

func (w *writer) write(batch arrow.RecordBatch) (err error) {
	// Values that a changed mapping turned to nonsense panic in arrow-go.
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("reading the batch panics: %v", v)
		}
	}()
	if !batch.Schema().Equal(w.schema) {
		return fmt.Errorf("batch has schema %s; the file has %s", batch.Schema(), w.schema)
	}
	columns := make([]Append, batch.NumCols())
	for i := range columns {
		if columns[i], err = w.layout.Column(batch.Column(i)); err != nil {
			return fmt.Errorf("column %q: %w", batch.ColumnName(i), err)
		}
	}
	text := w.text
	for row := range int(batch.NumRows()) {
		for i, column := range columns {
			if before := w.layout.Before[i]; len(before) == 1 {
				text = append(text, before[0]) // a third faster than a copy
			} else {
				text = append(text, before...)
			}
			text = column(text, row)
		}
		text = append(text, w.layout.After...)
		if len(text) >= flushBytes {
			w.text = text
			if err := w.flush(); err != nil {
				return err
			}
			text = w.text
		}
	}
	w.text = text
	return nil
}

func (w *writer) flush() error {
	if len(w.text) == 0 {
		return nil
	}
	_, err := w.out.Write(w.text)
	w.text = w.text[:0]
	return err
}

// Close implements format.Writer. After a failed Write it returns that error
// again. It is idempotent.
func (w *writer) Close() error {
	if w.closed {
		return w.err
	}
	w.closed = true
	if w.err == nil {
		w.err = w.failed(w.flush())
	}
	if err := w.out.Close(); err != nil && w.err == nil {
		w.err = w.failed(err)
	}
	return w.err
}
