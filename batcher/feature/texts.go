package feature

import (
	"hash/maphash"
	"unicode/utf8"
)

// Bounds of texts: where a column has more distinct values than these, they are
// forgotten between tiles, and looked up again.
const (
	maxTexts     = 1 << 16
	maxTextBytes = 4 << 20
)

// texts gives each distinct text a code, from 0 on, so that transforms look at each
// once and at rows by their code. The table of codes is open addressed, a power of two
// large and at most half full.
type texts struct {
	seed       maphash.Seed
	generation int // changes when codes are forgotten
	data       []byte
	ends       []int // of each text in data
	broken     int   // how many are not UTF-8
	table      []slot
}

// slot is a place of the table: a text's code and some of its hash; code is one more,
// and 0 where the place is empty.
type slot struct {
	hash uint32
	code int32
}

func newTexts() *texts {
	return &texts{seed: maphash.MakeSeed(), table: make([]slot, 256)}
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
	hash := maphash.Bytes(t.seed, text)
	at := t.find(text, hash)
	if found := t.table[at].code; found > 0 {
		return found - 1
	}
	code := int32(len(t.ends))
	t.data = append(t.data, text...)
	t.ends = append(t.ends, len(t.data))
	if !utf8.Valid(text) {
		t.broken++
	}
	t.table[at] = slot{hash: uint32(hash >> 32), code: code + 1}
	if 2*len(t.ends) > len(t.table) {
		t.grow()
	}
	return code
}

// find is the place of a text in the table, or the empty one where it would be.
func (t *texts) find(text []byte, hash uint64) int {
	mask := uint64(len(t.table) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		s := t.table[at]
		if s.code == 0 || s.hash == uint32(hash>>32) && string(t.text(s.code-1)) == string(text) {
			return int(at)
		}
	}
}

func (t *texts) grow() {
	t.table = make([]slot, 2*len(t.table))
	for code := range t.ends {
		text := t.text(int32(code))
		hash := maphash.Bytes(t.seed, text)
		t.table[t.find(text, hash)] = slot{hash: uint32(hash >> 32), code: int32(code) + 1}
	}
}

// bound forgets the codes when there are too many, and says whether it did; no lane may
// hold one.
func (t *texts) bound() bool {
	if len(t.ends) <= maxTexts && len(t.data) <= maxTextBytes {
		return false
	}
	t.generation++
	t.data, t.ends, t.broken = t.data[:0], t.ends[:0], 0
	clear(t.table)
	return true
}

// perText is what a transform makes of each text, made once.
type perText[T any] struct {
	of         func(text []byte) T
	made       []T
	generation int
}

// all are the results by code, for those of texts so far.
func (p *perText[T]) all(t *texts) []T {
	if p.generation != t.generation {
		p.generation, p.made = t.generation, p.made[:0]
	}
	for code := len(p.made); code < len(t.ends); code++ {
		p.made = append(p.made, p.of(t.text(int32(code))))
	}
	return p.made
}
