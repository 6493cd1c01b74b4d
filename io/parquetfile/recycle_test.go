package parquetfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/millrace/millrace/io/format"
)

// What a writer holds of many columns of long texts is not much more than a row group and
// the pages that are being filled: a dictionary that was given up is not kept for good, and
// no page grows beyond what it is to have.
func TestManyTextsAreWrittenInLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and all in one goroutine")
	}
	const columns, rows, value = 256, 128, 300
	mem := memory.NewCheckedAllocator(&soiled{})
	w, err := NewWriter(io.Discard, textsOf(columns), format.WriteOptions{Allocator: mem, Compression: "none"})
	if err != nil {
		t.Fatal(err)
	}
	rng := splitmix(1)
	most := 0
	for i := range 24 { // 225 MiB
		batch := randomTexts(columns, rows, value, &rng)
		err := w.Write(batch)
		batch.Release()
		if err != nil {
			t.Fatal(err)
		}
		if i >= 12 { // dictionaries were given up, and nobody wants their buffers
			most = max(most, mem.CurrentAlloc())
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	pages := columns * (filePageBytes/columns + headBytes + 2*value)
	if allowed := RowGroupBytes/2 + pages*5/4; most > allowed { // classes of buffers are a quarter apart
		t.Errorf("%d MiB are held by the writer; want %d at most", most>>20, allowed>>20)
	}
}

// Row groups are as large as GroupBytes says.
func TestGroupBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and all in one goroutine")
	}
	const columns, rows, value = 4, 2000, 1000
	rng := splitmix(1)
	first := firstGroupRows(t, textsOf(columns), "none", 12, func() arrow.RecordBatch { return randomTexts(columns, rows, value, &rng) }) // of 92 MiB
	numbers := []arrow.Field{{Type: arrow.PrimitiveTypes.Int64}}
	structs := append(textsOf(columns).Fields(), arrow.Field{Type: arrow.StructOf(numbers...)})
	want := GroupBytes(columns*value, textsOf(columns).Fields())
	if got := first * columns * value; got > want || got < want*9/10 {
		t.Errorf("the first row group has %d MiB; GroupBytes says %d", got>>20, want>>20)
	}
	if GroupBytes(columns*value, numbers) <= want || GroupBytes(100, textsOf(columns).Fields()) <= want {
		t.Error("files of numbers, or of short rows, have row groups no larger than those of long texts")
	}
	if got := GroupBytes(columns*value, structs); got != want {
		t.Errorf("files with structs have row groups of %d MiB; want %d, as of long texts", got>>20, want>>20)
	}
}

// A row group of long rows that are not flat ends soon after half of RowGroupBytes too.
func TestLongRowsOfListsWithinLists(t *testing.T) {
	const numbers, rows, batches = 5000, 128, 10 // 49 MiB
	schema := arrow.NewSchema([]arrow.Field{{Name: "c", Type: arrow.ListOf(arrow.ListOf(arrow.PrimitiveTypes.Int64)), Nullable: true}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	outer := b.Field(0).(*array.ListBuilder)
	inner := outer.ValueBuilder().(*array.ListBuilder)
	for range rows {
		outer.Append(true)
		inner.Append(true)
		for i := range numbers {
			inner.ValueBuilder().(*array.Int64Builder).Append(int64(i))
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	const row = 8 * numbers
	first := firstGroupRows(t, schema, "", batches, func() arrow.RecordBatch { batch.Retain(); return batch })
	if got, most := first*row, RowGroupBytes/2+wideBlockRows*row; got > int64(most) {
		t.Errorf("the first row group has %d MiB; want %d at most", got>>20, most>>20)
	}
}

// Numbers of a dictionary take a few bits each in the file, and their width once they are decoded.
func TestValueBytesOfListsOfCodedNumbers(t *testing.T) {
	const rows, numbers = 10, 100
	schema := arrow.NewSchema([]arrow.Field{{Name: "c", Type: arrow.ListOf(arrow.PrimitiveTypes.Int64), Nullable: true}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	lists := b.Field(0).(*array.ListBuilder)
	for range rows {
		lists.Append(true)
		for i := range numbers {
			lists.ValueBuilder().(*array.Int64Builder).Append(int64(i % 3))
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	path := filepath.Join(t.TempDir(), "f.parquet")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := pqarrow.NewFileWriter(schema, out, parquet.NewWriterProperties(parquet.WithDictionaryDefault(true)), pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(batch), w.Close()); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path, format.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.(*Reader).ValueBytes(0); got != 8*numbers {
		t.Errorf("ValueBytes = %d; want %d", got, 8*numbers)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// Row groups are as large as GroupBytes says, of fewer numbers and of so many that they end by half.
func TestGroupBytesOfManyNumbers(t *testing.T) {
	const rows = 256
	for _, columns := range []int{wideNumbers - 1, wideNumbers, 2 * wideNumbers} {
		fields, arrays := make([]arrow.Field, columns), make([]arrow.Array, columns)
		numbers := array.NewFloat64Builder(memory.DefaultAllocator)
		for i := range rows {
			numbers.Append(float64(i))
		}
		column := numbers.NewArray()
		for i := range fields {
			fields[i], arrays[i] = arrow.Field{Name: strconv.Itoa(i), Type: arrow.PrimitiveTypes.Float64}, column
		}
		batch := array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, rows)
		defer batch.Release()
		want := GroupBytes(int64(8*columns), fields)
		times := int(want)/(8*columns*rows) + blockRows/rows
		first := firstGroupRows(t, batch.Schema(), "none", times, func() arrow.RecordBatch { batch.Retain(); return batch })
		block := int64(8 * columns * blockRows)
		if got := first * int64(8*columns); got < want || got > want+block {
			t.Errorf("%d columns: the first row group has %d MiB; GroupBytes says %d", columns, got>>20, want>>20)
		}
	}
}

// firstGroupRows writes some batches, which it releases, and gives the rows of the first row group.
func firstGroupRows(t *testing.T, schema *arrow.Schema, compression string, times int, batch func() arrow.RecordBatch) int64 {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, schema, format.WriteOptions{Compression: compression})
	if err != nil {
		t.Fatal(err)
	}
	for range times {
		b := batch()
		err := w.Write(b)
		b.Release()
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return openLibrary(t, out.Bytes()).MetaData().RowGroup(0).NumRows()
}

func textsOf(columns int) *arrow.Schema {
	fields := make([]arrow.Field, columns)
	for i := range fields {
		fields[i] = arrow.Field{Name: fmt.Sprintf("t%d", i), Type: arrow.BinaryTypes.String}
	}
	return arrow.NewSchema(fields, nil)
}

// randomTexts are texts of so many letters each, anywhere in a megabyte of random ones.
func randomTexts(columns, rows, size int, rng *splitmix) arrow.RecordBatch {
	letters := make([]byte, 1<<20)
	for i := range letters {
		letters[i] = 'a' + byte(rng.next()%26)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, textsOf(columns))
	defer b.Release()
	for c := range columns {
		to := b.Field(c).(*array.StringBuilder)
		for range rows {
			at := int(rng.next() % uint64(len(letters)-size))
			to.BinaryBuilder.Append(letters[at : at+size])
		}
	}
	return b.NewRecordBatch()
}
