package parquetfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet/metadata"

	"github.com/millrace/millrace/io/format"
)

// readAheadBytes is read from the file at a time, per column, and
// minReadAheadBytes where so many columns are read that this would take more
// than an eighth of what may be held.
const (
	readAheadBytes    = 256 << 10
	minReadAheadBytes = 16 << 10
)

// maxDictionaryHeaderBytes is what a dictionary page's header is taken to have
// at most. Source: arrow:cpp/src/parquet/file_reader.cc.
const maxDictionaryHeaderBytes = 100

// source counts as the file for one ReadSpan. It remembers the first error of
// a read, which the decoders may swallow or take for the end of a column.
type source struct {
	r   io.ReaderAt
	err atomic.Pointer[error]
}

func (s *source) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.r.ReadAt(p, off)
	if err != nil {
		// Places were checked against the size when the file was opened, so an
		// end of file inside of them is an error too.
		s.err.CompareAndSwap(nil, &err)
	}
	return n, err
}

// spanReader is one ReadSpan under way:
//
//	for each column whose pages are too much with those of the others: lay it aside
//	for each chunk of rows:
//		for each column: fill its leaves, assemble its array, or take it from aside
//		yield the batch
//	for each column: nothing may be left
type spanReader struct {
	r      *Reader
	span   int
	source source
	mem    *budget
	nodes  []*node
	names  []string
	schema *arrow.Schema
	leaves [][]*leaf // per node; none of a column that is not open
	asm    []assembler
	rows   int            // of a chunk
	lean   bool           // columns keep as little as they can between chunks
	aside  *aside         // nil where every column is streamed
	laid   []*asideColumn // per node; nil of one that is streamed
}

// ReadSpan implements format.Reader. The error names the file, the row group
// and the column.
func (r *Reader) ReadSpan(ctx context.Context, span int, columns []int, yield func(arrow.RecordBatch) error) error {
	s, err := r.newSpanReader(ctx, span, columns)
	if err != nil {
		return err
	}
	// Whatever ends this call, decoders that panicked included, nothing stays
	// allocated but what the caller retained.
	defer s.mem.freeRest()
	defer s.close()
	if err := s.open(ctx); err != nil {
		return s.failed(err)
	}
	return s.read(ctx, yield)
}

// newSpanReader prepares a ReadSpan; nothing is read yet.
func (r *Reader) newSpanReader(ctx context.Context, span int, columns []int) (*spanReader, error) {
	if span < 0 || span >= len(r.spans) {
		return nil, fmt.Errorf("%s: no row group %d, the file has %d", r.name, span, len(r.spans))
	}
	s := &spanReader{
		r: r, span: span, source: source{r: readerAt{ctx, r.src}},
		mem: newBudget(r.mem, r.opts.BudgetBytes),
	}
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		if c < 0 || c >= len(r.fields) {
			return nil, fmt.Errorf("%s: no column %d, the file has %d", r.name, c, len(r.fields))
		}
		fields[i] = r.schema.Field(c)
		s.nodes, s.names = append(s.nodes, r.fields[c]), append(s.names, fields[i].Name)
	}
	s.schema = arrow.NewSchema(fields, nil)
	return s, nil
}

var _ format.UpfrontReader = (*Reader)(nil)

// UpfrontRows implements format.UpfrontReader: columns that are laid aside are decoded whole
// before the first row is given.
func (r *Reader) UpfrontRows(ctx context.Context, span int, columns []int) int64 {
	s, err := r.newSpanReader(ctx, span, columns)
	if err != nil {
		return 0 // ReadSpan says it
	}
	defer s.mem.freeRest()
	if len(tooMany(s.demands(s.readAhead()), s.heldBytes())) == 0 {
		return 0
	}
	return r.spans[span].Rows
}

// callerError is an error of yield or of the context: not the file's.
type callerError struct{ err error }

func (e *callerError) Error() string { return e.err.Error() }
func (e *callerError) Unwrap() error { return e.err }

func (s *spanReader) read(ctx context.Context, yield func(arrow.RecordBatch) error) error {
	total := s.r.spans[s.span].Rows
	for done := int64(0); done < total; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(int64(s.rows), total-done)
		if err := s.chunk(ctx, int(n), yield); err != nil {
			return s.failed(err)
		}
		done += n
	}
	for i := range s.nodes {
		if err := s.finish(i); err != nil {
			return s.failed(err)
		}
	}
	return nil
}

// failed says where an error happened, and that the file changed if it did. An error
// that is not the file's stays as it is.
func (s *spanReader) failed(err error) error {
	if caller, ok := errors.AsType[*callerError](err); ok {
		return caller.err
	}
	if changed := s.r.Changed(); changed != nil {
		return fmt.Errorf("row group %d: %w (%w)", s.span, changed, err)
	}
	if read := s.source.err.Load(); read != nil && !errors.Is(*read, io.EOF) {
		return fmt.Errorf("read %s: row group %d: %w", s.r.name, s.span, *read)
	}
	return fmt.Errorf("read %s: row group %d: %w", s.r.name, s.span, err)
}

// open makes the decoders of the columns that were asked for, and lays those aside
// that cannot be streamed.
func (s *spanReader) open(ctx context.Context) error {
	s.leaves, s.asm = make([][]*leaf, len(s.nodes)), make([]assembler, len(s.nodes))
	ahead := s.readAhead()
	all := s.demands(ahead)
	if s.lean {
		ahead = peekBytes
	}
	s.rows = s.chunkRows(all)
	if places := tooMany(all, s.heldBytes()); len(places) > 0 {
		if err := s.layAside(ctx, places, all); err != nil {
			return err
		}
	}
	for i := range s.nodes {
		if s.laid == nil || s.laid[i] == nil {
			if err := s.openColumn(i, ahead); err != nil {
				return err
			}
			for _, l := range s.leaves[i] {
				l.pages.lean = s.lean
			}
		}
	}
	return nil
}

// readAhead is how many bytes of each column are read at a time where columns are streamed.
func (s *spanReader) readAhead() int64 {
	return min(max(s.r.opts.HeldBytes/8/max(int64(s.leafCount()), 1), minReadAheadBytes), readAheadBytes)
}

// openColumn makes the decoders of one column.
func (s *spanReader) openColumn(i int, ahead int64) (err error) {
	defer recoverTo(&err)
	s.asm[i] = assembler{leaves: make(map[int]*leaf), mem: s.mem}
	return s.nodes[i].eachLeaf(func(at int) error {
		l, err := s.openLeaf(s.nodes[i], at, int(ahead))
		if err != nil {
			return fmt.Errorf("column %q: %w", s.r.md.Schema.Column(at).Path(), err)
		}
		s.asm[i].leaves[at] = l
		s.leaves[i] = append(s.leaves[i], l)
		return nil
	})
}

func (s *spanReader) leafCount() (count int) {
	for _, n := range s.nodes {
		_ = n.eachLeaf(func(int) error { count++; return nil })
	}
	return count
}

func (n *node) eachLeaf(f func(leaf int) error) error {
	if n.kind == leafNode {
		return f(n.leaf)
	}
	for _, c := range n.children {
		if err := c.eachLeaf(f); err != nil {
			return err
		}
	}
	return nil
}

// openLeaf makes the decoder of leaf i, below n or n itself.
func (s *spanReader) openLeaf(n *node, i, ahead int) (*leaf, error) {
	c := s.r.md.groups[s.span].chunks[i]
	switch {
	case c.encrypted:
		return nil, unsupported("encrypted column")
	case c.external:
		return nil, unsupported("column kept in another file")
	case !decompresses(c.codec):
		return nil, unsupported("codec %s", c.codec)
	}
	descr := s.r.md.Schema.Column(i)
	vals, err := newValues(descr.PhysicalType(), descr.TypeLength(), s.mem)
	if err != nil {
		return nil, err
	}
	l := &leaf{
		path: descr.Path(), physical: descr.PhysicalType(),
		maxDef: descr.MaxDefinitionLevel(), maxRep: descr.MaxRepetitionLevel(),
		flat: n.kind == leafNode && descr.MaxRepetitionLevel() == 0 && descr.MaxDefinitionLevel() <= 1,
		vals: vals, mem: s.mem, left: c.values, valid: validity{mem: s.mem},
	}
	l.pages = pages{
		src: &s.source, at: c.start, end: s.chunkEnd(c), ahead: ahead, longBytes: s.r.opts.LongPageBytes, mem: s.mem, codec: c.codec,
		oldArrow: strings.HasPrefix(s.r.md.GetCreatedBy(), "parquet-cpp version "),
		defs:     levelBits(l.maxDef), reps: levelBits(l.maxRep),
	}
	return l, nil
}

// chunkEnd is the end of a column chunk's pages. parquet-mr before 1.2.9 left the
// dictionary page's header out of the sizes that it wrote (PARQUET-816).
func (s *spanReader) chunkEnd(c chunk) int64 {
	end := c.start + c.bytes
	if s.r.md.WriterVersion().LessThan(metadata.Parquet816FixedVersion) {
		end = min(end+maxDictionaryHeaderBytes, s.r.size)
	}
	return end
}

// chunk reads n rows of every column and yields them.
func (s *spanReader) chunk(ctx context.Context, n int, yield func(arrow.RecordBatch) error) error {
	columns := make([]arrow.Array, len(s.nodes))
	defer func() {
		for _, c := range columns {
			if c != nil {
				c.Release()
			}
		}
	}()
	if err := s.columns(ctx, n, columns); err != nil {
		return err
	}
	batch := array.NewRecordBatch(s.schema, columns, int64(n))
	defer batch.Release()
	if err := yield(batch); err != nil {
		return &callerError{err}
	}
	return nil
}

// columns reads n rows of every column. The error is that of the first column that
// failed.
func (s *spanReader) columns(ctx context.Context, n int, out []arrow.Array) error {
	places := make([]int, len(out))
	for i := range places {
		places[i] = i
	}
	return s.each(ctx, places, func(i int) (err error) {
		out[i], err = s.column(i, n)
		return s.ofColumn(i, err)
	})
}

// ofColumn puts a column's name on an error, if there is one.
func (s *spanReader) ofColumn(i int, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("column %q: %w", s.names[i], err)
}

// each calls step for the columns at these places, in this goroutine and as many more
// as there are decoders idle. The error is that of the first column that failed.
func (s *spanReader) each(ctx context.Context, places []int, step func(i int) error) error {
	errs := make([]error, len(places))
	var next atomic.Int64
	var failed atomic.Bool
	work := func() {
		for k := int(next.Add(1)) - 1; k < len(places) && !failed.Load(); k = int(next.Add(1)) - 1 {
			if err := ctx.Err(); err != nil {
				errs[k] = &callerError{err}
			} else {
				errs[k] = step(places[k])
			}
			failed.CompareAndSwap(false, errs[k] != nil)
		}
	}
	var helpers sync.WaitGroup
	for range len(places) - 1 {
		if !s.r.decoding() {
			break
		}
		helpers.Go(func() {
			defer s.r.decoded()
			work()
		})
	}
	work()
	helpers.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// decoding takes a token for one more goroutine that decodes, if there is one;
// decoded gives it back.
func (r *Reader) decoding() bool {
	select {
	case r.opts.Decoders <- struct{}{}: // blocks where it is nil
		return true
	default:
		return false
	}
}

func (r *Reader) decoded() { <-r.opts.Decoders }

// column gives the next n rows of a column.
func (s *spanReader) column(i, n int) (arrow.Array, error) {
	if s.laid != nil && s.laid[i] != nil {
		return s.laid[i].next(s.aside)
	}
	return s.decode(i, n)
}

// decode reads the next n rows of a column's pages.
func (s *spanReader) decode(i, n int) (out arrow.Array, err error) {
	defer recoverTo(&err)
	for _, l := range s.leaves[i] {
		if err := l.fill(n); err != nil {
			return nil, err
		}
	}
	data, err := s.asm[i].build(s.nodes[i])
	if err != nil {
		return nil, err
	}
	defer data.Release()
	if data.Len() != n {
		return nil, damaged("%d rows decoded of %d", data.Len(), n)
	}
	for _, l := range s.leaves[i] {
		l.drop()
		if err := l.pages.giveBack(); err != nil {
			return nil, err
		}
	}
	s.mem.give(data)
	return array.MakeFromData(data), nil
}

// finish checks that a column has no more rows than its row group.
func (s *spanReader) finish(i int) error {
	for _, l := range s.leaves[i] {
		if err := l.finish(); err != nil {
			return fmt.Errorf("column %q: %w", l.path, err)
		}
	}
	return nil
}

// close lets go of the decoders, and of what was laid aside.
func (s *spanReader) close() {
	for i := range s.leaves {
		s.closeColumn(i)
	}
	if s.aside != nil {
		s.aside.close()
	}
}

// closeColumn lets go of a column's decoders.
func (s *spanReader) closeColumn(i int) {
	for _, l := range s.leaves[i] {
		l.close()
	}
	s.leaves[i] = nil
}
