package parquetfile

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"

	"github.com/millrace/millrace/io/format"
)

// A column chunk of booleans has the bounds of its values, as many values as rows that are
// not null, and no bit beyond them, after a longer page, too.
func TestBooleans(t *testing.T) {
	for name, c := range map[string]struct {
		rows        int
		value       func(row int) bool
		null        func(row int) bool
		least, most string
	}{
		"all true":            {rows: 13, value: func(int) bool { return true }, least: "\x01", most: "\x01"},
		"all false":           {rows: 13, value: func(int) bool { return false }, least: "\x00", most: "\x00"},
		"both, and nulls":     {rows: 1000, value: func(row int) bool { return row%2 == 0 }, null: func(row int) bool { return row%3 == 0 }, least: "\x00", most: "\x01"},
		"all null":            {rows: 1000, null: func(int) bool { return true }},
		"true, then one page": {rows: boolPageRows + 5, value: func(row int) bool { return row < boolPageRows }, least: "\x00", most: "\x01"},
	} {
		b := array.NewBooleanBuilder(memory.DefaultAllocator)
		for row := range c.rows {
			if c.null != nil && c.null(row) {
				b.AppendNull()
			} else {
				b.Append(c.value(row))
			}
		}
		arr := b.NewBooleanArray()
		b.Release()
		batch := batchOf(arr, true)
		library := openLibrary(t, writeFlat(t, format.WriteOptions{Compression: "none", Allocator: checked(t)}, RowGroupBytes, batch))
		chunk, err := library.MetaData().RowGroup(0).ColumnChunk(0)
		if err != nil {
			t.Fatal(err)
		}
		s, err := chunk.Statistics()
		if err != nil {
			t.Fatal(err)
		}
		if s.NullCount() != int64(arr.NullN()) || s.HasMinMax() != (c.least != "") || s.HasMinMax() && (string(s.EncodeMin()) != c.least || string(s.EncodeMax()) != c.most) {
			t.Errorf("%s: %d nulls, bounds %x, %x; want %d, %x, %x", name, s.NullCount(), s.EncodeMin(), s.EncodeMax(), arr.NullN(), c.least, c.most)
		}
		pages, err := library.RowGroup(0).GetColumnPageReader(0)
		if err != nil {
			t.Fatal(err)
		}
		for pages.Next() {
			p := pages.Page().(file.DataPage)
			last := p.Data()[len(p.Data())-1]
			if used := p.NumValues() % 8; arr.NullN() == 0 && used > 0 && last>>used != 0 {
				t.Errorf("%s: a page of %d values ends in %08b", name, p.NumValues(), last)
			}
		}
		row := 0
		got, _, err := readAll(open(t, write(t, format.WriteOptions{}, batch), format.ReadOptions{}), []int{0}, 0, memory.DefaultAllocator)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got[0].Len() {
			if got[0].ValueStr(i) != arr.ValueStr(row) {
				t.Fatalf("%s, row %d: %s; want %s", name, row, got[0].ValueStr(i), arr.ValueStr(row))
			}
			row++
		}
		release(got)
		batch.Release()
		arr.Release()
	}
}
