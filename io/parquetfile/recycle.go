package parquetfile

import (
	"math/bits"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/internal/hugepage"
)

// minRecycledBytes is the size from which buffers are kept for reuse: the values of a
// chunk of one of thousands of columns. New ones that are smaller cost little.
const minRecycledBytes = 1 << 10

// mostRecycledBytes is the size of the largest that are kept: those of pages and chunks of rows as
// they usually are. Longer ones are few, and no two are alike.
const mostRecycledBytes = 8 << 20

// recycler keeps large buffers that were freed, for the next span: a column's
// page buffers and values are as large each time, and new memory costs more to
// zero and to fault in than plain pages cost to decode. It may be used
// concurrently.
type recycler struct {
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

func newRecycler(mem memory.Allocator, limit int64) *recycler {
	r := &recycler{mem: mem, limit: limit}
	r.mu.free = make(map[int]*spares)
	return r
}

// ofReaders is the recycler that all readers that are open have in common, as long as they
// take from the default allocator and keep as much: a run of many files has all of them
// open to its end, and the next file's spans need the buffers that the last one's had.
var ofReaders struct {
	sync.Mutex
	shared *recycler
	users  int
}

// buffersOfReaders is a reader's recycler, until it leaves it.
func buffersOfReaders(mem memory.Allocator, limit int64) *recycler {
	if mem != memory.DefaultAllocator {
		return newRecycler(mem, limit)
	}
	ofReaders.Lock()
	defer ofReaders.Unlock()
	if ofReaders.users == 0 {
		ofReaders.shared = newRecycler(mem, limit)
	}
	if ofReaders.shared.limit != limit {
		return newRecycler(mem, limit)
	}
	ofReaders.users++
	return ofReaders.shared
}

// leave frees what is kept, unless other readers have the recycler too.
func (r *recycler) leave() {
	ofReaders.Lock()
	defer ofReaders.Unlock()
	if r == ofReaders.shared {
		if ofReaders.users--; ofReaders.users > 0 {
			return
		}
		ofReaders.shared = nil
	}
	r.close()
}

// classOf is the length of the buffer that get gives for size bytes: the next
// of four steps per power of two, so that pages that are almost alike share
// buffers.
func (r *recycler) classOf(size int) int {
	if size < minRecycledBytes || r.limit == 0 {
		return size
	}
	step := 1 << (bits.Len(uint(size-1)) - 3)
	return (size + step - 1) / step * step
}

// get gives a buffer of classOf(size) bytes with anything in it.
func (r *recycler) get(size int) []byte {
	class := r.classOf(size)
	if class < minRecycledBytes {
		return r.mem.Allocate(class)
	}
	r.mu.Lock()
	if s := r.mu.free[class]; s != nil && len(s.free) > 0 {
		last := len(s.free) - 1
		buf := s.free[last]
		s.free[last] = nil
		s.free = s.free[:last]
		s.least = min(s.least, last)
		r.mu.held -= int64(class)
		r.mu.Unlock()
		return buf
	}
	r.mu.Unlock()
	buf := r.mem.Allocate(class)
	hugepage.Advise(buf)
	return buf
}

// put takes back a buffer that get gave, whole.
func (r *recycler) put(buf []byte) {
	if n := len(buf); n >= minRecycledBytes && n <= mostRecycledBytes {
		r.mu.Lock()
		if !r.mu.closed && r.mu.held+int64(n) <= r.limit {
			s := r.mu.free[n]
			if s == nil {
				s = &spares{}
				r.mu.free[n] = s
			}
			s.free = append(s.free, buf)
			r.mu.held += int64(n)
			if r.mu.passed += int64(n); r.mu.passed >= max(sweepBytes, 2*r.mu.held) {
				r.sweep()
			}
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
	}
	r.mem.Free(buf)
}

// sweep frees what nobody took since it was called before, in mu.
func (r *recycler) sweep() {
	r.mu.passed = 0
	for class, s := range r.mu.free {
		for _, buf := range s.free[:s.least] {
			r.mem.Free(buf)
		}
		r.mu.held -= int64(s.least) * int64(class)
		s.free = slices.Delete(s.free, 0, s.least)
		if s.least = len(s.free); s.least == 0 {
			delete(r.mu.free, class)
		}
	}
}

// close frees what is kept; what is put afterwards is freed at once.
func (r *recycler) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.closed = true
	for _, s := range r.mu.free {
		for _, buf := range s.free {
			r.mem.Free(buf)
		}
	}
	clear(r.mu.free)
	r.mu.held = 0
}

// zeroed is a budget for users that expect new memory to be zero, as Go's is:
// what arrow-go leaves unset in a buffer must not depend on what was in it.
type zeroed struct{ *budget }

// Allocate implements memory.Allocator.
func (z zeroed) Allocate(size int) []byte {
	buf := z.budget.Allocate(size)
	clear(buf[:cap(buf)])
	return buf
}

// Reallocate implements memory.Allocator.
func (z zeroed) Reallocate(size int, buf []byte) []byte {
	if first(buf) != nil && size <= cap(buf) {
		return buf[:size]
	}
	grown := z.Allocate(size)
	copy(grown, buf)
	z.Free(buf)
	return grown
}
