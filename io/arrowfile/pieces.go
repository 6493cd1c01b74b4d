package arrowfile

import (
	"context"
	"fmt"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/mapped"
)

// pieces give a large record batch some rows at a time, where all columns that are
// asked for have a fixed width. A writer may have put a whole file into one batch, and
// memory must not be as large as that.
//
//	stored as it is, few columns   views of the rows of each piece, whose pages go back with it
//	stored as it is, many columns  the rows of each piece, read from the file: pages of the mapping
//	                               have rows around them, times the columns
//	compressed, or swapped         decompressed a buffer at a time into a scratch file, and read from there
type pieces struct {
	r       *reader
	schema  *arrow.Schema
	columns []*pieceColumn
	rows    int64
	step    int64 // rows of a piece
	mem     *budget

	flow    flow
	scratch *os.File // nil until something is decompressed
	size    int64    // of scratch
	source  *os.File // the file itself; nil where its mapping is viewed

	passed func(off int64) // drops pages of what was decompressed
}

// pieceColumn is a column, or the values of a list column.
type pieceColumn struct {
	dtype   arrow.DataType
	perRow  int64 // values for each row of the batch
	nulls   bool
	buffers []pieceBuffer
	values  *pieceColumn // of a fixed size list
}

// pieceBuffer is where a buffer lies.
type pieceBuffer struct {
	absent bool
	bits   int64  // for each value
	view   []byte // of the mapping; nil in scratch
	at     int64  // in the file, or in scratch
}

// leastPieceRows are the rows of a piece at least. They are a power of two, so that
// batches are not joined and bits begin with a byte. manyPieceColumns are enough for
// pages of the mapping, which come and go by blocks of 2 MiB, to hold far more than the
// rows that are looked at.
const (
	leastPieceRows   = 1 << 6
	manyPieceColumns = 40
)

// FlatBits is the size of a value in bits of a column of a fixed width, with the values
// of its lists; ok is false of others. Large record batches that have only such columns
// are read in pieces.
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

// inPieces says how many rows of a span to give at a time, if it is so large that it is
// not given or decompressed at once.
func (r *reader) inPieces(span int, columns []int) (step int64, ok bool) {
	row := int64(0) // in bits
	for _, c := range columns {
		if c < 0 || c >= len(r.layout.schema.columns) {
			return 0, false // refused where it is loaded
		}
		bits, flat := FlatBits(r.layout.schema.columns[c].storage)
		if !flat {
			return 0, false
		}
		row += bits
	}
	rows := r.spans[span].Rows
	if row == 0 || rows > maxRows/max(row, 1) || rows*row/8 <= r.opts.HeldBytes {
		return 0, false
	}
	step = leastPieceRows
	for 2*step*row/8 <= r.opts.ChunkBytes {
		step *= 2
	}
	return step, step < rows
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
	for from := int64(0); from < p.rows; from += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		var batch arrow.RecordBatch
		if err := guarded(func() (err error) {
			batch, err = p.piece(from, min(step, p.rows-from))
			return err
		}); err != nil {
			return failed(err)
		}
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
	if len(columns) >= manyPieceColumns && meta.codec == codecNone {
		if p.source, err = os.Open(r.file.Path()); err != nil {
			return err
		}
	}
	l := newLoader(r.file, meta, r.layout.schema.swapped())
	l.mem, l.zstd = newBudget(r.opts.Allocator, r.opts.BudgetBytes), r.zstd
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
		places[c], err = p.place(l, col, col.dtype, 1)
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

// place notes where the next column's buffers lie, and puts those into scratch that do
// not lie in the file as they are. perRow is how many of its values are each row's.
func (p *pieces) place(l *loader, c *column, dtype arrow.DataType, perRow int64) (*pieceColumn, error) {
	n, err := l.nextNode()
	if err != nil {
		return nil, err
	}
	values := p.rows * perRow
	if n.rows < values || perRow == 1 && n.rows != values {
		return nil, damaged("%d values for %d rows of %d", n.rows, p.rows, perRow)
	}
	if n.rows > maxRows {
		return nil, unsupported("an array of %d values", n.rows)
	}
	out := &pieceColumn{dtype: dtype, perRow: perRow, nulls: n.nulls > 0, buffers: []pieceBuffer{{absent: true, bits: 1}}}
	if l.hasValidity(c.storage.ID()) {
		validity, err := l.validity(n, c.storage.ID())
		if err != nil {
			return nil, err
		}
		if validity != nil {
			out.buffers[0].absent = false
			if b := validity.Bytes(); p.r.file.Contains(b) {
				out.buffers[0].view, out.buffers[0].at = b, l.bodyAt(b)
			} else {
				out.buffers[0].at = p.size
				if err := p.write(b); err != nil {
					return nil, err
				}
			}
		}
	}
	if list, ok := c.storage.(*arrow.FixedSizeListType); ok {
		out.values, err = p.place(l, &c.children[0], list.Elem(), perRow*int64(list.Len()))
		return out, err
	}
	width, _ := FlatBits(c.storage)
	w := wordOf(c.storage)
	if width == 1 {
		w = bytesWord
	}
	at, err := p.placeValues(l, (values*width+7)/8, w)
	at.bits = width
	out.buffers = append(out.buffers, at)
	return out, err
}

// placeValues is place of the next buffer, of need bytes at least.
func (p *pieces) placeValues(l *loader, need int64, w word) (at pieceBuffer, err error) {
	e, err := l.nextBuffer()
	if err != nil {
		return at, err
	}
	raw := l.body[e.offset : e.offset+e.length]
	if l.meta.codec == codecNone && (!l.swap || w == bytesWord) && mapped.Aligned(raw, w.align()) {
		if err := checkLength(int64(len(raw)), need); err != nil {
			return at, err
		}
		at.view = raw[:need]
		at.at = l.bodyAt(raw)
		return at, nil
	}
	at.at = p.size
	_, err = p.flow.into(p, l, raw, need, w)
	return at, err
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

// data gives n rows of a column.
func (p *pieces) data(c *pieceColumn, from, n int64) (arrow.ArrayData, error) {
	from, n = from*c.perRow, n*c.perRow
	buffers := make([]*memory.Buffer, len(c.buffers))
	for i := range c.buffers {
		if c.buffers[i].absent {
			continue
		}
		b, err := p.bytes(&c.buffers[i], from, n)
		if err != nil {
			return nil, err
		}
		defer b.Release()
		buffers[i] = b
	}
	nulls := 0
	if c.nulls {
		nulls = int(n) - bitutil.CountSetBits(buffers[0].Bytes(), 0, int(n))
	}
	var children []arrow.ArrayData
	if c.values != nil {
		values, err := p.data(c.values, from/c.perRow, n/c.perRow)
		if err != nil {
			return nil, err
		}
		defer values.Release()
		children = []arrow.ArrayData{values}
	}
	return array.NewData(c.dtype, int(n), buffers, children, nulls, 0), nil
}

// bytes gives n values of a buffer. It begins with a byte, since pieces have a multiple
// of 8 rows.
func (p *pieces) bytes(b *pieceBuffer, from, n int64) (*memory.Buffer, error) {
	first, end := from*b.bits/8, (from+n)*b.bits/8
	if (from+n)*b.bits%8 > 0 {
		end++
	}
	if b.view != nil && p.source == nil {
		view := b.view[first:end:end]
		if err := p.r.file.Populate(b.at+first, end-first); err != nil {
			return nil, err
		}
		return p.r.file.Buffer(view), nil
	}
	out, err := p.mem.buffer(end - first)
	if err != nil {
		return nil, err
	}
	file := p.scratch
	if b.view != nil {
		file = p.source
	}
	if _, err := file.ReadAt(out.Bytes(), b.at+first); err != nil {
		out.Release()
		return nil, fmt.Errorf("read rows: %w", err)
	}
	return out, nil
}

func (p *pieces) close() {
	p.flow.close()
	for _, f := range []*os.File{p.scratch, p.source} {
		if f != nil {
			_ = f.Close()
		}
	}
}
