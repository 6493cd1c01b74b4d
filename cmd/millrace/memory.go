package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/millrace/millrace/engine"
)

// memoryLimit is the value of --memory-limit in bytes; 0 is auto.
type memoryLimit int64

// String writes the flag's value.
func (m *memoryLimit) String() string {
	switch *m {
	case 0:
		return "auto"
	case engine.NoMemoryLimit:
		return "none"
	}
	return strconv.FormatInt(int64(*m), 10)
}

// Set reads the flag's value.
func (m *memoryLimit) Set(text string) error {
	switch text {
	case "auto":
		*m = 0
		return nil
	case "none":
		*m = engine.NoMemoryLimit
		return nil
	}
	n, err := parseSize(text)
	if err != nil {
		return fmt.Errorf("%w, or none, or auto", err)
	}
	*m = memoryLimit(n)
	return nil
}

// Type names the value in help.
func (*memoryLimit) Type() string { return "SIZE" }

// byteSize is the value of a flag in bytes; 0 when it is not given.
type byteSize int64

// String writes the flag's value.
func (b *byteSize) String() string {
	if *b == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*b), 10)
}

// Set reads the flag's value.
func (b *byteSize) Set(text string) error {
	n, err := parseSize(text)
	*b = byteSize(n)
	return err
}

// parseSize reads a number of bytes, with or without a unit.
func parseSize(text string) (int64, error) {
	n, err := humanize.ParseBytes(text)
	if err != nil || n == 0 || n > math.MaxInt64 {
		return 0, errors.New("must be a size above 0, such as 512MiB or 2GiB")
	}
	return int64(n), nil
}

// Type names the value in help.
func (*byteSize) Type() string { return "SIZE" }

// muchParsedBytes is how much a model is when parsed whose garbage is worth the milliseconds
// that collecting it takes.
const muchParsedBytes = 32 << 20

// limitHeap sets Go's soft memory limit to what the plan leaves for its heap,
// so that garbage is collected before the whole is too large, unless the user
// set GOMEMLIMIT. It belongs to the process, and so it is set here and not by
// the engine, which may share a process. The function it returns takes it back.
func limitHeap(plan *engine.Plan) (restore func()) {
	limit := plan.HeapLimit()
	if os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	if !plan.Limited() {
		limit = max(limit-filePagesBeyondUsual(), limit/2)
	}
	if ballasted() {
		limit += ballastBytes
	}
	before := debug.SetMemoryLimit(limit)
	if plan.ParsedBytes() >= muchParsedBytes {
		// What was parsed of the model to check it is garbage, which nothing would collect
		// before a session takes as much again.
		debug.FreeOSMemory()
	}
	if plan.Limited() {
		return func() { debug.SetMemoryLimit(before) }
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		keepRoom(limit, stop)
	}()
	return func() {
		close(stop)
		<-stopped
		debug.SetMemoryLimit(before)
	}
}

// Pages of this program's file and of ONNX Runtime's are resident: so many before a run with what
// estimates count on, and at most more where the page cache has files in large pieces.
const (
	usualFilePages = 68 << 20
	moreFilePages  = 48 << 20
)

// filePagesBeyondUsual are bytes of such pages that estimates do not know of, which leave the heap less.
func filePagesBeyondUsual() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	return filePagesBeyond(string(status))
}

// filePagesBeyond is that of a process whose status is as proc_pid_status(5) has it.
func filePagesBeyond(status string) int64 {
	_, after, _ := strings.Cut(status, "\nRssFile:")
	kib, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	n, err := strconv.ParseInt(kib, 10, 64)
	if err != nil {
		return 0
	}
	return min(max(n<<10-usualFilePages, 0), moreFilePages)
}

// What is left between the heap in use and the soft limit, at least: more where the heap is
// larger than runs usually have.
const (
	leastRoomBytes = 32 << 20
	usualHeapBytes = 160 << 20
	roomEvery      = 200 * time.Millisecond
	// mostCycles between two looks show that there is too little room.
	mostCycles = 8
)

// keepRoom raises the soft memory limit above a heap that is larger than was planned, until
// stop is closed: an estimate that is too small must not have the collector run all the time.
func keepRoom(limit int64, stop <-chan struct{}) {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"},
	}
	tick := time.NewTicker(roomEvery)
	defer tick.Stop()
	metrics.Read(samples)
	before := int64(samples[5].Value.Uint64())
	for set, room := limit, int64(leastRoomBytes); ; {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		metrics.Read(samples)
		at := func(i int) int64 { return int64(samples[i].Value.Uint64()) }
		beside := at(2) - at(1) - at(3) - at(4) // stacks, and what objects leave of their pages
		cycles := at(5) - before
		if before += cycles; cycles > mostCycles { // live is what the last of them left: the heap grows faster than that is looked at
			room = min(2*room, at(0)+leastRoomBytes)
		} else {
			room = max(room/2, leastRoomBytes)
		}
		if next := max(limit, at(0)+max(room, (at(0)-usualHeapBytes)/2)+beside); next != set {
			set = next
			debug.SetMemoryLimit(set)
		}
	}
}
