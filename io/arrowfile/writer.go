package arrowfile

import (
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
)

// ErrCodec says that a writer does not have a compression codec.
var ErrCodec = errors.New("codec cannot be used in this format")

// batchWriter is what arrow-go's two IPC writers have in common.
type batchWriter interface {
	Write(batch arrow.RecordBatch) error
	Close() error
}

// writer implements format.Writer over arrow-go's IPC writers, which panic on
// what they cannot encode.
type writer struct {
	format format.Name
	inner  batchWriter
	mem    memory.Allocator
	err    error // the first failure; what follows it would not be a file
}

var (
	_ format.NewWriterFunc = NewWriter
	_ format.NewWriterFunc = NewStreamWriter
)

// NewWriter writes an Arrow IPC file of one record batch for each Write.
// opts.Compression is none (or empty), lz4 or zstd; any other gives an error
// that wraps ErrCodec. Dictionaries that differ from batch to batch are merged
// into the one that a file has for each column: see merger. Where that cannot
// be (more values than indices, ordered dictionaries, nested values), Write
// gives an error that wraps format.ErrColumnType.
func NewWriter(w io.Writer, schema *arrow.Schema, opts format.WriteOptions) (format.Writer, error) {
	options, err := ipcOptions(schema, &opts)
	if err != nil {
		return nil, err
	}
	m, err := newMerger(schema, opts.Allocator)
	if err != nil {
		return nil, err
	}
	if m != nil {
		return &writer{format: format.ArrowFile, inner: newMergingWriter(w, schema, m, options), mem: opts.Allocator}, nil
	}
	fw, err := ipc.NewFileWriter(w, options...)
	if err != nil {
		return nil, fmt.Errorf("write Arrow file: %w", err)
	}
	return &writer{format: format.ArrowFile, inner: fw, mem: opts.Allocator}, nil
}

// NewStreamWriter writes an Arrow IPC stream; otherwise it is as NewWriter, and
// dictionaries may differ from batch to batch.
func NewStreamWriter(w io.Writer, schema *arrow.Schema, opts format.WriteOptions) (format.Writer, error) {
	options, err := ipcOptions(schema, &opts)
	if err != nil {
		return nil, err
	}
	return &writer{format: format.ArrowStream, inner: ipc.NewWriter(w, options...), mem: opts.Allocator}, nil
}

// ipcOptions translates options and fills in the allocator. The compressor runs in the caller's
// goroutine, where its panics can be caught.
func ipcOptions(schema *arrow.Schema, opts *format.WriteOptions) ([]ipc.Option, error) {
	if opts.Allocator == nil {
		opts.Allocator = memory.DefaultAllocator
	}
	if err := checkSchema(schema); err != nil {
		return nil, err
	}
	options := []ipc.Option{ipc.WithSchema(schema), ipc.WithAllocator(opts.Allocator)}
	switch opts.Compression {
	case "", "none":
	case "lz4":
		options = append(options, ipc.WithLZ4())
	case "zstd":
		options = append(options, ipc.WithZstd())
	default:
		return nil, fmt.Errorf("write Arrow: %w: %q; Arrow has none, lz4 and zstd", ErrCodec, opts.Compression)
	}
	return options, nil
}

// Write implements format.Writer.
func (w *writer) Write(batch arrow.RecordBatch) error {
	return w.step("write", func() error {
		whole, err := compacted(w.mem, batch)
		if err != nil {
			return err
		}
		defer whole.Release()
		return w.inner.Write(whole)
	})
}

// Close implements format.Writer. After a failed Write it returns that error
// again: the bytes written so far are no file. It is idempotent.
func (w *writer) Close() error {
	if w.inner == nil {
		return w.err
	}
	inner := w.inner
	w.inner = nil
	if failed := w.err; failed != nil {
		// Lets go of what it holds; what it writes no longer matters.
		_ = w.caught(inner.Close)
		return failed
	}
	w.err = w.step("finish", inner.Close)
	return w.err
}

func (w *writer) step(verb string, do func() error) error {
	if w.err != nil {
		return w.err
	}
	if w.inner == nil && verb == "write" {
		return fmt.Errorf("write %s: writer is closed", w.format)
	}
	if err := w.caught(do); err != nil {
		w.err = fmt.Errorf("%s %s: %w", verb, w.format, err)
	}
	return w.err
}

// caught turns a panic of the encoder into an error.
func (w *writer) caught(do func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			if e, ok := v.(error); ok {
				err = fmt.Errorf("encoder panics: %w", e)
				return
			}
			err = fmt.Errorf("encoder panics: %v", v)
		}
	}()
	return do()
}
