package mapped

/*
#cgo CFLAGS: -O2 -Wall -std=gnu11
#include "sigbus.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"unsafe"
)

// ErrTooManyMappings says that every slot of the fault handler's table is
// taken, so that another mapping could not be read safely.
var ErrTooManyMappings = errors.New("too many mapped files")

// registry knows every live mapping twice: in C for the fault handler, by
// address, and in Go for Live, by origin. It is process-wide because signal
// handling is.
var registry struct {
	sync.Mutex

	live map[*File]origin
	last uint64
}

// origin says where a mapping was made.
type origin struct {
	serial uint64
	stack  [8]uintptr
	depth  int
}

// register makes the mapping known to the fault handler, which it installs or,
// where another handler has taken its place, puts in front again. It returns
// the mapping's slot.
func register(f *File) (int, error) {
	registry.Lock()
	defer registry.Unlock()
	slot := noSlot
	if len(f.data) > 0 {
		if errno := C.millrace_mapped_install(); errno != 0 {
			return noSlot, fmt.Errorf("install SIGBUS handler: %w", syscall.Errno(errno))
		}
		slot = int(C.millrace_mapped_register(C.uintptr_t(uintptr(unsafe.Pointer(unsafe.SliceData(f.data)))), C.uintptr_t(len(f.data))))
		if slot == C.MILLRACE_MAPPED_FULL {
			return noSlot, fmt.Errorf("%w: at most %d", ErrTooManyMappings, int(C.millrace_mapped_slots()))
		}
	}
	if registry.live == nil {
		registry.live = make(map[*File]origin)
	}
	registry.last++
	o := origin{serial: registry.last}
	o.depth = runtime.Callers(3, o.stack[:])
	registry.live[f] = o
	return slot, nil
}

// unregister is the reverse of register. It must come before munmap: an
// address that another mapping may get must not look like ours.
func unregister(f *File, slot int) {
	registry.Lock()
	defer registry.Unlock()
	if slot != noSlot {
		C.millrace_mapped_unregister(C.int(slot))
	}
	delete(registry.live, f)
}

// faulted reports whether a read of the mapping in slot has faulted.
func faulted(slot int) bool {
	return C.millrace_mapped_faulted(C.int(slot)) != 0
}

// sumInC reads b byte by byte in C.
func sumInC(b []byte) uint64 {
	return uint64(C.millrace_mapped_sum((*C.uchar)(unsafe.Pointer(unsafe.SliceData(b))), C.uintptr_t(len(b))))
}

// Live lists the files that are mapped now, oldest first, each with the calls
// that opened it. TestMain functions fail on a list that is not empty.
func Live() []string {
	registry.Lock()
	defer registry.Unlock()
	byAge := slices.SortedFunc(maps.Keys(registry.live), func(a, b *File) int {
		return int(registry.live[a].serial) - int(registry.live[b].serial)
	})
	list := make([]string, 0, len(byAge))
	for _, f := range byAge {
		o := registry.live[f]
		var s strings.Builder
		fmt.Fprintf(&s, "%s (%d references)", f.path, f.refs.Load())
		frames := runtime.CallersFrames(o.stack[:o.depth])
		for more := o.depth > 0; more; {
			var frame runtime.Frame
			frame, more = frames.Next()
			fmt.Fprintf(&s, "\n\t%s %s:%d", frame.Function, frame.File, frame.Line)
		}
		list = append(list, s.String())
	}
	return list
}
