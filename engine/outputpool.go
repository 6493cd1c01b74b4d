package engine

import (
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher/kernel"
)

// outputPool keeps the memory that ONNX Runtime writes outputs into. A buffer
// goes back by itself when the last array over it is released: whoever needs a
// batch's predictions longer, such as a writer that fills a row group, just
// retains them.
type outputPool struct {
	free   []chan []byte                   // by output
	memory func(bytes int) ([]byte, error) // of new buffers; Go's where it is nil
}

// maxPooled bounds the buffers kept for each output; batches of a few rows would
// have hundreds of thousands.
const maxPooled = 4096

// newOutputPool makes a pool for as many buffers as can be on their way.
func newOutputPool(outputs, inFlight int) *outputPool {
	p := &outputPool{}
	for range outputs {
		p.free = append(p.free, make(chan []byte, inFlight)) // bounds buffers kept for reuse
	}
	return p
}

// get gives size bytes, aligned to 64, as a buffer with one reference.
func (p *outputPool) get(output, size int) (*memory.Buffer, error) {
	var bytes []byte
	select {
	case bytes = <-p.free[output]:
	default:
		if p.memory == nil {
			// Whole words, so that any element type is aligned.
			bytes = kernel.Bytes(kernel.Aligned[uint64]((size + 7) / 8))
			break
		}
		var err error
		if bytes, err = p.memory(size); err != nil {
			return nil, err
		}
	}
	return memory.NewBufferWithAllocator(bytes[:size], returner{pool: p, output: output}), nil
}

// returner stands in for a pooled buffer's allocator: freeing is giving back.
type returner struct {
	pool   *outputPool
	output int
}

// Allocate panics: buffers come from the pool.
func (returner) Allocate(int) []byte { panic("engine: an output buffer cannot allocate") }

// Reallocate panics: output buffers keep their size.
func (returner) Reallocate(int, []byte) []byte {
	panic("engine: an output buffer cannot be resized")
}

// Free gives the memory back to the pool.
func (r returner) Free(bytes []byte) {
	select {
	case r.pool.free[r.output] <- bytes[:cap(bytes)]:
	default:
	}
}
