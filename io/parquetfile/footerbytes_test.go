package parquetfile

import (
	"bytes"
	"errors"
	"runtime"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
)

// manyChunks is a file of so many columns and row groups of one row.
func manyChunks(t *testing.T, columns, groups int, counted *uint64) []byte {
	t.Helper()
	fields, arrays := make([]arrow.Field, columns), make([]arrow.Array, columns)
	one := fromJSON(t, memory.DefaultAllocator, arrow.PrimitiveTypes.Float32, "[1.5]")
	for i := range fields {
		fields[i], arrays[i] = arrow.Field{Name: strconv.Itoa(i), Type: arrow.PrimitiveTypes.Float32}, one
	}
	batch := array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, 1)
	defer batch.Release()
	var out bytes.Buffer
	w, err := NewWriter(&out, batch.Schema(), format.WriteOptions{RowGroupRows: 1})
	if err != nil {
		t.Fatal(err)
	}
	live := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc - uint64(out.Cap())
	}
	before := uint64(0)
	for i := range groups {
		if i == 1 {
			before = live()
		}
		if err := w.Write(batch); err != nil {
			t.Fatal(err)
		}
	}
	*counted = live() - before
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What a writer keeps of row groups that are written, and a joiner of files, is no more than
// stands in the footer: 1,000 columns come to a column chunk for each 64 KiB of a large file.
func TestRowGroupsAreKeptAsBytes(t *testing.T) {
	const columns, groups = 300, 60
	var held uint64
	file := manyChunks(t, columns, groups, &held)
	if most := uint64(400 * columns * groups); held > most {
		t.Errorf("%d column chunks are kept in %d bytes; want %d at most", columns*groups, held, most)
	}
	library := openLibrary(t, file)
	if got := library.NumRows(); got != groups {
		t.Errorf("the library reads %d rows; want %d", got, groups)
	}
	if got := library.NumRowGroups(); got != groups {
		t.Errorf("the library reads %d row groups; want %d", got, groups)
	}
	both, err := joined(t, file, file)
	if err != nil {
		t.Fatal(err)
	}
	library = openLibrary(t, both)
	for i, g := range library.MetaData().RowGroups {
		if g.GetOrdinal() != int16(i) || g.NumRows != 1 || len(g.Columns) != columns {
			t.Fatalf("row group %d says it is %d, of %d rows and %d columns", i, g.GetOrdinal(), g.NumRows, len(g.Columns))
		}
	}
	if rows, groups := library.NumRows(), library.NumRowGroups(); rows != 120 || groups != 120 {
		t.Errorf("joined: %d rows in %d row groups; want 120 in 120", rows, groups)
	}
}

// A footer whose parts stand in another order than the library's is refused, not garbled.
func TestFooterOfAnotherOrder(t *testing.T) {
	// version 2, row groups (none), rows 0: fields 1, 4 and 3, the last by its number
	b := []byte{0x15, 0x04, 0x39, 0x0c, 0x06, 0x06, 0x00, 0x00}
	if err := eachGroup(b, nil); err == nil || errors.Is(err, format.ErrBudget) {
		t.Errorf("eachGroup() = %v; want an error", err)
	}
}
