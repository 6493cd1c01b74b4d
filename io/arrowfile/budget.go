package arrowfile

import (
	"fmt"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
)

// budget is an allocator that refuses to hold more than its limit. Since
// memory.Allocator cannot return an error, Allocate panics with an error that
// wraps format.ErrBudget; own code asks allocate instead.
type budget struct {
	mem   memory.Allocator
	limit int64 // bytes
	used  atomic.Int64
}

func newBudget(mem memory.Allocator, limit int64) *budget { return &budget{mem: mem, limit: limit} }

// allocate returns n bytes, or an error that wraps format.ErrBudget.
func (b *budget) allocate(n int64) ([]byte, error) {
	if n > b.limit || b.used.Add(n) > b.limit {
		if n <= b.limit {
			b.used.Add(-n)
		}
		return nil, fmt.Errorf("%w: %d bytes more than the %d held; the budget is %d", format.ErrBudget, n, b.used.Load(), b.limit)
	}
	return b.mem.Allocate(int(n)), nil
}

// buffer returns a buffer of n bytes, of one reference.
func (b *budget) buffer(n int64) (*memory.Buffer, error) {
	p, err := b.allocate(n)
	if err != nil {
		return nil, err
	}
	return memory.NewBufferWithAllocator(p, b), nil
}

// Allocate implements memory.Allocator.
func (b *budget) Allocate(size int) []byte {
	p, err := b.allocate(int64(size))
	if err != nil {
		panic(err)
	}
	return p
}

// Reallocate implements memory.Allocator.
func (b *budget) Reallocate(size int, p []byte) []byte {
	n := int64(size) - int64(len(p))
	if b.used.Add(n) > b.limit && n > 0 {
		b.used.Add(-n)
		panic(fmt.Errorf("%w: %d bytes more than the %d held; the budget is %d", format.ErrBudget, n, b.used.Load(), b.limit))
	}
	return b.mem.Reallocate(size, p)
}

// Free implements memory.Allocator.
func (b *budget) Free(p []byte) {
	b.used.Add(-int64(len(p)))
	b.mem.Free(p)
}
