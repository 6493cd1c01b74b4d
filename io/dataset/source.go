package dataset

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/lines"
)

// source is one distinct file: what Open learned about it, and a reader while
// one is needed. The fields up to mu do not change after Open.
type source struct {
	path   string      // or the URI, of an object
	seen   os.FileInfo // identity; nil for an object
	object Object      // of a Store; nil for a file
	first  bool        // its rows are read first

	info  FileInfo
	lines bool // it is a file of lines
	shape *shape
	spans []format.Span
	nulls []int64 // by column; -1 where the file does not say
	sizes []int64 // of values, by column; nil where the file does not say
	whole []bool  // large spans are read whole because of a column; nil where none are
	// partition has one row for each partition column; files share equal ones.
	partition []arrow.Array

	statistics map[string][]format.Statistics // by column and span; of those asked for

	mu struct {
		sync.Mutex

		reader  format.Reader // nil while closed
		uses    int           // reads in progress
		changed error         // kept when a reader that noticed is closed
	}
}

// unchanged compares the path's present file with the one first seen.
func (s *source) unchanged() error {
	if s.object != nil {
		return asInput(s.object.Changed())
	}
	now, err := os.Stat(s.path)
	switch {
	case err != nil:
		return asInput(fmt.Errorf("input %q: %w: %w", s.path, format.ErrChanged, err))
	case !os.SameFile(now, s.seen):
		return asInput(fmt.Errorf("input %q: %w: it was replaced", s.path, format.ErrChanged))
	case now.Size() != s.seen.Size():
		return asInput(fmt.Errorf("input %q: %w: it had %d bytes and has %d",
			s.path, format.ErrChanged, s.seen.Size(), now.Size()))
	case !now.ModTime().Equal(s.seen.ModTime()):
		return asInput(fmt.Errorf("input %q: %w: it was written at %s",
			s.path, format.ErrChanged, now.ModTime().UTC().Format("2006-01-02T15:04:05.000Z")))
	}
	return nil
}

// changed asks the file system, the open reader and those closed before.
func (s *source) changed() error {
	if err := s.noticed(); err != nil {
		return err
	}
	return s.unchanged()
}

// noticed asks the open reader and those closed before.
func (s *source) noticed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.changed != nil || s.mu.reader == nil {
		return s.mu.changed
	}
	return asInput(s.mu.reader.Changed())
}

// closeLocked closes the reader and keeps what it knows about changes: a fault
// of its mapping may have been noticed by nobody else.
func (s *source) closeLocked() error {
	if s.mu.reader == nil {
		return nil
	}
	s.mu.changed = errors.Join(s.mu.changed, asInput(s.mu.reader.Changed()))
	err := s.mu.reader.Close()
	s.mu.reader = nil
	if err != nil {
		return asInput(fmt.Errorf("close %q: %w", s.path, err))
	}
	return nil
}

// shut is closeLocked when nobody reads any more, for good.
func (s *source) shut() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.closeLocked()
	if s.object != nil {
		err = errors.Join(err, asInput(s.object.Close()))
	}
	return err
}

// pool opens readers on demand and keeps a few that are idle.
type pool struct {
	opts  Options
	lines *lines.Set

	// mu is taken after a source's lock, never before it.
	mu struct {
		sync.Mutex

		idle []*source // least recently used first
	}

	// shapes are some that files were found to have: of 100,000 files with a schema of
	// their own each, schemas are most of what is kept.
	shapes struct {
		sync.Mutex

		known []*shape
	}
}

func newPool(opts Options) *pool { return &pool{opts: opts} }

// load reads the metadata of a source for the first time.
func (p *pool) load(ctx context.Context, src *source) error {
	if err := p.look(ctx, src); err != nil {
		return err
	}
	src.lines = p.lines.Has(src.info.Format)
	reader, err := p.acquire(ctx, src)
	if err != nil {
		return err
	}
	if err = src.describe(reader, p.shapeOf(src, reader.Schema())); err == nil {
		src.keepStatistics(reader, p.opts.Statistics)
	}
	return errors.Join(err, p.release(src))
}

// shapeOf is a shape that other files have too, where one has an equal schema. The first file
// keeps its own: the dataset has its metadata, which equal schemas may differ in.
func (p *pool) shapeOf(src *source, schema *arrow.Schema) (s *shape) {
	if src.first {
		return newShape(schema)
	}
	p.shapes.Lock()
	defer p.shapes.Unlock()
	s, p.shapes.known = intern(p.shapes.known, schema)
	return s
}

// look finds out what is at a source's path, without its metadata.
func (p *pool) look(ctx context.Context, src *source) error {
	if store := p.opts.Stores[Scheme(src.path)]; store != nil {
		return p.loadStored(ctx, src, store)
	}
	if err := regular(src.path); err != nil {
		return err
	}
	name, err := detect(src.path, src.path, p.opts.Format)
	if err != nil {
		return err
	}
	if src.seen, err = os.Stat(src.path); err != nil {
		return statError(src.path, err)
	}
	src.info = FileInfo{Path: src.path, Format: name, Size: src.seen.Size(), ModTime: src.seen.ModTime()}
	return nil
}

// describe copies the metadata out of a reader and checks its arithmetic.
func (s *source) describe(reader format.Reader, shape *shape) error {
	s.info.Format = reader.Format()
	s.shape = shape
	s.spans = slices.Clone(reader.Spans())
	s.info.Spans = len(s.spans)
	for i, span := range s.spans {
		if span.Rows < 0 || span.Rows > math.MaxInt64-s.info.Rows ||
			span.Bytes < 0 || span.Bytes > math.MaxInt64-s.info.Bytes {
			return asInput(fmt.Errorf("input %q: span %d: %w: it announces %d rows in %d bytes",
				s.path, i, format.ErrDamaged, span.Rows, span.Bytes))
		}
		s.info.Rows += span.Rows
		s.info.Bytes += span.Bytes
	}
	s.nulls = make([]int64, s.shape.schema.NumFields())
	for i := range s.nulls {
		s.nulls[i] = -1
		if n, ok := reader.NullCount(i); ok && n >= 0 && n <= s.info.Rows {
			s.nulls[i] = n
		}
	}
	s.keepSizes(reader)
	return nil
}

// acquire returns the source's open reader, for use until release.
func (p *pool) acquire(ctx context.Context, src *source) (format.Reader, error) {
	src.mu.Lock()
	defer src.mu.Unlock()
	if src.mu.changed != nil {
		return nil, src.mu.changed
	}
	if src.mu.reader == nil {
		reader, err := p.open(ctx, src)
		if err != nil {
			return nil, err
		}
		src.mu.reader = reader
	}
	src.mu.uses++
	if src.mu.uses == 1 {
		p.busy(src)
	}
	return src.mu.reader, nil
}

// open opens a reader and makes sure that it reads the file first seen: the
// reader's file is what stands at the path (Changed), and that is the first. An
// object gives the bytes that it had when it was opened, or an error.
func (p *pool) open(ctx context.Context, src *source) (format.Reader, error) {
	opener := p.opener(ctx, src.info.Format)
	if opener == nil {
		return nil, fmt.Errorf("input %q: %w: no reader for format %s", src.path, ErrUnknownFormat, src.info.Format)
	}
	if object := src.ranged(); object != nil {
		reader, err := p.openRanged(ctx, src, object)
		if err != nil {
			return nil, asInput(err)
		}
		return reader, nil
	}
	if src.object != nil {
		reader, err := src.openStored(ctx, opener, p.opts.Read)
		if err != nil {
			return nil, asInput(err)
		}
		return reader, nil
	}
	reader, err := opener(src.path, p.opts.Read)
	if err != nil {
		// A file that changed meanwhile looks damaged; say what it is.
		return nil, errors.Join(asInput(err), src.unchanged())
	}
	if err = asInput(reader.Changed()); err == nil {
		err = src.unchanged()
	}
	if err != nil {
		return nil, errors.Join(err, reader.Close())
	}
	return reader, nil
}

// reopenWith has every reader that is opened from now on read with these
// options, and closes those that are open; nobody may be reading.
func (p *pool) reopenWith(read format.ReadOptions) error {
	p.opts.Read = read
	p.mu.Lock()
	idle := p.mu.idle
	p.mu.idle = nil
	p.mu.Unlock()
	errs := make([]error, 0, len(idle))
	for _, src := range idle {
		errs = append(errs, src.closeIdle())
	}
	return errors.Join(errs...)
}

// release ends one use and closes the readers idle for longest.
func (p *pool) release(src *source) error {
	src.mu.Lock()
	src.mu.uses--
	var evicted []*source
	if src.mu.uses == 0 {
		evicted = p.rest(src)
	}
	src.mu.Unlock()
	errs := make([]error, 0, len(evicted))
	for _, e := range evicted {
		errs = append(errs, e.closeIdle())
	}
	return errors.Join(errs...)
}

// closeIdle closes an evicted reader, unless it came into use since; then its
// release puts it among the idle again.
func (s *source) closeIdle() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.uses > 0 {
		return nil
	}
	return s.closeLocked()
}

// rest adds a source to the idle ones and takes out those past the limit.
func (p *pool) rest(src *source) (evicted []*source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.idle = append(p.mu.idle, src)
	if n := len(p.mu.idle) - p.opts.IdleFiles; n > 0 {
		evicted = slices.Clone(p.mu.idle[:n])
		p.mu.idle = slices.Delete(p.mu.idle, 0, n)
	}
	return evicted
}

// busy takes a source out of the idle ones.
func (p *pool) busy(src *source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.mu.idle, src); i >= 0 {
		p.mu.idle = slices.Delete(p.mu.idle, i, i+1)
	}
}
