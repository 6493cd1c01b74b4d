package arrowfile

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
)

// firstBytes is the memory that a body gets before any of it has come: how long it is
// a few bytes say, and may lie. What comes makes room for moreTimes as much, which is
// fresh memory and costs nothing until it is written. To double it each time would leave
// more garbage in all than the body has.
const (
	firstBytes = 16 << 20
	moreTimes  = 32
)

// keptBytes bounds the memory that waits for the next bodies.
const keptBytes = 128 << 20

// bodies are where the bodies of a stream's messages go. Memory is used again once the
// last array over it is released, since record batches of a stream are alike: fresh
// memory costs a page fault for every 4 KiB, which is a third of what a pipe costs.
type bodies struct {
	mem   memory.Allocator
	limit int64 // bytes of one body

	mu struct {
		sync.Mutex

		free   [][]byte
		bytes  int64 // of free
		closed bool
	}
}

// receive reads a body of n bytes. The caller owns the buffer.
func (p *bodies) receive(in io.Reader, n int64) (*memory.Buffer, error) {
	if n > p.limit {
		return nil, fmt.Errorf("%w: a message of %d bytes; at most %d are read (send smaller record batches)", format.ErrBudget, n, p.limit)
	}
	whole := p.take(n)
	for got := int64(0); ; {
		room := min(int64(len(whole)), n)
		k, err := io.ReadFull(in, whole[got:room])
		if got += int64(k); err != nil {
			p.give(whole)
			return nil, cutShort(err, "%d of %d bytes of a message's body", got, n)
		}
		if got == n {
			return memory.NewBufferWithAllocator(whole[:n], lease{p, whole}), nil
		}
		larger := p.mem.Allocate(int(min(moreTimes*room, n)))
		copy(larger, whole)
		p.mem.Free(whole)
		whole = larger
	}
}

// take finds free memory for n bytes that is not far larger, or makes some.
func (p *bodies) take(n int64) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	best := -1
	for i, b := range p.mu.free {
		if size := int64(len(b)); size >= n && size/8 <= n && (best < 0 || size < int64(len(p.mu.free[best]))) {
			best = i
		}
	}
	if best < 0 {
		return p.mem.Allocate(int(min(n, firstBytes)))
	}
	b := p.mu.free[best]
	p.mu.free = slices.Delete(p.mu.free, best, best+1)
	p.mu.bytes -= int64(len(b))
	return b
}

// give takes memory back.
func (p *bodies) give(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed || len(b) == 0 {
		p.mem.Free(b)
		return
	}
	p.mu.free = append(p.mu.free, b)
	for p.mu.bytes += int64(len(b)); p.mu.bytes > keptBytes; { // the oldest may be of a size that comes no more
		p.mu.bytes -= int64(len(p.mu.free[0]))
		p.mem.Free(p.mu.free[0])
		p.mu.free = slices.Delete(p.mu.free, 0, 1)
	}
}

// close lets go of what is free; what is in use follows when it is released.
func (p *bodies) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.closed = true
	for _, b := range p.mu.free {
		p.mem.Free(b)
	}
	p.mu.free, p.mu.bytes = nil, 0
}

// lease stands in for the allocator of a received body.
type lease struct {
	bodies *bodies
	whole  []byte
}

// Allocate panics: nothing grows in a body.
func (lease) Allocate(int) []byte { panic("arrowfile: a received body cannot allocate") }

// Reallocate panics: a body cannot be resized.
func (lease) Reallocate(int, []byte) []byte { panic("arrowfile: a received body cannot be resized") }

// Free gives the body's memory back.
func (l lease) Free([]byte) { l.bodies.give(l.whole) }

// cutShort words the error of a read that wanted more: the end of the input is damage,
// and what a read failed with is passed on.
func cutShort(err error, message string, args ...any) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends after %s", ErrNoEnd, fmt.Sprintf(message, args...))
	}
	return fmt.Errorf("%w, after %s", err, fmt.Sprintf(message, args...))
}
