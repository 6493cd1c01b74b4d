package dataset

import (
	"context"
	"sync"
)

// aheads are the spans that are fetched ahead, and those that are still to be read.
type aheads struct {
	mu sync.Mutex

	taken   map[SpanRef]bool          // by whoever fetches ahead, or reads
	left    map[SpanRef]int           // how often each is still to be read
	whole   map[*source]chan struct{} // of those fetched as a whole; closed when one is read
	checked chan error                // has, or will have, what was found when none was left; nil without
}

// take says whether nobody has taken a span yet.
func (a *aheads) take(ref SpanRef) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.taken[ref] {
		return false
	}
	if a.taken == nil {
		a.taken = map[SpanRef]bool{}
	}
	a.taken[ref] = true
	return true
}

// give lets a span be fetched again.
func (a *aheads) give(ref SpanRef) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.taken, ref)
}

// expect notes the spans that will be read.
func (a *aheads) expect(refs []SpanRef) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.left = make(map[SpanRef]int, len(refs))
	for _, ref := range refs {
		a.left[ref]++
	}
}

// reading notes that a file is read: what was found before does not hold of it.
func (a *aheads) reading(src *source) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.checked = nil
	if begun := a.whole[src]; begun != nil {
		close(begun)
		delete(a.whole, src)
	}
}

// wholeSource is an object that is fetched as a whole.
type wholeSource struct {
	*source

	begun chan struct{} // closed when it is read
}

// wholes are the objects of spans that are not read by ranges, in order.
func (d *Dataset) wholes(refs []SpanRef) []wholeSource {
	var all []wholeSource
	begun := map[*source]chan struct{}{}
	for _, ref := range refs {
		src := d.files[ref.File]
		if src.object != nil && src.ranged() == nil && begun[src] == nil {
			begun[src] = make(chan struct{})
			all = append(all, wholeSource{src, begun[src]})
		}
	}
	d.aheads.mu.Lock()
	defer d.aheads.mu.Unlock()
	d.aheads.whole = begun
	return all
}

// fetchWhole fetches objects one ahead of those that are read. Each is kept until it is
// read, or ctx ends.
func fetchWhole(ctx context.Context, all []wholeSource) {
	for _, src := range all {
		_, done, err := src.object.Local(ctx)
		if err != nil {
			return // whoever reads it has the same error
		}
		select {
		case <-src.begun:
		case <-ctx.Done():
		}
		if done() != nil || ctx.Err() != nil {
			return
		}
	}
}

// read notes that a span was read, and says whether it was the last that was expected.
func (a *aheads) read(ref SpanRef) (last bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left[ref] == 0 {
		return false
	}
	if a.left[ref]--; a.left[ref] == 0 {
		delete(a.left, ref)
	}
	return len(a.left) == 0
}

// checkEarly asks stores whether objects changed as soon as all rows are read, while the
// last of them are scored: the answers take a way to the store and back.
func (d *Dataset) checkEarly() {
	for _, src := range d.unique {
		if src.object == nil {
			return // files are asked in the end, which costs nothing
		}
	}
	checked := make(chan error, 1) // the one result
	d.aheads.mu.Lock()
	d.aheads.checked = checked
	d.aheads.mu.Unlock()
	d.checks.Go(func() { checked <- d.changedNow() })
}

// check takes the result of checkEarly, where nothing was read since.
func (a *aheads) check() <-chan error {
	a.mu.Lock()
	defer a.mu.Unlock()
	checked := a.checked
	a.checked = nil
	return checked
}
