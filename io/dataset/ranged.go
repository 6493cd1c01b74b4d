package dataset

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/parquetfile"
)

// Ranged is an Object whose bytes can be read where they are asked for. Formats that say
// what they read before they do are read so, and others from its local file.
type Ranged interface {
	Object
	format.AheadSource
}

// Beginner is a Ranged whose first bytes can be fetched before it is known what will be read:
// as its footer is, which tells that.
type Beginner interface {
	// Begin returns at once, and nothing depends on it.
	Begin()
}

// Streamed is a Ranged that gives all its bytes without a local file, and has those fetched once
// that are read otherwise at the same time.
type Streamed interface {
	// Bytes are all from the first on, until ctx ends.
	Bytes(ctx context.Context) io.ReadCloser
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

// parallelVerified bounds the objects that are verified at a time: each holds a buffer.
const parallelVerified = 16

// ranged is the source's object where it is read by ranges; else nil. Of other formats all
// is read anyway, in an order that only their readers know.
func (s *source) ranged() Ranged {
	if r, ok := s.object.(Ranged); ok && (s.lines || s.info.Format == format.Parquet) {
		return r
	}
	return nil
}

// openRanged opens a reader of an object's ranges.
func (p *pool) openRanged(ctx context.Context, src *source, object Ranged) (format.Reader, error) {
	opts := p.opts.Read
	opts.Name = src.path
	if src.lines {
		return p.lines.OpenSource(ctx, object, src.info.Format, opts)
	}
	return parquetfile.OpenSource(ctx, object, opts)
}

// detectRanged finds an object's format from its last bytes, which are read for a footer
// anyway, or else from its first ones: of what its name or the job says is text from
// these alone.
func detectRanged(ctx context.Context, r Ranged, name string, asked format.Name) (format.Name, error) {
	var tail [6]byte
	if size := r.Size(); asked == "" && linesByName(name) == "" && size >= int64(len(tail)) {
		if _, err := r.ReadAt(ctx, tail[:], size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
			return "", asInput(err)
		}
		switch text := string(tail[:]); {
		case text == "ARROW1":
			return format.ArrowFile, nil
		case text[2:] == "PAR1" || text[2:] == "PARE":
			return format.Parquet, nil
		}
	}
	head := make([]byte, min(HeadBytes, r.Size()))
	if _, err := r.ReadAt(ctx, head, 0); err != nil && !errors.Is(err, io.EOF) {
		return "", asInput(err)
	}
	return detectHead(head, name, asked)
}

// lookedAhead bounds the spans of which it is found out ahead of fetching where their bytes
// lie: of small objects that is as long a way as fetching them.
const lookedAhead = 64

// spanRanges are the bytes of a span, as soon as they are known; closed without where they
// need not be fetched, or cannot.
type spanRanges struct {
	object Ranged
	ranges chan []format.Range
}

// ReadAhead has the spans fetched, of these columns and in this order, before they are
// read: of objects of stores that can. It returns at once; stop, which must be called
// before Close, ends it. Nothing is read that ReadSpan would not, and nothing depends on it.
func (d *Dataset) ReadAhead(ctx context.Context, refs []SpanRef, columns []string) (stop func()) {
	if !slices.ContainsFunc(d.unique, func(src *source) bool { return src.object != nil }) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	d.aheads.expect(refs)
	whole := d.wholes(refs)
	running.Go(func() { fetchWhole(ctx, whole) })
	looked := make(chan spanRanges, lookedAhead) // bounds those that are being looked up
	running.Go(func() {
		defer close(looked)
		for _, ref := range refs {
			object := d.files[ref.File].ranged()
			if object == nil {
				continue
			}
			found := spanRanges{object, make(chan []format.Range, 1)}
			select {
			case looked <- found:
			case <-ctx.Done():
				return
			}
			running.Go(func() { d.lookAhead(ctx, ref, columns, found.ranges) })
		}
	})
	running.Go(func() {
		for found := range looked {
			ranges, ok := <-found.ranges
			if ok && found.object.Ahead(ctx, ranges) != nil {
				cancel() // whoever reads the span has the same error
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// lookAhead finds the bytes of a span, unless somebody reads or fetches it.
func (d *Dataset) lookAhead(ctx context.Context, ref SpanRef, columns []string, to chan<- []format.Range) {
	defer close(to)
	if ctx.Err() != nil || !d.aheads.take(ref) {
		return
	}
	ranges, err := d.rangesOf(ctx, ref, columns)
	if err != nil {
		d.aheads.give(ref)
		return // whoever reads the span has the same error
	}
	to <- ranges
}

// rangesOf are the bytes that a span's columns take.
func (d *Dataset) rangesOf(ctx context.Context, ref SpanRef, columns []string) ([]format.Range, error) {
	d.life.RLock()
	defer d.life.RUnlock()
	if d.closed {
		return nil, ErrClosed
	}
	src := d.files[ref.File]
	if whole := src.atOnce(); whole != nil {
		return whole, nil
	}
	_, indexes, _, err := d.columnsOf(src, columns)
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

// atOnceBytes is how large an object may be that is fetched as one range, its footer along
// with its rows: so that nothing has to be known of it before.
const atOnceBytes = 512 << 10

// atOnce is the one range of a small object; nil of another.
func (s *source) atOnce() []format.Range {
	if r := s.ranged(); r != nil && s.info.Format == format.Parquet && r.Size() <= atOnceBytes {
		return []format.Range{{Length: r.Size()}}
	}
	return nil
}

// fetching has a span that is about to be read fetched, unless that was begun; done says
// that it was read.
func (d *Dataset) fetching(ctx context.Context, reader format.Reader, ref SpanRef, indexes []int) (done func()) {
	object := d.files[ref.File].ranged()
	r, ok := reader.(format.RangeReader)
	if object == nil || !ok {
		return func() {}
	}
	ranges := d.files[ref.File].atOnce()
	if ranges == nil {
		ranges = r.Ranges(ref.Span, indexes)
	}
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
