package filter

import (
	"encoding/binary"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
)

// truth is what a predicate is in each row of a tile, one bit a row: true, false, or
// unknown where neither bit is set. Bits beyond the tile's rows are 0.
//
// With both of them, three-valued logic is two-valued logic on words: a && b is true
// where both are and false where either is.
type truth struct{ yes, no []uint64 }

func (a truth) and(b truth) truth {
	for i := range a.yes {
		a.yes[i] &= b.yes[i]
		a.no[i] |= b.no[i]
	}
	return a
}

func (a truth) or(b truth) truth {
	for i := range a.yes {
		a.yes[i] |= b.yes[i]
		a.no[i] &= b.no[i]
	}
	return a
}

func (a truth) not() truth { return truth{yes: a.no, no: a.yes} }

// wordsOf is how many words hold a bit for each row.
func wordsOf(rows int) int { return (rows + 63) / 64 }

// lastWord has the bits of the last word's rows.
func lastWord(rows int) uint64 {
	if rest := rows % 64; rest != 0 {
		return 1<<rest - 1
	}
	return ^uint64(0)
}

// fill sets the bits of all rows.
func fill(words []uint64, rows int) {
	for i := range words {
		words[i] = ^uint64(0)
	}
	if len(words) > 0 {
		words[len(words)-1] = lastWord(rows)
	}
}

// invert sets out to the rows that are not among words.
func invert(out, words []uint64, rows int) {
	for i, w := range words {
		out[i] = ^w
	}
	if len(out) > 0 {
		out[len(out)-1] &= lastWord(rows)
	}
}

func count(words []uint64) (n int) {
	for _, w := range words {
		n += bits.OnesCount64(w)
	}
	return n
}

// loadBits copies rows bits of a bitmap, from bit at on.
func loadBits(out []uint64, bitmap []byte, at, rows int) {
	shift := uint(at % 8)
	bitmap = bitmap[at/8:]
	for i := range out {
		var w uint64
		if len(bitmap) >= 9 {
			w = binary.LittleEndian.Uint64(bitmap) >> shift
			if shift > 0 {
				w |= uint64(bitmap[8]) << (64 - shift)
			}
			bitmap = bitmap[8:]
		} else {
			var last [16]byte
			copy(last[:], bitmap)
			w = binary.LittleEndian.Uint64(last[:])>>shift | uint64(last[8])<<1<<(63-shift)
			bitmap = bitmap[min(8, len(bitmap)):]
		}
		out[i] = w
	}
	if len(out) > 0 {
		out[len(out)-1] &= lastWord(rows)
	}
}

// tileRows is how many rows are looked at at a time, so that what is between a
// predicate and the next stays in cache.
const tileRows = 4096

// tile is some rows of a record batch that an expression is evaluated on, and the
// memory for that.
type tile struct {
	columns    []arrow.Array // of Filter.Columns
	from, rows int
	tables     tables

	words  [][]uint64
	used   int // of words
	ints   [][]int64
	nInts  int
	floats [][]float64
	nFloat int
}

// bits gives words for the tile's rows, with anything in them.
func (t *tile) bits() []uint64 {
	if t.used == len(t.words) {
		t.words = append(t.words, make([]uint64, wordsOf(tileRows)))
	}
	t.used++
	return t.words[t.used-1][:wordsOf(t.rows)]
}

// int64s gives values for the tile's rows, with anything in them.
func (t *tile) int64s() []int64 {
	if t.nInts == len(t.ints) {
		t.ints = append(t.ints, make([]int64, tileRows))
	}
	t.nInts++
	return t.ints[t.nInts-1][:t.rows]
}

// float64s gives values for the tile's rows, with anything in them.
func (t *tile) float64s() []float64 {
	if t.nFloat == len(t.floats) {
		t.floats = append(t.floats, make([]float64, tileRows))
	}
	t.nFloat++
	return t.floats[t.nFloat-1][:t.rows]
}

// mark is how much of a tile's memory is in use.
type mark struct{ words, ints, floats int }

func (t *tile) mark() mark { return mark{t.used, t.nInts, t.nFloat} }

// reset gives back what was taken since.
func (t *tile) reset(m mark) { t.used, t.nInts, t.nFloat = m.words, m.ints, m.floats }

// constant is a truth that is the same in all rows.
func (t *tile) constant(v trivalent) truth {
	out := truth{t.bits(), t.bits()}
	clear(out.yes)
	clear(out.no)
	switch v {
	case isTrue:
		fill(out.yes, t.rows)
	case isFalse:
		fill(out.no, t.rows)
	case isUnknown:
	}
	return out
}

// of makes a truth of the rows that meet a test, in words of the tile, where the test
// means nothing for nulls.
func (t *tile) of(meet []uint64, nulls nullness) truth {
	out := truth{yes: meet, no: t.bits()}
	invert(out.no, meet, t.rows)
	return nulls.take(out)
}

// where makes a truth of what is asked of each row that has a value: what lies in others
// means nothing.
func (t *tile) where(valid nullness, meets func(row int) bool) truth {
	out := t.bits()
	clear(out)
	for i := range t.rows {
		if valid.has(i) {
			out[i/64] |= bit(meets(i)) << (i % 64)
		}
	}
	return t.of(out, valid)
}

// unset is true in the rows that have no value, and false in others.
func (t *tile) unset(valid nullness) truth {
	out := t.constant(isFalse)
	if valid != nil {
		invert(out.yes, valid, t.rows)
		copy(out.no, valid)
	}
	return out
}

// nullness is which rows of a tile have a value: nil where all have one.
type nullness []uint64

// has says whether a row has one.
func (n nullness) has(row int) bool { return n == nil || n[row/64]>>(row%64)&1 != 0 }

// take makes a truth unknown where there is no value.
func (n nullness) take(a truth) truth {
	for i, w := range n {
		a.yes[i] &= w
		a.no[i] &= w
	}
	return a
}

// and has the rows that have both values, in words of the tile.
func (n nullness) and(o nullness, t *tile) nullness {
	switch {
	case n == nil:
		return o
	case o == nil:
		return n
	}
	both := t.bits()
	for i := range both {
		both[i] = n[i] & o[i]
	}
	return both
}

// valid is which rows of an array have a value.
func (t *tile) valid(a arrow.Array) nullness {
	if a.DataType().ID() == arrow.NULL {
		out := t.bits()
		clear(out)
		return out
	}
	bitmap := a.NullBitmapBytes()
	if len(bitmap) == 0 || a.NullN() == 0 {
		return nil
	}
	out := t.bits()
	loadBits(out, bitmap, a.Data().Offset()+t.from, t.rows)
	return out
}
