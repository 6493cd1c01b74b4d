package bench

import (
	"math"
	"slices"

	"golang.org/x/perf/benchmath"
)

// confidence is what intervals are made for, and alpha what a difference must be
// below to be told from noise.
const (
	confidence = 0.95
	alpha      = 0.05
)

// Estimate is the median of some repeats and the interval that its true value
// lies in with Confidence. The interval is the distribution-free one between two
// order statistics (benchmath.AssumeNothing, which benchstat uses: Hettmansperger
// and Sheather 1986, without the interpolation). With fewer than six repeats no
// such interval reaches 0.95: then it is the range of the repeats, which holds
// the median with 1 - 2^(1-n), and Confidence says how little that is.
type Estimate struct {
	Median     float64 `json:"median"`
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Confidence float64 `json:"confidence"`
	Repeats    int     `json:"repeats"`
}

// newEstimate takes the median of values, of which it keeps nothing; of none it
// is the zero Estimate.
func newEstimate(values []float64) Estimate {
	n := len(values)
	if n == 0 {
		return Estimate{}
	}
	sorted := slices.Clone(values)
	s := benchmath.AssumeNothing.Summary(benchmath.NewSample(sorted, &benchmath.DefaultThresholds), confidence)
	e := Estimate{Median: s.Center, Low: s.Lo, High: s.Hi, Confidence: s.Confidence, Repeats: n}
	if math.IsInf(s.Lo, 0) || math.IsInf(s.Hi, 0) {
		e.Low, e.High, e.Confidence = sorted[0], sorted[n-1], 1-math.Pow(2, float64(1-n))
	}
	return e
}

// known reports whether anything was measured.
func (e Estimate) known() bool { return e.Repeats > 0 }

// over divides two estimates. The interval goes from the least to the most that
// both intervals allow, so it is wider than a joint one would be; its
// confidence is Bonferroni's bound.
func (e Estimate) over(by Estimate) Estimate {
	if !e.known() || !by.known() || by.Low <= 0 {
		return Estimate{}
	}
	return Estimate{
		Median: e.Median / by.Median, Low: e.Low / by.High, High: e.High / by.Low,
		Confidence: jointly(e.Confidence, by.Confidence),
		Repeats:    min(e.Repeats, by.Repeats),
	}
}

// times scales an estimate by an exact number.
func (e Estimate) times(f float64) Estimate {
	e.Median, e.Low, e.High = e.Median*f, e.Low*f, e.High*f
	return e
}

// jointly bounds from below how sure it is that all intervals hold at once
// (Bonferroni's inequality).
func jointly(each ...float64) float64 {
	all := 1.0
	for _, c := range each {
		all -= 1 - c
	}
	return max(0, all)
}

// differ is the two-sided p-value of the Mann-Whitney U test that two samples
// come from one distribution: exact up to 50 repeats a side (25 with ties), the
// normal approximation with continuity correction beyond.
func differ(a, b []float64) float64 {
	if len(a) == 0 || len(b) == 0 {
		return 1
	}
	t := &benchmath.DefaultThresholds
	return benchmath.AssumeNothing.Compare(
		benchmath.NewSample(slices.Clone(a), t), benchmath.NewSample(slices.Clone(b), t)).P
}

// leastP is the smallest p-value that so many repeats can reach, when every one
// of a is below every one of b: 2 of the binomial(a+b, a) orders.
func leastP(a, b int) float64 {
	orders := 1.0
	for i := 1; i <= a; i++ {
		orders *= float64(b+i) / float64(i)
	}
	return min(1, 2/orders)
}
