package arrowfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/endian"
	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/mapped"
)

// reader implements format.Reader. It owns one reference of file until Close.
type reader struct {
	file   *mapped.File
	name   string // of the file in errors
	opts   format.ReadOptions
	layout *layout
	spans  []format.Span
	// nulls are the null counts of the top-level columns, -1 where the
	// validity bitmap does not tell.
	nulls []int64
	// decoded are the bytes of the top-level columns' buffers, of columns without a fixed
	// width about what they are when decompressed.
	decoded []int64

	dicts  dictionaries
	zstd   func() (*zstd.Decoder, error)
	closed atomic.Bool
	// sparse says that the file is no longer read as a whole; see denseShare.
	sparse atomic.Bool
	// undropped are bytes of the mapping that were decoded and whose pages are still there.
	undropped atomic.Int64
}

// undroppedBytes of the mapping are decoded before their pages are given back: nobody has a
// view of them, whose release would do it.
const undroppedBytes = 16 << 20

// denseShare is the share of a record batch from which on its file is read as a
// whole, huge page by huge page, columns between those asked for included. A file
// is, at first: its metadata lies all over it.
const denseShare = 1. / 4

// Open opens an Arrow IPC file or stream and checks all of its metadata. The
// caller closes the Reader. Errors name the file and wrap format.ErrDamaged,
// format.ErrUnsupported, format.ErrChanged, or what io/mapped returns for a
// file that cannot be opened.
func Open(path string, opts format.ReadOptions) (format.Reader, error) {
	opts.EnsureDefaults()
	file, err := mapped.Open(path)
	if err != nil {
		return nil, err
	}
	r := &reader{file: file, name: cmp.Or(opts.Name, path), opts: opts, zstd: sync.OnceValues(newZstd)}
	r.advise(mapped.Dense)
	if err := guarded(r.open); err != nil {
		err = r.explain(fmt.Errorf("open %q: %w", r.name, err))
		file.Release()
		return nil, err
	}
	file.DropUnused(0, int64(len(file.Bytes())))
	return r, nil
}

// guarded runs a step that decodes bytes of a file, and turns a panic into an
// error that wraps format.ErrDamaged, or format.ErrBudget when that is what the
// allocator panicked with.
func guarded(step func() error) (err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if e, ok := v.(error); ok && errors.Is(e, format.ErrBudget) {
			err = e
			return
		}
		err = damaged("decoding it panics: %v", v)
	}()
	return step()
}

// advise gives the kernel a hint about the whole file. Without it the file is read
// all the same.
func (r *reader) advise(advice mapped.Advice) {
	_ = r.file.Advise(0, int64(len(r.file.Bytes())), advice)
}

// explain returns err, or why it came about where the file has changed.
func (r *reader) explain(err error) error {
	if changed := r.file.Changed(); changed != nil {
		return changed
	}
	return err
}

// swapped reports whether numbers are stored in the other byte order.
func (s *fileSchema) swapped() bool {
	return s.big != (endian.NativeEndian == endian.BigEndian)
}

// dropBehind is for a walk over metadata, which lies all over the file: it drops
// the pages between where the walk was and where it has come to.
func (r *reader) dropBehind() (passed func(off int64)) {
	at := int64(0)
	return func(off int64) {
		if off > at {
			r.file.DropUnused(at, off)
			at = off &^ (mapped.BlockBytes - 1) // its block is not dropped yet
		}
	}
}

// open walks all metadata.
func (r *reader) open() error {
	data := r.file.Bytes()
	l, err := layoutOf(data, r.dropBehind())
	if err != nil {
		return err
	}
	r.layout = l
	if err := l.reconcile(data, r.dropBehind()); err != nil {
		return err
	}
	for _, d := range l.dicts {
		if err := r.checkDictionary(d); err != nil {
			return err
		}
	}
	r.nulls, r.decoded = make([]int64, len(l.schema.columns)), make([]int64, len(l.schema.columns))
	r.spans = make([]format.Span, len(l.batches))
	passed := r.dropBehind()
	for i, b := range l.batches {
		if err := r.checkBatch(i, b); err != nil {
			return fmt.Errorf("record batch %d: %w", i, err)
		}
		passed(b.offset)
	}
	return r.scale()
}

// scale has columns without a fixed width grow by as much as those of the first record
// batch with rows say that they do when they are decompressed. Nothing else is looked at:
// it is all over the file.
func (r *reader) scale() error {
	span := slices.IndexFunc(r.spans, func(s format.Span) bool { return s.Rows > 0 })
	if span < 0 {
		return nil
	}
	meta, err := r.layout.batches[span].at(r.file.Bytes())
	if err != nil || meta.codec == codecNone {
		return err
	}
	l := newLoader(r.file, meta, false)
	for c := range r.layout.schema.columns {
		col, first := &r.layout.schema.columns[c], l.buf
		if _, err := l.skip(col); err != nil {
			return err
		}
		if _, flat := FlatBits(col.storage); flat {
			continue
		}
		if packed := meta.bytesOf(first, l.buf); packed > 0 {
			r.decoded[c] = int64(min(float64(r.decoded[c])/float64(packed)*float64(l.announced(first, l.buf)), maxRows))
		}
	}
	return nil
}

// checkDictionary checks a dictionary batch against its schema.
func (r *reader) checkDictionary(d dictBlock) error {
	meta, err := d.at(r.file.Bytes())
	if err != nil {
		return err
	}
	l := newLoader(r.file, meta, false)
	n, err := l.skip(r.layout.schema.dicts[d.id])
	if err == nil {
		err = l.finish()
	}
	if err == nil && n.rows != meta.rows {
		err = damaged("%d values for %d rows", n.rows, meta.rows)
	}
	if err != nil {
		return fmt.Errorf("dictionary %d: %w", d.id, err)
	}
	return nil
}

// checkBatch checks a record batch against the schema and notes its rows and
// null counts.
func (r *reader) checkBatch(i int, b block) error {
	meta, err := b.at(r.file.Bytes())
	if err != nil {
		return err
	}
	if meta.kind != messageRecordBatch {
		return damaged("message at byte %d is of kind %d, not a record batch", b.offset, meta.kind)
	}
	l := newLoader(r.file, meta, false)
	for c := range r.layout.schema.columns {
		col, first := &r.layout.schema.columns[c], l.buf
		n, err := l.skip(col)
		if err == nil && n.rows != meta.rows {
			err = damaged("%d values for %d rows", n.rows, meta.rows)
		}
		if err != nil {
			return fmt.Errorf("column %q: %w", r.layout.schema.schema.Field(c).Name, err)
		}
		r.decoded[c] += meta.bytesOf(first, l.buf)
		switch {
		case !col.nullsAreValidity():
			r.nulls[c] = -1
		case col.storage.ID() == arrow.NULL:
			r.nulls[c] += n.rows
		default:
			r.nulls[c] += n.nulls
		}
	}
	r.spans[i] = format.Span{Rows: meta.rows, Bytes: meta.body}
	return l.finish()
}

// Format implements format.Reader.
func (r *reader) Format() format.Name { return r.layout.format }

// Schema implements format.Reader.
func (r *reader) Schema() *arrow.Schema { return r.layout.schema.schema }

// Spans implements format.Reader: one for each record batch.
func (r *reader) Spans() []format.Span { return r.spans }

// Statistics implements format.Reader: an Arrow file has none.
func (r *reader) Statistics(int, int) format.Statistics { return format.Unknown() }

// NullCount implements format.Reader. It does not say for dictionaries, unions
// and run-end encoded columns, whose nulls may stand in their values.
func (r *reader) NullCount(column int) (nulls int64, ok bool) {
	if column < 0 || column >= len(r.nulls) || r.nulls[column] < 0 {
		return 0, false
	}
	return r.nulls[column], true
}

// ValueBytes is about the size in bytes of a value of a column without a fixed width, on
// average, decompressed; 0 of others.
func (r *reader) ValueBytes(column int) int64 {
	if _, flat := FlatBits(r.layout.schema.columns[column].storage); flat {
		return 0
	}
	rows := int64(0)
	for _, s := range r.spans {
		rows += s.Rows
	}
	return r.decoded[column] / max(rows, 1)
}

// ReadWhole reports whether large record batches are given whole where a column is asked for.
func (r *reader) ReadWhole(column int) bool {
	return !inPieces(r.layout.schema.columns[column].storage)
}

// Changed implements format.Reader.
func (r *reader) Changed() error { return r.file.Changed() }

// Close implements format.Reader. It is idempotent.
func (r *reader) Close() error {
	if r.closed.CompareAndSwap(false, true) {
		r.dicts.close()
		r.file.Release()
	}
	return nil
}

// ReadSpan implements format.Reader. Besides the errors of Open it returns one
// that wraps format.ErrBudget, and what yield returns as it is.
func (r *reader) ReadSpan(ctx context.Context, span int, columns []int, yield func(arrow.RecordBatch) error) error {
	if r.closed.Load() {
		return fmt.Errorf("read %q: %w", r.name, fs.ErrClosed)
	}
	if span < 0 || span >= len(r.spans) {
		return fmt.Errorf("read %q: span %d: the file has %d", r.name, span, len(r.spans))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := r.file.Changed(); err != nil {
		return err
	}
	var step int64
	var inPieces bool
	if err := guarded(func() (err error) {
		step, inPieces, err = r.pieceRows(span, columns)
		return err
	}); err != nil {
		return r.explain(fmt.Errorf("read %q: record batch %d: %w", r.name, span, err))
	}
	if inPieces {
		return r.readPieces(ctx, span, columns, step, yield)
	}
	var batch arrow.RecordBatch
	var view bool
	err := guarded(func() (err error) {
		batch, view, err = r.load(span, columns)
		return err
	})
	if err != nil {
		return r.explain(fmt.Errorf("read %q: record batch %d: %w", r.name, span, err))
	}
	defer batch.Release()
	if err := r.file.Err(); err != nil {
		return err
	}
	if err := r.give(ctx, batch, view, yield); err != nil {
		return err
	}
	// What was given may have turned to zeros under the reader's hands.
	return r.file.Changed()
}

// give hands out a batch: a view whole, decoded memory in chunks.
func (r *reader) give(ctx context.Context, batch arrow.RecordBatch, view bool, yield func(arrow.RecordBatch) error) error {
	rows, chunk := batch.NumRows(), int64(r.opts.ChunkRows)
	if view || rows <= chunk || chunk < 1 {
		return yield(batch)
	}
	for from := int64(0); from < rows; from += chunk {
		if err := ctx.Err(); err != nil {
			return err
		}
		piece := batch.NewSlice(from, min(from+chunk, rows))
		err := yield(piece)
		piece.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// load decodes the listed columns of a record batch. view says that it is
// stored as it is given out. The caller owns the batch.
func (r *reader) load(span int, columns []int) (batch arrow.RecordBatch, view bool, err error) {
	schema, err := r.layout.schema.project(columns)
	if err != nil {
		return nil, false, err
	}
	meta, err := r.layout.batches[span].at(r.file.Bytes())
	if err != nil {
		return nil, false, err
	}
	if meta.rows != r.spans[span].Rows {
		return nil, false, damaged("%d rows; there were %d when it was opened", meta.rows, r.spans[span].Rows)
	}
	swapped := r.layout.schema.swapped()
	l := newLoader(r.file, meta, swapped)
	l.mem, l.zstd = newBudget(r.opts.Allocator, r.opts.BudgetBytes), r.zstd
	l.dicts = func(id int64) (*array.Data, error) { return r.dictionary(id, r.layout.epochs[span]) }
	defer l.release()
	datas, err := r.layout.schema.loadColumns(l, columns)
	if err != nil {
		return nil, false, err
	}
	if float64(l.asked) < denseShare*float64(meta.body) && !r.sparse.Swap(true) {
		r.advise(mapped.Sparse)
	}
	view = meta.codec == codecNone && !swapped
	if !view && r.undropped.Add(meta.body) >= undroppedBytes {
		r.undropped.Store(0)
		r.file.DropUnused(0, int64(len(r.file.Bytes())))
	}
	return recordOf(schema, columns, datas, meta.rows), view, nil
}

// recordOf makes a record batch of the columns listed, in their order.
func recordOf(schema *arrow.Schema, columns []int, datas map[int]*array.Data, rows int64) arrow.RecordBatch {
	arrays := make([]arrow.Array, 0, len(columns))
	defer func() {
		for _, a := range arrays {
			a.Release()
		}
	}()
	for _, c := range columns {
		arrays = append(arrays, array.MakeFromData(datas[c]))
	}
	return array.NewRecordBatch(schema, arrays, rows)
}

// loadColumns decodes the columns that are listed and passes over the others.
func (s *fileSchema) loadColumns(l *loader, columns []int) (map[int]*array.Data, error) {
	last := -1
	datas := make(map[int]*array.Data, len(columns))
	for _, c := range columns {
		datas[c] = nil
		last = max(last, c)
	}
	for c := range last + 1 {
		col := &s.columns[c]
		if _, wanted := datas[c]; !wanted {
			if _, err := l.skip(col); err != nil {
				return nil, err
			}
			continue
		}
		data, err := l.column(col, col.dtype)
		if err == nil && int64(data.Len()) != l.meta.rows {
			err = damaged("%d values for %d rows", data.Len(), l.meta.rows)
		}
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", s.schema.Field(c).Name, err)
		}
		datas[c] = data
	}
	return datas, nil
}
