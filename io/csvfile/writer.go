package csvfile

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace/io/format"
)

// ErrCodec says that the writer does not have a compression codec.
var ErrCodec = errors.New("codec cannot be used in this format")

// flushBytes is how much text is gathered before it is written.
const flushBytes = 64 << 10

// writer implements format.Writer.
type writer struct {
	schema *arrow.Schema
	out    io.Writer
	finish func() error // ends a compressed stream
	text   []byte       // gathered, not yet written
	closed bool
	err    error // the first failure; what follows it would not be a file
}

var _ format.NewWriterFunc = NewWriter

// NewWriter writes a header of the schema's column names and then the rows of
// each batch. opts.Compression is none (or empty), gzip or zstd; any other
// gives an error that wraps ErrCodec. A type without a text form gives one that
// wraps format.ErrColumnType.
func NewWriter(w io.Writer, schema *arrow.Schema, opts format.WriteOptions) (format.Writer, error) {
	for _, f := range schema.Fields() {
		if err := checkType(f.Type); err != nil {
			return nil, fmt.Errorf("write CSV: column %q: %w", f.Name, err)
		}
	}
	cw := &writer{schema: schema, out: w, finish: func() error { return nil }}
	switch opts.Compression {
	case "", "none":
	case "gzip":
		zw := gzip.NewWriter(w)
		cw.out, cw.finish = zw, zw.Close
	case "zstd":
		// One goroutine: the bytes must not depend on the machine.
		zw, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return nil, fmt.Errorf("write CSV: %w", err)
		}
		cw.out, cw.finish = zw, zw.Close
	default:
		return nil, fmt.Errorf("write CSV: %w: %q; CSV has none, gzip and zstd", ErrCodec, opts.Compression)
	}
	for i, f := range schema.Fields() {
		if i > 0 {
			cw.text = append(cw.text, ',')
		}
		cw.text = appendField(cw.text, f.Name)
	}
	cw.text = append(cw.text, '\n')
	return cw, nil
}

// Write implements format.Writer.
func (w *writer) Write(batch arrow.RecordBatch) error {
	if w.err != nil {
		return w.err
	}
	if w.closed {
		return errors.New("write CSV: writer is closed")
	}
	w.err = w.write(batch)
	return w.err
}

func (w *writer) write(batch arrow.RecordBatch) (err error) {
	// Values that a changed mapping turned to nonsense panic in arrow-go.
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("write CSV: reading the batch panics: %v", v)
		}
	}()
	if !batch.Schema().Equal(w.schema) {
		return fmt.Errorf("write CSV: batch has schema %s; the file has %s", batch.Schema(), w.schema)
	}
	cells := make([]cell, batch.NumCols())
	for i := range cells {
		if cells[i], err = cellOf(batch.Column(i)); err != nil {
			return fmt.Errorf("write CSV: column %q: %w", batch.ColumnName(i), err)
		}
	}
	for row := range int(batch.NumRows()) {
		for i := range cells {
			if i > 0 {
				w.text = append(w.text, ',')
			}
			w.text = cells[i].appendCSV(w.text, row, len(cells) == 1)
		}
		w.text = append(w.text, '\n')
		if len(w.text) >= flushBytes {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *writer) flush() error {
	if len(w.text) == 0 {
		return nil
	}
	_, err := w.out.Write(w.text)
	w.text = w.text[:0]
	if err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

// Close implements format.Writer. After a failed Write it returns that error
// again. It is idempotent.
func (w *writer) Close() error {
	if w.closed {
		return w.err
	}
	w.closed = true
	if w.err == nil {
		w.err = w.flush()
	}
	if err := w.finish(); err != nil && w.err == nil {
		w.err = fmt.Errorf("write CSV: %w", err)
	}
	return w.err
}

// appendField appends a text as a field. `\.` is quoted since PostgreSQL takes
// it for the end of the data.
func appendField(dst []byte, s string) []byte {
	if s != "" && s != `\.` && !strings.ContainsAny(s, ",\"\r\n") {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	for {
		i := strings.IndexByte(s, '"')
		if i < 0 {
			break
		}
		dst = append(append(dst, s[:i+1]...), '"')
		s = s[i+1:]
	}
	return append(append(dst, s...), '"')
}
