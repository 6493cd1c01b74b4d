package unique

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// spill is a file of runs. A run is the entries that were in memory at a time, pile by
// pile, each sorted:
//
//	hi u64 | lo u64 | row u64 | where keys are kept: size u32, key
//
// The file has no name, so that it is gone with the process.
type spill struct {
	file *os.File
	size int64
	runs []run
}

// run is where piles lie in the file.
type run struct {
	start   [piles]int64
	bytes   [piles]int64
	entries [piles]int64
}

func newSpill(dir string) (*spill, error) {
	file, err := unnamed(dir)
	if err != nil {
		return nil, spillError(err)
	}
	return &spill{file: file}, nil
}

// unnamed makes a file in a directory and takes its name away.
func unnamed(dir string) (*os.File, error) {
	file, err := os.CreateTemp(dir, "unique-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// write appends a run of sorted piles.
func (s *spill) write(all *[piles]pile, keep bool) error {
	w := bufio.NewWriterSize(io.NewOffsetWriter(s.file, s.size), 1<<20)
	var r run
	at := s.size
	for i := range all {
		p := &all[i]
		r.start[i], r.entries[i] = at, int64(len(p.entries))
		for j := range p.entries {
			n, err := writeEntry(w, &p.entries[j], p.key(&p.entries[j]), keep)
			if err != nil {
				return spillError(err)
			}
			at += int64(n)
		}
		r.bytes[i] = at - r.start[i]
	}
	if err := w.Flush(); err != nil {
		return spillError(err)
	}
	s.size, s.runs = at, append(s.runs, r)
	return nil
}

func writeEntry(w *bufio.Writer, e *entry, key []byte, keep bool) (int, error) {
	b := w.AvailableBuffer()
	b = binary.LittleEndian.AppendUint64(b, e.hi)
	b = binary.LittleEndian.AppendUint64(b, e.lo)
	b = binary.LittleEndian.AppendUint64(b, e.row)
	if keep {
		b = append(binary.LittleEndian.AppendUint32(b, e.size), key...)
	}
	return w.Write(b)
}

// bufferBytes is the size of the buffer that each run of a pile is read by, so that all
// that are read at a time come to about total bytes.
func (s *spill) bufferBytes(total int64, workers int) int {
	return int(min(max(total/int64(len(s.runs)*max(workers, 1)), 4<<10), 1<<18))
}

// merge gives a pile's entries of all runs, in order.
func (s *spill) merge(pile, buffer int, keep bool) (*merger, error) {
	m := &merger{}
	for i := range s.runs {
		r := &s.runs[i]
		if r.entries[pile] == 0 {
			continue
		}
		section := io.NewSectionReader(s.file, r.start[pile], r.bytes[pile])
		in := &runReader{in: bufio.NewReaderSize(section, buffer), left: r.entries[pile], keep: keep}
		if _, err := in.next(); err != nil {
			return nil, err
		}
		m.push(in)
	}
	return m, nil
}

func (s *spill) close() error { return spillError(s.file.Close()) }

// runReader reads the entries of one pile of one run.
type runReader struct {
	in   *bufio.Reader
	left int64
	keep bool

	head entry
	key  []byte // of head
	text [28]byte
}

// next reads the next entry into head; ok is false at the end.
func (r *runReader) next() (ok bool, err error) {
	if r.left == 0 {
		return false, nil
	}
	r.left--
	fixed := r.text[:24]
	if r.keep {
		fixed = r.text[:]
	}
	if _, err := io.ReadFull(r.in, fixed); err != nil {
		return false, spillError(fmt.Errorf("read back: %w", err))
	}
	r.head = entry{hi: binary.LittleEndian.Uint64(fixed), lo: binary.LittleEndian.Uint64(fixed[8:]), row: binary.LittleEndian.Uint64(fixed[16:])}
	if !r.keep {
		return true, nil
	}
	r.head.size = binary.LittleEndian.Uint32(fixed[24:])
	if cap(r.key) < int(r.head.size) {
		r.key = make([]byte, r.head.size)
	}
	r.key = r.key[:r.head.size]
	if _, err := io.ReadFull(r.in, r.key); err != nil {
		return false, spillError(fmt.Errorf("read back: %w", err))
	}
	return true, nil
}
