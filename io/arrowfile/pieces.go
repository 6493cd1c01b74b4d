package arrowfile

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/io/format"
)

// pieces give a large record batch some rows at a time. A writer may have put a whole
// file into one batch, and memory must not be as large as that.
//
//	stored as it is, few columns   views of the rows of each piece, whose pages go back with it
//	stored as it is, many columns  the rows of each piece, read from the file: pages of the mapping
//	                               have rows around them, times the columns
//	compressed, or swapped         decompressed some bytes at a time into a scratch file, and read from there
//
// What is checked of a whole batch at once is checked here when the pieces begin, where it
// is of a bitmap or of where lists and texts end, and of each piece before it is given:
// that offsets ascend, and what views and indices reach. Offsets in scratch are checked as
// they come there, since they say how many bytes of texts follow. The same damage so has the same
// error, though rows before it may have been given by then: no output of them is published.
//
// Offsets are copied, so as to start with 0, and so are bits that do not begin with a
// byte: every array of a piece starts with its buffers, at any depth.
type pieces struct {
	r       *reader
	schema  *arrow.Schema
	columns []*pieceColumn
	rows    int64
	step    int64 // rows of a piece, at most
	mem     *budget

	flow    flow
	scratch *os.File // nil until something is decompressed
	size    int64    // of scratch
	many    bool     // columns: rows are read from the file, and not viewed
	source  *os.File // the file itself; nil until it is read

	dicts  []*array.Data
	passed func(off int64) // drops pages of what was read at the beginning
}

// manyPieceColumns are enough for pages of the mapping, which come and go by blocks of
// 2 MiB, to hold far more than the rows that are looked at.
const manyPieceColumns = 40

// FlatBits is the size of a value in bits of a column of a fixed width, with the values
// of its lists; ok is false of others.
func FlatBits(t arrow.DataType) (bits int64, ok bool) {
	switch t := t.(type) {
	case arrow.ExtensionType:
		return FlatBits(t.StorageType())
	case *arrow.DictionaryType:
		return 0, false
	case *arrow.FixedSizeListType:
		bits, ok = FlatBits(t.Elem())
		return bits * int64(t.Len()), ok && t.Len() > 0
	case arrow.FixedWidthDataType:
		return int64(t.BitWidth()), t.BitWidth() > 0
	}
	return 0, false
}

// inPieces reports whether columns of a type are read in pieces.
func inPieces(t arrow.DataType) bool {
	if _, flat := FlatBits(t); flat {
		return true
	}
	switch t := t.(type) {
	case arrow.ExtensionType:
		return inPieces(t.StorageType())
	case *arrow.NullType, *arrow.DictionaryType, arrow.BinaryDataType:
		return true
	case *arrow.ListType, *arrow.LargeListType, *arrow.MapType, *arrow.FixedSizeListType, *arrow.StructType:
		return !slices.ContainsFunc(t.(arrow.NestedType).Fields(), func(f arrow.Field) bool { return !inPieces(f.Type) })
	}
	return false // unions, run ends and list views, whose rows lie anywhere
}

// pieceRows says how many rows of a span to give at a time, at most, if it is so large
// that it is not given or decompressed at once.
func (r *reader) pieceRows(span int, columns []int) (step int64, ok bool, err error) {
	flat, cut := true, true
	bits := int64(0) // of a row
	for _, c := range columns {
		if c < 0 || c >= len(r.layout.schema.columns) {
			return 0, false, nil // refused where it is loaded
		}
		storage := r.layout.schema.columns[c].storage
		width, ok := FlatBits(storage)
		bits += width
		flat, cut = flat && ok, cut && inPieces(storage)
	}
	rows := r.spans[span].Rows
	var size int64
	switch {
	case rows < 2:
		return 0, false, nil
	case flat && (bits == 0 || rows > maxRows/bits):
		return 0, false, nil
	case flat:
		size = rows * bits / 8
	case !cut:
		return 0, false, nil
	default:
		if size, err = r.decodedBytes(span, columns); err != nil {
			return 0, false, err
		}
	}
	if size <= r.opts.HeldBytes {
		return 0, false, nil
	}
	step = 1
	for step < rows && 2*step <= r.opts.ChunkBytes/max(size/rows, 1) {
		step *= 2
	}
	return step, true, nil
}

var _ format.UpfrontReader = (*reader)(nil)

// UpfrontRows implements format.UpfrontReader: a large compressed record batch is decompressed
// whole, into a file, before its first piece is given.
func (r *reader) UpfrontRows(_ context.Context, span int, columns []int) (rows int64) {
	_ = guarded(func() error { // ReadSpan says what is wrong
		_, large, err := r.pieceRows(span, columns)
		if err != nil || !large {
			return err
		}
		meta, err := r.layout.batches[span].at(r.file.Bytes())
		if err == nil && (meta.codec != codecNone || r.layout.schema.swapped()) {
			rows = r.spans[span].Rows
		}
		return err
	})
	return rows
}

// decodedBytes is the size of the buffers of columns in a span, decompressed.
func (r *reader) decodedBytes(span int, columns []int) (size int64, err error) {
	meta, err := r.layout.batches[span].at(r.file.Bytes())
	if err != nil || meta.codec == codecNone && meta.body <= r.opts.HeldBytes {
		return 0, err
	}
	l := newLoader(r.file, meta, false)
	for c := range slices.Max(columns) + 1 {
		first := l.buf
		if _, err := l.skip(&r.layout.schema.columns[c]); err != nil {
			return 0, err
		}
		if slices.Contains(columns, c) {
			size = min(size+l.announced(first, l.buf), maxRows)
		}
	}
	return size, nil
}

// readPieces is ReadSpan of a span that is given in pieces.
func (r *reader) readPieces(ctx context.Context, span int, columns []int, step int64, yield func(arrow.RecordBatch) error) error {
	p := &pieces{r: r, rows: r.spans[span].Rows, step: step, mem: newBudget(r.opts.Allocator, r.opts.BudgetBytes)}
	defer p.close()
	failed := func(err error) error {
		return r.explain(fmt.Errorf("read %q: record batch %d: %w", r.name, span, err))
	}
	if err := guarded(func() error { return p.open(ctx, span, columns) }); err != nil {
		return failed(err)
	}
	for from := int64(0); from < p.rows; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var batch arrow.RecordBatch
		if err := guarded(func() (err error) {
			batch, err = p.piece(from, p.rowsAt(from))
			return err
		}); err != nil {
			return failed(err)
		}
		from += batch.NumRows()
		err := r.file.Err()
		if err == nil {
			err = yield(batch)
		}
		batch.Release()
		if err != nil {
			return err
		}
	}
	return r.file.Changed()
}

// open finds where the columns' buffers lie, of which it decompresses one column's at a
// time.
func (p *pieces) open(ctx context.Context, span int, columns []int) (err error) {
	r := p.r
	if p.schema, err = r.layout.schema.project(columns); err != nil {
		return err
	}
	meta, err := r.layout.batches[span].at(r.file.Bytes())
	if err != nil {
		return err
	}
	if meta.rows != p.rows {
		return damaged("%d rows; there were %d when it was opened", meta.rows, p.rows)
	}
	p.many = len(columns) >= manyPieceColumns && meta.codec == codecNone
	l := newLoader(r.file, meta, r.layout.schema.swapped())
	l.mem, l.zstd = newBudget(r.opts.Allocator, r.opts.BudgetBytes), r.zstd
	l.dicts = func(id int64) (*array.Data, error) { return r.dictionary(id, r.layout.epochs[span]) }
	l.populated = populateMost // each piece is, before it is given
	defer l.release()
	places := map[int]*pieceColumn{}
	last := -1
	for _, c := range columns {
		places[c] = nil
		last = max(last, c)
	}
	p.passed = r.dropBehind()
	for c := range last + 1 {
		if err := ctx.Err(); err != nil {
			return err
		}
		col := &r.layout.schema.columns[c]
		if _, wanted := places[c]; !wanted {
			if _, err := l.skip(col); err != nil {
				return err
			}
			continue
		}
		places[c], err = p.place(l, col, col.dtype)
		if err == nil && places[c].rows != p.rows {
			err = damaged("%d values for %d rows", places[c].rows, p.rows)
		}
		if err != nil {
			return fmt.Errorf("column %q: %w", r.layout.schema.schema.Field(c).Name, err)
		}
		l.release()
		if used := l.buf - 1; meta.codec != codecNone && used >= 0 { // views are not touched yet
			p.passed(meta.bodyOffset() + meta.buffers[used].offset)
		}
	}
	for _, c := range columns {
		p.columns = append(p.columns, places[c])
	}
	return nil
}

// rowsAt is how many rows the piece from a row on has: step, or, where rows are larger
// there than they are on average, a half of that as often as it takes. It is a power of two
// that divides from, but at the end of the batch, so that batches are not joined.
func (p *pieces) rowsAt(from int64) int64 {
	n := p.step
	if from > 0 {
		n = min(n, from&-from)
	}
	most := p.r.opts.ChunkBytes + p.r.opts.ChunkBytes/2
	for n > 1 && p.bytesOf(from, min(n, p.rows-from)) > most {
		n /= 2
	}
	return min(n, p.rows-from)
}

// bytesOf is the size of n rows.
func (p *pieces) bytesOf(from, n int64) (size int64) {
	for _, c := range p.columns {
		size += p.sizeOf(c, from, n)
	}
	return size
}

// piece gives n rows.
func (p *pieces) piece(from, n int64) (arrow.RecordBatch, error) {
	arrays := make([]arrow.Array, 0, len(p.columns))
	defer func() {
		for _, a := range arrays {
			a.Release()
		}
	}()
	for i, c := range p.columns {
		data, err := p.data(c, from, n)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", p.schema.Field(i).Name, err)
		}
		arrays = append(arrays, array.MakeFromData(data))
		data.Release()
	}
	return array.NewRecordBatch(p.schema, arrays, n), nil
}

// opened is the file itself, to be read. That it is the one that is mapped reader.Changed says.
func (p *pieces) opened() (_ *os.File, err error) {
	if p.source == nil {
		p.source, err = os.Open(p.r.file.Path())
	}
	return p.source, err
}

// fileOf is the file that a buffer is read from; nil of one that is viewed.
func (p *pieces) fileOf(b *pieceBuffer) (*os.File, error) {
	switch {
	case b.view == nil:
		return p.scratch, nil
	case p.many:
		return p.opened()
	}
	return nil, nil
}

func (p *pieces) close() {
	p.flow.close()
	for _, d := range p.dicts {
		d.Release()
	}
	for _, f := range []*os.File{p.scratch, p.source} {
		if f != nil {
			_ = f.Close()
		}
	}
}
