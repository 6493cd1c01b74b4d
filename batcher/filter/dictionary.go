package filter

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/internal/storage"
)

// tables keep what tests are of the values of dictionaries, each tested once for as
// long as the record batches share it.
type tables map[*leaf]*table

// table is what one test is of each value of a dictionary, which it owns a reference
// to, so that no other can come to lie in its place.
type table struct {
	dictionary arrow.Array
	of         []trivalent
}

// release gives the dictionaries up.
func (t tables) release() {
	for p, table := range t {
		table.dictionary.Release()
		delete(t, p)
	}
}

// sameDictionary says that two dictionaries are the same memory.
func sameDictionary(a, b arrow.Array) bool {
	x, y := a.Data(), b.Data()
	if x == y {
		return true
	}
	if x.Len() != y.Len() || x.Offset() != y.Offset() || len(x.Buffers()) != len(y.Buffers()) || len(x.Children())+len(y.Children()) > 0 {
		return false
	}
	for i, buffer := range x.Buffers() {
		if buffer != y.Buffers()[i] {
			return false
		}
	}
	return true
}

// table tests the values of a dictionary, unless that is done.
func (t *tile) table(p *leaf, dictionary arrow.Array) []trivalent {
	if known := t.tables[p]; known != nil {
		if sameDictionary(known.dictionary, dictionary) {
			return known.of
		}
		known.dictionary.Release()
		delete(t.tables, p)
	}
	of := make([]trivalent, dictionary.Len())
	values := storage.Array(dictionary)
	var inner tile // of the values
	for at := 0; at < len(of); at += tileRows {
		inner.reset(mark{})
		inner.from, inner.rows = at, min(tileRows, len(of)-at)
		got := p.test.eval(&inner, values)
		for i := range inner.rows {
			of[at+i] = got.at(i)
		}
	}
	dictionary.Retain()
	t.tables[p] = &table{dictionary: dictionary, of: of}
	return of
}

// at is the truth in one row.
func (a truth) at(row int) trivalent {
	switch {
	case a.yes[row/64]>>(row%64)&1 != 0:
		return isTrue
	case a.no[row/64]>>(row%64)&1 != 0:
		return isFalse
	default:
		return isUnknown
	}
}

// lookup gives a test of a dictionary's rows by those of its values.
func (t *tile) lookup(p *leaf, d *array.Dictionary) truth {
	of := t.table(p, d.Dictionary())
	out := truth{t.bits(), t.bits()}
	switch indices := d.Indices().(type) {
	case *array.Int8:
		look(out, indices.Int8Values()[t.from:][:t.rows], of)
	case *array.Int16:
		look(out, indices.Int16Values()[t.from:][:t.rows], of)
	case *array.Int32:
		look(out, indices.Int32Values()[t.from:][:t.rows], of)
	case *array.Int64:
		look(out, indices.Int64Values()[t.from:][:t.rows], of)
	case *array.Uint8:
		look(out, indices.Uint8Values()[t.from:][:t.rows], of)
	case *array.Uint16:
		look(out, indices.Uint16Values()[t.from:][:t.rows], of)
	case *array.Uint32:
		look(out, indices.Uint32Values()[t.from:][:t.rows], of)
	case *array.Uint64:
		look(out, indices.Uint64Values()[t.from:][:t.rows], of)
	}
	return t.valid(d).take(out)
}

type integer interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// look sets the bits of the rows. What a null's index is means nothing: it may lie
// beyond the dictionary, and is unknown then.
func look[T integer](out truth, indices []T, of []trivalent) {
	for w := range out.yes {
		var yes, no uint64
		for i, index := range indices[w*64 : min(w*64+64, len(indices))] {
			v := isUnknown
			if at := uint64(index); at < uint64(len(of)) {
				v = of[at]
			}
			yes |= bit(v == isTrue) << (i & 63)
			no |= bit(v == isFalse) << (i & 63)
		}
		out.yes[w], out.no[w] = yes, no
	}
}

// validOf is which rows of a column have a value: of a dictionary, its values may be
// null too.
func (t *tile) validOf(a arrow.Array) nullness {
	d, ok := a.(*array.Dictionary)
	if !ok {
		return t.valid(a)
	}
	valid := t.valid(d)
	values := d.Dictionary()
	if values.NullN() == 0 {
		return valid
	}
	out := t.bits()
	clear(out)
	for i := range t.rows {
		if row := t.from + i; d.IsValid(row) && values.IsValid(d.GetValueIndex(row)) {
			out[i/64] |= 1 << (i % 64)
		}
	}
	return out
}
