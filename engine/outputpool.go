package engine

import (
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher/kernel"
)

// outputPool keeps the memory that ONNX Runtime writes outputs into, and that of
// columns made of them. A buffer goes back by itself when the last array over it is
// released: whoever needs a batch's predictions longer, such as a writer that fills a
// row group, just retains them.
type outputPool struct {
	free    []chan []byte                   // by output
	columns []chan []byte                   // the same, for its columns where these do not lie in it
	memory  func(bytes int) ([]byte, error) // of new buffers for ONNX Runtime; Go's where it is nil
}

// maxPooled bounds the buffers kept for each output; batches of a few rows would
// have hundreds of thousands.
const maxPooled = 4096

// newOutputPool makes a pool for as many buffers as can be on their way.
func newOutputPool(outputs, inFlight int) *outputPool {
	p := &outputPool{}
	for range outputs {
		p.free = append(p.free, make(chan []byte, inFlight)) // bounds buffers kept for reuse
		p.columns = append(p.columns, make(chan []byte, inFlight))
	}
	return p
}

// get gives memory for an output, always as much, aligned to 64, as a buffer with one
// reference.
func (p *outputPool) get(output, size int) (*memory.Buffer, error) {
	return pooled(p.free[output], size, size, p.memory)
}

// getColumns is like get, for an output's columns, of which most bytes are always the same.
func (p *outputPool) getColumns(output, size, most int) (*memory.Buffer, error) {
	return pooled(p.columns[output], size, most, nil)
}

// pooled gives size of most bytes, which are as many each time.
func pooled(free chan []byte, size, most int, allocate func(bytes int) ([]byte, error)) (*memory.Buffer, error) {
	var bytes []byte
	select {
	case bytes = <-free:
	default:
		if allocate == nil {
			// Whole words, so that any element type is aligned.
			bytes = kernel.Bytes(kernel.Aligned[uint64]((most + 7) / 8))
			break
		}
		var err error
		if bytes, err = allocate(most); err != nil {
			return nil, err
		}
	}
	return memory.NewBufferWithAllocator(bytes[:size], returner{free}), nil
}

// returner stands in for a pooled buffer's allocator: freeing is giving back.
type returner struct{ free chan<- []byte }

// Allocate panics: buffers come from the pool.
func (returner) Allocate(int) []byte { panic("engine: an output buffer cannot allocate") }

// Reallocate panics: output buffers keep their size.
func (returner) Reallocate(int, []byte) []byte {
	panic("engine: an output buffer cannot be resized")
}

// Free gives the memory back to the pool.
func (r returner) Free(bytes []byte) {
	select {
	case r.free <- bytes[:cap(bytes)]:
	default:
	}
}
