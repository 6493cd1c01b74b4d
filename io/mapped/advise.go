package mapped

import (
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Advice tells the kernel how a range will be read.
type Advice int

// The advice.
const (
	// Dense says that most of the range will be read. What is not in the page cache
	// yet comes there, where the file system has them, in huge pages, one for a
	// fault: 432 MB from a disk took 0.25 s in place of 0.39, and reading them
	// again, for which one fault then maps 2 MiB, 0.10 in place of 0.13 (Linux 6.18,
	// ext4).
	Dense Advice = iota
	// Sparse takes Dense back: only what is near to what is read should come.
	Sparse
	// WillNeed starts reading now, in the background, and in small pages.
	WillNeed
)

var advices = [...][]int{
	// What the kernel reads ahead of a huge page ends before the pages that are
	// there already, in small ones: one in five, since metadata is read first.
	// MADV_RANDOM keeps it from that.
	Dense:    {unix.MADV_HUGEPAGE, unix.MADV_RANDOM},
	Sparse:   {unix.MADV_NOHUGEPAGE, unix.MADV_NORMAL},
	WillNeed: {unix.MADV_WILLNEED},
}

// hugeFaults reports whether a fault in a mapping with MADV_HUGEPAGE reads
// BlockBytes: since Linux 5.18, on processors whose huge pages have that size.
// Elsewhere MADV_RANDOM would have every page read by itself.
var hugeFaults = sync.OnceValue(func() bool {
	size, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")
	if err != nil || strings.TrimSpace(string(size)) != strconv.Itoa(BlockBytes) {
		return false
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return false
	}
	return sinceLinux(unix.ByteSliceToString(u.Release[:]), 5, 18)
})

// sinceLinux reports whether a kernel's release is of a version or later.
func sinceLinux(release string, major, minor int) bool {
	var a, b int
	if _, err := fmt.Sscanf(release, "%d.%d", &a, &b); err != nil {
		return false
	}
	return a > major || a == major && b >= minor
}

// Advise gives the kernel a hint about length bytes from off on; parts outside
// of the file are left out. The caller must hold a reference.
func (f *File) Advise(off, length int64, advice Advice) error {
	if advice < 0 || int(advice) >= len(advices) {
		return fmt.Errorf("advise %q: unknown advice %d", f.path, advice)
	}
	b := f.pages(off, length)
	if len(b) == 0 || advice != WillNeed && !hugeFaults() {
		return nil
	}
	for _, a := range advices[advice] {
		if err := unix.Madvise(b, a); err != nil {
			return &fs.PathError{Op: "advise", Path: f.path, Err: err}
		}
	}
	return nil
}

// faultBytes is how much of a file in the page cache one fault maps: Linux's
// fault_around_bytes, unless someone has set another, which costs time alone.
const faultBytes = 64 << 10

// Populate reads length bytes from off on into memory and maps them, as far as
// the page cache has them, so that touching them later mostly neither waits nor
// faults. Parts outside of the file are left out. It returns an error that wraps
// format.ErrChanged and names the file when pages are gone. The caller must hold
// a reference.
//
// It touches a byte of every stretch that one fault maps. MADV_POPULATE_READ
// takes a half longer for it (330 ns a page with dropping it again, 240 by
// touching: Linux 6.18, 4 KiB folios), since it looks up each page once more, and
// locks out what else is done to the address space.
func (f *File) Populate(off, length int64) error {
	b := f.pages(off, length)
	if len(b) == 0 {
		return f.Err()
	}
	first := int(faultBytes - uintptr(unsafe.Pointer(unsafe.SliceData(b)))%faultBytes)
	touched := b[0]
	for at := first; at < len(b); at += faultBytes {
		touched ^= b[at]
	}
	runtime.KeepAlive(touched)
	if err := f.Err(); err != nil {
		return fmt.Errorf("bytes %d to %d cannot be read: %w", off, off+length, err)
	}
	return nil
}

// pages is the part of the mapping that holds the range, widened to page
// starts.
func (f *File) pages(off, length int64) []byte {
	size := int64(len(f.data))
	if off < 0 {
		length += off
		off = 0
	}
	if length <= 0 || off >= size {
		return nil
	}
	end := size
	if length < size-off {
		end = off + length
	}
	return f.data[off&^int64(os.Getpagesize()-1) : end]
}
