package parquetfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/internal/scratch"
)

// aside is where columns go that cannot be streamed side by side, since the pages of
// all of them at a time would be too much memory: each is decoded alone, from its first
// row to its last, into a scratch file, and read from there chunk by chunk.
//
//	column 7:  pages -> chunk 0 | chunk 1 | chunk 2 ...   in the file, 256 KiB at a time
//	column 8:  pages -> chunk 0 | chunk 1 | ...
//	chunk 1:   one read per column
//
// Decompressing a page again for every chunk that has rows of it would do without a
// file, and takes a page of 1 MiB 32 times.
type aside struct {
	mem  *budget
	dir  string
	file *os.File

	mu   sync.Mutex
	next int64 // where the next bytes go
}

// asideBytes are gathered of a column before they are written.
const asideBytes = 256 << 10

// asideAlign is the alignment of buffers within a chunk, as Arrow recommends it.
const asideAlign = 64

// asideSpareBytes are left free where columns are laid aside.
const asideSpareBytes = 64 << 20

// newAside makes the file, if there is room for so many bytes.
func newAside(mem *budget, bytes int64) (*aside, error) {
	a := &aside{mem: mem, dir: scratch.Dir("")}
	file, err := scratch.Create(a.dir, "columns")
	if err != nil {
		return nil, fmt.Errorf("lay columns aside: %w", err)
	}
	a.file = file
	if free, ok := scratch.Free(file); ok && free < bytes+asideSpareBytes {
		return nil, errors.Join(a.full(fmt.Errorf("%s are free", humanize.IBytes(uint64(free))), bytes), file.Close())
	}
	return a, nil
}

// full words the error of a file that cannot grow.
func (a *aside) full(err error, bytes int64) error {
	return fmt.Errorf("no room in %s for %s of columns whose pages are too many to hold in memory: %w; give the folder more room, name another by TMPDIR, or write the file with smaller row groups",
		a.dir, humanize.IBytes(uint64(bytes)), err)
}

func (a *aside) close() { _ = a.file.Close() }

// place gives the next n bytes of the file to a column.
func (a *aside) place(n int) (at int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at = a.next
	a.next += int64(n)
	return at
}

// asideColumn is one column in the file.
type asideColumn struct {
	pieces  []asidePiece
	given   int    // pieces read again
	pending []byte // of the last pieces, not yet written
	placed  int    // pieces whose place is known
}

// asidePiece is one chunk's array: where its buffers lie, one after the other.
type asidePiece struct {
	at   int64 // in the file; in pending before it is written
	size int
	data asideData
}

// asideData is an array without its bytes.
type asideData struct {
	dtype               arrow.DataType
	rows, nulls, offset int
	buffers             []asideBuffer
	children            []asideData
}

// asideBuffer is a buffer's place in its piece; there is none where from is negative.
type asideBuffer struct{ from, size int }

// add takes the column's next chunk, which it borrows.
func (c *asideColumn) add(a *aside, data arrow.ArrayData) error {
	start := len(c.pending)
	laid := c.lay(data, start)
	c.pieces = append(c.pieces, asidePiece{at: int64(start), size: len(c.pending) - start, data: laid})
	if len(c.pending) < asideBytes {
		return nil
	}
	return c.flush(a)
}

// lay appends an array's buffers to pending; start is where its piece begins.
func (c *asideColumn) lay(data arrow.ArrayData, start int) asideData {
	out := asideData{dtype: data.DataType(), rows: data.Len(), nulls: data.NullN(), offset: data.Offset()}
	for _, b := range data.Buffers() {
		if b == nil {
			out.buffers = append(out.buffers, asideBuffer{from: -1})
			continue
		}
		from := len(c.pending) - start
		out.buffers = append(out.buffers, asideBuffer{from: from, size: b.Len()})
		c.pending = append(c.pending, b.Bytes()...)
		if over := (len(c.pending) - start) % asideAlign; over > 0 {
			c.pending = append(c.pending, make([]byte, asideAlign-over)...)
		}
	}
	for _, child := range data.Children() {
		out.children = append(out.children, c.lay(child, start))
	}
	return out
}

// flush writes what is pending.
func (c *asideColumn) flush(a *aside) error {
	at := a.place(len(c.pending))
	if _, err := a.file.WriteAt(c.pending, at); err != nil {
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
			return a.full(err, at+int64(len(c.pending)))
		}
		return fmt.Errorf("lay column aside: %w", err)
	}
	for ; c.placed < len(c.pieces); c.placed++ {
		c.pieces[c.placed].at += at
	}
	c.pending = c.pending[:0]
	return nil
}

// next reads the column's next chunk again. The array is the caller's and no longer
// counts against the budget.
func (c *asideColumn) next(a *aside) (arrow.Array, error) {
	p := c.pieces[c.given]
	c.given++
	whole := memory.NewResizableBuffer(a.mem)
	defer whole.Release()
	whole.Resize(p.size)
	if _, err := a.file.ReadAt(whole.Bytes(), p.at); err != nil {
		return nil, fmt.Errorf("read column laid aside: %w", err)
	}
	a.mem.giveBytes(whole.Buf())
	data := p.data.over(whole)
	defer data.Release()
	return array.MakeFromData(data), nil
}

// over is the array of a piece's bytes; the caller releases it.
func (d *asideData) over(whole *memory.Buffer) arrow.ArrayData {
	buffers := make([]*memory.Buffer, len(d.buffers))
	for i, b := range d.buffers {
		if b.from >= 0 {
			buffers[i] = memory.SliceBuffer(whole, b.from, b.size)
			defer buffers[i].Release()
		}
	}
	children := make([]arrow.ArrayData, len(d.children))
	for i := range d.children {
		children[i] = d.children[i].over(whole)
		defer children[i].Release()
	}
	return array.NewData(d.dtype, d.rows, buffers, children, d.nulls, d.offset)
}

// layAside decodes the columns at these places into a scratch file, several at a time
// where decoders are idle.
func (s *spanReader) layAside(ctx context.Context, places []int, all []demand) error {
	row := int64(0)
	for _, i := range places {
		row += all[i].row
	}
	var err error
	if s.aside, err = newAside(s.mem, row*s.r.spans[s.span].Rows); err != nil {
		return err
	}
	s.laid = make([]*asideColumn, len(s.nodes))
	return s.each(ctx, places, func(i int) error {
		c := &asideColumn{}
		s.laid[i] = c
		return s.layColumn(ctx, i, c)
	})
}

// layColumn decodes all rows of a column into its place aside.
func (s *spanReader) layColumn(ctx context.Context, i int, into *asideColumn) (err error) {
	defer recoverTo(&err)
	if err := s.openColumn(i, readAheadBytes); err != nil {
		return err
	}
	defer s.closeColumn(i)
	total := s.r.spans[s.span].Rows
	for done := int64(0); done < total; {
		if err := ctx.Err(); err != nil {
			return &callerError{err}
		}
		n := min(int64(s.rows), total-done)
		arr, err := s.decode(i, int(n))
		if err != nil {
			return s.ofColumn(i, err)
		}
		err = into.add(s.aside, arr.Data())
		arr.Release()
		if err != nil {
			return s.ofColumn(i, err)
		}
		done += n
	}
	if err := s.finish(i); err != nil {
		return err
	}
	err = into.flush(s.aside)
	into.pending = nil
	return s.ofColumn(i, err)
}
