package mapped

import (
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Allocator returns an arrow allocator whose Free drops one reference of f.
// memory.NewBufferWithAllocator(view, f.Allocator()), after one f.Retain,
// makes a buffer that keeps the mapping alive through arrow's own counts. It
// cannot allocate.
func (f *File) Allocator() memory.Allocator { return releaser{f} }

// Buffer makes an arrow buffer over view, a part of f.Bytes, that holds a
// reference of f until its own last Release. It cannot be resized.
func (f *File) Buffer(view []byte) *memory.Buffer {
	f.Retain()
	return memory.NewBufferWithAllocator(view, releaser{f})
}

// Contains reports whether b lies within the mapping. The caller must hold a
// reference.
func (f *File) Contains(b []byte) bool {
	if len(b) == 0 || len(f.data) == 0 {
		return false
	}
	start := uintptr(unsafe.Pointer(unsafe.SliceData(f.data)))
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return at >= start && at-start <= uintptr(len(f.data)) && uintptr(len(b)) <= uintptr(len(f.data))-(at-start)
}

// Aligned reports whether b starts at a multiple of align bytes, a power of
// two. It is here because addresses are this package's business.
func Aligned(b []byte, align int) bool {
	return len(b) == 0 || uintptr(unsafe.Pointer(unsafe.SliceData(b)))&uintptr(align-1) == 0
}

// releaser stands in for the allocator of a view.
type releaser struct{ file *File }

// Allocate panics: a mapping has no memory to give.
func (releaser) Allocate(int) []byte {
	panic("mapped: a view of a mapping cannot allocate")
}

// Reallocate panics: a view cannot be resized.
func (releaser) Reallocate(int, []byte) []byte {
	panic("mapped: a view of a mapping cannot be resized")
}

// Free drops the view's reference.
func (r releaser) Free([]byte) { r.file.Release() }
