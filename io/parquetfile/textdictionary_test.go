package parquetfile

import (
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"

	"github.com/millrace/millrace/io/format"
)

// A dictionary is written where values repeat, and is left out where they do not.
func TestWhenTextsHaveDictionaries(t *testing.T) {
	const rows = 120_000
	for _, c := range []struct{ shape, nulls, want string }{
		{"few", "none", "RLE_DICTIONARY"},
		{"one", "some", "RLE_DICTIONARY"},
		{"sorted", "none", "RLE_DICTIONARY"},
		{"thousands", "none", "RLE_DICTIONARY"},
		{"unlike", "none", "PLAIN"},
		{"alike, then unlike", "none", "PLAIN RLE_DICTIONARY"},
		{"few", "all", "PLAIN"},
	} {
		rng := splitmix(3)
		arr := textArray(t, arrow.BinaryTypes.String, rows, c.shape, c.nulls, &rng)
		batch := batchOf(arr, true)
		group := openLibrary(t, writeFlat(t, format.WriteOptions{}, RowGroupBytes, batch)).RowGroup(0)
		got, values, dictionaries := encodingsOf(t, group)
		if got != c.want || values != rows || (dictionaries == 1) != strings.Contains(c.want, "DICT") {
			t.Errorf("%s: %d values as %s and %d dictionaries; want %d as %s", c.shape, values, got, dictionaries, rows, c.want)
		}
		batch.Release()
		arr.Release()
	}
}

// A row group that has no texts, or too few to tell, says nothing about those that follow.
func TestTextsHaveDictionariesAfterNulls(t *testing.T) {
	const rows = 1000
	for _, c := range []struct {
		shape, nulls string
		rows         int // of the first row group that have a say
		want         string
	}{
		{"few", "all", rows, "RLE_DICTIONARY"},
		{"unlike", "none", leastUnlikeTexts - 1, "RLE_DICTIONARY"},
		{"unlike", "none", leastUnlikeTexts, "PLAIN"},
	} {
		rng := splitmix(5)
		said := textArray(t, arrow.BinaryTypes.String, c.rows, c.shape, c.nulls, &rng)
		silent := textArray(t, arrow.BinaryTypes.String, rows-c.rows, "few", "all", &rng)
		few := textArray(t, arrow.BinaryTypes.String, rows, "few", "none", &rng)
		arr, err := array.Concatenate([]arrow.Array{said, silent, few}, memory.DefaultAllocator)
		if err != nil {
			t.Fatal(err)
		}
		batch := batchOf(arr, true)
		library := openLibrary(t, writeFlat(t, format.WriteOptions{RowGroupRows: rows}, RowGroupBytes, batch))
		if library.NumRowGroups() != 2 {
			t.Fatalf("%d row groups; want 2", library.NumRowGroups())
		}
		if got, _, _ := encodingsOf(t, library.RowGroup(1)); got != c.want {
			t.Errorf("after %d %s texts (nulls: %s): %s; want %s", c.rows, c.shape, c.nulls, got, c.want)
		}
		batch.Release()
		for _, a := range []arrow.Array{said, silent, few, arr} {
			a.Release()
		}
	}
}

// encodingsOf are the encodings of a row group's first column, and how many values and
// dictionaries its pages have.
func encodingsOf(t *testing.T, group *file.RowGroupReader) (encodings string, values, dictionaries int) {
	t.Helper()
	pages, err := group.GetColumnPageReader(0)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for pages.Next() {
		if p, ok := pages.Page().(file.DataPage); ok {
			found, values = append(found, parquet.Encoding(p.Encoding()).String()), values+int(p.NumValues())
		} else {
			dictionaries++
		}
	}
	if err := pages.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return strings.Join(slices.Compact(found), " "), values, dictionaries
}
