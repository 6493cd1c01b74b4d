package mapped

import (
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"golang.org/x/sys/unix"
)

// Allocator returns an arrow allocator whose Free drops one reference of f.
// memory.NewBufferWithAllocator(view, f.Allocator()), after one f.Retain,
// makes a buffer that keeps the mapping alive through arrow's own counts. It
// cannot allocate.
func (f *File) Allocator() memory.Allocator { return releaser{f} }

// Buffer makes an arrow buffer over view, a part of f.Bytes, that holds a
// reference of f until its own last Release. It cannot be resized.
//
// The last Release also takes the view's pages out of this process, so
// that its resident memory follows what is in use and not the size of the
// file. The pages stay in the page cache: touching them again, through another
// view, costs a minor fault.
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

// minDropBytes is the smallest view that is worth the call to drop its pages.
const minDropBytes = 1 << 10

// Free drops the view's pages and its reference. The pages at its ends go, too,
// though neighbours may lie in them: those fault them in again.
func (r releaser) Free(view []byte) {
	if len(view) >= minDropBytes && r.file.Contains(view) {
		off := int64(uintptr(unsafe.Pointer(unsafe.SliceData(view))) - uintptr(unsafe.Pointer(unsafe.SliceData(r.file.data))))
		_ = unix.Madvise(r.file.pages(off, int64(len(view))), unix.MADV_DONTNEED) // advice: without it memory is only given back later
	}
	r.file.Release()
}
