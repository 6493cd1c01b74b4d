package parquetfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
)

// peakAllocator knows how much it had given out at most.
type peakAllocator struct {
	memory.Allocator
	now, most int
}

func (a *peakAllocator) note(bytes int) {
	a.now += bytes
	a.most = max(a.most, a.now)
}

func (a *peakAllocator) Allocate(size int) []byte {
	a.note(size)
	return a.Allocator.Allocate(size)
}

func (a *peakAllocator) Reallocate(size int, b []byte) []byte {
	a.note(size)
	b, was := a.Allocator.Reallocate(size, b), len(b)
	a.now -= was
	return b
}

func (a *peakAllocator) Free(b []byte) {
	a.now -= len(b)
	a.Allocator.Free(b)
}

// Of thousands of columns of numbers a writer holds a row group once: not the pages that are full
// and those that are being filled.
func TestManyNumbersAreWrittenInLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and all in one goroutine")
	}
	const columns, rows = 2000, 256
	mem := memory.NewCheckedAllocator(&soiled{})
	batch := numbersOf(arrow.PrimitiveTypes.Float32, columns, 0, rows)
	defer batch.Release()
	w, err := NewWriter(io.Discard, batch.Schema(), format.WriteOptions{Allocator: mem, Compression: "none"})
	if err != nil {
		t.Fatal(err)
	}
	most := 0
	for range 40 { // 78 MiB
		if err := w.Write(batch); err != nil {
			t.Fatal(err)
		}
		most = max(most, mem.CurrentAlloc())
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	const group = RowGroupBytes / 2
	if allowed := group*5/4 + group/firstRoom + 4*storeBytes; most > allowed { // classes of buffers are a quarter apart
		t.Errorf("%d MiB are held by the writer; want %d at most", most>>20, allowed>>20)
	}
}

// Row groups of many columns of numbers are whole whatever the numbers' widths, and the same
// however rows are cut.
func TestManyNumbersOfAllWidths(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and all in one goroutine")
	}
	for _, c := range []struct {
		t             arrow.DataType
		columns, rows int
	}{
		{arrow.PrimitiveTypes.Float32, 700, 13_000},
		{arrow.PrimitiveTypes.Float64, 257, 17_000},
		{arrow.PrimitiveTypes.Int64, 1000, 4_500},
		{arrow.PrimitiveTypes.Int8, 600, 14_500},
		{arrow.PrimitiveTypes.Float64, 5000, 1_100},
	} {
		t.Run(fmt.Sprintf("%d of %s", c.columns, c.t), func(t *testing.T) {
			cuts := []int{256, 1000}
			files := make([][]byte, 0, len(cuts))
			for _, cut := range cuts {
				var out bytes.Buffer
				var w format.Writer
				for at := 0; at < c.rows; at += cut {
					batch := numbersOf(c.t, c.columns, at, min(cut, c.rows-at))
					var err error
					if w == nil {
						w, err = NewWriter(&out, batch.Schema(), format.WriteOptions{Compression: "none"})
					}
					err = errors.Join(err, w.Write(batch))
					batch.Release()
					if err != nil {
						t.Fatal(err)
					}
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				files = append(files, out.Bytes())
			}
			if !bytes.Equal(files[0], files[1]) {
				t.Error("the file depends on how rows are cut")
			}
			checkRead(t, files[0], c.t, c.rows)
		})
	}
}

// numbersOf are rows of columns of numbers, from row at of a file on; every third column has nulls.
func numbersOf(of arrow.DataType, columns, at, rows int) arrow.RecordBatch {
	b := array.NewBuilder(memory.DefaultAllocator, of)
	defer b.Release()
	kinds := make([]arrow.Array, 2)
	for kind := range kinds {
		for row := at; row < at+rows; row++ {
			if kind == 1 && row%7 == 3 {
				b.AppendNull()
				continue
			}
			appendNumber(b, row)
		}
		kinds[kind] = b.NewArray()
	}
	defer release(kinds)
	fields, arrays := make([]arrow.Field, columns), make([]arrow.Array, columns)
	for i := range fields {
		kind := (i + 1) % 3 / 2
		fields[i], arrays[i] = arrow.Field{Name: fmt.Sprintf("c%d", i), Type: of, Nullable: kind == 1}, kinds[kind]
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, int64(rows))
}

func appendNumber(b array.Builder, row int) {
	switch b := b.(type) {
	case *array.Float32Builder:
		b.Append(float32(row))
	case *array.Float64Builder:
		b.Append(float64(row))
	case *array.Int64Builder:
		b.Append(int64(row) * 1_000_003)
	case *array.Int8Builder:
		b.Append(int8(row))
	}
}

// checkRead compares what the library reads.
func checkRead(t *testing.T, data []byte, of arrow.DataType, rows int) {
	t.Helper()
	want := numbersOf(of, 2, 0, rows)
	defer want.Release()
	table := libraryTable(t, openLibrary(t, data))
	defer table.Release()
	if got := int(table.NumRows()); got != rows {
		t.Fatalf("%d rows; want %d", got, rows)
	}
	for i := range int(table.NumCols()) {
		column, err := array.Concatenate(table.Column(i).Data().Chunks(), memory.DefaultAllocator)
		if err != nil {
			t.Fatal(err)
		}
		if !array.Equal(column, want.Column((i+1)%3/2)) {
			t.Errorf("column %d is not as it was written", i)
		}
		column.Release()
	}
}

// A row group of lists of lists is not there twice while it is encoded.
func TestListsOfListsAreWrittenInLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and all in one goroutine")
	}
	mem := &peakAllocator{Allocator: memory.DefaultAllocator}
	w, err := NewWriter(io.Discard, listsOfLists(mem, 0).Schema(), format.WriteOptions{Allocator: mem, Compression: "none"})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // 2 MiB each
		batch := listsOfLists(mem, 256)
		err := w.Write(batch)
		batch.Release()
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if allowed := RowGroupBytes/2 + RowGroupBytes/4; mem.most > allowed {
		t.Errorf("%d MiB at most; want %d", mem.most>>20, allowed>>20)
	}
}

// Pages of lists of lists do not depend on how rows were cut, where blocks end by their bytes.
func TestListsOfListsAreCutAnyhow(t *testing.T) {
	batch := listsOfLists(memory.DefaultAllocator, 1500) // 12 MiB
	defer batch.Release()
	cuts := []int64{1500, 7, 256}
	files := make([][]byte, 0, len(cuts))
	for _, cut := range cuts {
		var out bytes.Buffer
		w, err := NewWriter(&out, batch.Schema(), format.WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for at := int64(0); at < batch.NumRows(); at += cut {
			piece := batch.NewSlice(at, min(at+cut, batch.NumRows()))
			err = errors.Join(err, w.Write(piece))
			piece.Release()
		}
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		files = append(files, out.Bytes())
	}
	if !bytes.Equal(files[0], files[1]) || !bytes.Equal(files[0], files[2]) {
		t.Error("the file depends on how rows are cut")
	}
	table := libraryTable(t, openLibrary(t, files[0]))
	defer table.Release()
	got, err := array.Concatenate(table.Column(0).Data().Chunks(), memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Release()
	if !array.Equal(got, batch.Column(0)) {
		t.Error("lists of lists are not as they were written")
	}
}

// Lists that are read have room for as many lists as they are, not as they have numbers: they may
// wait for a row group.
func TestListsHaveOffsetsOfTheirOwn(t *testing.T) {
	batch := listsOfLists(memory.DefaultAllocator, 100)
	defer batch.Release()
	path := filepath.Join(t.TempDir(), "f.parquet")
	var out bytes.Buffer
	w, err := NewWriter(&out, batch.Schema(), format.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(batch), w.Close(), os.WriteFile(path, out.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path, format.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	err = r.(*Reader).ReadSpan(t.Context(), 0, []int{0}, func(got arrow.RecordBatch) error {
		for data, lists := got.Column(0).Data(), 100; lists <= 1000; data, lists = data.Children()[0], 10*lists {
			if bytes := data.Buffers()[1].Len(); bytes != 4*(lists+1) {
				t.Errorf("%d lists have offsets of %d bytes; want %d", lists, bytes, 4*(lists+1))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// listsOfLists are rows of ten lists of a hundred numbers.
func listsOfLists(mem memory.Allocator, rows int) arrow.RecordBatch {
	schema := arrow.NewSchema([]arrow.Field{{Name: "l", Type: arrow.ListOf(arrow.ListOf(arrow.PrimitiveTypes.Float64)), Nullable: true}}, nil)
	b := array.NewRecordBuilder(mem, schema)
	defer b.Release()
	outer := b.Field(0).(*array.ListBuilder)
	inner := outer.ValueBuilder().(*array.ListBuilder)
	numbers := inner.ValueBuilder().(*array.Float64Builder)
	rng := splitmix(uint64(rows))
	for range rows {
		outer.Append(true)
		for range 10 {
			inner.Append(true)
			for range 100 {
				numbers.Append(float64(rng.next()))
			}
		}
	}
	return b.NewRecordBatch()
}
