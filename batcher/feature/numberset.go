package feature

import "math/bits"

// numberSet gives each of its keys, the bits of numbers, a number of 0 and more. It is
// read-only once it is filled, and then for any number of goroutines.
//
// It is open addressed and at most half full. A look computes one place and compares one
// key there as a rule, so that the machine waits for the places of several rows at once.
type numberSet struct {
	slots []numberSlot // a power of two
	shift int          // from 64 bits to a place among them
	count int
}

// numberSlot is a key and its number; unknownSlot for an empty slot.
type numberSlot struct {
	key    uint64
	number int32
}

func newNumberSet() *numberSet {
	s := &numberSet{}
	s.make(16)
	return s
}

func (s *numberSet) make(slots int) {
	s.slots, s.shift = make([]numberSlot, slots), 65-bits.Len(uint(slots))
	for i := range s.slots {
		s.slots[i].number = unknownSlot
	}
}

// add adds a key, and reports whether it was not there.
func (s *numberSet) add(key uint64, number int32) bool {
	slot := s.find(key)
	if slot.number != unknownSlot {
		return false
	}
	*slot = numberSlot{key, number}
	if s.count++; 2*s.count > len(s.slots) {
		before := s.slots
		s.make(2 * len(before))
		for _, old := range before {
			if old.number != unknownSlot {
				*s.find(old.key) = old
			}
		}
	}
	return true
}

// find is the slot of a key, or the empty one where it would be.
func (s *numberSet) find(key uint64) *numberSlot {
	// Fibonacci hashing (D. E. Knuth, The Art of Computer Programming, 6.4): 2^64 divided by the
	// golden ratio spreads integers that follow each other, and floating numbers, which differ
	// in their highest bits, too.
	at := key * 0x9e3779b97f4a7c15 >> s.shift
	mask := uint64(len(s.slots) - 1)
	for s.slots[at].number != unknownSlot && s.slots[at].key != key {
		at = (at + 1) & mask
	}
	return &s.slots[at]
}

// number is that of a key, or unknownSlot.
func (s *numberSet) number(key uint64) int32 { return s.find(key).number }
