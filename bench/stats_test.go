package bench

import (
	"math"
	"testing"
)

func near(got, want float64) bool { return math.Abs(got-want) <= 1e-12*math.Max(1, math.Abs(want)) }

func ascending(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = float64(i + 1)
	}
	return out
}

// The values are scipy 1.17.1's. Of ascending 1..n the interval's ends are the
// orders themselves; with those, the confidence is
//
//	binom.cdf(high-1, n, .5) - binom.cdf(low-1, n, .5)
func TestEstimate(t *testing.T) {
	for _, c := range []struct {
		n                             int
		median, low, high, confidence float64
	}{
		{1, 1, 1, 1, 0},
		{2, 1.5, 1, 2, 0.5},
		{3, 2, 1, 3, 0.75},
		{5, 3, 1, 5, 0.9375},
		{6, 3.5, 1, 6, 0.96875},
		{7, 4, 1, 7, 0.984375},
		{10, 5.5, 2, 9, 0.978515625},
		{20, 10.5, 6, 15, 0.9586105346679688},
		{25, 13, 8, 18, 0.9567147493362427},
	} {
		got := newEstimate(ascending(c.n))
		if got.Median != c.median || got.Low != c.low || got.High != c.high || !near(got.Confidence, c.confidence) || got.Repeats != c.n {
			t.Errorf("newEstimate(1..%d) = %+v; want %v in %v to %v with %v", c.n, got, c.median, c.low, c.high, c.confidence)
		}
	}
	if got := newEstimate(nil); got != (Estimate{}) {
		t.Errorf("newEstimate of none = %+v; want none", got)
	}
	values := []float64{3, 1, 2}
	if newEstimate(values); values[0] != 3 {
		t.Error("newEstimate sorted its caller's values")
	}
}

// scipy 1.17.1: mannwhitneyu(a, b, alternative="two-sided", method="exact").pvalue;
// with ties method=PermutationMethod(n_resamples=10**6), which goes through every
// permutation of so few.
func TestDiffer(t *testing.T) {
	for _, c := range []struct {
		a, b []float64
		want float64
	}{
		{[]float64{1, 2, 3}, []float64{4, 5, 6}, 0.1},
		{[]float64{1, 2, 3, 4}, []float64{5, 6, 7, 8}, 0.02857142857142857},
		{[]float64{10, 9, 8, 7, 6}, []float64{1, 2, 3, 4, 5}, 0.007936507936507936},
		{[]float64{19.8, 20.1, 20.3, 19.9, 20.6}, []float64{20.0, 21.2, 20.9, 21.5, 20.4}, 0.09523809523809523},
		{[]float64{3, 1, 4, 1.5, 5, 9, 2.6}, []float64{5.3, 5.8, 9.7, 9.3, 2.3, 8.4, 6.2, 6.4}, 0.04009324009324009},
		{[]float64{1, 2, 2, 3}, []float64{2, 3, 4, 5}, 0.2},
		{[]float64{1, 1, 2, 3, 3}, []float64{3, 4, 4, 5, 6}, 0.023809523809523808},
		{[]float64{2, 2, 2}, []float64{2, 2, 2}, 1}, // no order at all: no difference
		{nil, []float64{1}, 1},
	} {
		if got := differ(c.a, c.b); !near(got, c.want) {
			t.Errorf("differ(%v, %v) = %v; want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestLeastP(t *testing.T) {
	for _, c := range [][2]int{{3, 3}, {4, 4}, {5, 5}, {3, 5}, {2, 7}} {
		low, high := ascending(c[0]), ascending(c[0] + c[1])[c[0]:]
		if got, want := leastP(c[0], c[1]), differ(low, high); !near(got, want) {
			t.Errorf("leastP(%d, %d) = %v; want %v, the p-value of samples apart", c[0], c[1], got, want)
		}
	}
}

func TestRatioHoldsTheExtremes(t *testing.T) {
	a := Estimate{Median: 10, Low: 9, High: 12, Confidence: 0.97, Repeats: 10}
	b := Estimate{Median: 5, Low: 4, High: 6, Confidence: 0.98, Repeats: 8}
	if got, want := a.over(b), (Estimate{2, 1.5, 3, 0.95, 8}); math.Abs(got.Confidence-want.Confidence) > 1e-12 || got.Median != want.Median || got.Low != want.Low || got.High != want.High || got.Repeats != want.Repeats {
		t.Errorf("over = %+v; want %+v", got, want)
	}
	if got := a.over(Estimate{}); got.known() {
		t.Errorf("over an unknown = %+v; want unknown", got)
	}
}
