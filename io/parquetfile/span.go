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
)

// readAheadBytes is read from the file at a time, per column, and
// minReadAheadBytes where so many columns are read that this would take more
// than an eighth of the budget.
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
//	for each chunk of rows:
//		for each column: fill its leaves, assemble its array
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
	leaves [][]*leaf // per node
	asm    []assembler
}

// ReadSpan implements format.Reader. The error names the file, the row group
// and the column.
func (r *Reader) ReadSpan(ctx context.Context, span int, columns []int, yield func(arrow.RecordBatch) error) error {
	if span < 0 || span >= len(r.spans) {
		return fmt.Errorf("%s: no row group %d, the file has %d", r.name, span, len(r.spans))
	}
	s := &spanReader{
		r: r, span: span, source: source{r: readerAt{ctx, r.src}},
		mem: newBudget(r.mem, r.opts.BudgetBytes),
	}
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		if c < 0 || c >= len(r.fields) {
			return fmt.Errorf("%s: no column %d, the file has %d", r.name, c, len(r.fields))
		}
		fields[i] = r.schema.Field(c)
		s.nodes, s.names = append(s.nodes, r.fields[c]), append(s.names, fields[i].Name)
	}
	s.schema = arrow.NewSchema(fields, nil)
	// Whatever ends this call, decoders that panicked included, nothing stays
	// allocated but what the caller retained.
	defer s.mem.freeRest()
	if err := s.open(); err != nil {
		return s.failed(err)
	}
	defer s.close()
	return s.read(ctx, yield)
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
		n := min(int64(s.r.opts.ChunkRows), total-done)
		if err := s.chunk(ctx, int(n), yield); err != nil {
			if caller, ok := errors.AsType[*callerError](err); ok {
				return caller.err
			}
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

// failed says where an error happened, and that the file changed if it did.
func (s *spanReader) failed(err error) error {
	if changed := s.r.Changed(); changed != nil {
		return fmt.Errorf("row group %d: %w (%w)", s.span, changed, err)
	}
	if read := s.source.err.Load(); read != nil && !errors.Is(*read, io.EOF) {
		return fmt.Errorf("read %s: row group %d: %w", s.r.name, s.span, *read)
	}
	return fmt.Errorf("read %s: row group %d: %w", s.r.name, s.span, err)
}

// open makes the decoders of the columns that were asked for.
func (s *spanReader) open() (err error) {
	defer recoverTo(&err)
	ahead := min(max(s.r.opts.BudgetBytes/8/max(int64(s.leafCount()), 1), minReadAheadBytes), readAheadBytes)
	for _, n := range s.nodes {
		asm := assembler{leaves: make(map[int]*leaf), mem: s.mem}
		var leaves []*leaf
		if err := n.eachLeaf(func(i int) error {
			l, err := s.openLeaf(n, i, int(ahead))
			if err != nil {
				return fmt.Errorf("column %q: %w", s.r.md.Schema.Column(i).Path(), err)
			}
			asm.leaves[i] = l
			leaves = append(leaves, l)
			return nil
		}); err != nil {
			return err
		}
		s.leaves, s.asm = append(s.leaves, leaves), append(s.asm, asm)
	}
	return nil
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
	c := chunkOf(s.r.md, s.span, i)
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
		src: &s.source, at: c.start, end: s.chunkEnd(c), ahead: ahead, mem: s.mem, codec: c.codec,
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

// columns reads n rows of every column, in this goroutine and as many more as
// there are decoders idle. The error is that of the first column that failed.
func (s *spanReader) columns(ctx context.Context, n int, out []arrow.Array) error {
	errs := make([]error, len(out))
	var next atomic.Int64
	var failed atomic.Bool
	decode := func() {
		for i := int(next.Add(1)) - 1; i < len(out) && !failed.Load(); i = int(next.Add(1)) - 1 {
			if err := ctx.Err(); err != nil {
				errs[i] = &callerError{err}
			} else if out[i], err = s.column(i, n); err != nil {
				errs[i] = fmt.Errorf("column %q: %w", s.names[i], err)
			}
			failed.CompareAndSwap(false, errs[i] != nil)
		}
	}
	var helpers sync.WaitGroup
	for range len(out) - 1 {
		if !s.r.decoding() {
			break
		}
		helpers.Go(func() {
			defer s.r.decoded()
			decode()
		})
	}
	decode()
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

// column reads the next n rows of a column.
func (s *spanReader) column(i, n int) (out arrow.Array, err error) {
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

// close lets go of the decoders.
func (s *spanReader) close() {
	for _, leaves := range s.leaves {
		for _, l := range leaves {
			l.close()
		}
	}
}
