package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	sqlite3 "github.com/mattn/go-sqlite3"

	"github.com/millrace/millrace/io/query"
)

// What a batch has at most; for the type of an expression as many rows are looked at, of at most
// peekBytes.
const (
	batchRows  = 8 << 10
	batchBytes = 4 << 20
	peekBytes  = 16 << 20
)

// Rows are those of one table or query.
type Rows struct {
	file   *File
	rows   driver.Rows
	schema *arrow.Schema
	kinds  []kind
	table  string // empty for a query

	row    []driver.Value   // the next row's
	peeked [][]driver.Value // rows that were read for their types
	ended  bool             // no rows come after them
	read   int64            // rows given
}

// Open runs a query on a database file. Errors wrap one of package query where that is to
// blame, and format.ErrDamaged where the file is.
func Open(ctx context.Context, path string, spec query.Spec) (_ *Rows, err error) {
	file, err := openReader(ctx, path)
	if err != nil {
		return nil, err
	}
	r := &Rows{file: file, table: spec.Table}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	// The schema that is looked at is the one that the rows are of.
	if _, err := file.ExecContext(ctx, "BEGIN", nil); err != nil {
		return nil, Fault(err)
	}
	text, err := statement(ctx, file.SQLiteConn, &spec)
	if err != nil {
		return nil, err
	}
	rows, err := file.QueryContext(ctx, text, nil)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("%w: %w", query.ErrQuery, Fault(err))
	}
	r.rows = rows
	if err := r.describe(); err != nil {
		return nil, err
	}
	return r, nil
}

// describe finds the columns' types.
func (r *Rows) describe() error {
	names := r.rows.Columns()
	if len(names) == 0 {
		return fmt.Errorf("%w: it gives no columns", query.ErrQuery)
	}
	r.row = make([]driver.Value, len(names))
	// The driver makes times and booleans of what is declared as such, silently wrong ones
	// too, and goes by this slice of its own: without words in it, values come as stored.
	declared := r.rows.(*sqlite3.SQLiteRows).DeclTypes()
	r.kinds = make([]kind, len(names))
	for i := range r.kinds {
		r.kinds[i] = kindOf(declared[i])
		declared[i] = ""
	}
	if slices.Contains(r.kinds, unknown) {
		if err := r.peek(); err != nil {
			return err
		}
	}
	fields := make([]arrow.Field, len(names))
	for i, name := range names {
		fields[i] = arrow.Field{Name: name, Type: r.kinds[i].arrow(), Nullable: true}
	}
	r.schema = arrow.NewSchema(fields, nil)
	return nil
}

// peek reads the first rows, and takes from them what columns without a declared type are.
func (r *Rows) peek() error {
	seen := make([]kind, len(r.kinds))
	for size := 0; len(r.peeked) < batchRows && size < peekBytes; {
		row := make([]driver.Value, len(r.kinds))
		if err := r.rows.Next(row); errors.Is(err, io.EOF) {
			r.ended = true
			break
		} else if err != nil {
			return r.failed(Fault(err))
		}
		r.peeked = append(r.peeked, row)
		for i, v := range row {
			seen[i] = seen[i].with(v)
			size += sizeOf(v)
		}
	}
	for i := range r.kinds {
		if r.kinds[i] == unknown {
			r.kinds[i] = seen[i].settled()
		}
	}
	return nil
}

// sizeOf is about how many bytes a value takes.
func sizeOf(v driver.Value) int {
	switch v := v.(type) {
	case string:
		return 16 + len(v)
	case []byte:
		return 24 + len(v)
	}
	return 16
}

// Schema is that of the rows. Every column may have nulls.
func (r *Rows) Schema() *arrow.Schema { return r.schema }

// Each gives all rows, in order. yield borrows the batch; its error ends the rows.
func (r *Rows) Each(ctx context.Context, yield func(arrow.RecordBatch) error) error {
	b := array.NewRecordBuilder(memory.DefaultAllocator, r.schema)
	defer b.Release()
	appenders := make([]appender, len(r.kinds))
	for i, k := range r.kinds {
		appenders[i] = k.appender(b.Field(i))
	}
	give := func() error {
		batch := b.NewRecordBatch()
		defer batch.Release()
		return yield(batch)
	}
	for rows, size := 0, 0; ; rows++ {
		if rows == batchRows || size >= batchBytes {
			if err := give(); err != nil {
				return err
			}
			b.Reserve(rows) // the next is likely to be as large
			rows, size = 0, 0
		}
		row, err := r.next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			if err := r.file.Unchanged(); err != nil || rows == 0 {
				return err
			}
			return give()
		case err != nil:
			return err
		}
		r.read++
		for i, v := range row {
			if v == nil {
				b.Field(i).AppendNull()
				continue
			}
			if err := appenders[i](v); err != nil {
				return r.failed(fmt.Errorf("column %q: %w: %w", r.schema.Field(i).Name, query.ErrValue, err))
			}
			size += sizeOf(v)
		}
	}
}

// next gives one row, until the one after is asked for.
func (r *Rows) next(ctx context.Context) ([]driver.Value, error) {
	if len(r.peeked) > 0 {
		row := r.peeked[0]
		r.peeked[0] = nil
		r.peeked = r.peeked[1:]
		return row, nil
	}
	if r.ended {
		return nil, io.EOF
	}
	if r.read%batchRows == 0 && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	err := r.rows.Next(r.row)
	if err != nil && !errors.Is(err, io.EOF) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		r.read++
		err = r.failed(Fault(err))
	}
	return r.row, err
}

// failed says at which row something is wrong, counted from 1 as they come.
func (r *Rows) failed(err error) error {
	where := "row"
	if r.table != "" {
		where = fmt.Sprintf("table %q: row", r.table)
	}
	return fmt.Errorf("%s %d: %w", where, r.read, err)
}

// Close ends the transaction and closes the file. It is idempotent.
func (r *Rows) Close() error {
	var errs []error
	if r.rows != nil {
		errs = append(errs, r.rows.Close())
		r.rows = nil
	}
	if r.file != nil {
		errs = append(errs, r.file.Close())
		r.file = nil
	}
	return errors.Join(errs...)
}
