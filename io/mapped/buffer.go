package mapped

import (
	"cmp"
	"slices"
	"sync"
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
// taken out of this process, with those of a few others, so that its resident memory
// follows what is in use and not the size of the file. The pages stay in the page cache: touching them
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

// drop takes the pages of blocks from first to end-1 out of the process. A view that
// is made of them at the same time faults them in again.
func (f *File) drop(first, end int) {
	_ = unix.Madvise(f.pages(int64(first)*BlockBytes, int64(end-first)*BlockBytes), unix.MADV_DONTNEED) // advice: without it memory is only given back later
}

// unviewed are blocks, of all files, that have lost their last view and whose pages
// are still in the process. They are dropped mostBlocks at a time: every time, the
// other processors are interrupted, to forget what they know of the pages, and wait
// for each other; on a virtual machine of two cores that took 50 us (measured).
var unviewed struct {
	sync.Mutex

	blocks []unviewedBlock
}

type unviewedBlock struct {
	file *File
	at   int
}

// mostBlocks bounds the unviewed blocks: 16 MiB.
const mostBlocks = 8

// leave gives a block up that has no view.
func (f *File) leave(block int) {
	unviewed.Lock()
	defer unviewed.Unlock()
	unviewed.blocks = append(unviewed.blocks, unviewedBlock{f, block})
	if len(unviewed.blocks) == mostBlocks {
		dropUnviewed()
	}
}

// dropUnviewed drops the blocks that are still without a view, those beside each
// other together. The lock is held, so that none of their files is unmapped.
func dropUnviewed() {
	blocks := unviewed.blocks
	slices.SortFunc(blocks, func(a, b unviewedBlock) int {
		return cmp.Or(cmp.Compare(a.file.slot, b.file.slot), cmp.Compare(a.at, b.at))
	})
	for len(blocks) > 0 {
		first, n := blocks[0], 1
		for n < len(blocks) && blocks[n].file == first.file && blocks[n].at <= blocks[n-1].at+1 {
			n++
		}
		first.file.dropFree(first.at, blocks[n-1].at+1)
		blocks = blocks[n:]
	}
	clear(unviewed.blocks)
	unviewed.blocks = unviewed.blocks[:0]
}

// dropFree drops those blocks from first to end-1 that have no view.
func (f *File) dropFree(first, end int) {
	for first < end {
		last := first
		for last < end && f.views[last].Load() == 0 {
			last++
		}
		if last > first {
			f.drop(first, last)
		}
		first = last + 1
	}
}

// forget takes a file's blocks off those that are to be dropped, before it is
// unmapped.
func (f *File) forget() {
	unviewed.Lock()
	defer unviewed.Unlock()
	unviewed.blocks = slices.DeleteFunc(unviewed.blocks, func(b unviewedBlock) bool { return b.file == f })
}

// DropUnused takes the pages of all blocks without views that lie in [from, to)
// out of the process: those that reading metadata leaves behind. Blocks that
// begin before from or end after to stay, but for the file's last. The caller
// must hold a reference.
func (f *File) DropUnused(from, to int64) {
	if to >= int64(len(f.data)) {
		to = int64(len(f.views)) * BlockBytes
	}
	f.dropFree(int((from+BlockBytes-1)/BlockBytes), int(to/BlockBytes))
}

// Free counts the view off, gives the blocks up that have no other, and drops its
// reference.
func (r releaser) Free(view []byte) {
	if r.counted {
		for i := range r.file.blocks(view) {
			if r.file.views[i].Add(-1) == 0 {
				r.file.leave(i)
			}
		}
	}
	r.file.Release()
}
