package dataset

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/io/format"
)

// The value of a folder is all that its rows have, whatever the file says about a column
// of its name.
func TestStatisticsOfOneValue(t *testing.T) {
	for _, c := range []struct {
		why  string
		make func(mem memory.Allocator) arrow.Array
		want format.Statistics
	}{
		{"an integer", func(mem memory.Allocator) arrow.Array {
			b := array.NewInt32Builder(mem)
			b.Append(-7)
			return b.NewArray()
		}, format.Statistics{Min: int64(-7), Max: int64(-7)}},
		{"a day", func(mem memory.Allocator) arrow.Array {
			b := array.NewDate32Builder(mem)
			b.Append(15706)
			return b.NewArray()
		}, format.Statistics{Min: int64(15706), Max: int64(15706)}},
		{"a text", func(mem memory.Allocator) arrow.Array {
			b := array.NewDictionaryBuilder(mem, stringType).(*array.BinaryDictionaryBuilder)
			_ = b.AppendString("EU")
			return b.NewArray()
		}, format.Statistics{Min: "EU", Max: "EU"}},
		{"null", func(mem memory.Allocator) arrow.Array {
			b := array.NewInt64Builder(mem)
			b.AppendNull()
			return b.NewArray()
		}, format.Statistics{Nulls: 5}},
	} {
		a := c.make(memory.DefaultAllocator)
		if diff := cmp.Diff(c.want, ofOne(a, 5)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.why, diff)
		}
		a.Release()
	}
}

// Statistics are kept of the columns that were asked for, by span.
func TestStatisticsThatWereAskedFor(t *testing.T) {
	f := newFakes(t)
	a := f.add(t, "a", fakeFile{fields: []arrow.Field{idField, nameField}, spans: []int64{2, 3}})
	opts := f.options()
	opts.Statistics = []string{"name", "other"}
	d, err := Open(t.Context(), []string{a}, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, c := range []struct {
		span   int
		column string
		want   format.Statistics
	}{
		{0, "name", format.Statistics{Min: int64(1), Max: int64(1)}}, // as the fake says
		{1, "name", format.Statistics{Nulls: 1, Min: int64(1), Max: int64(1)}},
		{2, "name", format.Unknown()},
		{0, "id", format.Unknown()},
		{0, "other", format.Unknown()},
	} {
		if diff := cmp.Diff(c.want, d.Statistics(0, c.span, c.column)); diff != "" {
			t.Errorf("Statistics(0, %d, %q) (-want +got):\n%s", c.span, c.column, diff)
		}
	}
}
