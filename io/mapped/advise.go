package mapped

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/io/format"
)

// Advice tells the kernel how a range will be read.
type Advice int

// The advice.
const (
	Sequential Advice = iota // read ahead far, drop pages behind
	Random                   // do not read ahead
	WillNeed                 // start reading now, in the background
)

var advices = [...]int{Sequential: unix.MADV_SEQUENTIAL, Random: unix.MADV_RANDOM, WillNeed: unix.MADV_WILLNEED}

// Advise gives the kernel a hint about length bytes from off on; parts outside
// of the file are left out. The caller must hold a reference.
func (f *File) Advise(off, length int64, advice Advice) error {
	if advice < 0 || int(advice) >= len(advices) {
		return fmt.Errorf("advise %q: unknown advice %d", f.path, advice)
	}
	b := f.pages(off, length)
	if len(b) == 0 {
		return nil
	}
	if err := unix.Madvise(b, advices[advice]); err != nil {
		return &fs.PathError{Op: "advise", Path: f.path, Err: err}
	}
	return nil
}

// Populate reads length bytes from off on into memory and maps them, so that
// touching them later neither waits nor, unless the file changes once more,
// faults. Parts outside of the file are left out. It returns an error that
// wraps format.ErrChanged and names the file when the pages are gone. On a
// kernel before 5.14 it does nothing. The caller must hold a reference.
func (f *File) Populate(off, length int64) error {
	b := f.pages(off, length)
	if len(b) == 0 {
		return nil
	}
	for {
		err := unix.Madvise(b, unix.MADV_POPULATE_READ)
		switch {
		case err == nil, errors.Is(err, unix.EINVAL):
			return f.Err()
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case errors.Is(err, unix.EFAULT), errors.Is(err, unix.EHWPOISON):
			return fmt.Errorf("%q: %w: bytes %d to %d cannot be read: %w", f.path, format.ErrChanged, off, off+length, err)
		default:
			return &fs.PathError{Op: "populate", Path: f.path, Err: err}
		}
	}
}

// pages is the part of the mapping that holds the range, widened to page
// starts.
func (f *File) pages(off, length int64) []byte {
	size := int64(len(f.data))
	if off < 0 {
		length += off
		off = 0
	}
	if length <= 0 || off >= size {
		return nil
	}
	end := size
	if length < size-off {
		end = off + length
	}
	return f.data[off&^int64(os.Getpagesize()-1) : end]
}
