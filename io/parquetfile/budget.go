package parquetfile

import (
	"fmt"
	"math"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/internal/recycle"
	"github.com/millrace/millrace/io/format"
)

// overBudget is what budget panics with: arrow's Allocator has no error. The
// guard around every decoding step turns it into an error.
type overBudget struct{ need, limit int64 }

func (o overBudget) err() error {
	return fmt.Errorf("%w: %d bytes at a time, %d allowed; read fewer columns, or write the file with smaller row groups or pages", format.ErrBudget, o.need, o.limit)
}

// budget is the allocator of one ReadSpan, or of a Writer. It panics with
// overBudget rather than hold more than its limit, and it frees what decoders
// and encoders leave behind when they end in a panic or an error.
//
// A buffer is one of: live (allocated, counts), given (handed to the caller
// with a batch: it no longer counts, and the caller's Release frees it), gone.
type budget struct {
	mem   *recycle.Buffers
	limit int64

	mu struct {
		sync.Mutex
		held    int64
		buffers map[*byte]lent // by first byte
	}
}

// lent is a buffer as it was given.
type lent struct {
	whole []byte
	given bool
}

func newBudget(mem *recycle.Buffers, limit int64) *budget {
	b := &budget{mem: mem, limit: limit}
	b.mu.buffers = make(map[*byte]lent)
	return b
}

// Allocate implements memory.Allocator.
func (b *budget) Allocate(size int) []byte {
	if size < 0 {
		panic(overBudget{need: math.MaxInt64, limit: b.limit})
	}
	b.reserve(int64(b.mem.Class(size)))
	whole := b.mem.Get(size)
	if key := first(whole); key != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.mu.buffers[key] = lent{whole: whole}
	}
	return whole[:size]
}

// Reallocate implements memory.Allocator. Both buffers count while the bytes are copied.
func (b *budget) Reallocate(size int, buf []byte) []byte { return recycle.Reallocate(b, size, buf) }

// Free implements memory.Allocator. What freeRest freed already is ignored.
func (b *budget) Free(buf []byte) {
	key := first(buf)
	if key == nil {
		return
	}
	b.mu.Lock()
	buffer, ok := b.mu.buffers[key]
	if ok {
		delete(b.mu.buffers, key)
		if !buffer.given {
			b.mu.held -= int64(len(buffer.whole))
		}
	}
	b.mu.Unlock()
	if ok {
		b.mem.Put(buffer.whole)
	}
}

// reserve counts size bytes as held, or panics.
func (b *budget) reserve(size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if size > b.limit-b.mu.held {
		panic(overBudget{need: b.mu.held + size, limit: b.limit})
	}
	b.mu.held += size
}

// give marks the buffers of an array as the caller's.
func (b *budget) give(data arrow.ArrayData) {
	for _, buf := range data.Buffers() {
		if buf != nil {
			b.giveBytes(buf.Buf())
		}
	}
	for _, child := range data.Children() {
		b.give(child)
	}
}

func (b *budget) giveBytes(buf []byte) {
	key := first(buf)
	if key == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if buffer, ok := b.mu.buffers[key]; ok && !buffer.given {
		b.mu.held -= int64(len(buffer.whole))
		buffer.given = true
		b.mu.buffers[key] = buffer
	}
}

// freeRest frees everything live. Nothing may use it afterwards.
func (b *budget) freeRest() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, buffer := range b.mu.buffers {
		if !buffer.given {
			b.mem.Put(buffer.whole)
			delete(b.mu.buffers, key)
		}
	}
	b.mu.held = 0
}

func first(buf []byte) *byte {
	if cap(buf) == 0 {
		return nil
	}
	return &buf[:1][0]
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
func (z zeroed) Reallocate(size int, buf []byte) []byte { return recycle.Reallocate(z, size, buf) }
