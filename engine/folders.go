package engine

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/dataset"
)

// namesFolders says whether values of a type can name folders: each has one text, that
// whoever reads the folder understands as the type.
func namesFolders(t arrow.DataType) bool {
	if d, ok := t.(*arrow.DictionaryType); ok {
		return d.ValueType.ID() == arrow.STRING || d.ValueType.ID() == arrow.LARGE_STRING
	}
	switch id := t.ID(); id {
	case arrow.BOOL, arrow.DATE32, arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW:
		return true
	default:
		return arrow.IsInteger(id)
	}
}

// folders are those of the rows of some columns, such as date=2026-11-22/carrier=UA.
type folders struct {
	names []string // each once
	of    []int32  // by row: an index into names
}

// foldersOf finds the folder of every row of columns, which have the names given.
func foldersOf(names []string, columns []arrow.Array) (*folders, error) {
	f := &folders{names: []string{""}, of: make([]int32, columns[0].Len())}
	for i, column := range columns {
		codes, values, err := codesOf(names[i], column)
		if err != nil {
			return nil, err
		}
		f.within(codes, values)
	}
	return f, nil
}

// within puts folders of one more column below those there are.
func (f *folders) within(codes []int32, values []string) {
	type pair struct{ above, code int32 }
	known := map[pair]int32{}
	byName := map[string]int32{}
	var names []string
	last, at := pair{-1, -1}, int32(-1)
	for row, code := range codes {
		if next := (pair{f.of[row], code}); next != last { // rows of one folder often lie side by side
			var ok bool
			last = next
			if at, ok = known[next]; !ok {
				name := filepath.Join(f.names[next.above], values[code])
				if at, ok = byName[name]; !ok {
					at = int32(len(names))
					names, byName[name] = append(names, name), at
				}
				known[next] = at
			}
		}
		f.of[row] = at
	}
	f.names = names
}

// codesOf numbers the distinct values of a column, and gives each value's folder. Two
// values can have one folder: null and the empty text.
func codesOf(name string, column arrow.Array) (codes []int32, values []string, err error) {
	if d, ok := column.(*array.Dictionary); ok {
		entries, values, err := codesOf(name, d.Dictionary())
		if err != nil {
			return nil, nil, err
		}
		null := int32(len(values))
		values = append(values, dataset.EscapePartition(name, "", true))
		codes = make([]int32, d.Len())
		for i := range codes {
			if codes[i] = null; !d.IsNull(i) {
				codes[i] = entries[d.GetValueIndex(i)]
			}
		}
		return codes, values, nil
	}
	c := coder{name: name, column: column, null: -1}
	switch a := column.(type) {
	case *array.Boolean:
		codes, err = code(&c, func(i int) bool { return a.Value(i) }, strconv.FormatBool)
	case *array.Date32:
		codes, err = code(&c, func(i int) arrow.Date32 { return a.Value(i) }, func(d arrow.Date32) string { return d.FormattedString() })
	case array.StringLike:
		codes, err = code(&c, a.Value, func(text string) string { return text })
	case *array.Uint64:
		codes, err = code(&c, a.Value, func(n uint64) string { return strconv.FormatUint(n, 10) })
	default:
		var at func(i int) int64
		if at, err = integers(column); err == nil {
			codes, err = code(&c, at, func(n int64) string { return strconv.FormatInt(n, 10) })
		}
	}
	return codes, c.values, err
}

// integers gives the values of an array of integers that int64 holds.
func integers(column arrow.Array) (func(i int) int64, error) {
	switch a := column.(type) {
	case *array.Int8:
		return func(i int) int64 { return int64(a.Value(i)) }, nil
	case *array.Int16:
		return func(i int) int64 { return int64(a.Value(i)) }, nil
	case *array.Int32:
		return func(i int) int64 { return int64(a.Value(i)) }, nil
	case *array.Int64:
		return a.Value, nil
	case *array.Uint8:
		return func(i int) int64 { return int64(a.Value(i)) }, nil
	case *array.Uint16:
		return func(i int) int64 { return int64(a.Value(i)) }, nil
	case *array.Uint32:
		return func(i int) int64 { return int64(a.Value(i)) }, nil
	}
	return nil, fmt.Errorf("%w: %s names no folder", ErrInternal, column.DataType())
}

// coder numbers the values of one column.
type coder struct {
	name   string
	column arrow.Array
	values []string // folders, by code
	null   int32    // null's code; -1 before there is one
}

// code numbers values, which at gives by row and text writes.
func code[T comparable](c *coder, at func(i int) T, text func(T) string) ([]int32, error) {
	known := map[T]int32{}
	codes := make([]int32, c.column.Len())
	nulls := c.column.NullN() > 0
	for i := range codes {
		if nulls && c.column.IsNull(i) {
			if c.null < 0 {
				c.null = int32(len(c.values))
				c.values = append(c.values, dataset.EscapePartition(c.name, "", true))
			}
			codes[i] = c.null
			continue
		}
		value := at(i)
		n, ok := known[value]
		if !ok {
			folder, err := c.folder(text(value))
			if err != nil {
				return nil, err
			}
			n = int32(len(c.values))
			known[value], c.values = n, append(c.values, folder)
		}
		codes[i] = n
	}
	return codes, nil
}

// maxFolderBytes is the longest name that file systems take: NAME_MAX of limits.h.
const maxFolderBytes = 255

func (c *coder) folder(text string) (string, error) {
	folder := dataset.EscapePartition(c.name, text, false)
	if len(folder) > maxFolderBytes || len(c.values) == math.MaxInt32 {
		return "", fmt.Errorf("%w: --partition-by: column %q has the value %.40q..., whose folder's name would have %d bytes, and file systems take %d: partition by another column",
			ledger.ErrOutput, c.name, text, len(folder), maxFolderBytes)
	}
	return folder, nil
}
