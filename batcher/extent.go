package batcher

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"

	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/internal/storage"
)

// ErrDamaged says that a column's buffers contradict each other.
var ErrDamaged = errors.New("column is damaged")

// extent is where the values of one column lie in one segment, and which of
// them are null. Lists and extension types are stripped; of a list column the
// values are the elements, cut to the segment's rows.
//
// Nulls of fixed-size lists are carried down to their elements, so that one
// bitmap says all there is to say: the elements of a null list are null, and
// its neighbours keep their values.
type extent struct {
	values arrow.Array
	first  int  // in values, of value 0
	owned  bool // values is to be released
	rows   int
	width  int // values of one row
	length int

	// validity is the values' bitmap, bit the bit of value 0, nulls the zeros
	// in it. It is nil when no value is null; allNull replaces it for a column
	// of type null.
	validity []byte
	bit      int
	nulls    int
	allNull  bool
	// nullLists counts the null lists that lie in no other null list, and
	// hidden the elements under them.
	nullLists, hidden int

	// entries is the dictionary of a dictionary column, borrowed from values,
	// and index each value's place in it, checked to be within it or, for
	// nulls, 0.
	entries arrow.Array
	index   []int32

	// starts is each row's first value and rowNulls its nulls, for variable
	// lists whose values do not follow each other because a null list has
	// values of its own, or none.
	starts   []int
	rowNulls []bool
	// wrong are the lists of another length than the model wants, in order; their
	// rows have no values, as those of null lists.
	wrong []lengthError
}

// open resolves a column of a segment into an empty extent; the caller releases
// it, on error too, and before the segment.
func (e *extent) open(segment Segment, f *Feature, b *Binding) error {
	column := segment.Record.Column(f.Field)
	if !sameValues(column.DataType(), f.Type) {
		return fmt.Errorf("%w: it is %s here, but was bound as %s", ErrBind, column.DataType(), f.Type)
	}
	e.values, e.rows, e.width = column, segment.Rows, 1
	if plainNumbers(column.DataType().ID()) {
		e.first = segment.From // nothing to make, and nobody else's counters to touch
	} else {
		e.replace(segment.Column(f.Field))
	}
	if b.Form == Vector {
		e.width = b.Width
	}
	return e.descend()
}

func (e *extent) release() {
	if e.owned {
		e.values.Release()
	}
	e.values, e.owned = nil, false
}

// plainNumbers reports whether arrays of a type are a bitmap and numbers, or bits.
func plainNumbers(id arrow.Type) bool {
	return id >= arrow.BOOL && id <= arrow.FLOAT64 && id != arrow.FLOAT16
}

// replace goes one level down; it takes child over.
func (e *extent) replace(child arrow.Array) {
	e.release()
	e.values, e.owned = child, true
}

// descend goes down to the values and finds which are null.
func (e *extent) descend() error {
	var lists []byte // validity of the current level, as far as lists above say
	for {
		var err error
		switch t := e.values.(type) {
		case array.ExtensionArray:
			inner := t.Storage()
			inner.Retain()
			e.replace(inner)
		case *array.FixedSizeList:
			lists, err = e.enterFixed(t, lists)
		case *array.List:
			lists, err = enterVariable(e, t, t.ListValues(), t.Offsets())
		case *array.LargeList:
			lists, err = enterVariable(e, t, t.ListValues(), t.Offsets())
		default:
			return e.setValidity(lists)
		}
		if err != nil {
			return err
		}
	}
}

// bitmapOf is an array's validity bitmap, the bit of value first and the number of
// zeros among it and the n-1 after it. The zeros are counted, not believed.
func bitmapOf(a arrow.Array, first, n int) (bitmap []byte, bit, nulls int, err error) {
	bitmap, bit = a.NullBitmapBytes(), a.Data().Offset()+first
	if len(bitmap) == 0 || n == 0 {
		return nil, 0, 0, nil
	}
	if len(bitmap)*8 < bit+n {
		return nil, 0, 0, fmt.Errorf("%w: %d values have a validity bitmap of %d bytes", ErrDamaged, bit+n, len(bitmap))
	}
	nulls = n - kernel.CountOnes(bitmap, bit, n)
	if nulls == 0 {
		return nil, 0, 0, nil
	}
	return bitmap, bit, nulls, nil
}

// setValidity joins the nulls of the values with those of the lists around
// them.
func (e *extent) setValidity(lists []byte) error {
	e.length = e.rows
	if e.owned {
		e.length = e.values.Len()
	}
	if lists != nil {
		e.hidden = e.length - kernel.CountOnes(lists, 0, e.length)
	}
	if _, ok := e.values.(*array.Null); ok {
		e.allNull, e.nulls = true, e.length
		return nil
	}
	own, bit, nulls, err := bitmapOf(e.values, e.first, e.length)
	if err != nil {
		return err
	}
	e.validity, e.bit, e.nulls = own, bit, nulls
	if lists != nil {
		if nulls > 0 {
			for i := range e.length {
				if !bitutil.BitIsSet(own, bit+i) {
					bitutil.ClearBit(lists, i)
				}
			}
		}
		e.validity, e.bit = lists, 0
		e.nulls = e.length - kernel.CountOnes(lists, 0, e.length)
	}
	if dict, ok := e.values.(*array.Dictionary); ok {
		return e.setDictionary(dict)
	}
	return nil
}

// setDictionary checks the values' places in the dictionary. A value is null
// when its place is, and when the entry there is.
func (e *extent) setDictionary(dict *array.Dictionary) error {
	e.entries = storage.Array(dict.Dictionary())
	if _, ok := e.entries.(*array.Null); ok {
		e.allNull, e.nulls = true, e.length
		return nil
	}
	entryBitmap, entryBit, entryNulls, err := bitmapOf(e.entries, 0, e.entries.Len())
	if err != nil {
		return err
	}
	validity := make([]byte, bitutil.BytesForBits(int64(e.length)))
	e.index = make([]int32, e.length)
	entries, nulls := e.entries.Len(), 0
	for i := range e.length {
		if e.isNull(i) {
			nulls++
			continue
		}
		k := dict.GetValueIndex(i)
		if k < 0 || k >= entries {
			return fmt.Errorf("%w: a value is entry %d of a dictionary of %d", ErrDamaged, k, entries)
		}
		if entryNulls > 0 && !bitutil.BitIsSet(entryBitmap, entryBit+k) {
			nulls++
			continue
		}
		e.index[i] = int32(k)
		bitutil.SetBit(validity, i)
	}
	e.validity, e.bit, e.nulls = nil, 0, nulls
	if nulls > 0 {
		e.validity = validity
	}
	return nil
}

// isNull reports whether value i is null, by itself or by the fixed-size list
// that it is in.
func (e *extent) isNull(i int) bool {
	return e.allNull || e.nulls > 0 && !bitutil.BitIsSet(e.validity, e.bit+i)
}

// row is the first value of row r, and whether the row's list is null and has
// no values.
func (e *extent) row(r int) (start int, null bool) {
	if e.starts == nil {
		return r * e.width, false
	}
	return e.starts[r], e.rowNulls[r]
}

// rowOf is the row that a value lies in.
func (e *extent) rowOf(value int) int {
	if e.starts == nil {
		return value / e.width
	}
	// A row without values starts where the next one does.
	return sort.Search(len(e.starts), func(r int) bool { return e.starts[r] > value }) - 1
}

// nullCount counts nulls; a null list counts as one.
func (e *extent) nullCount() int64 {
	if e.starts == nil {
		return int64(e.nulls - e.hidden + e.nullLists)
	}
	count := -int64(len(e.wrong))
	for r := range e.rows {
		start, null := e.row(r)
		if null {
			count++
			continue
		}
		for i := start; i < start+e.width; i++ {
			if e.isNull(i) {
				count++
			}
		}
	}
	return count
}

// nullRows gives the rows that hold a null, in order; those of lists of another
// length do not.
func (e *extent) nullRows() iter.Seq[int] {
	return func(yield func(int) bool) {
		wrong := e.wrong
		for r := range e.rows {
			if len(wrong) > 0 && wrong[0].row == r {
				wrong = wrong[1:]
				continue
			}
			start, null := e.row(r)
			if !null && !e.allNull && (e.nulls == 0 || kernel.FirstZeroBit(e.validity, e.bit+start, e.width) < 0) {
				continue
			}
			if !yield(r) {
				return
			}
		}
	}
}

// sameValues reports whether two columns' values can be read alike; whether a
// schema calls them nullable does not matter.
func sameValues(a, b arrow.DataType) bool {
	// Up to FLOAT64 a type is its number; TypeEqual compares by reflection.
	if id := a.ID(); id <= arrow.FLOAT64 && id == b.ID() || arrow.TypeEqual(a, b) {
		return true
	}
	ea, da, _ := listShape(a)
	eb, db, _ := listShape(b)
	return slices.Equal(da, db) && arrow.TypeEqual(entryType(ea), entryType(eb))
}

// entryType is the type of a dictionary's entries, or the type itself.
func entryType(t arrow.DataType) arrow.DataType {
	if dict, ok := t.(*arrow.DictionaryType); ok {
		return storage.Type(dict.ValueType)
	}
	return t
}
