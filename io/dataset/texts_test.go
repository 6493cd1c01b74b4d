package dataset

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// A column of texts is one whatever layout each file's writer had, in any order of the files.
func TestTextsOfSeveralTypes(t *testing.T) {
	f := newFakes(t)
	file := func(name string, dt arrow.DataType, base int64) string {
		return f.add(t, name, fakeFile{fields: []arrow.Field{{Name: "s", Type: dt}, idField}, spans: []int64{3}, base: base})
	}
	text, large, view, bytes := file("text", arrow.BinaryTypes.String, 0), file("large", arrow.BinaryTypes.LargeString, 10), file("view", arrow.BinaryTypes.StringView, 20), file("bytes", arrow.BinaryTypes.Binary, 0)
	for _, c := range []struct {
		paths []string
		want  arrow.DataType
		rows  string
	}{
		{[]string{text, large}, arrow.BinaryTypes.LargeString, "[0 1 2 10 11 12]"},
		{[]string{large, text, view}, arrow.BinaryTypes.LargeString, "[10 11 12 0 1 2 20 21 22]"},
		{[]string{view, text}, arrow.BinaryTypes.LargeString, "[20 21 22 0 1 2]"},
		{[]string{view, view}, arrow.BinaryTypes.StringView, "[20 21 22 20 21 22]"},
		{[]string{text, text}, arrow.BinaryTypes.String, "[0 1 2 0 1 2]"},
	} {
		d := open(t, f, c.paths...)
		if got := d.Schema().Field(0).Type; !arrow.TypeEqual(got, c.want) {
			t.Errorf("%q: s is %s; want %s", c.paths, got, c.want)
		}
		var rows []string
		for i := range c.paths {
			err := d.ReadSpan(t.Context(), SpanRef{File: i}, []string{"s", "id"}, func(b arrow.RecordBatch) error {
				if !arrow.TypeEqual(b.Column(0).DataType(), c.want) {
					t.Errorf("%q: a batch of file %d has %s; want %s", c.paths, i, b.Column(0).DataType(), c.want)
				}
				for r := range int(b.NumRows()) {
					rows = append(rows, b.Column(0).ValueStr(r))
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		if got := fmt.Sprint(rows); got != c.rows {
			t.Errorf("%q: rows %s; want %s", c.paths, got, c.rows)
		}
	}
	if _, err := Open(t.Context(), []string{text, bytes}, f.options()); !errors.Is(err, ErrSchema) {
		t.Errorf("Open of texts and bytes = %v; want ErrSchema", err)
	}
}

func TestWidenedKeepsNulls(t *testing.T) {
	for _, dt := range []arrow.DataType{
		arrow.BinaryTypes.String, arrow.BinaryTypes.LargeString, arrow.BinaryTypes.StringView, arrow.BinaryTypes.Binary, arrow.BinaryTypes.LargeBinary, arrow.BinaryTypes.BinaryView,
	} {
		a, _, err := array.FromJSON(memory.DefaultAllocator, dt, strings.NewReader(`["ZZZZ", "YQ==", null, "", "YSB0ZXh0IHRoYXQgaXMgdG9vIGxvbmcgZm9yIGEgdmlldw==", null]`))
		if err != nil {
			t.Fatal(err)
		}
		cut := array.NewSlice(a, 1, 6)
		w := widened(cut, widest(dt))
		var got, want []string
		for i := range cut.Len() {
			want, got = append(want, fmt.Sprint(cut.IsNull(i), cut.ValueStr(i))), append(got, fmt.Sprint(w.IsNull(i), w.ValueStr(i)))
		}
		if !slices.Equal(got, want) || !arrow.TypeEqual(w.DataType(), widest(dt)) || w.NullN() != 2 {
			t.Errorf("%s: %q of %s; want %q of %s", dt, got, w.DataType(), want, widest(dt))
		}
	}
}
