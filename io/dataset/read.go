package dataset

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/io/format"
)

// spanRead stands between a reader and the caller's yield for one span: it
// gives batches the dataset's schema, counts their rows, and tells the
// caller's errors from the reader's.
type spanRead struct {
	schema *arrow.Schema
	fill   *filler // of columns that the file does not have; nil where it has all
	want   int64
	yield  func(arrow.RecordBatch) error

	got      int64
	yieldErr error
	badBatch error
}

func (r *spanRead) batch(b arrow.RecordBatch) error {
	r.got += b.NumRows()
	if r.got > r.want {
		r.badBatch = fmt.Errorf("%w: more than the %d rows it announced", format.ErrDamaged, r.want)
		return r.badBatch
	}
	columns := b.Columns()
	if r.fill != nil {
		columns = r.fill.columns(b)
		defer r.fill.rest()
	}
	columns, widened := r.widen(columns)
	defer func() {
		for _, c := range widened {
			c.Release()
		}
	}()
	if r.badBatch = r.fits(columns, b.NumRows()); r.badBatch != nil {
		return r.badBatch
	}
	if b.Schema() == r.schema {
		r.yieldErr = r.yield(b)
		return r.yieldErr
	}
	// The file's own fields may differ from the first file's in nullability
	// and metadata; the columns themselves are shared, not copied.
	out := array.NewRecordBatch(r.schema, columns, b.NumRows())
	defer out.Release()
	r.yieldErr = r.yield(out)
	return r.yieldErr
}

// fits says why columns cannot be given with the dataset's fields, which
// array.NewRecordBatch would panic about.
func (r *spanRead) fits(columns []arrow.Array, rows int64) error {
	if len(columns) != r.schema.NumFields() {
		return fmt.Errorf("%w: %d columns where %d were asked for", format.ErrDamaged, len(columns), r.schema.NumFields())
	}
	for i, col := range columns {
		want := r.schema.Field(i)
		if !arrow.TypeEqual(col.DataType(), want.Type) || int64(col.Len()) != rows {
			return fmt.Errorf("%w: column %q is %s with %d rows, want %s with %d",
				format.ErrDamaged, want.Name, col.DataType(), col.Len(), want.Type, rows)
		}
	}
	return nil
}

// check turns the reader's error into the caller's.
func (r *spanRead) check(path string, span int, err error) error {
	switch {
	case r.yieldErr != nil:
		return r.yieldErr
	case r.badBatch != nil:
		return asInput(fmt.Errorf("read %q: span %d: %w", path, span, r.badBatch))
	case err != nil:
		return asInput(err)
	case r.got != r.want:
		return asInput(fmt.Errorf("read %q: span %d: %w: %d rows where %d were announced",
			path, span, format.ErrDamaged, r.got, r.want))
	}
	return nil
}
