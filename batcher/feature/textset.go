package feature

import (
	"encoding/binary"
	"hash/maphash"
)

// textSet gives each of its texts a number. It is read-only once it is filled, and then
// for any number of goroutines.
//
// What a look needs beside its slot lies in one record, and many are looked for at a time, so
// that the machine can wait for several places of a large set at once.
type textSet struct {
	seed    maphash.Seed
	table   hashTable // a place is where a record begins
	records []byte    // each: its number and length, of 32 bits, and the text; the first byte is none's
	few     []fewText // all of them where they are few
}

// fewTexts is so many that to compare with each is faster than to look for one.
const fewTexts = 3

// fewText is a text, its last 8 bytes, in the highest of a word if they are fewer, and those bits.
type fewText struct {
	text       string
	word, bits uint64
	number     int32
}

func newFewText(text string, number int32) fewText {
	f := fewText{text: text, bits: ^uint64(0), number: number}
	if n := len(text); n < 8 {
		f.bits <<= 64 - 8*n
	}
	var word [8]byte
	n := min(len(text), 8)
	copy(word[8-n:], text[len(text)-n:])
	f.word = binary.LittleEndian.Uint64(word[:])
	return f
}

const recordHead = 8

func newTextSet() *textSet {
	return &textSet{seed: maphash.MakeSeed(), table: newHashTable(), records: make([]byte, 1)}
}

// add adds a text, and reports whether it was not there.
func (s *textSet) add(text string, number int32) bool {
	hash := uint32(maphash.String(s.seed, text))
	at := s.table.probe(hash, int(hash))
	for ; s.table.slots[at].place != 0; at = s.table.probe(hash, at+1) {
		if _, same := s.record(s.table.slots[at].place, []byte(text)); same {
			return false
		}
	}
	s.table.put(at, hashSlot{hash, uint32(len(s.records))})
	s.records = binary.LittleEndian.AppendUint32(s.records, uint32(number))
	s.records = binary.LittleEndian.AppendUint32(s.records, uint32(len(text)))
	s.records = append(s.records, text...)
	if s.table.count <= fewTexts {
		s.few = append(s.few, newFewText(text, number))
	}
	return true
}

// record is the number of a record, and whether it is of the text.
func (s *textSet) record(at uint32, text []byte) (number int32, same bool) {
	head := s.records[at:][:recordHead]
	if int(binary.LittleEndian.Uint32(head[4:])) != len(text) {
		return 0, false
	}
	return int32(binary.LittleEndian.Uint32(head)), string(s.records[at+recordHead:][:len(text)]) == string(text)
}

// numbers writes those of texts from a code on, unknownSlot for others.
func (s *textSet) numbers(t *texts, first int, dst []int32) {
	if s.table.count <= fewTexts {
		s.compared(t, first, dst)
		return
	}
	var hashes [256]uint32
	for len(dst) > 0 {
		n := min(len(dst), len(hashes))
		s.someNumbers(t, first, dst[:n], hashes[:n])
		first, dst = first+n, dst[n:]
	}
}

// compared is numbers where there are few.
func (s *textSet) compared(t *texts, first int, dst []int32) {
	for i := range dst {
		dst[i] = unknownSlot
	}
	for k := range s.few {
		s.few[k].find(t, first, dst)
	}
}

// find writes the number where texts from a code on are this one.
func (f *fewText) find(t *texts, first int, dst []int32) {
	start := 0
	if first > 0 {
		start = t.ends[first-1]
	}
	data, ends := t.data, t.ends[first:][:len(dst)]
	i := 0
	for ; i < len(ends) && ends[i] < 8; i++ { // there is no word before these ends
		if string(data[start:ends[i]]) == f.text {
			dst[i] = f.number
		}
		start = ends[i]
	}
	for ; i < len(ends); i++ {
		// One comparison, so that the machine has to foresee only which texts are equal.
		end := ends[i]
		other := (binary.LittleEndian.Uint64(data[end-8:])^f.word)&f.bits | uint64(end-start^len(f.text))
		if other == 0 && (len(f.text) <= 8 || string(data[start:end]) == f.text) {
			dst[i] = f.number
		}
		start = end
	}
}

// someNumbers is numbers of as many texts as hashes has room for.
func (s *textSet) someNumbers(t *texts, first int, dst []int32, hashes []uint32) {
	for i := range dst {
		hashes[i] = uint32(maphash.Bytes(s.seed, t.text(int32(first+i))))
	}
	for i, hash := range hashes {
		dst[i] = int32(s.table.slots[s.table.probe(hash, int(hash))].place)
	}
	for i, at := range dst {
		if at == 0 {
			dst[i] = unknownSlot
			continue
		}
		text := t.text(int32(first + i))
		number, same := s.record(uint32(at), text)
		if !same {
			number = s.number(text, hashes[i])
		}
		dst[i] = number
	}
}

// number is that of a text, looked for in all slots that have its hash.
func (s *textSet) number(text []byte, hash uint32) int32 {
	for at := s.table.probe(hash, int(hash)); s.table.slots[at].place != 0; at = s.table.probe(hash, at+1) {
		if number, same := s.record(s.table.slots[at].place, text); same {
			return number
		}
	}
	return unknownSlot
}
