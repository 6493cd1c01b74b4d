// Package recycle keeps buffers of decoded columns for the next ones: a column's pages and
// values are as large each time, and new memory costs more to zero and to fault in than
// plain values cost to decode.
package recycle

import (
	"math/bits"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/internal/hugepage"
)

// MinBytes is the size from which buffers are kept for reuse: the values of a
// chunk of one of thousands of columns. New ones that are smaller cost little.
const MinBytes = 1 << 10

// mostBytes is the size of the largest that are kept: those of pages and chunks of rows as
// they usually are. Longer ones are few, and no two are alike.
const mostBytes = 8 << 20

// Buffers are large buffers that were freed, up to a limit. They may be used concurrently.
type Buffers struct {
	mem   memory.Allocator
	limit int64 // bytes kept at most

	mu struct {
		sync.Mutex
		closed bool
		held   int64
		free   map[int]*spares // by length
		passed int64           // bytes put since those that nobody wants were freed
	}
}

// spares are buffers of one length.
type spares struct {
	free  [][]byte
	least int // of them, since those that nobody wants were freed
}

// sweepBytes are put between two looks for buffers that nobody took in the meantime: all
// pages of a file may be as large as the first ones, or none.
const sweepBytes = 64 << 20

// New gives buffers of an allocator, of which it keeps so many bytes at most.
func New(mem memory.Allocator, limit int64) *Buffers {
	b := &Buffers{mem: mem, limit: limit}
	b.mu.free = make(map[int]*spares)
	return b
}

// ofReaders are the buffers that all readers that are open have in common, as long as they
// take from the default allocator and keep as much: a run of many files has all of them
// open to its end, and the next file's spans need the buffers that the last one's had.
var ofReaders struct {
	sync.Mutex
	shared *Buffers
	users  int
}

// OfReaders are a reader's buffers, until it leaves them: those of all readers that take from
// the default allocator and keep as much.
func OfReaders(mem memory.Allocator, limit int64) *Buffers {
	if mem != memory.DefaultAllocator {
		return New(mem, limit)
	}
	ofReaders.Lock()
	defer ofReaders.Unlock()
	if ofReaders.users == 0 {
		ofReaders.shared = New(mem, limit)
	}
	if ofReaders.shared.limit != limit {
		return New(mem, limit)
	}
	ofReaders.users++
	return ofReaders.shared
}

// Leave frees what is kept, unless other readers have them too.
func (b *Buffers) Leave() {
	ofReaders.Lock()
	defer ofReaders.Unlock()
	if b == ofReaders.shared {
		if ofReaders.users--; ofReaders.users > 0 {
			return
		}
		ofReaders.shared = nil
	}
	b.Close()
}

// Class is the length of the buffer that Get gives for size bytes: the next
// of four steps per power of two, so that pages that are almost alike share
// buffers.
func (b *Buffers) Class(size int) int {
	if size < MinBytes || b.limit == 0 {
		return size
	}
	step := 1 << (bits.Len(uint(size-1)) - 3)
	return (size + step - 1) / step * step
}

// Get gives a buffer of Class(size) bytes with anything in it.
func (b *Buffers) Get(size int) []byte {
	class := b.Class(size)
	if class < MinBytes {
		return b.mem.Allocate(class)
	}
	b.mu.Lock()
	if s := b.mu.free[class]; s != nil && len(s.free) > 0 {
		last := len(s.free) - 1
		buf := s.free[last]
		s.free[last] = nil
		s.free = s.free[:last]
		s.least = min(s.least, last)
		b.mu.held -= int64(class)
		b.mu.Unlock()
		return buf
	}
	b.mu.Unlock()
	buf := b.mem.Allocate(class)
	hugepage.Advise(buf)
	return buf
}

// Put takes back a buffer that Get gave, whole.
func (b *Buffers) Put(buf []byte) {
	if n := len(buf); n >= MinBytes && n <= mostBytes {
		b.mu.Lock()
		if !b.mu.closed && b.mu.held+int64(n) <= b.limit {
			s := b.mu.free[n]
			if s == nil {
				s = &spares{}
				b.mu.free[n] = s
			}
			s.free = append(s.free, buf)
			b.mu.held += int64(n)
			if b.mu.passed += int64(n); b.mu.passed >= max(sweepBytes, 2*b.mu.held) {
				b.sweep()
			}
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
	}
	b.mem.Free(buf)
}

// sweep frees what nobody took since it was called before, in mu.
func (b *Buffers) sweep() {
	b.mu.passed = 0
	for class, s := range b.mu.free {
		for _, buf := range s.free[:s.least] {
			b.mem.Free(buf)
		}
		b.mu.held -= int64(s.least) * int64(class)
		s.free = slices.Delete(s.free, 0, s.least)
		if s.least = len(s.free); s.least == 0 {
			delete(b.mu.free, class)
		}
	}
}

// Held is how many bytes are kept.
func (b *Buffers) Held() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.held
}

// Close frees what is kept; what is put afterwards is freed at once.
func (b *Buffers) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.closed = true
	for _, s := range b.mu.free {
		for _, buf := range s.free {
			b.mem.Free(buf)
		}
	}
	clear(b.mu.free)
	b.mu.held = 0
}

// Allocator is Buffers as an allocator. What it gives has anything in it.
type Allocator struct{ *Buffers }

// Allocate implements memory.Allocator.
func (a Allocator) Allocate(size int) []byte { return a.Get(size)[:size] }

// Reallocate implements memory.Allocator.
func (a Allocator) Reallocate(size int, buf []byte) []byte { return Reallocate(a, size, buf) }

// Reallocate gives a buffer another size: in its place where there is room, else in one of an allocator's, which
// holds both while the bytes are copied.
func Reallocate(mem memory.Allocator, size int, buf []byte) []byte {
	if cap(buf) > 0 && size <= cap(buf) {
		return buf[:size]
	}
	grown := mem.Allocate(size)
	copy(grown, buf)
	mem.Free(buf)
	return grown
}

// Free implements memory.Allocator.
func (a Allocator) Free(buf []byte) {
	if cap(buf) > 0 {
		a.Put(buf[:cap(buf)])
	}
}
