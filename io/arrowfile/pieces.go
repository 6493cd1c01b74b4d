package arrowfile

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/internal/scratch"
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

	scratch *os.File // nil until something is decompressed
	size    int64    // of scratch
	source  *os.File // the file itself; nil where its mapping is viewed
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

// Bounds of pieces: their bytes, the power of two that their rows are a multiple of, so
// that batches are not joined and bits begin with a byte, and how many columns are many.
const (
	pieceBytes       = 16 << 20
	leastPieceRows   = 1 << 10
	manyPieceColumns = 256
)

// flatBits is the size of a value in bits of a column of a fixed width, with the values
// of its lists; ok is false of others.
func (c *column) flatBits() (bits int64, ok bool) {
	switch t := c.storage.(type) {
	case *arrow.DictionaryType:
		return 0, false
	case *arrow.FixedSizeListType:
		bits, ok = c.children[0].flatBits()
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
		bits, flat := r.layout.schema.columns[c].flatBits()
		if !flat {
			return 0, false
		}
		row += bits
	}
	rows := r.spans[span].Rows
	if row == 0 || rows > maxRows/max(row, 1) || rows*row/8 <= r.opts.HeldBytes {
		return 0, false
	}
	most := int64(pieceBytes)
	if len(columns) >= manyPieceColumns {
		most = r.opts.ChunkBytes
	}
	step = leastPieceRows
	for 2*step*row/8 <= most {
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
		data, err := l.column(col, col.dtype)
		if err == nil && int64(data.Len()) != meta.rows {
			err = damaged("%d values for %d rows", data.Len(), meta.rows)
		}
		if err == nil {
			places[c], err = p.place(l, col, data, 1)
		}
		if err != nil {
			return fmt.Errorf("column %q: %w", r.layout.schema.schema.Field(c).Name, err)
		}
		l.release()
	}
	for _, c := range columns {
		p.columns = append(p.columns, places[c])
	}
	return nil
}

// place notes where a column's buffers lie, and puts those into scratch that do not lie
// in the file as they are.
func (p *pieces) place(l *loader, c *column, data arrow.ArrayData, perRow int64) (*pieceColumn, error) {
	out := &pieceColumn{dtype: data.DataType(), perRow: perRow, nulls: data.NullN() > 0}
	width := int64(0)
	list, isList := c.storage.(*arrow.FixedSizeListType)
	if !isList {
		width, _ = c.flatBits()
	}
	for i, b := range data.Buffers() {
		at := pieceBuffer{absent: b == nil, bits: 1}
		if i > 0 {
			at.bits = width
		}
		if b != nil {
			var err error
			if at.view, at.at, err = p.placeBytes(l, b.Bytes()); err != nil {
				return nil, err
			}
		}
		out.buffers = append(out.buffers, at)
	}
	if isList {
		var err error
		out.values, err = p.place(l, &c.children[0], data.Children()[0], perRow*int64(list.Len()))
		return out, err
	}
	return out, nil
}

func (p *pieces) placeBytes(l *loader, b []byte) (view []byte, at int64, err error) {
	if len(b) > 0 && p.r.file.Contains(b) {
		return b, l.bodyAt(b), nil
	}
	if p.scratch == nil {
		if p.scratch, err = scratch.Create(scratch.Dir(""), "batch"); err != nil {
			return nil, 0, fmt.Errorf("decompress: %w", err)
		}
	}
	at = p.size
	p.size += int64(len(b))
	if _, err = p.scratch.WriteAt(b, at); errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		err = fmt.Errorf("no room in %s for a record batch decompressed: %w; give the folder more room, name another by TMPDIR, or write the file with smaller record batches", scratch.Dir(""), err)
	}
	return nil, at, err
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
	for _, f := range []*os.File{p.scratch, p.source} {
		if f != nil {
			_ = f.Close()
		}
	}
}
