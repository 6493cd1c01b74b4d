package unique

import (
	"bytes"
	"cmp"
	"context"
	"math/bits"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// piles is how many piles rows fall into by the first bits of their hash: they are sorted
// and merged each by itself.
const piles = 1 << pileBits

const pileBits = 8

// pile is the entries of one part of all hashes that are in memory, and their bytes.
type pile struct {
	entries []entry
	keys    []byte
}

// EntryBytes is what a row takes in memory, beside the bytes of its key where these are
// kept.
const EntryBytes = 32

func (p *pile) add(e entry, key []byte) {
	if len(key) > 0 {
		e.at = uint32(len(p.keys))
		p.keys = append(p.keys, key...)
	}
	p.entries = append(p.entries, e)
}

func (p *pile) key(e *entry) []byte { return p.keys[e.at : e.at+e.size] }

// sort puts entries in the order of keys, and equal ones by their row. Hashes are spread
// evenly, so one pass that counts by their next bits leaves little to compare.
func (p *pile) sort(spare *spares) {
	n := len(p.entries)
	if n < 2 {
		return
	}
	shift := 64 - pileBits - min(max(bits.Len(uint(n))-2, 1), 16)
	bucket := func(e *entry) uint64 { return e.hi << pileBits >> (pileBits + shift) }
	ends := make([]int32, 1<<(64-pileBits-shift)+1)
	for i := range p.entries {
		ends[bucket(&p.entries[i])+1]++
	}
	for i := 1; i < len(ends); i++ {
		ends[i] += ends[i-1]
	}
	to := spare.take(n)
	for i := range p.entries {
		at := &ends[bucket(&p.entries[i])] // its bucket's begin, which becomes its end
		to[*at] = p.entries[i]
		*at++
	}
	begin := int32(0)
	for _, end := range ends[:len(ends)-1] {
		if end-begin > 1 {
			slices.SortFunc(to[begin:end], p.compare)
		}
		begin = end
	}
	p.entries, to = to, p.entries
	spare.give(to)
}

func (p *pile) compare(a, b entry) int {
	switch {
	case a.hi != b.hi:
		return cmp.Compare(a.hi, b.hi)
	case a.lo != b.lo:
		return cmp.Compare(a.lo, b.lo)
	case a.size > 0 || b.size > 0:
		if c := bytes.Compare(p.key(&a), p.key(&b)); c != 0 {
			return c
		}
	}
	return cmp.Compare(a.row, b.row)
}

// spares is memory that piles are sorted into: the sorted one takes it and gives its own.
type spares struct {
	mu   sync.Mutex
	free [][]entry
}

// take gives room for n entries.
func (s *spares) take(n int) []entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.free {
		if cap(f) >= n {
			s.free = slices.Delete(s.free, i, i+1)
			return f[:n]
		}
	}
	if len(s.free) > 0 { // too small for this one, and so perhaps for all
		s.free = s.free[1:]
	}
	return make([]entry, n, n+n/16)
}

func (s *spares) give(room []entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, room)
}

// bytes is what the pile's rows take.
func (p *pile) bytes() int64 { return int64(len(p.entries))*EntryBytes + int64(len(p.keys)) }

// reset empties the pile, and keeps its room for as many entries and bytes of keys: another
// pile may be the high one next.
func (p *pile) reset(entries int, keyBytes int64) {
	p.entries, p.keys = p.entries[:0], p.keys[:0]
	if cap(p.entries) > entries {
		p.entries = nil
	}
	if int64(cap(p.keys)) > keyBytes {
		p.keys = nil
	}
}

// compareKeys orders entries by their hash, and those of equal ones by their bytes.
func compareKeys(a, b *entry, aKey, bKey []byte) int {
	switch {
	case a.hi != b.hi:
		return cmp.Compare(a.hi, b.hi)
	case a.lo != b.lo:
		return cmp.Compare(a.lo, b.lo)
	}
	return bytes.Compare(aKey, bKey)
}

// each calls a function with the number of every pile, by some goroutines, until one
// fails.
func each(workers int, do func(pile int) error) error {
	group, working := errgroup.WithContext(context.Background())
	group.SetLimit(max(workers, 1))
	for i := range piles {
		if working.Err() != nil {
			break
		}
		group.Go(func() error { return do(i) })
	}
	return group.Wait()
}
