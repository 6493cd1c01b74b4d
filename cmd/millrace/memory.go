package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strconv"

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

// limitHeap sets Go's soft memory limit to what the plan leaves for its heap,
// so that garbage is collected before the whole is too large, unless the user
// set GOMEMLIMIT. It belongs to the process, and so it is set here and not by
// the engine, which may share a process. The function it returns takes it back.
func limitHeap(plan *engine.Plan) (restore func()) {
	limit := plan.HeapLimit()
	if limit == 0 || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	if ballasted() {
		limit += ballastBytes
	}
	before := debug.SetMemoryLimit(limit)
	return func() { debug.SetMemoryLimit(before) }
}
