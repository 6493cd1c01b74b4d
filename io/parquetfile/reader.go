package parquetfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/internal/recycle"
	"github.com/millrace/millrace/io/format"
)

// Reader is an open Parquet file. It implements format.Reader.
type Reader struct {
	path string
	name string // of the file in errors
	opts format.ReadOptions
	src  format.Source
	size int64
	file *os.File    // nil of OpenSource
	stat fs.FileInfo // when opened

	md     *footer
	schema *arrow.Schema
	fields []*node // one per top-level column
	spans  []format.Span
	mem    *recycle.Buffers

	closing sync.Once
}

var _ format.Reader = (*Reader)(nil)

// Open opens a Parquet file and checks its footer. The error names path and
// wraps format.ErrDamaged, format.ErrUnsupported or format.ErrBudget where it
// is about the file's content.
func Open(path string, opts format.ReadOptions) (format.Reader, error) {
	opts.EnsureDefaults()
	f, err := os.Open(path)
	if err != nil {
		return nil, err // names path
	}
	r := &Reader{path: path, name: cmp.Or(opts.Name, path), opts: opts, file: f}
	if err := r.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", r.name, err), f.Close())
	}
	r.mem = recycle.OfReaders(opts.Allocator, opts.BudgetBytes/4)
	return r, nil
}

func (r *Reader) open() (err error) {
	defer recoverTo(&err)
	if r.stat, err = r.file.Stat(); err != nil {
		return err
	}
	if !r.stat.Mode().IsRegular() {
		return unsupported("not a regular file: %s", r.stat.Mode())
	}
	r.size = r.stat.Size()
	r.src = fileSource{r.file, r.size}
	return r.describe(context.Background())
}

// describe reads the footer.
func (r *Reader) describe(ctx context.Context) (err error) {
	if r.md, err = readFooter(readerAt{ctx, r.src}, r.size, r.opts.BudgetBytes); err != nil {
		return err
	}
	if r.schema, r.fields, err = schemaOf(r.md.FileMetaData); err != nil {
		return err
	}
	r.spans = make([]format.Span, len(r.md.groups))
	for g, rg := range r.md.groups {
		r.spans[g].Rows = rg.rows
		for i := range rg.chunks {
			r.spans[g].Bytes += max(rg.chunks[i].bytes, 0)
		}
	}
	return nil
}

// Format implements format.Reader.
func (r *Reader) Format() format.Name { return format.Parquet }

// Schema implements format.Reader. Columns that were dictionaries when they
// were written are given as plain values.
func (r *Reader) Schema() *arrow.Schema { return r.schema }

// Spans implements format.Reader; span i is row group i.
func (r *Reader) Spans() []format.Span { return slices.Clone(r.spans) }

// NullCount implements format.Reader. It is known for columns that are not
// nested and whose row groups all have statistics.
func (r *Reader) NullCount(column int) (nulls int64, ok bool) {
	if column < 0 || column >= len(r.fields) || r.fields[column].kind != leafNode {
		return 0, false
	}
	leaf := r.fields[column].leaf
	if r.md.Schema.Column(leaf).MaxDefinitionLevel() == 0 {
		return 0, true
	}
	for _, rg := range r.md.groups {
		n := rg.chunks[leaf].nulls
		if n < 0 || n > rg.rows {
			return 0, false
		}
		nulls += n
	}
	return nulls, true
}

// Changed implements format.Reader.
func (r *Reader) Changed() error {
	if r.file == nil {
		return nil
	}
	now, err := os.Stat(r.path)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", r.name, format.ErrChanged, err)
	}
	switch {
	case !os.SameFile(now, r.stat):
		return fmt.Errorf("%s: %w: replaced by another file", r.name, format.ErrChanged)
	case now.Size() != r.stat.Size():
		return fmt.Errorf("%s: %w: %d bytes, had %d", r.name, format.ErrChanged, now.Size(), r.stat.Size())
	case !now.ModTime().Equal(r.stat.ModTime()):
		return fmt.Errorf("%s: %w: modified %s, was %s", r.name, format.ErrChanged, now.ModTime(), r.stat.ModTime())
	}
	return nil
}

// Close implements format.Reader. It is idempotent.
func (r *Reader) Close() (err error) {
	r.closing.Do(func() {
		r.mem.Leave()
		if r.file != nil {
			err = r.file.Close()
		}
	})
	return err
}
