package timeline

import (
	"sync"
	"time"

	"github.com/millrace/millrace/engine/ort"
)

// Work is a kind of work, of a worker or of a device.
type Work string

// The kinds of work: stages of workers, and what devices do.
const (
	Read     Work = "read"
	Assemble Work = "assemble"
	Run      Work = "run" // of ONNX Runtime; on a device it is mostly waiting
	Write    Work = "write"

	CopyIn  Work = "copy to the device"
	Compute Work = "compute"
	CopyOut Work = "copy from the device"
	Copy    Work = "copy within the device"
)

// ofDevices are ort's words.
var ofDevices = map[ort.DeviceWork]Work{ort.CopyIn: CopyIn, ort.CopyOut: CopyOut, ort.Copy: Copy, ort.Kernel: Compute}

// Span is some work from Start to End.
type Span struct {
	Work       Work
	Start, End time.Time
	// Device is nil for a worker's.
	Device *ort.DeviceSpan
}

// mostSpans bounds what is held of workers, as ort does of devices: 40 MB.
const mostSpans = 1 << 19

// Recorder collects what workers do. The zero value is ready.
type Recorder struct {
	mu      sync.Mutex
	spans   []Span
	dropped uint64
}

// Add notes some work that has ended now.
func (r *Recorder) Add(work Work, started time.Time) {
	ended := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.spans) == mostSpans {
		r.dropped++
		return
	}
	r.spans = append(r.spans, Span{Work: work, Start: started, End: ended})
}

// Spans are all that workers did so far, with what devices did; and how much more of
// workers could not be held.
func (r *Recorder) Spans(devices []ort.DeviceSpan) (spans []Span, dropped uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	spans = append(spans, r.spans...)
	for i := range devices {
		d := &devices[i]
		spans = append(spans, Span{Work: ofDevices[d.Work], Start: d.Start, End: d.End, Device: d})
	}
	return spans, r.dropped
}
