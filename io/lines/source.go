package lines

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/millrace/millrace/io/format"
)

// OpenSource is Open of bytes that lie elsewhere, such as in an object store: they are read
// by ranges, once to find the rows and then as the rows are asked for, and what comes next
// is fetched meanwhile. So it takes no place on this machine, however large it is; only
// compressed text is kept, decompressed. Errors name it by read.Name. src is borrowed until
// the Set is closed; what becomes of it meanwhile is the caller's to know, so that Changed
// says nothing.
func (s *Set) OpenSource(ctx context.Context, src format.AheadSource, name format.Name, read format.ReadOptions) (format.Reader, error) {
	read.EnsureDefaults()
	t, err := s.once(read.Name, name, func(syntax Syntax) (*table, error) {
		return s.loadSource(ctx, src, read.Name, syntax)
	})
	if err != nil {
		return nil, err
	}
	if err := t.text.open(read.Name); err != nil {
		return nil, err
	}
	return newReader(t, read), nil
}

// loadSource is load of a source.
func (s *Set) loadSource(ctx context.Context, src format.AheadSource, name string, syntax Syntax) (*table, error) {
	text := &textFile{path: name, standIn: true, size: src.Size()}
	head := make([]byte, min(codecBytes, text.size))
	if err := readSource(ctx, src, head, 0); err != nil {
		return nil, err
	}
	if err := text.tell(head); err != nil {
		return nil, err
	}
	e, err := encodingOf(s.opts.Encoding)
	if err != nil {
		return nil, fmt.Errorf("%w: --encoding %w", ErrOptions, err)
	}
	if text.codec != plain || e != nil {
		defer fetchAhead(ctx, src, []format.Range{{Length: text.size}})()
		if err := text.keep(&sourceStream{ctx: ctx, source: src}, e, &s.scratch, s.stop); err != nil {
			return nil, err
		}
		return s.learn(ctx, text, syntax)
	}
	text.source = src
	defer text.ahead(ctx, firstPass(text.size, s.opts.pieceBytes()))()
	return s.learn(ctx, text, syntax)
}

// firstPass are the ranges that are read of a text to find its rows: its head, and pieces
// with the byte before each, which is read again.
func firstPass(size, piece int64) []format.Range {
	ranges := []format.Range{{Length: min(size, headBytes)}}
	for at := int64(0); at < size; at += piece {
		from := max(at-1, 0)
		ranges = append(ranges, format.Range{Offset: from, Length: min(at+piece, size) - from})
	}
	return ranges
}

// ahead has ranges of the text fetched that are about to be read, in this order, until
// stop; a text that is on this machine has nothing to fetch.
func (f *textFile) ahead(ctx context.Context, ranges []format.Range) (stop func()) {
	if f.source == nil {
		return func() {}
	}
	return fetchAhead(ctx, f.source, ranges)
}

func fetchAhead(ctx context.Context, src format.AheadSource, ranges []format.Range) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = src.Ahead(ctx, ranges) }) // whoever reads has its error
	return func() {
		cancel()
		running.Wait()
		src.Done(ranges)
	}
}

// readSource fills p.
func readSource(ctx context.Context, src format.Source, p []byte, off int64) error {
	n, err := src.ReadAt(ctx, p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}

// sourceStream reads a source from its beginning to its end.
type sourceStream struct {
	ctx    context.Context //nolint:containedctx // io.Reader has no other place for it
	source format.Source
	at     int64
}

// Read implements io.Reader.
func (s *sourceStream) Read(p []byte) (n int, err error) {
	if s.at == s.source.Size() {
		return 0, io.EOF
	}
	n, err = s.source.ReadAt(s.ctx, p, s.at)
	s.at += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil // the next Read says so
	}
	return n, err
}

// Ranges implements format.RangeReader: fields lie side by side, so all columns are read.
func (r *reader) Ranges(span int, _ []int) []format.Range {
	if r.table.text.source == nil || span < 0 || span >= len(r.table.index.spans) {
		return nil
	}
	s := r.table.index.spans[span]
	return []format.Range{{Offset: s.from, Length: s.to - s.from}}
}
