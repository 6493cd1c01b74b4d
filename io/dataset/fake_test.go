package dataset

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"go.uber.org/goleak"

	"github.com/millrace/millrace/io/format"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeFile is what a fake reader finds in a file. The value of row r in an
// int64 column is base + r.
type fakeFile struct {
	fields  []arrow.Field
	spans   []int64
	lose    int64 // rows that ReadSpan holds back
	openErr error
	base    int64
}

// fakes opens files by base name and counts readers.
type fakes struct {
	dir   string
	alloc memory.Allocator

	mu struct {
		sync.Mutex

		files        map[string]fakeFile
		open, most   int
		opened       int
		closeEarlier int // reads of a closed reader
	}
}

func newFakes(t *testing.T) *fakes {
	t.Helper()
	alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
	f := &fakes{dir: t.TempDir(), alloc: alloc}
	f.mu.files = make(map[string]fakeFile)
	t.Cleanup(func() {
		alloc.AssertSize(t, 0)
		if f.mu.open != 0 || f.mu.closeEarlier != 0 {
			t.Errorf("%d readers left open, %d reads after close", f.mu.open, f.mu.closeEarlier)
		}
	})
	return f
}

// add makes a file and returns its path.
func (f *fakes) add(t *testing.T, name string, file fakeFile) string {
	t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("PAR1 of "+name), 0o666); err != nil {
		t.Fatal(err)
	}
	f.mu.files[path] = file
	return path
}

func (f *fakes) options() Options {
	return Options{Openers: map[format.Name]OpenFunc{format.Parquet: f.openFile}, IdleFiles: 2, Parallel: 3}
}

func (f *fakes) openFile(path string, _ format.ReadOptions) (format.Reader, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	file, ok := f.mu.files[path]
	if !ok {
		return nil, fmt.Errorf("read %q: %w", path, format.ErrDamaged)
	}
	if file.openErr != nil {
		return nil, file.openErr
	}
	f.mu.opened++
	f.mu.open++
	f.mu.most = max(f.mu.most, f.mu.open)
	return &fakeReader{fakes: f, file: file}, nil
}

type fakeReader struct {
	fakes  *fakes
	file   fakeFile
	closed bool
}

func (r *fakeReader) Format() format.Name   { return format.Parquet }
func (r *fakeReader) Schema() *arrow.Schema { return arrow.NewSchema(r.file.fields, nil) }
func (r *fakeReader) Changed() error        { return nil }

func (r *fakeReader) Spans() []format.Span {
	spans := make([]format.Span, len(r.file.spans))
	for i, rows := range r.file.spans {
		spans[i] = format.Span{Rows: rows, Bytes: max(8*rows, 0)}
	}
	return spans
}

func (r *fakeReader) NullCount(column int) (int64, bool) {
	return int64(column), r.file.fields[column].Nullable
}

func (r *fakeReader) Statistics(span, column int) format.Statistics {
	return format.Statistics{Nulls: int64(span), Min: int64(column), Max: int64(column)}
}

func (r *fakeReader) Close() error {
	r.fakes.mu.Lock()
	defer r.fakes.mu.Unlock()
	r.closed = true
	r.fakes.mu.open--
	return nil
}

func (r *fakeReader) ReadSpan(_ context.Context, span int, columns []int, yield func(arrow.RecordBatch) error) error {
	r.fakes.mu.Lock()
	if r.closed {
		r.fakes.mu.closeEarlier++
	}
	r.fakes.mu.Unlock()
	first := r.file.base
	for _, rows := range r.file.spans[:span] {
		first += rows
	}
	last := first + r.file.spans[span] - r.file.lose
	for ; first < last; first += 2 { // small batches
		if err := r.yieldBatch(first, min(2, last-first), columns, yield); err != nil {
			return err
		}
	}
	return nil
}

func (r *fakeReader) yieldBatch(first, rows int64, columns []int, yield func(arrow.RecordBatch) error) error {
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = r.file.fields[c]
	}
	if len(columns) == 0 {
		batch := array.NewRecordBatch(arrow.NewSchema(nil, nil), nil, rows)
		defer batch.Release()
		return yield(batch)
	}
	b := array.NewRecordBuilder(r.fakes.alloc, arrow.NewSchema(fields, nil))
	defer b.Release()
	for i := range columns {
		for row := first; row < first+rows; row++ {
			switch fb := b.Field(i).(type) {
			case *array.Int64Builder:
				fb.Append(row)
			case *array.StringBuilder:
				fb.Append(strconv.FormatInt(row, 10))
			case *array.LargeStringBuilder:
				fb.Append(strconv.FormatInt(row, 10))
			case *array.StringViewBuilder:
				fb.Append(strconv.FormatInt(row, 10))
			default:
				fb.AppendNull()
			}
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	return yield(batch)
}

// columnLoser is a reader that leaves the last column out.
type columnLoser struct{ format.Reader }

func (r *columnLoser) ReadSpan(ctx context.Context, span int, columns []int, yield func(arrow.RecordBatch) error) error {
	return r.Reader.ReadSpan(ctx, span, columns[:len(columns)-1], yield)
}
