package lines

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/dustin/go-humanize"

	unnamed "github.com/millrace/millrace/internal/scratch"
)

// scratch is one file without a name for the decompressed text of all files of a
// dataset, so that thousands of them take one descriptor, and nothing is left when the
// process ends. Texts are written at the same time, each into extents of its own.
type scratch struct {
	dir string // as asked for

	mu   sync.Mutex
	file *os.File // nil before the first text
	next int64    // where the next extent begins
}

// extentBytes is the size of an extent; its unwritten rest is a hole, which takes no
// place.
const extentBytes = 4 << 20

// spareBytes are left free where texts are decompressed to.
const spareBytes = 64 << 20

// extent gives a place for the next extentBytes, after a look at what room there is.
func (s *scratch) extent() (file *os.File, at int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir := unnamed.Dir(s.dir)
	if s.file == nil {
		if s.file, err = unnamed.Create(dir, "text"); err != nil {
			return nil, 0, fmt.Errorf("decompress: %w", err)
		}
	}
	if free, ok := unnamed.Free(s.file); ok && free < extentBytes+spareBytes {
		return nil, 0, s.full(fmt.Errorf("%s are free", humanize.IBytes(uint64(free))))
	}
	at, s.next = s.next, s.next+extentBytes
	return s.file, at, nil
}

// full words the error of a scratch file that cannot grow.
func (s *scratch) full(err error) error {
	return fmt.Errorf("%w: no room for its decompressed text in %s, where there are %s of such text already: %w; give the folder more room, or name another by TMPDIR",
		unnamed.ErrWrite, unnamed.Dir(s.dir), humanize.IBytes(uint64(s.next)), err)
}

func (s *scratch) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// extents are one text in the scratch file. It is written from its beginning to its
// end by one goroutine, and then read.
type extents struct {
	scratch *scratch
	file    *os.File
	at      []int64 // of each extent in the file
	size    int64
}

// Write implements io.Writer.
func (e *extents) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		within := e.size % extentBytes
		if within == 0 {
			file, at, err := e.scratch.extent()
			if err != nil {
				return n, err
			}
			e.file, e.at = file, append(e.at, at)
		}
		some := p[:min(int64(len(p)), extentBytes-within)]
		k, err := e.file.WriteAt(some, e.at[len(e.at)-1]+within)
		n, e.size, p = n+k, e.size+int64(k), p[k:]
		if unnamed.Full(err) {
			err = e.scratch.full(err)
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// ReadAt implements io.ReaderAt.
func (e *extents) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		if off >= e.size {
			return n, io.EOF
		}
		within := off % extentBytes
		some := p[n : n+int(min(int64(len(p)-n), extentBytes-within, e.size-off))]
		k, err := e.file.ReadAt(some, e.at[off/extentBytes]+within)
		n, off = n+k, off+int64(k)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
