package agreement

import (
	"cmp"
	"math"
	"slices"
)

// spearman is the rank correlation of two sides, equal numbers having the mean of their
// ranks; ok is false where one side is constant.
func spearman(a, b []float64) (r float64, ok bool) {
	mean := float64(len(a)+1) / 2
	m := Moments{MeanA: mean, MeanB: mean}
	m.about(ranks(a), ranks(b))
	// Ranks about their mean are halves, so these sums are exact: up to a sample's rows they
	// have 45 bits. One root, of what is a square where both sides rank alike, is exact then,
	// so r is 1, and -1 where they rank the other way round.
	r = m.AB / math.Sqrt(m.AA*m.BB)
	return max(min(r, 1), -1), r == r
}

// ranks are the numbers' places in their order, from 1.
func ranks(values []float64) []float64 {
	type placed struct {
		value float64
		at    int
	}
	order := make([]placed, len(values))
	for i, v := range values {
		order[i] = placed{v, i}
	}
	slices.SortFunc(order, func(p, other placed) int { return cmp.Compare(p.value, other.value) })
	ranks := make([]float64, len(values))
	for from := 0; from < len(order); {
		to := from + 1
		for to < len(order) && order[to].value == order[from].value {
			to++
		}
		for _, p := range order[from:to] {
			ranks[p.at] = float64(from+to+1) / 2
		}
		from = to
	}
	return ranks
}

// psiBins are how many bins of as many champion's numbers each the population stability
// index has: deciles.
const psiBins = 10

// psi is the population stability index of the challenger's numbers b against the
// champion's a: the sum over bins of (q - p) ln(q / p), p and q being the shares of a
// and b (Siddiqi, Credit Risk Scorecards, 2006, chapter 10). Bins end at the deciles of
// a, that is at the least number that so many tenths of a do not exceed; equal ends
// are one. A bin that has none of one side counts half a row of it.
func psi(a, b []float64) (index float64, ok bool) {
	if len(a) == 0 {
		return 0, false
	}
	sorted := slices.Sorted(slices.Values(a))
	var ends []float64
	for k := 1; k < psiBins; k++ {
		at := max((k*len(sorted)+psiBins-1)/psiBins, 1) - 1
		ends = append(ends, sorted[at])
	}
	ends = slices.Compact(ends)
	shares := func(values []float64) []float64 {
		counts := make([]float64, len(ends)+1)
		for _, v := range values {
			at, _ := slices.BinarySearch(ends, v) // a bin has its end
			counts[at]++
		}
		for i := range counts {
			counts[i] = max(counts[i], 0.5) / float64(len(values))
		}
		return counts
	}
	p, q := shares(a), shares(b)
	for i := range p {
		index += (q[i] - p[i]) * math.Log(q[i]/p[i])
	}
	return index, true
}
