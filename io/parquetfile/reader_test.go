package parquetfile

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/io/format"
)

// numbers is a batch of int64 columns a, b, ... whose values are row*columns+i;
// every tenth of the first is null.
func numbers(columns, rows int) arrow.RecordBatch {
	fields := make([]arrow.Field, columns)
	arrays := make([]arrow.Array, columns)
	for c := range columns {
		fields[c] = arrow.Field{Name: string(rune('a' + c)), Type: arrow.PrimitiveTypes.Int64, Nullable: true}
		b := array.NewInt64Builder(memory.DefaultAllocator)
		for row := range rows {
			if c == 0 && row%10 == 9 {
				b.AppendNull()
			} else {
				b.Append(int64(row*columns + c))
			}
		}
		arrays[c] = b.NewArray()
		b.Release()
	}
	batch := array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, int64(rows))
	release(arrays)
	return batch
}

func numbersFile(tb testing.TB, columns, rows int, opts format.WriteOptions) string {
	tb.Helper()
	batch := numbers(columns, rows)
	defer batch.Release()
	return write(tb, opts, batch)
}

// noiseFile has int64 columns that no encoding makes smaller.
func noiseFile(tb testing.TB, columns, rows int, opts format.WriteOptions) string {
	tb.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	fields := make([]arrow.Field, columns)
	arrays := make([]arrow.Array, columns)
	for c := range columns {
		fields[c] = arrow.Field{Name: string(rune('a' + c)), Type: arrow.PrimitiveTypes.Int64, Nullable: true}
		b := array.NewInt64Builder(memory.DefaultAllocator)
		for range rows {
			b.Append(int64(random.Uint64()))
		}
		arrays[c] = b.NewArray()
		b.Release()
	}
	batch := array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, int64(rows))
	defer batch.Release()
	release(arrays)
	return write(tb, opts, batch)
}

func TestOpenAndDescribe(t *testing.T) {
	r := open(t, numbersFile(t, 2, 250, format.WriteOptions{RowGroupRows: 100}), format.ReadOptions{})
	rows := make([]int64, 0, 3)
	for _, s := range r.Spans() {
		rows = append(rows, s.Rows)
		if s.Bytes <= 0 {
			t.Errorf("span of %d stored bytes", s.Bytes)
		}
	}
	if want := []int64{100, 100, 50}; !cmp.Equal(rows, want) {
		t.Errorf("rows of the spans = %v; want %v", rows, want)
	}
	if r.Format() != format.Parquet {
		t.Errorf("Format = %s", r.Format())
	}
	for column, want := range map[int]int64{0: 25, 1: 0} {
		if n, ok := r.NullCount(column); n != want || !ok {
			t.Errorf("NullCount(%d) = %d, %t; want %d, true", column, n, ok, want)
		}
	}
	if _, ok := r.NullCount(2); ok {
		t.Error("NullCount of a column that is not there")
	}
	d := r.Detail()
	if d.RowGroups != 3 || !strings.HasPrefix(d.CreatedBy, "parquet-go") || len(d.Columns) != 2 {
		t.Errorf("Detail = %+v", d)
	}
	if c := d.Columns[1]; c.Path != "b" || c.Physical != "INT64" || !cmp.Equal(c.Codecs, []string{"ZSTD"}) ||
		!cmp.Equal(c.Encodings, []string{"DELTA_BINARY_PACKED", "RLE"}) || c.StoredBytes <= 0 || c.UncompressedBytes <= 0 {
		t.Errorf("Detail of b = %+v", c)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	notParquet := filepath.Join(dir, "text")
	if err := os.WriteFile(notParquet, []byte("a,b\n1,2\n3,4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, path string
		want       error
	}{
		{"a file that is not there", filepath.Join(dir, "none"), os.ErrNotExist},
		{"a folder", dir, format.ErrUnsupported},
		{"another format", notParquet, format.ErrDamaged},
	}
	for _, c := range cases {
		_, err := Open(c.path, format.ReadOptions{})
		if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.path) {
			t.Errorf("%s: Open = %v; want %v with the path", c.name, err, c.want)
		}
	}
}

func TestReadSpanOfNoColumnsCountsRows(t *testing.T) {
	r := open(t, numbersFile(t, 1, 250, format.WriteOptions{RowGroupRows: 100}), format.ReadOptions{ChunkRows: 30, Allocator: checked(t)})
	_, rows, err := readAll(r, nil, 30, memory.DefaultAllocator)
	if rows != 250 || err != nil {
		t.Errorf("%d rows, %v; want 250", rows, err)
	}
}

func TestReadSpanGivesColumnsInTheOrderAsked(t *testing.T) {
	r := open(t, numbersFile(t, 3, 5, format.WriteOptions{}), format.ReadOptions{Allocator: checked(t)})
	err := r.ReadSpan(t.Context(), 0, []int{2, 0, 2}, func(b arrow.RecordBatch) error {
		if b.ColumnName(0) != "c" || b.ColumnName(1) != "a" || b.ColumnName(2) != "c" {
			t.Errorf("columns %s", b.Schema())
		}
		if got := b.Column(0).(*array.Int64).Value(4); got != 14 {
			t.Errorf("row 4 of c = %d; want 14", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReadSpanRefusesWhatIsNotThere(t *testing.T) {
	r := open(t, numbersFile(t, 1, 5, format.WriteOptions{}), format.ReadOptions{})
	none := func(arrow.RecordBatch) error { t.Error("yielded"); return nil }
	for _, c := range []struct{ span, column int }{{-1, 0}, {1, 0}, {0, 1}, {0, -1}} {
		if err := r.ReadSpan(t.Context(), c.span, []int{c.column}, none); err == nil {
			t.Errorf("span %d, column %d: no error", c.span, c.column)
		}
	}
}

// What yield and the context say comes back as it is, and nothing leaks.
func TestReadSpanStops(t *testing.T) {
	r := open(t, numbersFile(t, 2, 1000, format.WriteOptions{}), format.ReadOptions{ChunkRows: 10, Allocator: checked(t)})
	enough := errors.New("enough")
	given := 0
	err := r.ReadSpan(t.Context(), 0, []int{0, 1}, func(arrow.RecordBatch) error {
		if given++; given == 3 {
			return enough
		}
		return nil
	})
	if err != enough || given != 3 { //nolint:errorlint // identity is what is tested
		t.Errorf("ReadSpan = %v after %d batches; want yield's error after 3", err, given)
	}
	ctx, cancel := context.WithCancel(t.Context())
	given = 0
	err = r.ReadSpan(ctx, 0, []int{0, 1}, func(arrow.RecordBatch) error {
		if given++; given == 2 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || given != 2 {
		t.Errorf("ReadSpan = %v after %d batches; want context.Canceled after 2", err, given)
	}
}

// A panic of yield is the caller's own and passes through.
func TestYieldPanics(t *testing.T) {
	r := open(t, numbersFile(t, 1, 10, format.WriteOptions{}), format.ReadOptions{})
	defer func() {
		if p := recover(); p != "mine" {
			t.Errorf("recovered %v; want the caller's panic", p)
		}
	}()
	_ = r.ReadSpan(t.Context(), 0, []int{0}, func(arrow.RecordBatch) error { panic("mine") })
}

func TestRetainedBatchesOutliveTheReader(t *testing.T) {
	mem := checked(t)
	path := numbersFile(t, 2, 1000, format.WriteOptions{Compression: "none"})
	r, err := Open(path, format.ReadOptions{ChunkRows: 100, Allocator: mem})
	if err != nil {
		t.Fatal(err)
	}
	var kept []arrow.RecordBatch
	if err := r.ReadSpan(t.Context(), 0, []int{0, 1}, func(b arrow.RecordBatch) error {
		b.Retain()
		kept = append(kept, b)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
	for i, b := range kept {
		if got := b.Column(1).(*array.Int64).Value(99); got != int64((i*100+99)*2+1) {
			t.Errorf("batch %d ends in %d", i, got)
		}
		b.Release()
	}
}

// A row group far larger than the budget is read within it, and what the
// caller keeps does not count.
func TestReadSpanWithinBudget(t *testing.T) {
	const rows = 1 << 20
	path := noiseFile(t, 4, rows, format.WriteOptions{Compression: "none"})
	r := open(t, path, format.ReadOptions{BudgetBytes: 12 << 20, ChunkRows: 1 << 14, Allocator: checked(t)})
	if stored := r.Spans()[0].Bytes; stored < 30<<20 {
		t.Fatalf("row group of %d bytes is too small for this test", stored)
	}
	arrays, n, err := readAll(r, columnsOf(r), 1<<14, memory.DefaultAllocator)
	if err != nil || n != rows {
		t.Fatalf("%d rows, %v; want %d", n, err, rows)
	}
	release(arrays)
	small := open(t, path, format.ReadOptions{BudgetBytes: 512 << 10, Allocator: checked(t)})
	err = small.ReadSpan(t.Context(), 0, columnsOf(small), func(arrow.RecordBatch) error { return nil })
	if !errors.Is(err, format.ErrBudget) || !strings.Contains(fmt.Sprint(err), path) {
		t.Errorf("with 512 KiB: %v; want ErrBudget with the path", err)
	}
}

func TestConcurrentReads(t *testing.T) {
	const groups, rows = 8, 400
	mem := checked(t)
	r := open(t, numbersFile(t, 3, groups*rows, format.WriteOptions{RowGroupRows: rows}), format.ReadOptions{ChunkRows: 64, Allocator: mem})
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(worker), 0))
			for range 10 {
				span := rng.IntN(groups)
				row := span * rows
				err := r.ReadSpan(t.Context(), span, []int{1, 2}, func(b arrow.RecordBatch) error {
					for i := range int(b.NumRows()) {
						if got := b.Column(1).(*array.Int64).Value(i); got != int64(row*3+2) {
							return fmt.Errorf("row %d = %d", row, got)
						}
						row++
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				_, _ = r.NullCount(0)
				_ = r.Spans()
			}
		})
	}
	wg.Wait()
}

// meeting is an allocator in which a large allocation waits for another
// goroutine's.
type meeting struct {
	memory.Allocator
	least int
	met   chan struct{} // unbuffered: two meet in it
	alone atomic.Bool
}

func (m *meeting) Allocate(size int) []byte {
	if size >= m.least {
		select {
		case m.met <- struct{}{}:
		case <-m.met:
		case <-time.After(10 * time.Second):
			m.alone.Store(true)
		}
	}
	return m.Allocator.Allocate(size)
}

// Columns of one row group are decoded by as many goroutines as Decoders has
// tokens, which are given back.
func TestColumnsOfOneSpanDecodeConcurrently(t *testing.T) {
	const rows = 1 << 14
	mem := &meeting{Allocator: checked(t), least: 8 * rows, met: make(chan struct{})}
	r := open(t, numbersFile(t, 2, rows, format.WriteOptions{Compression: "snappy"}), format.ReadOptions{
		Allocator: mem, ChunkRows: rows, Decoders: make(chan struct{}, 2),
	})
	r.opts.Decoders <- struct{}{} // this goroutine
	for range 3 {                 // large buffers of the first are kept for the others
		if err := r.ReadSpan(t.Context(), 0, columnsOf(r), func(arrow.RecordBatch) error {
			if n := len(r.opts.Decoders); n != 1 {
				t.Errorf("%d decoders while a batch is given; want 1", n)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.opts.Decoders); n != 1 || mem.alone.Load() {
		t.Errorf("%d tokens are out; a column was decoded alone: %t", n, mem.alone.Load())
	}
}
