package feature

import (
	"strconv"
	"testing"
)

// Of so many texts some have the same hash of 32 bits: each still has its own number.
func TestTextSet(t *testing.T) {
	const count = 400_000 // 18 pairs of one hash, in the mean
	set, asked := newTextSet(), newTexts()
	for i := range count {
		if !set.add(strconv.Itoa(i), int32(i)) {
			t.Fatalf("text %d was there before it was added", i)
		}
	}
	for i := range 2 * count { // the second half is in no set
		asked.add([]byte(strconv.Itoa(i)))
	}
	if set.add("17", 3) {
		t.Error("a text was added twice")
	}
	numbers := make([]int32, 2*count)
	set.numbers(asked, 0, numbers)
	for i, got := range numbers {
		want := int32(i)
		if i >= count {
			want = unknownSlot
		}
		if got != want {
			t.Fatalf("text %d has number %d; want %d", i, got, want)
		}
	}
}
