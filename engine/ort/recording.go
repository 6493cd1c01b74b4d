package ort

// #include <stdlib.h>
// #include "cupti.h"
import "C"

import (
	"errors"
	"fmt"
	"time"
	"unsafe"
)

// cuptiLibrary is CUPTI of the CUDA that ONNX Runtime's provider is for.
const cuptiLibrary = "libcupti.so.13"

// ErrRecording says that what devices do cannot be recorded.
var ErrRecording = errors.New("devices cannot be recorded")

// DeviceWork is a kind of work of a device.
type DeviceWork int

// What devices do.
const (
	CopyIn  DeviceWork = C.MR_SPAN_COPY_IN  // from the host
	CopyOut DeviceWork = C.MR_SPAN_COPY_OUT // to it
	Copy    DeviceWork = C.MR_SPAN_COPY     // within the device, or between two
	Kernel  DeviceWork = C.MR_SPAN_KERNEL
)

// DeviceSpan is what a device did for a while.
type DeviceSpan struct {
	Work           DeviceWork
	Name           string // of a kernel, as the compiler wrote it
	Device, Stream int
	Bytes          int64 // of a copy
	Start, End     time.Time
}

// Recording is of all devices and of this process; there is one at a time.
type Recording struct {
	began time.Time
	clock uint64 // CUPTI's then
}

// Record begins to record what devices do, from its call on. The caller stops it. An
// error wraps ErrRecording.
func Record() (*Recording, error) { return record(cuptiLibrary) }

func record(library string) (*Recording, error) {
	name := C.CString(library)
	defer C.free(unsafe.Pointer(name))
	var e C.mr_error
	var now C.uint64_t
	if C.mr_cupti_start(name, &now, &e) == 0 {
		return nil, fmt.Errorf("%w: %s; it needs a device, and CUPTI: install cuda-cupti-13-0 of NVIDIA's package repository, or by pip: nvidia-cuda-cupti; and add its folder to LD_LIBRARY_PATH",
			ErrRecording, C.GoString(&e.text[0]))
	}
	return &Recording{began: time.Now(), clock: uint64(now)}, nil
}

// Stop ends the recording and gives what was recorded, in no order, and how much more
// could not be kept. An error wraps ErrRecording.
func (r *Recording) Stop() (spans []DeviceSpan, dropped uint64, err error) {
	var all *C.mr_span
	var n C.size_t
	var lost C.uint64_t
	var e C.mr_error
	if C.mr_cupti_stop(&all, &n, &lost, &e) == 0 { //nolint:gocritic // dupSubExpr reads what cgo generates
		return nil, 0, fmt.Errorf("%w: %s", ErrRecording, C.GoString(&e.text[0]))
	}
	defer C.free(unsafe.Pointer(all))
	at := func(clock C.uint64_t) time.Time { return r.began.Add(time.Duration(int64(uint64(clock) - r.clock))) }
	for _, s := range unsafe.Slice(all, n) {
		spans = append(spans, DeviceSpan{
			Work: DeviceWork(s.kind), Name: C.GoString(&s.name[0]), Device: int(s.device), Stream: int(s.stream),
			Bytes: int64(s.bytes), Start: at(s.start), End: at(s.end),
		})
	}
	return spans, uint64(lost), nil
}
