// Package hugepage asks the system for huge pages under large buffers.
//
// A run works on buffers of tens of MiB, again and again. On pages of 4 KiB each
// of them costs a fault before its first use and a look-up in the page tables
// whenever it was not used for a while, which on a virtual machine means two sets
// of tables. Most systems give huge pages to those who ask only (madvise in
// /sys/kernel/mm/transparent_hugepage/enabled), and Go's runtime does not ask.
package hugepage

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Bytes is the size of a huge page.
const Bytes = 2 << 20

// Least is the size from which a buffer is worth asking for.
const Least = 16 << 10

// asked has blocks of memory that were asked for, by their lowest bits, so that
// few are asked for twice: more would do no harm.
var asked [4096]atomic.Uintptr

// Advise asks for huge pages under a buffer that nobody has written to yet and
// whatever lies around it in the same huge pages. The buffer is Go's, or else
// its neighbours in those pages must be of this process, too. It is advice: where
// the system does not take it, nothing changes.
func Advise(b []byte) {
	if len(b) < Least {
		return
	}
	start := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	for block := start / Bytes; block <= (start+uintptr(len(b))-1)/Bytes; block++ {
		if seen := &asked[block%uintptr(len(asked))]; seen.Load() != block {
			seen.Store(block)
			advise(block * Bytes)
		}
	}
}

// advise asks for one huge page.
func advise(at uintptr) {
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, at, Bytes, unix.MADV_HUGEPAGE)
}
