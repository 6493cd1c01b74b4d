package unique

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
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

// entryBytes is what an entry takes in memory.
const entryBytes = 32

func (p *pile) add(e entry, key []byte) {
	if len(key) > 0 {
		e.at = uint32(len(p.keys))
		p.keys = append(p.keys, key...)
	}
	p.entries = append(p.entries, e)
}

func (p *pile) key(e *entry) []byte { return p.keys[e.at : e.at+e.size] }

// sort puts entries in the order of keys, and equal ones by their row.
func (p *pile) sort() {
	slices.SortFunc(p.entries, func(a, b entry) int {
		return cmp.Or(compareKeys(&a, &b, p.key(&a), p.key(&b)), cmp.Compare(a.row, b.row))
	})
}

func (p *pile) reset() { p.entries, p.keys = p.entries[:0], p.keys[:0] }

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
	var group sync.WaitGroup
	var mu sync.Mutex
	var failed error
	next := 0
	take := func(err error) (pile int, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		failed = cmp.Or(failed, err)
		next++
		return next - 1, failed == nil && next <= piles
	}
	for range max(workers, 1) {
		group.Go(func() {
			var err error
			for {
				pile, ok := take(err)
				if !ok {
					return
				}
				err = do(pile)
			}
		})
	}
	group.Wait()
	return failed
}
