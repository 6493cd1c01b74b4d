package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// A heap that is larger than was planned has room above it for garbage, and where it is as
// planned the limit is what was planned.
func TestRoomAboveAHeap(t *testing.T) {
	const planned, heap = 150 << 20, 400 << 20
	before := debug.SetMemoryLimit(planned)
	defer debug.SetMemoryLimit(before)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { defer close(stopped); keepRoom(planned, stop) }()
	defer func() { close(stop); <-stopped }()
	wait := func(what string, ok func(limit int64) bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !ok(debug.SetMemoryLimit(-1)); time.Sleep(roomEvery / 4) {
			if time.Now().After(end) {
				t.Fatalf("%s: the limit is %d MiB", what, debug.SetMemoryLimit(-1)>>20)
			}
		}
	}
	large := make([]byte, heap)
	runtime.GC()
	wait("a heap of 400 MiB", func(limit int64) bool {
		return limit >= heap+leastRoomBytes && limit < 2*heap
	})
	runtime.KeepAlive(large) // and no longer
	runtime.GC()
	wait("no such heap any more", func(limit int64) bool { return limit == planned })
}

// The heap is left less where more of the program's own files is resident than estimates count on.
func TestFilePagesBeyondUsual(t *testing.T) {
	for _, c := range []struct {
		about, status string
		want          int64
	}{
		{"fewer than usual", "VmRSS:\t  90000 kB\nRssAnon:\t   50000 kB\nRssFile:\t   40000 kB\n", 0},
		{"in large pieces", "VmRSS:\t 150000 kB\nRssFile:\t   96256 kB\nRssShmem:\t       0 kB\n", 94<<20 - usualFilePages},
		{"a mapped input too", "Name:\tmillrace\nRssFile:\t 9000000 kB\n", moreFilePages},
		{"a kernel that does not say", "VmRSS:\t 150000 kB\n", 0},
	} {
		if got := filePagesBeyond(c.status); got != c.want {
			t.Errorf("%s: filePagesBeyond = %d; want %d", c.about, got, c.want)
		}
	}
}
