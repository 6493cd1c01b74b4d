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
func (f *File) Allocator() memory.Allocator { return releaser{file: f} }

// Buffer makes an arrow buffer over view, a part of f.Bytes, that holds a
// reference of f until its own last Release. It cannot be resized.
//
// When the last view of a block of the file is released, the block's pages are
// taken out of this process, so that its resident memory follows what is in use
// and not the size of the file. The pages stay in the page cache: touching them
// again costs a minor fault.
func (f *File) Buffer(view []byte) *memory.Buffer {
	f.Retain()
	if !f.Contains(view) {
		return memory.NewBufferWithAllocator(view, releaser{file: f})
	}
	for i := range f.blocks(view) {
		f.views[i].Add(1)
	}
	return memory.NewBufferWithAllocator(view, releaser{file: f, counted: true})
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
type releaser struct {
	file    *File
	counted bool // in views
}

// Allocate panics: a mapping has no memory to give.
func (releaser) Allocate(int) []byte {
	panic("mapped: a view of a mapping cannot allocate")
}

// Reallocate panics: a view cannot be resized.
func (releaser) Reallocate(int, []byte) []byte {
	panic("mapped: a view of a mapping cannot be resized")
}

// BlockBytes is the size of a block of a mapped file, whose pages are dropped together: a huge
// page. Where the page cache holds the file in huge pages, a fault maps a whole
// one, so that what a view's own range gives back is less than what its faults
// took: of every span of 9 MiB up to 2 MiB stayed resident (measured, Linux
// 6.18; MADV_NOHUGEPAGE does not prevent it).
const BlockBytes = 2 << 20

// blocks are the numbers of the blocks that a part of the mapping touches.
func (f *File) blocks(view []byte) func(yield func(int) bool) {
	off := int(uintptr(unsafe.Pointer(unsafe.SliceData(view))) - uintptr(unsafe.Pointer(unsafe.SliceData(f.data))))
	return func(yield func(int) bool) {
		for i := off / BlockBytes; i <= (off+len(view)-1)/BlockBytes; i++ {
			if !yield(i) {
				return
			}
		}
	}
}

// drop takes a block's pages out of the process. A view that is made of it at
// the same time faults them in again.
func (f *File) drop(block int) {
	_ = unix.Madvise(f.pages(int64(block)*BlockBytes, BlockBytes), unix.MADV_DONTNEED) // advice: without it memory is only given back later
}

// DropUnused takes the pages of all blocks without views that lie in [from, to)
// out of the process: those that reading metadata leaves behind. Blocks that
// begin before from or end after to stay, but for the file's last. The caller
// must hold a reference.
func (f *File) DropUnused(from, to int64) {
	if to >= int64(len(f.data)) {
		to = int64(len(f.views)) * BlockBytes
	}
	for i := (from + BlockBytes - 1) / BlockBytes; (i+1)*BlockBytes <= to; i++ {
		if f.views[i].Load() == 0 {
			f.drop(int(i))
		}
	}
}

// Free counts the view off, drops the blocks that have no other, and drops its
// reference.
func (r releaser) Free(view []byte) {
	if r.counted {
		for i := range r.file.blocks(view) {
			if r.file.views[i].Add(-1) == 0 {
				r.file.drop(i)
			}
		}
	}
	r.file.Release()
}
