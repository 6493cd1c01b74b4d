package unique

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
)

// Options bound what a Finder takes.
type Options struct {
	// BudgetBytes is the most that rows take in memory; see the package.
	BudgetBytes int64
	// Dir is where files are made for what is more.
	Dir string
	// Workers is how many goroutines sort and merge.
	Workers int
	// Rows is how many will be added at most, so that no more memory is taken than they
	// need.
	Rows int64
	// Want says whether which rows are duplicates is of interest, or their number alone.
	Want Want
}

// Want says what Find is to give.
type Want int

// What it gives.
const (
	WantRows  Want = iota // every duplicate, with the row that has its key first
	WantCount             // how many there are, and the first of them
)

// Finder gathers rows and finds duplicates among them. The caller closes it.
type Finder struct {
	keys *Keys
	opts Options
	even int // entries of a pile where hashes are spread evenly, as those of different keys are

	mu struct {
		sync.Mutex

		piles [piles]pile
		bytes int64  // of entries and keys in memory
		spill *spill // nil until there are more
		rows  int64
	}
}

// NewFinder makes a Finder of rows with such keys.
func NewFinder(keys *Keys, opts Options) *Finder {
	most := int(min(opts.Rows, opts.BudgetBytes/EntryBytes))
	f := &Finder{keys: keys, opts: opts, even: most/piles + most/piles/16 + 16} // a little more, since they are spread by chance
	for i := range f.mu.piles {
		f.mu.piles[i].entries = make([]entry, 0, f.even)
	}
	return f
}

// blockRows and blockBytes are how many rows, and bytes of keys that are kept, are hashed
// at a time, and then added together.
const (
	blockRows  = 4096
	blockBytes = 1 << 20
)

// Add adds rows, given by the columns of their keys in order, which it borrows; number
// gives the number of each. Its error wraps ErrSpill.
func (f *Finder) Add(columns []arrow.Array, number func(row int) uint64) error {
	rows := columns[0].Len()
	var entries []entry
	var bytes []byte
	hash := f.keys.hasher(columns)
	for row := 0; row < rows; {
		entries, bytes = entries[:0], bytes[:0]
		for ; row < rows && len(entries) < blockRows && len(bytes) < blockBytes; row++ {
			e, key := hash(row)
			e.row = number(row)
			if len(key) > 0 {
				e.at, e.size = uint32(len(bytes)), uint32(len(key))
				bytes = append(bytes, key...)
			}
			entries = append(entries, e)
		}
		if err := f.add(entries, bytes); err != nil {
			return err
		}
	}
	return nil
}

// add distributes entries to piles, and writes these out where they are full.
func (f *Finder) add(entries []entry, bytes []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	high, most := false, f.highBytes()
	for i := range entries {
		e := &entries[i]
		p := &f.mu.piles[e.hi>>(64-pileBits)]
		p.add(*e, bytes[e.at:e.at+e.size])
		high = high || p.bytes() > most
	}
	f.mu.rows += int64(len(entries))
	f.mu.bytes += int64(len(entries))*EntryBytes + int64(len(bytes))
	if f.mu.bytes <= f.opts.BudgetBytes && !high {
		return nil
	}
	return f.spillLocked()
}

// highBytes is the most that one pile may have: a key that very many rows have would make one
// of all, and a pile that grows needs its room twice. Places of keys are uint32.
func (f *Finder) highBytes() int64 { return min(max(f.opts.BudgetBytes/8, 2*blockBytes), 1<<31) }

// spillLocked writes what is in memory to the file, as a run of sorted piles.
func (f *Finder) spillLocked() error {
	if f.mu.bytes == 0 {
		return nil
	}
	if f.mu.spill == nil {
		spill, err := newSpill(f.opts.Dir)
		if err != nil {
			return err
		}
		f.mu.spill = spill
	}
	if err := f.sortLocked(); err != nil {
		return err
	}
	if err := f.mu.spill.write(&f.mu.piles, f.keys.keep); err != nil {
		return err
	}
	for i := range f.mu.piles {
		f.mu.piles[i].reset(2*f.even, f.opts.BudgetBytes/piles*2)
	}
	f.mu.bytes = 0
	return nil
}

func (f *Finder) sortLocked() error {
	spare := &spares{}
	return each(f.opts.Workers, func(i int) error {
		if p := &f.mu.piles[i]; len(p.entries) > 2*f.even {
			slices.SortFunc(p.entries, p.compare) // in its place: of most there are too many of one hash to count
		} else {
			p.sort(spare)
		}
		return nil
	})
}

// Find gives the duplicates of all rows that were added; nobody may add meanwhile, nor
// after. The caller closes what it gives. Its error wraps ErrSpill.
func (f *Finder) Find() (_ *Found, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := &pairs{most: max(f.opts.BudgetBytes/8/pairBytes, 1), dir: f.opts.Dir, count: f.opts.Want == WantCount}
	defer func() {
		if err != nil {
			err = errors.Join(err, found.close())
		}
	}()
	if f.mu.spill == nil {
		if err := f.sortLocked(); err != nil {
			return nil, err
		}
		if err := each(f.opts.Workers, func(i int) error { return found.of(&pileReader{pile: &f.mu.piles[i]}) }); err != nil {
			return nil, err
		}
		return found.found()
	}
	if err := f.spillLocked(); err != nil { // the file is read then, and memory is free for that
		return nil, err
	}
	for i := range f.mu.piles {
		f.mu.piles[i] = pile{}
	}
	buffer := f.mu.spill.bufferBytes(f.opts.BudgetBytes/4, f.opts.Workers)
	err = each(f.opts.Workers, func(i int) error {
		merged, err := f.mu.spill.merge(i, buffer, f.keys.keep)
		if err != nil {
			return err
		}
		return found.of(merged)
	})
	if err != nil {
		return nil, err
	}
	return found.found()
}

// Spilled is how many bytes of rows were written to a file.
func (f *Finder) Spilled() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.spill == nil {
		return 0
	}
	return f.mu.spill.size
}

// Rows is how many were added.
func (f *Finder) Rows() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.rows
}

// Close gives memory and the file back. What Find gave stays.
func (f *Finder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.mu.piles {
		f.mu.piles[i] = pile{}
	}
	if f.mu.spill == nil {
		return nil
	}
	err := f.mu.spill.close()
	f.mu.spill = nil
	return err
}

// ErrSpill says that rows could not be written to a file, or read back.
var ErrSpill = errors.New("rows whose duplicates are looked for do not fit into memory, and cannot be written to disk")

func spillError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrSpill, err)
}
