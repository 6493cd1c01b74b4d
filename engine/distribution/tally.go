package distribution

import (
	"math"

	"github.com/apache/arrow-go/v18/arrow"
)

// mostNumber is the largest size of a number that has moments: the squares of as many as
// there can be have a finite sum.
const mostNumber = 1e140

// Tally is what was met of one column's values in one part of the rows, or in several.
type Tally struct {
	kind  Kind
	rows  int64
	nulls int64

	nans, endless int64
	least, most   float64 // of numbers in the bins
	bins          bins
	sums          sums
	moments       *Moments // of a tally that is no part's own; nil: by sums

	labels labels
}

// NewTally is for a column of a type.
func NewTally(t arrow.DataType) *Tally {
	return &Tally{kind: kindOf(t), least: math.Inf(1), most: math.Inf(-1)}
}

// Empty is a tally of the same column that has no rows.
func (t *Tally) Empty() *Tally {
	return &Tally{kind: t.kind, least: math.Inf(1), most: math.Inf(-1)}
}

type floats interface{ float32 | float64 }

// addFloats takes in numbers, none of which is null.
func addFloats[F floats](t *Tally, values []F) {
	if t.least > t.most {
		t.sums.from = firstNumber(values)
	}
	for len(values) > 0 {
		values = values[addBinned(t, values):]
		if len(values) > 0 && !t.open(float64(values[0])) {
			values = values[1:]
		}
	}
}

// addBinned takes in numbers until one has no bin yet, and says how many it took. It
// calls nothing, so that all that it adds to stays in registers.
func addBinned[F floats](t *Tally, values []F) int {
	sides, n := &t.bins.sides, len(values)
	from, sum, squares, least, most := t.sums.from, t.sums.sum, t.sums.squares, t.least, t.most
	for at, v := range values {
		x := float64(v)
		bits := math.Float64bits(x)
		w := &sides[bits>>63]
		i := of(bits) - w.first
		if uint(i) >= uint(len(w.counts)) {
			n = at
			break
		}
		w.counts[i]++
		d := x - from
		sum += d
		squares += d * d
		if x < least { // min and max look for NaN and for the sign of 0, too
			least = x
		}
		if x > most {
			most = x
		}
	}
	t.sums, t.least, t.most = sums{from, sum, squares}, least, most
	return n
}

// firstNumber is the first that counts; 0 where none does.
func firstNumber[F floats](values []F) float64 {
	for _, v := range values {
		if math.Abs(float64(v)) <= mostNumber {
			return float64(v)
		}
	}
	return 0
}

// open makes a bin for a number; false where it has none, and is taken in otherwise.
func (t *Tally) open(x float64) bool {
	size := math.Abs(x)
	switch {
	case x != x:
		t.nans++
		return false
	case size > mostNumber:
		t.endless++
		return false
	}
	bits := math.Float64bits(x)
	if bin := of(bits); bin >= leastBin && bin < endBin {
		t.bins.sides[bits>>63].open(bin)
		return true
	}
	t.bins.add(x, 1)
	t.sums.add(x)
	t.least, t.most = min(t.least, x), max(t.most, x)
	return false
}

// Moments are those of the numbers that count.
func (t *Tally) Moments() Moments {
	if t.moments != nil {
		return *t.moments
	}
	return t.sums.moments(t.rows - t.nulls - t.nans - t.endless)
}

// Merge takes in the tally of other rows of the column, but for their moments: sums of
// floats, which whoever adds up tallies adds in the order of the rows.
func (t *Tally) Merge(other *Tally) {
	t.rows += other.rows
	t.nulls += other.nulls
	t.nans += other.nans
	t.endless += other.endless
	t.least, t.most = min(t.least, other.least), max(t.most, other.most)
	t.bins.merge(&other.bins)
	t.labels.merge(&other.labels)
}
