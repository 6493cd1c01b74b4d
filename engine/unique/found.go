package unique

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"
	"sort"
	"sync"
)

// Duplicate is a row whose key an earlier row has, and the first of those.
type Duplicate struct{ Row, First uint64 }

// pairBytes is what a Duplicate takes in memory and in a file.
const pairBytes = 16

// pairs gathers duplicates: in memory, and beyond in a file of sorted runs.
type pairs struct {
	most  int64 // in memory
	dir   string
	count bool // only how many there are

	mu struct {
		sync.Mutex

		rows int64
		one  Duplicate // of the least row; of no meaning while rows is 0
		held []Duplicate
		file *os.File
		runs []int64 // how many each has; they lie one after the other
	}
}

// of takes the duplicates among sorted entries.
func (p *pairs) of(in sorted) error {
	var some []Duplicate
	var first entry
	var key []byte
	for at := 0; ; at++ {
		e, k, ok, err := in.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if at == 0 || e.hi != first.hi || e.lo != first.lo || !bytes.Equal(k, key) {
			first, key = e, append(key[:0], k...)
			continue
		}
		if some = append(some, Duplicate{Row: e.row, First: first.row}); len(some) == blockRows {
			if err := p.add(some); err != nil {
				return err
			}
			some = some[:0]
		}
	}
	return p.add(some)
}

func (p *pairs) add(some []Duplicate) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range some {
		if p.mu.rows++; p.mu.rows == 1 || d.Row < p.mu.one.Row {
			p.mu.one = d
		}
	}
	if p.count {
		return nil
	}
	p.mu.held = append(p.mu.held, some...)
	if int64(len(p.mu.held)) <= p.most {
		return nil
	}
	return p.spillLocked()
}

// sortByRow sorts by the bytes of rows, from the last to the first in which any differ.
func sortByRow(all []Duplicate) []Duplicate {
	var most uint64
	for _, d := range all {
		most = max(most, d.Row)
	}
	room := make([]Duplicate, len(all))
	for shift := 0; shift < 64 && most>>shift > 0; shift += 8 {
		var at [257]int
		for _, d := range all {
			at[d.Row>>shift&0xff+1]++
		}
		for i := range 256 {
			at[i+1] += at[i]
		}
		for _, d := range all {
			b := d.Row >> shift & 0xff
			room[at[b]] = d
			at[b]++
		}
		all, room = room, all
	}
	return all
}

// spillLocked writes what is in memory to the file, sorted.
func (p *pairs) spillLocked() error {
	if p.mu.file == nil {
		file, err := unnamed(p.dir)
		if err != nil {
			return spillError(err)
		}
		p.mu.file = file
	}
	p.mu.held = sortByRow(p.mu.held)
	var at int64
	for _, n := range p.mu.runs {
		at += n * pairBytes
	}
	w := newPairWriter(p.mu.file, at)
	for _, d := range p.mu.held {
		if err := w.write(d); err != nil {
			return err
		}
	}
	p.mu.runs = append(p.mu.runs, int64(len(p.mu.held)))
	p.mu.held = p.mu.held[:0]
	return w.flush()
}

// found ends the gathering: duplicates stand in the order of their rows then.
func (p *pairs) found() (*Found, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := &Found{rows: p.mu.rows, one: p.mu.one}
	if p.mu.file == nil {
		f.held = slices.Clip(sortByRow(p.mu.held))
		return f, nil
	}
	if err := p.spillLocked(); err != nil {
		return nil, err
	}
	p.mu.held = nil
	file := p.mu.file
	p.mu.file = nil
	return f, f.merge(file, p.mu.runs, p.dir)
}

// close gives the file back.
func (p *pairs) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.file == nil {
		return nil
	}
	err := p.mu.file.Close()
	p.mu.file = nil
	return spillError(err)
}

// Found is the duplicates of a table, in the order of their rows. It may be read
// concurrently, except by Close.
type Found struct {
	rows int64
	one  Duplicate

	held []Duplicate // all of them; or
	file *os.File    // a file of all,
	at   []uint64    // and of every indexEvery-th its row
}

// indexEvery is how many duplicates of a file one row of the index stands for.
const indexEvery = 1024

// Rows is how many duplicates there are.
func (f *Found) Rows() int64 { return f.rows }

// First is the duplicate of the least row; ok is false where there is none.
func (f *Found) First() (d Duplicate, ok bool) { return f.one, f.rows > 0 }

// In gives the duplicates whose rows are at least from and below to, in order. Of what
// was found by WantCount there are none. Its error wraps ErrSpill.
func (f *Found) In(from, to uint64) ([]Duplicate, error) {
	if f.file == nil {
		return between(f.held, from, to), nil
	}
	// The last indexed row before from, up to the first that is not below to.
	first := max(sort.Search(len(f.at), func(i int) bool { return f.at[i] >= from })-1, 0)
	last := sort.Search(len(f.at), func(i int) bool { return f.at[i] >= to })
	if last <= first {
		return nil, nil
	}
	text := make([]byte, min(int64(last)*indexEvery, f.rows)*pairBytes-int64(first)*indexEvery*pairBytes)
	if _, err := f.file.ReadAt(text, int64(first)*indexEvery*pairBytes); err != nil {
		return nil, spillError(err)
	}
	some := make([]Duplicate, len(text)/pairBytes)
	for i := range some {
		some[i] = readPair(text[i*pairBytes:])
	}
	return between(some, from, to), nil
}

// between are those of sorted duplicates whose rows lie in a range.
func between(all []Duplicate, from, to uint64) []Duplicate {
	first := sort.Search(len(all), func(i int) bool { return all[i].Row >= from })
	last := sort.Search(len(all), func(i int) bool { return all[i].Row >= to })
	return all[first:max(first, last)]
}

// merge makes one run, in a file of its own, of those of another, which it closes.
func (f *Found) merge(from *os.File, runs []int64, dir string) (err error) {
	defer func() { err = errors.Join(err, spillError(from.Close())) }()
	if f.file, err = unnamed(dir); err != nil {
		return spillError(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	in := make([]*bufio.Reader, len(runs))
	heads := make([]Duplicate, 0, len(runs))
	order := make([]int, 0, len(runs)) // runs by their heads
	var start int64
	text := make([]byte, pairBytes)
	next := func(i int) (Duplicate, error) {
		_, err := io.ReadFull(in[i], text)
		return readPair(text), err
	}
	insert := func(i int) {
		at := sort.Search(len(order), func(k int) bool { return heads[order[k]].Row > heads[i].Row })
		order = slices.Insert(order, at, i)
	}
	for i, n := range runs {
		in[i] = bufio.NewReaderSize(io.NewSectionReader(from, start, n*pairBytes), 64<<10)
		start += n * pairBytes
		head, err := next(i)
		if err != nil && n > 0 {
			return spillError(err)
		}
		if heads = append(heads, head); n > 0 {
			insert(i)
		}
	}
	w := newPairWriter(f.file, 0)
	for written := 0; len(order) > 0; written++ {
		i := order[0]
		if written%indexEvery == 0 {
			f.at = append(f.at, heads[i].Row)
		}
		if err := w.write(heads[i]); err != nil {
			return err
		}
		order = slices.Delete(order, 0, 1)
		head, err := next(i)
		if errors.Is(err, io.EOF) {
			continue
		}
		if err != nil {
			return spillError(err)
		}
		heads[i] = head
		insert(i)
	}
	return w.flush()
}

// Close gives the file back, if there is one.
func (f *Found) Close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file, f.at = nil, nil
	return spillError(err)
}

// pairWriter writes duplicates to a file from a place on.
type pairWriter struct{ w *bufio.Writer }

func newPairWriter(file *os.File, at int64) *pairWriter {
	return &pairWriter{bufio.NewWriterSize(io.NewOffsetWriter(file, at), 256<<10)}
}

func (w *pairWriter) write(d Duplicate) error {
	b := binary.LittleEndian.AppendUint64(w.w.AvailableBuffer(), d.Row)
	_, err := w.w.Write(binary.LittleEndian.AppendUint64(b, d.First))
	return spillError(err)
}

func (w *pairWriter) flush() error { return spillError(w.w.Flush()) }

func readPair(text []byte) Duplicate {
	return Duplicate{Row: binary.LittleEndian.Uint64(text), First: binary.LittleEndian.Uint64(text[8:])}
}
