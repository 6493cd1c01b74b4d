package distribution

import "math"

// Moments are a mean and the sum of squares about it, of finite numbers.
type Moments struct {
	Count   int64   `json:"count"`
	Mean    float64 `json:"mean"`
	Squares float64 `json:"squares"`
}

// Add adds the moments of other rows, by the formulas of Chan, Golub and LeVeque
// (Updating Formulae and a Pairwise Algorithm for Computing Sample Variances, 1979).
func (m *Moments) Add(other Moments) {
	if m.Count == 0 || other.Count == 0 {
		if m.Count == 0 {
			*m = other
		}
		return
	}
	n, k := float64(m.Count), float64(other.Count)
	d := other.Mean - m.Mean
	m.Squares += other.Squares + d*d*(n*k/(n+k))
	m.Mean += d * (k / (n + k))
	m.Count += other.Count
}

// deviation is the standard deviation of a sample, by n - 1.
func (m *Moments) deviation() float64 {
	if m.Count < 2 {
		return math.NaN()
	}
	return math.Sqrt(m.Squares / float64(m.Count-1))
}

// sums gather the moments of one part's values, in their order: of their distances from
// the first, so that squares of large numbers that lie close together stay exact enough.
type sums struct {
	from         float64
	sum, squares float64
}

func (s *sums) add(x float64) {
	d := x - s.from
	s.sum += d
	s.squares += d * d
}

func (s *sums) moments(count int64) Moments {
	if count == 0 {
		return Moments{}
	}
	n := float64(count)
	return Moments{Count: count, Mean: s.from + s.sum/n, Squares: max(s.squares-s.sum/n*s.sum, 0)}
}
