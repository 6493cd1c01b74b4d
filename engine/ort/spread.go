package ort

// #define _GNU_SOURCE
// #include <sched.h>
// #include "spread.h"
import "C"

// spreadBegin and spreadEnd are what a Run begins and ends with; see spread.h.
// Tests call them without one, and ask where a thread is.
func spreadBegin() int { return int(C.mr_spread_begin()) }

func spreadEnd(slot int) { C.mr_spread_end(C.int(slot)) }

func spreadCPU() int { return int(C.sched_getcpu()) }
