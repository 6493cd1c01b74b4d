package parquetfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/millrace/millrace/internal/recycle"
	"github.com/millrace/millrace/io/format"
)

// OpenSource is Open of bytes that lie elsewhere. Errors name it by opts.Name. The reader
// borrows src until it is closed; what becomes of it meanwhile is the caller's to know,
// so that Changed says nothing.
func OpenSource(ctx context.Context, src format.Source, opts format.ReadOptions) (format.Reader, error) {
	opts.EnsureDefaults()
	r := &Reader{name: opts.Name, opts: opts, src: src, size: src.Size()}
	if err := guardedOpen(ctx, r); err != nil {
		return nil, fmt.Errorf("open %s: %w", r.name, err)
	}
	r.mem = recycle.OfReaders(opts.Allocator, opts.BudgetBytes/4)
	return r, nil
}

func guardedOpen(ctx context.Context, r *Reader) (err error) {
	defer recoverTo(&err)
	return r.describe(ctx)
}

// Ranges lists the bytes of the file that ReadSpan of these columns reads, in pieces in
// about the order in which it reads them: columns side by side. None overlap, those that
// touch are of different columns.
func (r *Reader) Ranges(span int, columns []int) []format.Range {
	if span < 0 || span >= len(r.spans) {
		return nil
	}
	var chunks []format.Range
	s := &spanReader{r: r, span: span}
	for _, c := range columns {
		if c < 0 || c >= len(r.fields) {
			continue
		}
		_ = r.fields[c].eachLeaf(func(i int) error {
			chunk := r.md.groups[span].chunks[i]
			if end := s.chunkEnd(chunk); end > chunk.start {
				chunks = append(chunks, format.Range{Offset: chunk.start, Length: end - chunk.start})
			}
			return nil
		})
	}
	slices.SortFunc(chunks, func(a, b format.Range) int { return cmp.Compare(a.Offset, b.Offset) })
	return sideBySide(chunks)
}

// pieceBytes is how much of all columns of a span is read before any is read further.
const pieceBytes = 8 << 20

// sideBySide cuts ranges, which are read all at once, into pieces: the first of each, then
// the second of each.
func sideBySide(chunks []format.Range) []format.Range {
	total := int64(0)
	for _, c := range chunks {
		total += c.Length
	}
	rounds := max((total+pieceBytes-1)/pieceBytes, 1)
	pieces := make([]format.Range, 0, rounds*int64(len(chunks)))
	for k := range rounds {
		for _, c := range chunks {
			from, to := c.Length*k/rounds, c.Length*(k+1)/rounds
			if to > from {
				pieces = append(pieces, format.Range{Offset: c.Offset + from, Length: to - from})
			}
		}
	}
	return pieces
}

// fileSource is a file as a source.
type fileSource struct {
	*os.File

	size int64
}

// ReadAt implements format.Source.
func (f fileSource) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return f.File.ReadAt(p, off)
}

// Size implements format.Source.
func (f fileSource) Size() int64 { return f.size }

// readerAt is a source for one call.
type readerAt struct {
	ctx context.Context //nolint:containedctx // an io.ReaderAt has no other way to end
	src format.Source
}

// ReadAt implements io.ReaderAt.
func (r readerAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.src.ReadAt(r.ctx, p, off)
	if err == nil && n < len(p) {
		err = errors.Join(io.ErrUnexpectedEOF, fmt.Errorf("%d bytes of %d", n, len(p)))
	}
	return n, err
}
