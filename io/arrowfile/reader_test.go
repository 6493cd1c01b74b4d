package arrowfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/mapped"
)

// Uncompressed columns are views of the mapping, which live by their own
// counts; compressed ones are memory of the allocator.
func TestViewsOutliveTheReader(t *testing.T) {
	for name, view := range map[string]bool{"all.arrow": true, "all.stream": true, "all-lz4.arrow": false, "all-zstd.stream": false} {
		t.Run(name, func(t *testing.T) {
			before := len(mapped.Live())
			r := mustOpen(t, "testdata/pyarrow/"+name, format.ReadOptions{Allocator: checkedAllocator(t)})
			column := r.Schema().FieldIndices("f32")[0]
			var kept arrow.RecordBatch
			if err := r.ReadSpan(context.Background(), 2, []int{column}, func(b arrow.RecordBatch) error {
				kept = b
				kept.Retain()
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			values := kept.Column(0).Data().Buffers()[1].Bytes()
			if got := r.file.Contains(values); got != view {
				t.Errorf("values lie in the mapping: %v; want %v", got, view)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if view && len(mapped.Live()) != before+1 {
				t.Fatal("the batch does not keep the mapping alive")
			}
			slice := kept.NewSlice(1, 3)
			kept.Release()
			if got := slice.Column(0).(*array.Float32).Value(0); got != float32(18)/3 {
				t.Errorf("value after Close = %v; want 6", got)
			}
			slice.Release()
			if len(mapped.Live()) != before {
				t.Error("the mapping outlives the last batch")
			}
			if err := r.ReadSpan(context.Background(), 0, nil, nil); !errors.Is(err, fs.ErrClosed) {
				t.Errorf("ReadSpan after Close = %v; want fs.ErrClosed", err)
			}
		})
	}
}

// Columns come in the order asked for, repeated where repeated; none still
// counts rows.
func TestProjection(t *testing.T) {
	r := mustOpen(t, "testdata/pyarrow/all.arrow", format.ReadOptions{Allocator: checkedAllocator(t)})
	whole := batchesOf(t, r)
	for _, columns := range [][]int{{}, {3}, {23, 0, 8, 0}, {24, 22, 21, 20}} {
		for span, want := range whole {
			if err := r.ReadSpan(context.Background(), span, columns, func(b arrow.RecordBatch) error {
				if b.NumRows() != want.NumRows() || int(b.NumCols()) != len(columns) {
					t.Errorf("columns %v, span %d: %d rows, %d columns", columns, span, b.NumRows(), b.NumCols())
				}
				for i, c := range columns {
					if !array.Equal(b.Column(i), want.Column(c)) || b.ColumnName(i) != want.ColumnName(c) {
						t.Errorf("columns %v, span %d: column %d differs from the whole's %d", columns, span, i, c)
					}
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		}
	}
	for _, columns := range [][]int{{-1}, {25}} {
		if err := r.ReadSpan(context.Background(), 0, columns, nil); err == nil || errors.Is(err, format.ErrDamaged) {
			t.Errorf("columns %v: %v; want an error that does not blame the file", columns, err)
		}
	}
	if err := r.ReadSpan(context.Background(), 9, nil, nil); err == nil {
		t.Error("span 9 of 3: no error")
	}
}

// A damaged column is no business of those who do not ask for it.
func TestOtherColumnsAreNotTouched(t *testing.T) {
	data := seeds(t)["all.stream"]
	clean := mustOpen(t, file(t, data), format.ReadOptions{Allocator: checkedAllocator(t)})
	s := clean.Schema().FieldIndices("s")[0]
	var at int
	if err := clean.ReadSpan(context.Background(), 0, []int{s}, func(b arrow.RecordBatch) error {
		offsets := b.Column(0).Data().Buffers()[1].Bytes()
		whole := clean.file.Bytes()
		for at = range whole {
			if &whole[at] == &offsets[0] {
				break
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	data = slices.Clone(data)
	binary.LittleEndian.PutUint32(data[at+8:], 1<<30)
	r := mustOpen(t, file(t, data), format.ReadOptions{Allocator: checkedAllocator(t)})
	nothing := func(arrow.RecordBatch) error { return nil }
	if err := r.ReadSpan(context.Background(), 0, []int{s}, nothing); !errors.Is(err, format.ErrDamaged) ||
		!strings.Contains(err.Error(), r.file.Path()) || !strings.Contains(err.Error(), `record batch 0: column "s"`) {
		t.Errorf("the damaged column: %v; want ErrDamaged that names file, batch and column", err)
	}
	if err := r.ReadSpan(context.Background(), 0, []int{0, 1, 2, 3, s + 1}, nothing); err != nil {
		t.Errorf("the other columns: %v", err)
	}
}

// A file of which few columns are asked for is not read as a whole: huge pages
// would bring what lies between them.
func TestFewColumnsAreSparse(t *testing.T) {
	b := array.NewFloat32Builder(memory.DefaultAllocator)
	defer b.Release()
	fields, columns := make([]arrow.Field, 8), make([]arrow.Array, 8)
	for i := range columns {
		for j := range 10_000 {
			b.Append(float32(i * j))
		}
		fields[i] = arrow.Field{Name: strconv.Itoa(i), Type: arrow.PrimitiveTypes.Float32}
		columns[i] = b.NewArray()
		defer columns[i].Release()
	}
	batch := array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, 10_000)
	defer batch.Release()
	for _, codec := range []string{"none", "lz4"} {
		r := mustOpen(t, written(t, NewWriter, codec, batch), format.ReadOptions{})
		for _, want := range []struct {
			columns []int
			sparse  bool
		}{
			{all(r), false},
			{[]int{1, 3, 4}, false},
			{[]int{6}, true},
			{all(r), true}, // once and for all: who asks for few will do so again
		} {
			if err := r.ReadSpan(context.Background(), 0, want.columns, func(arrow.RecordBatch) error { return nil }); err != nil {
				t.Fatal(err)
			}
			if got := r.sparse.Load(); got != want.sparse {
				t.Errorf("codec %s, columns %v: sparse = %t; want %t", codec, want.columns, got, want.sparse)
			}
		}
	}
}

func TestChunks(t *testing.T) {
	for name, want := range map[string]string{"all.arrow": "[17 0 23]", "all-lz4.arrow": "[8 8 1 0 8 8 7]"} {
		r := mustOpen(t, "testdata/pyarrow/"+name, format.ReadOptions{Allocator: checkedAllocator(t), ChunkRows: 8})
		var rows []int64
		readAll(t, r, func(b arrow.RecordBatch) { rows = append(rows, b.NumRows()) })
		if fmt.Sprint(rows) != want {
			t.Errorf("%s: chunks of %v rows; want %s", name, rows, want)
		}
	}
}

func TestYieldErrorAndCancel(t *testing.T) {
	r := mustOpen(t, "testdata/pyarrow/all-zstd.stream", format.ReadOptions{Allocator: checkedAllocator(t), ChunkRows: 4})
	enough := errors.New("enough")
	if err := r.ReadSpan(context.Background(), 0, all(r), func(arrow.RecordBatch) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("ReadSpan = %v; want yield's error", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := r.ReadSpan(ctx, 0, all(r), func(arrow.RecordBatch) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("ReadSpan = %v; want context.Canceled", err)
	}
	// A panic of the consumer is the consumer's.
	defer func() {
		if v := recover(); v != "mine" {
			t.Errorf("recover() = %v; want yield's own panic", v)
		}
	}()
	_ = r.ReadSpan(context.Background(), 0, nil, func(arrow.RecordBatch) error { panic("mine") })
}

func TestBudget(t *testing.T) {
	for name, columns := range map[string]string{"all-zstd.stream": "f64", "all-lz4.arrow": "dict"} {
		r := mustOpen(t, "testdata/pyarrow/"+name, format.ReadOptions{Allocator: checkedAllocator(t), BudgetBytes: 60})
		err := r.ReadSpan(context.Background(), 2, r.Schema().FieldIndices(columns), func(arrow.RecordBatch) error { return nil })
		if !errors.Is(err, format.ErrBudget) || errors.Is(err, format.ErrDamaged) || !strings.Contains(err.Error(), r.file.Path()) {
			t.Errorf("%s, %s: ReadSpan = %v; want ErrBudget alone, naming the file", name, columns, err)
		}
	}
}

// Files that change are found out before, while and after a span is read.
func TestChanged(t *testing.T) {
	data := seeds(t)["all.arrow"]
	nothing := func(arrow.RecordBatch) error { return nil }
	for why, harm := range map[string]func(path string) error{
		"truncated": func(p string) error { return os.Truncate(p, 10) },
		"emptied":   func(p string) error { return os.Truncate(p, 0) },
		"removed":   os.Remove,
	} {
		path := file(t, data)
		r := mustOpen(t, path, format.ReadOptions{Allocator: checkedAllocator(t)})
		err := r.ReadSpan(context.Background(), 0, all(r), func(b arrow.RecordBatch) error {
			if err := harm(path); err != nil {
				t.Fatal(err)
			}
			// Values read as zeros where they are gone; nothing faults.
			var sum float32
			for _, v := range b.Column(0).(*array.Float32).Float32Values() {
				sum += v
			}
			t.Logf("%s: sum %v", why, sum)
			return nil
		})
		for when, err := range map[string]error{"during": err, "after": r.ReadSpan(context.Background(), 1, all(r), nothing), "asked": r.Changed()} {
			if !errors.Is(err, format.ErrChanged) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s, %s: %v; want an error that wraps ErrChanged and names the file", why, when, err)
			}
		}
	}
}

// Spans may be read by many at once, dictionaries included.
func TestConcurrentSpans(t *testing.T) {
	for _, name := range []string{"all.arrow", "all-zstd.stream", "delta.stream", "delta.arrow", "replaced.stream"} {
		mem := checkedAllocator(t)
		r := mustOpen(t, "testdata/pyarrow/"+name, format.ReadOptions{Allocator: mem})
		var wg sync.WaitGroup
		for g := range 4 {
			// Of its own: arrow-go makes a dictionary's array at its first use, so
			// that no two goroutines may compare with the same one.
			want := batchesOf(t, r)
			wg.Go(func() {
				for i := range 4 * len(want) {
					span := (g + i) % len(want)
					if err := r.ReadSpan(context.Background(), span, all(r), func(b arrow.RecordBatch) error {
						if !array.RecordEqual(b, want[span]) {
							t.Errorf("%s: span %d differs when read at the same time as others", name, span)
						}
						return nil
					}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	}
}

// reframe moves the bodies of a stream's messages by extra bytes of padding.
func reframe(t *testing.T, data []byte, extra int) []byte {
	t.Helper()
	var out []byte
	for off := int64(0); off < int64(len(data)); {
		m, err := messageAt(data, off)
		if err != nil {
			t.Fatal(err)
		}
		if m.metadata == 0 {
			break
		}
		// Bodies start at a multiple of 8 plus extra.
		pad := (8 - (len(out)+8+m.metadata)%8) % 8
		out = binary.LittleEndian.AppendUint32(out, 0xFFFFFFFF)
		out = binary.LittleEndian.AppendUint32(out, uint32(m.metadata+pad+extra))
		out = append(out, data[off+int64(m.prefix):m.bodyOffset()]...)
		out = append(out, make([]byte, pad+extra)...)
		out = append(out, data[m.bodyOffset():m.end()]...)
		off = m.end()
	}
	return out
}

// A buffer that is not aligned to its values is copied, others are not.
func TestMisalignedBuffersAreCopied(t *testing.T) {
	data := seeds(t)["all.stream"]
	want := batchesOf(t, mustOpen(t, "testdata/pyarrow/all.stream", format.ReadOptions{}))
	for extra, aligned := range map[int]map[string]bool{
		0: {"f64": true, "f32": true, "f16": true, "i8": true},
		4: {"f64": false, "f32": true, "f16": true, "i8": true},
		2: {"f64": false, "f32": false, "f16": true, "i8": true},
		1: {"f64": false, "f32": false, "f16": false, "i8": true},
	} {
		r := mustOpen(t, file(t, reframe(t, data, extra)), format.ReadOptions{Allocator: checkedAllocator(t)})
		got := batchesOf(t, r)
		for i := range want {
			if !array.RecordEqual(got[i], want[i]) {
				t.Errorf("moved by %d bytes: batch %d differs", extra, i)
			}
		}
		for name, view := range aligned {
			column := got[0].Column(r.Schema().FieldIndices(name)[0])
			width := column.DataType().(arrow.FixedWidthDataType).Bytes()
			values := column.Data().Buffers()[1].Bytes()
			if !mapped.Aligned(values, width) || r.file.Contains(values) != view {
				t.Errorf("moved by %d bytes: %s is aligned: %v, in the mapping: %v; want true, %v",
					extra, name, mapped.Aligned(values, width), r.file.Contains(values), view)
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	files := seeds(t)
	whole, stream := files["all.arrow"], files["all.stream"]
	for why, tc := range map[string]struct {
		data []byte
		want error
	}{
		"an empty file":             {nil, format.ErrDamaged},
		"a few bytes":               {[]byte("ARR"), format.ErrDamaged},
		"magic alone":               {[]byte("ARROW1\x00\x00"), format.ErrDamaged},
		"another format":            {[]byte("PAR1 and so on, no Arrow at all"), format.ErrDamaged},
		"Feather version 1":         {[]byte("FEA1 and so on"), format.ErrUnsupported},
		"a file cut short":          {whole[:len(whole)-20], format.ErrDamaged},
		"a stream cut short":        {stream[:len(stream)-100], format.ErrDamaged},
		"two streams in one file":   {slices.Concat(stream, stream), format.ErrUnsupported},
		"a stream and other bytes":  {append(slices.Clone(stream), "more"...), format.ErrUnsupported},
		"a file in a file's middle": {slices.Concat([]byte("x"), whole), format.ErrDamaged},
	} {
		path := file(t, tc.data)
		r, err := Open(path, format.ReadOptions{})
		if r != nil || !errors.Is(err, tc.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: Open = %v, %v; want an error that wraps %q and names the file", why, r, err, tc.want)
		}
	}
	if _, err := Open(t.TempDir(), format.ReadOptions{}); !errors.Is(err, mapped.ErrNotRegular) {
		t.Errorf("a directory: Open = %v; want ErrNotRegular", err)
	}
	// The end mark is optional, and padding may follow it.
	mark := bytes.LastIndex(stream, []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	for why, data := range map[string][]byte{"no end mark": stream[:mark], "padded": append(slices.Clone(stream), make([]byte, 100)...)} {
		r := mustOpen(t, file(t, data), format.ReadOptions{Allocator: checkedAllocator(t)})
		if n := len(r.Spans()); n != 3 {
			t.Errorf("%s: %d spans; want 3", why, n)
		}
	}
}

// A footer that leaves out a batch would lose rows in silence.
func TestFooterMustListEveryBatch(t *testing.T) {
	data := slices.Clone(seeds(t)["all.arrow"])
	footer := len(data) - 10 - int(binary.LittleEndian.Uint32(data[len(data)-10:]))
	f := &flat{b: data[footer : len(data)-10]}
	start, n := f.root().elements(3, 24)
	if n != 3 || f.err != nil {
		t.Fatalf("%d blocks, %v", n, f.err)
	}
	binary.LittleEndian.PutUint32(f.b[start-4:], 2)
	_, err := Open(file(t, data), format.ReadOptions{})
	if !errors.Is(err, format.ErrDamaged) || !strings.Contains(err.Error(), "leaves out") {
		t.Errorf("Open = %v; want ErrDamaged that says what the footer leaves out", err)
	}
}

// BenchmarkReadSpan reads 32 float32 columns of one batch.
//
//	go test -run '^$' -bench ReadSpan ./io/arrowfile
func BenchmarkReadSpan(b *testing.B) {
	const rows, columns = 1 << 20, 32
	fb := array.NewFloat32Builder(memory.DefaultAllocator)
	defer fb.Release()
	fb.Reserve(rows)
	for i := range rows {
		fb.UnsafeAppend(float32(i))
	}
	arr := fb.NewArray()
	defer arr.Release()
	fields, arrays := make([]arrow.Field, 0, columns), make([]arrow.Array, 0, columns)
	for i := range columns {
		fields = append(fields, arrow.Field{Name: fmt.Sprint("c", i), Type: arr.DataType()})
		arrays = append(arrays, arr)
	}
	batch := array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, rows)
	defer batch.Release()
	for _, codec := range []string{"none", "lz4", "zstd"} {
		b.Run("codec="+codec, func(b *testing.B) {
			r := mustOpen(b, written(b, NewWriter, codec, batch), format.ReadOptions{})
			b.SetBytes(rows * columns * 4)
			b.ReportAllocs()
			for b.Loop() {
				readAll(b, r, func(arrow.RecordBatch) {})
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
