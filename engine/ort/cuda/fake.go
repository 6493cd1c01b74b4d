package cuda

// #include <stdlib.h>
// #include "fake.h"
import "C"

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"strings"
	"unsafe"
)

// sources are embedded so that a change of any of them builds this package
// again: Go does not know that kernels.cu is part of it.
//
//go:embed kernels.cu finish.h layout.h
var sources embed.FS

// Digest is the SHA-256 of what compile.sh compiles: the files one after
// the other.
func Digest() (string, error) {
	h := sha256.New()
	for _, name := range []string{"kernels.cu", "layout.h", "finish.h"} {
		b, err := sources.ReadFile(name)
		if err != nil {
			return "", err
		}
		_, _ = h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Sizes are those of the fake devices; shared memory in bytes.
type Sizes struct{ Processors, SharedProcessor, SharedBlock int }

// H100 and T4 are the largest and the smallest that millrace is for.
var (
	H100 = Sizes{Processors: 132, SharedProcessor: 228 << 10, SharedBlock: 227 << 10}
	T4   = Sizes{Processors: 40, SharedProcessor: 64 << 10, SharedBlock: 64 << 10}
)

// FakeDriver is a table of functions of functions.h, with two devices. Calls and
// failures so far are forgotten.
func FakeDriver(s Sizes) unsafe.Pointer {
	C.mr_fake_reset(C.int(s.Processors), C.int(s.SharedProcessor), C.int(s.SharedBlock))
	return C.mr_fake_driver()
}

// CUresults that tests have calls fail with.
const (
	OutOfMemory  = 2
	InvalidPTX   = 218
	LaunchFailed = 719
)

// FailCall makes the next call of a function fail; log is what the compiler says
// where that function is cuModuleLoadDataEx.
func FailCall(call string, code int, log string) {
	c, l := C.CString(call), C.CString(log)
	defer C.free(unsafe.Pointer(c))
	defer C.free(unsafe.Pointer(l))
	C.mr_fake_fail_call(c, C.int(code), l)
}

// Fail makes call number k from now fail, of those that do not give something
// back.
func Fail(k, code int) {
	l := C.CString("")
	defer C.free(unsafe.Pointer(l))
	C.mr_fake_fail(C.int(k), C.int(code), l)
}

// Calls are those since FakeDriver, with what matters of their arguments.
func Calls() []string {
	text := C.mr_fake_calls()
	defer C.free(unsafe.Pointer(text))
	return strings.Split(strings.TrimSpace(C.GoString(text)), "\n")
}

// Live is what was made on the fake devices and not given back.
type Live struct {
	Allocations int // and streams
	Contexts    int
	Pushed      int // contexts, on the calling thread
}

// Left is what is live now.
func Left() Live {
	left := C.mr_fake_left()
	return Live{Allocations: int(left.allocations), Contexts: int(left.contexts), Pushed: int(left.pushed)}
}
