package feature

import (
	"hash/maphash"
	"slices"
	"unicode/utf8"
)

// Bounds of the texts that are known: where a column has more distinct values than these,
// they are forgotten between tiles, and looked up again.
const (
	maxTexts     = 1 << 16
	maxTextBytes = 4 << 20
)

// Where so many texts are known and most rows brought another one, rows are no longer
// looked up for some time, and each has a code of its own: that costs less than a look
// through memory for each that finds nothing. The bounds rise with each time, so that a
// column is watched for a small part of its rows.
const (
	firstTexts  = maxTexts >> 4
	firstPassed = 1 << 16 // rows
	maxPassed   = 1 << 22
)

// texts gives each distinct text a code, from 0 on, so that transforms look at each
// once and at rows by their code; a passing tile's rows have a code each.
type texts struct {
	seed       maphash.Seed
	generation int // changes when codes are forgotten
	data       []byte
	own        []byte // for data, while that is borrowed
	borrowed   bool
	ends       []int     // of each text in data
	broken     int       // how many are not UTF-8
	table      hashTable // a place is a code and 1

	passing     bool // the tile's texts are not looked up
	limit, pass int  // of texts, and of rows that pass when most were new
	asked       int  // rows since the last were forgotten
	left        int  // rows that are still to pass
}

func newTexts() *texts {
	return &texts{seed: maphash.MakeSeed(), table: newHashTable(), limit: firstTexts, pass: firstPassed}
}

// text is that of a code.
func (t *texts) text(code int32) []byte {
	start := 0
	if code > 0 {
		start = t.ends[code-1]
	}
	return t.data[start:t.ends[code]]
}

// code is that of a text, which is copied where it is new.
func (t *texts) code(text []byte) int32 {
	if t.passing {
		return t.add(text)
	}
	hash := uint32(maphash.Bytes(t.seed, text))
	at := t.table.probe(hash, int(hash))
	for place := t.table.slots[at].place; place > 0; place = t.table.slots[at].place {
		if code := int32(place) - 1; string(t.text(code)) == string(text) {
			return code
		}
		at = t.table.probe(hash, at+1)
	}
	code := t.add(text)
	t.table.put(at, hashSlot{hash: hash, place: uint32(code) + 1})
	return code
}

func (t *texts) add(text []byte) int32 {
	t.data = append(t.data, text...)
	t.ends = append(t.ends, len(t.data))
	if !utf8.Valid(text) {
		t.broken++
	}
	return int32(len(t.ends) - 1)
}

// begin begins a tile of n rows, which pass if they are to or most others brought another text: it
// forgets the codes where there are too many, and says whether it did; no lane may hold one.
func (t *texts) begin(n int, pass bool) (forgot bool) {
	if pass && !t.passing {
		t.table.clear()
		t.passing, t.left = true, 0
	}
	if t.passing {
		t.forget()
		t.left -= n
		t.passing, t.asked = pass || t.left > 0, n
		return true
	}
	most := 2*len(t.ends) > t.asked
	t.asked += n
	if len(t.ends) <= t.limit && len(t.data) <= maxTextBytes {
		return false
	}
	if !most && t.limit < maxTexts && len(t.data) <= maxTextBytes {
		t.limit *= 4
		return false
	}
	t.forget()
	t.table.clear()
	t.asked = n
	if most {
		t.passing, t.left = true, t.pass
		t.pass, t.limit = min(8*t.pass, maxPassed), min(4*t.limit, maxTexts)
	}
	return true
}

func (t *texts) forget() {
	t.generation++
	if t.borrowed {
		t.data, t.borrowed = t.own, false
	}
	t.data, t.ends, t.broken = t.data[:0], t.ends[:0], 0
}

// borrow makes the texts of a passing tile those of its rows, without copying them: they
// are data, one after the other, and end where offsets from the second on say. ok is false where
// offsets do not fit data.
func borrow[O int32 | int64](t *texts, data []byte, offsets []O) (ok bool) {
	first, n := offsets[0], len(offsets)-1
	ends, last := slices.Grow(t.ends, n)[:n], first
	wrong := first // has the sign of all that must not have one
	for i, o := range offsets[1:] {
		wrong |= o | (o - last)
		ends[i], last = int(o-first), o
	}
	if wrong < 0 || int64(last) > int64(len(data)) {
		return false
	}
	t.own, t.borrowed = t.data, true
	t.data, t.ends = slices.Clip(data[first:last]), ends // another text is added to a copy
	return true
}

// check counts the texts of a passing tile that are not UTF-8.
func (t *texts) check() {
	for code := range t.ends {
		if !utf8.Valid(t.text(int32(code))) {
			t.broken++
		}
	}
}

// perText is what a transform makes of each text, made once.
type perText[T any] struct {
	of         func(text []byte) T
	ofAll      func(t *texts, first int, made []T) // instead of of: of texts from a code on
	made       []T
	generation int
}

// all are the results by code, for those of texts so far.
func (p *perText[T]) all(t *texts) []T {
	if p.generation != t.generation {
		p.generation, p.made = t.generation, p.made[:0]
	}
	if p.ofAll != nil {
		first := len(p.made)
		p.made = slices.Grow(p.made, len(t.ends)-first)[:len(t.ends)]
		p.ofAll(t, first, p.made[first:])
		return p.made
	}
	for code := len(p.made); code < len(t.ends); code++ {
		p.made = append(p.made, p.of(t.text(int32(code))))
	}
	return p.made
}
