package parquetfile

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"go.uber.org/goleak"

	"github.com/millrace/millrace/io/format"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// checked gives an allocator that fails the test unless all is freed.
func checked(tb testing.TB) memory.Allocator {
	tb.Helper()
	mem := memory.NewCheckedAllocator(&soiled{})
	tb.Cleanup(func() {
		if tt, ok := tb.(*testing.T); ok {
			mem.AssertSize(tt, 0)
		}
	})
	return mem
}

// write writes batches to a new file and returns its path.
func write(tb testing.TB, opts format.WriteOptions, batches ...arrow.RecordBatch) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "f.parquet")
	if err := writeTo(path, opts, batches...); err != nil {
		tb.Fatal(err)
	}
	return path
}

func writeTo(path string, opts format.WriteOptions, batches ...arrow.RecordBatch) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	opts.Compression = cmp.Or(opts.Compression, "zstd") // not where it pays: readers are tested
	w, err := NewWriter(f, batches[0].Schema(), opts)
	if err != nil {
		return err
	}
	for _, b := range batches {
		if err := w.Write(b); err != nil {
			_ = w.Close()
			return err
		}
	}
	return w.Close()
}

func open(tb testing.TB, path string, opts format.ReadOptions) *Reader {
	tb.Helper()
	r, err := Open(path, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			tb.Error(err)
		}
	})
	return r.(*Reader)
}

// columnsOf are the indexes of all columns.
func columnsOf(r format.Reader) []int {
	all := make([]int, r.Schema().NumFields())
	for i := range all {
		all[i] = i
	}
	return all
}

// readAll reads every span of a file and joins each column; the caller
// releases them. It checks the contract of ReadSpan on the way.
func readAll(r format.Reader, columns []int, chunkRows int, mem memory.Allocator) ([]arrow.Array, int64, error) {
	pieces := make([][]arrow.Array, len(columns))
	defer func() {
		for _, ps := range pieces {
			for _, p := range ps {
				p.Release()
			}
		}
	}()
	total := int64(0)
	for i, span := range r.Spans() {
		rows := int64(0)
		err := r.ReadSpan(context.Background(), i, columns, func(b arrow.RecordBatch) error {
			if b.NumRows() < 1 || chunkRows > 0 && b.NumRows() > int64(chunkRows) {
				return fmt.Errorf("batch of %d rows; want 1 to %d", b.NumRows(), chunkRows)
			}
			rows += b.NumRows()
			for c, col := range b.Columns() {
				col.Retain()
				pieces[c] = append(pieces[c], col)
				if !arrow.TypeEqual(col.DataType(), r.Schema().Field(columns[c]).Type) {
					return fmt.Errorf("column %d is %s; schema says %s", c, col.DataType(), r.Schema().Field(columns[c]).Type)
				}
			}
			return nil
		})
		if err != nil {
			return nil, total, err
		}
		if rows != span.Rows {
			return nil, total, fmt.Errorf("SILENT LOSS: span %d gave %d rows of %d", i, rows, span.Rows)
		}
		total += rows
	}
	out := make([]arrow.Array, len(columns))
	for c, ps := range pieces {
		if len(ps) == 0 {
			b := array.NewBuilder(mem, r.Schema().Field(columns[c]).Type)
			out[c] = b.NewArray()
			b.Release()
			continue
		}
		var err error
		if out[c], err = array.Concatenate(ps, mem); err != nil {
			for _, a := range out[:c] {
				a.Release()
			}
			return nil, total, fmt.Errorf("join column %d: %w", c, err)
		}
	}
	return out, total, nil
}
