package ort

import (
	"fmt"
	"sync/atomic"
)

// LiveCounts are how many objects of ONNX Runtime's exist that must be closed.
type LiveCounts struct {
	Sessions   int64
	Tensors    int64 // and other values
	Pins       int64 // tensors over Go memory, each pinning it
	RunOptions int64 // in use or kept by open sessions
	Memory     int64 // allocations of page-locked memory and of devices'
}

// IsZero says whether nothing is left open.
func (c LiveCounts) IsZero() bool { return c == LiveCounts{} }

// String lists the counts.
func (c LiveCounts) String() string {
	return fmt.Sprintf("%d sessions, %d tensors (%d pinning Go memory), %d run options, %d allocations for devices",
		c.Sessions, c.Tensors, c.Pins, c.RunOptions, c.Memory)
}

var live struct {
	sessions, tensors, pins, runOptions, memory atomic.Int64
}

// Live counts what is open in this process. Tests end with zero; build with the
// tag invariants and LiveStacks says where the rest was made.
func Live() LiveCounts {
	return LiveCounts{
		Sessions: live.sessions.Load(), Tensors: live.tensors.Load(),
		Pins: live.pins.Load(), RunOptions: live.runOptions.Load(), Memory: live.memory.Load(),
	}
}
