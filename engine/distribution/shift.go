package distribution

import (
	"math"
	"slices"
)

// PSI is the population stability index of a column's values against those of a run
// before: the sum over bins of (q - p) ln(q / p), p and q being the shares before and now
// (Siddiqi, Credit Risk Scorecards, 2006, chapter 10). Numbers' bins end at the deciles
// before, labels' are the labels. A bin that has none of one side counts half a row of
// it. ok is false where the two cannot be compared.
func PSI(before, now *Summary) (index float64, ok bool) {
	if before.Kind != now.Kind {
		return 0, false
	}
	var p, q []int64
	switch now.Kind {
	case Number:
		p, q, ok = decileCounts(before.Sketch, now.Sketch)
	case Label:
		p, q, ok = labelCounts(before, now)
	case List:
	}
	if !ok {
		return 0, false
	}
	all, allNow := float64(total(p)), float64(total(q))
	if all == 0 || allNow == 0 {
		return 0, false
	}
	for i := range p {
		p, q := max(float64(p[i]), 0.5)/all, max(float64(q[i]), 0.5)/allNow
		index += (q - p) * math.Log(q/p)
	}
	return index, true
}

func total(counts []int64) (n int64) {
	for _, k := range counts {
		n += k
	}
	return n
}

// psiBins are how many bins of as many numbers before each there are.
const psiBins = 10

// decileCounts are the numbers of two sketches in bins that end at the deciles of the
// first: at the least numbers that so many tenths do not exceed; equal ends are one.
func decileCounts(before, now []byte) (p, q []int64, ok bool) {
	old, err := decodeBins(before)
	if err != nil {
		return nil, nil, false
	}
	current, err := decodeBins(now)
	if err != nil {
		return nil, nil, false
	}
	all, n := old.inOrder(), old.count()
	var ends []int
	at, met := -1, int64(0)
	for k := int64(1); k < psiBins && n > 0; k++ {
		for met < max((k*n+psiBins-1)/psiBins, 1) {
			at++
			met += all[at].Rows
		}
		ends = append(ends, all[at].place)
	}
	ends = slices.Compact(ends)
	count := func(bins []Bin) []int64 {
		counts := make([]int64, len(ends)+1)
		for _, b := range bins {
			at, _ := slices.BinarySearch(ends, b.place) // a bin has its end
			counts[at] += b.Rows
		}
		return counts
	}
	return count(all), count(current.inOrder()), true
}

// labelCounts are the rows of labels before and now. Where a summary does not name all of
// its labels, those that only one names count with the others.
func labelCounts(before, now *Summary) (p, q []int64, ok bool) {
	if before.ManyLabels || now.ManyLabels {
		return nil, nil, false
	}
	whole := before.OtherRows == 0 && now.OtherRows == 0
	rows := map[string]int64{}
	for _, l := range before.Labels {
		rows[l.Label] = l.Rows
	}
	restBefore, rest := before.OtherRows, now.OtherRows
	for _, l := range now.Labels {
		if n, named := rows[l.Label]; named || whole {
			p, q = append(p, n), append(q, l.Rows)
			delete(rows, l.Label)
		} else {
			rest += l.Rows
		}
	}
	for _, l := range before.Labels {
		if n, left := rows[l.Label]; left && whole {
			p, q = append(p, n), append(q, 0)
		} else if left {
			restBefore += n
		}
	}
	if !whole {
		p, q = append(p, restBefore), append(q, rest)
	}
	return p, q, true
}

// Bin is the rows whose numbers are from From to below To.
type Bin struct {
	From, To float64
	Rows     int64

	place int // in the order of numbers
}

// Bins are the bins of a summary's numbers that have rows, in order; nil where it has
// none, or none that can be read.
func (s *Summary) Bins() []Bin {
	b, err := decodeBins(s.Sketch)
	if err != nil {
		return nil
	}
	return b.inOrder()
}

func (b *bins) inOrder() []Bin {
	var all []Bin
	edge := func(bin int) float64 { return math.Float64frombits(uint64(bin) << shift) }
	negative, positive := &b.sides[1], &b.sides[0]
	for i, n := range slices.Backward(negative.counts) {
		if bin := negative.first + i; n != 0 {
			all = append(all, Bin{-edge(bin + 1), -edge(bin), n, -1 - (bin - leastBin)})
		}
	}
	if b.zeros != 0 {
		all = append(all, Bin{0, 0, b.zeros, 0})
	}
	for i, n := range positive.counts {
		if bin := positive.first + i; n != 0 {
			all = append(all, Bin{edge(bin), edge(bin + 1), n, 1 + (bin - leastBin)})
		}
	}
	return all
}
