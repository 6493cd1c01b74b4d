package parquetfile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/dustin/go-humanize"

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
		return nil, errors.Join(noRoom(a.dir, bytes, fmt.Errorf("%s are free", humanize.IBytes(uint64(free)))), file.Close())
	}
	return a, nil
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

// asideColumn is one column in the file: pieces, each a chunk's array, in extents. What
// is kept of it in memory is a few bytes for each extent, since a row group may have
// thousands of chunks of thousands of columns.
//
//	extent: piece | piece | ... | piece
//	piece:  the next one's size in this extent, or 0; numbers of the array and its
//	        children; their buffers, aligned
type asideColumn struct {
	shape   *asideShape
	extents []asideExtent

	pending []byte // the extent that is being filled, from the budget
	used    int    // bytes of it
	last    int    // where its last piece begins

	at, size int64 // of the next piece to read; no bytes where it is the next extent's first
}

// asideExtent is where an extent lies, and the size of its first piece.
type asideExtent struct{ at, first int64 }

// asideShape is the type of an array, and of those below.
type asideShape struct {
	dtype    arrow.DataType
	children []*asideShape
}

func newAsideShape(data arrow.ArrayData) *asideShape {
	s := &asideShape{dtype: data.DataType()}
	for _, c := range data.Children() {
		s.children = append(s.children, newAsideShape(c))
	}
	return s
}

// asideAbsent stands for the size of a buffer that there is none of.
const asideAbsent = math.MaxUint64

// add takes the column's next chunk, which it borrows.
func (c *asideColumn) add(a *aside, data arrow.ArrayData) error {
	if c.shape == nil {
		c.shape = newAsideShape(data)
	}
	head := appendHead(make([]byte, 8, 128), data)
	start, size := c.used, aligned(len(head))
	eachBuffer(data, func(b []byte) { size += aligned(len(b)) })
	c.room(a, size)
	if start == 0 {
		c.extents = append(c.extents, asideExtent{first: int64(size)})
	} else {
		binary.LittleEndian.PutUint64(c.pending[c.last:], uint64(size))
	}
	at := start + aligned(copy(c.pending[start:], head))
	eachBuffer(data, func(b []byte) { at += aligned(copy(c.pending[at:], b)) })
	c.last, c.used = start, start+size
	if c.used < asideBytes {
		return nil
	}
	return c.flush(a)
}

func aligned(n int) int { return (n + asideAlign - 1) &^ (asideAlign - 1) }

// room makes room for size bytes more in pending.
func (c *asideColumn) room(a *aside, size int) {
	if c.used+size <= len(c.pending) {
		return
	}
	grown := a.mem.Allocate(max(c.used+size, asideBytes+asideBytes/4))
	copy(grown, c.pending[:c.used])
	a.mem.Free(c.pending)
	c.pending = grown
}

// appendHead appends the numbers of an array and of those below.
func appendHead(to []byte, data arrow.ArrayData) []byte {
	for _, n := range []int{data.Len(), data.NullN(), data.Offset(), len(data.Buffers())} {
		to = binary.LittleEndian.AppendUint64(to, uint64(n))
	}
	for _, b := range data.Buffers() {
		size := uint64(asideAbsent)
		if b != nil {
			size = uint64(b.Len())
		}
		to = binary.LittleEndian.AppendUint64(to, size)
	}
	for _, child := range data.Children() {
		to = appendHead(to, child)
	}
	return to
}

// eachBuffer gives the buffers of an array and of those below, in the order of
// their sizes in the head.
func eachBuffer(data arrow.ArrayData, f func([]byte)) {
	for _, b := range data.Buffers() {
		if b != nil {
			f(b.Bytes())
		}
	}
	for _, child := range data.Children() {
		eachBuffer(child, f)
	}
}

// flush writes what is pending.
func (c *asideColumn) flush(a *aside) error {
	if c.used == 0 {
		return nil
	}
	at := a.place(c.used)
	if _, err := a.file.WriteAt(c.pending[:c.used], at); err != nil {
		if scratch.Full(err) {
			return noRoom(a.dir, at+int64(c.used), err)
		}
		return fmt.Errorf("lay column aside: %w", err)
	}
	c.extents[len(c.extents)-1].at = at
	c.used = 0
	return nil
}

// close frees what is pending.
func (c *asideColumn) close(a *aside) {
	a.mem.Free(c.pending)
	c.pending = nil
}

// next reads the column's next chunk again. The array is the caller's and no longer
// counts against the budget.
func (c *asideColumn) next(a *aside) (arrow.Array, error) {
	if c.size == 0 {
		c.at, c.size = c.extents[0].at, c.extents[0].first
		c.extents = c.extents[1:]
	}
	whole := memory.NewResizableBuffer(a.mem)
	defer whole.Release()
	whole.Resize(int(c.size))
	if _, err := a.file.ReadAt(whole.Bytes(), c.at); err != nil {
		return nil, fmt.Errorf("read column laid aside: %w", err)
	}
	a.mem.giveBytes(whole.Buf())
	head := asideHead{b: whole.Bytes()}
	c.at += c.size
	c.size = head.next()
	p := asidePiece{whole: whole, head: head, at: aligned(8 + c.shape.headBytes(head))}
	data := p.array(c.shape)
	defer data.Release()
	return array.MakeFromData(data), nil
}

// asideHead are the numbers of a piece.
type asideHead struct{ b []byte }

func (h *asideHead) next() int64 {
	n := binary.LittleEndian.Uint64(h.b)
	h.b = h.b[8:]
	return int64(n)
}

// headBytes is the size of an array's numbers.
func (s *asideShape) headBytes(head asideHead) int {
	before := len(head.b)
	s.pass(&head)
	return before - len(head.b)
}

func (s *asideShape) pass(head *asideHead) {
	head.b = head.b[3*8:]
	head.b = head.b[8*head.next():]
	for _, c := range s.children {
		c.pass(head)
	}
}

// asidePiece is a piece that is taken apart.
type asidePiece struct {
	whole *memory.Buffer
	head  asideHead
	at    int // of the next buffer
}

// array is the next array; the caller releases it.
func (p *asidePiece) array(s *asideShape) arrow.ArrayData {
	rows, nulls, offset := int(p.head.next()), int(p.head.next()), int(p.head.next())
	buffers := make([]*memory.Buffer, p.head.next())
	sizes := make([]int64, len(buffers))
	for i := range sizes {
		sizes[i] = p.head.next()
	}
	for i, size := range sizes {
		if uint64(size) == asideAbsent {
			continue
		}
		buffers[i] = memory.SliceBuffer(p.whole, p.at, int(size))
		defer buffers[i].Release()
		p.at += aligned(int(size))
	}
	children := make([]arrow.ArrayData, len(s.children))
	for i, c := range s.children {
		children[i] = p.array(c)
		defer children[i].Release()
	}
	return array.NewData(s.dtype, rows, buffers, children, nulls, offset)
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
	defer into.close(s.aside)
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
	return s.ofColumn(i, into.flush(s.aside))
}
