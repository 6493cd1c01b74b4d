package dataset

import (
	"context"
	"errors"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/parquetfile"
)

// Ranged is an Object whose bytes can be read where they are asked for. Formats that say
// what they read before they do are read so, and others from its local file.
type Ranged interface {
	Object
	format.Source

	// Ahead fetches ranges before they are read, in the order of calls. It returns when
	// all of them are on their way: it waits while as much as the store may hold has been
	// fetched and not read. Errors of fetching are those of whoever reads.
	Ahead(ctx context.Context, ranges []format.Range) error
	// Done says that nobody reads the ranges any more.
	Done(ranges []format.Range)
}

// Verified is an Object that can tell later whether its bytes came as the store has them.
type Verified interface {
	// Verify returns an error that wraps format.ErrDamaged where they did not, as far as
	// that can be known. It may fetch all of them.
	Verify(ctx context.Context) error
}

// Verify asks all objects whether what was read of them is what their stores have.
func (d *Dataset) Verify(ctx context.Context) error {
	d.life.RLock()
	defer d.life.RUnlock()
	if d.closed {
		return ErrClosed
	}
	errs := make([]error, len(d.unique))
	var group errgroup.Group
	group.SetLimit(parallelVerified)
	for i, src := range d.unique {
		if v, ok := src.object.(Verified); ok {
			group.Go(func() error {
				errs[i] = asInput(v.Verify(ctx))
				return nil
			})
		}
	}
	_ = group.Wait() // the goroutines report through errs
	return joinListed(errs)
}

// parallelVerified bounds the objects that are verified at a time.
const parallelVerified = 4

// openSource opens a reader of a source.
type openSource func(ctx context.Context, src format.Source, opts format.ReadOptions) (format.Reader, error)

// sources lists the formats that are read by ranges.
func sources() map[format.Name]openSource {
	return map[format.Name]openSource{format.Parquet: parquetfile.OpenSource}
}

// ranged is the source's object where it is read by ranges; else nil.
func (s *source) ranged() (Ranged, openSource) {
	r, ok := s.object.(Ranged)
	if open := sources()[s.info.Format]; ok && open != nil {
		return r, open
	}
	return nil, nil
}

// detectRanged finds a format from the last bytes, which are read for the footer anyway,
// or the first ones.
func detectRanged(ctx context.Context, r Ranged) (format.Name, error) {
	var tail [6]byte
	if size := r.Size(); size >= int64(len(tail)) {
		n, err := r.ReadAt(ctx, tail[:], size-int64(len(tail)))
		if err != nil && !errors.Is(err, io.EOF) {
			return "", asInput(err)
		}
		switch text := string(tail[:n]); {
		case text == "ARROW1":
			return format.ArrowFile, nil
		case len(text) == 6 && (text[2:] == "PAR1" || text[2:] == "PARE"):
			return format.Parquet, nil
		}
	}
	return "", nil // the whole of it says
}

// aheads are the spans that are fetched ahead.
type aheads struct {
	mu sync.Mutex

	taken map[SpanRef]bool // by whoever fetches ahead, or reads
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

// ReadAhead has the spans fetched, of these columns and in this order, before they are
// read: of objects of stores that can. It returns at once; stop, which must be called
// before Close, ends it. Nothing is read that ReadSpan would not, and nothing depends on it.
func (d *Dataset) ReadAhead(ctx context.Context, refs []SpanRef, columns []string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		for _, ref := range refs {
			if d.fetchAhead(ctx, ref, columns) != nil {
				return // whoever reads the span has the same error
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

func (d *Dataset) fetchAhead(ctx context.Context, ref SpanRef, columns []string) error {
	src := d.files[ref.File]
	object, _ := src.ranged()
	if object == nil || !d.aheads.take(ref) {
		return nil
	}
	ranges, err := d.rangesOf(ctx, ref, columns)
	if err != nil {
		d.aheads.give(ref)
		return err
	}
	return object.Ahead(ctx, ranges)
}

// rangesOf are the bytes that a span's columns take.
func (d *Dataset) rangesOf(ctx context.Context, ref SpanRef, columns []string) ([]format.Range, error) {
	d.life.RLock()
	defer d.life.RUnlock()
	if d.closed {
		return nil, ErrClosed
	}
	src := d.files[ref.File]
	schema, err := d.shape.subset(columns)
	if err != nil {
		return nil, err
	}
	stored, _ := d.splitColumns(src, columns, schema)
	indexes, err := src.shape.project(stored)
	if err != nil {
		return nil, err
	}
	reader, err := d.pool.acquire(ctx, src)
	if err != nil {
		return nil, err
	}
	var ranges []format.Range
	if r, ok := reader.(format.RangeReader); ok {
		ranges = r.Ranges(ref.Span, indexes)
	}
	return ranges, d.pool.release(src)
}

// fetching has a span that is about to be read fetched, unless that was begun; done says
// that it was read.
func (d *Dataset) fetching(ctx context.Context, reader format.Reader, ref SpanRef, indexes []int) (done func()) {
	object, _ := d.files[ref.File].ranged()
	r, ok := reader.(format.RangeReader)
	if object == nil || !ok {
		return func() {}
	}
	ranges := r.Ranges(ref.Span, indexes)
	stop := func() {}
	if d.aheads.take(ref) {
		ctx, cancel := context.WithCancel(ctx)
		var running sync.WaitGroup
		running.Go(func() { _ = object.Ahead(ctx, ranges) }) // the reader has its error
		stop = func() {
			cancel()
			running.Wait()
		}
	}
	return func() {
		stop()
		object.Done(ranges)
		d.aheads.give(ref)
	}
}

// openRanged opens a reader of an object's ranges.
func (s *source) openRanged(ctx context.Context, object Ranged, open openSource, opts format.ReadOptions) (format.Reader, error) {
	opts.Name = s.path
	return open(ctx, object, opts)
}
