package agreement

import "math"

// Place is where a row lies in the input.
type Place struct {
	File int   `json:"file"` // by its place among the input's files
	Row  int64 `json:"row"`  // in that file, from 0
}

// mostNumber is the largest size of a number whose difference counts: the squares of
// as many as there can be have a finite sum.
const mostNumber = 1e140

// before says that a place comes before another in the input.
func (p Place) before(other Place) bool {
	return p.File < other.File || p.File == other.File && p.Row < other.Row
}

// TallyBytes is at most what a Tally of so many rows holds.
func TallyBytes(rows int64) int64 { return 8*(2*binsOfSign+1) + 32*min(rows, 2*SampleRows) }

// Tally is what was met of one prediction of two models. Differences are the
// challenger's number less the champion's.
type Tally struct {
	// Rows are those compared, and Equal those of them where both models say the same:
	// the same number or label, or both NaN.
	Rows  int64 `json:"rows"`
	Equal int64 `json:"equal"`
	// Apart are rows that are not equal and whose difference says nothing: one number of
	// both is NaN, infinite, or beyond mostNumber.
	Apart int64 `json:"apart"`

	Moments Moments   `json:"moments"` // of rows where both are numbers that count
	Largest Largest   `json:"largest"`
	Bins    Histogram `json:"bins"` // of differences
	Sample  Sample    `json:"sample"`

	// The numbers that count, of rows of which some do not, and their rows.
	a, b []float64
	rows []int
}

// Largest is the largest absolute difference, and the first row that has it.
type Largest struct {
	Difference float64 `json:"difference"`
	Place
}

// Numbers are predictions of one number a row by both models, of rows side by side: as
// many as stay in the first level of cache while they are gone through three times.
type Numbers struct {
	Champion, Challenger []float64
	Rows                 *Rows
	First                int    // the first row's index among Rows
	Out                  []bool // which of Rows do not count; nil: all do
}

// AddNumbers takes in predictions, which it borrows.
func (t *Tally) AddNumbers(n Numbers) {
	t.Rows += int64(len(n.Champion))
	a, b := n.Champion, n.Challenger[:len(n.Champion)]
	whole := n.Out == nil && allCount(a, b)
	if !whole {
		t.leaveOut(n)
		a, b = t.a, t.b
	}
	m, equal, at := t.addPairs(a, b)
	if at >= 0 {
		if !whole {
			at = t.rows[at]
		}
		t.Largest.Place = n.Rows.place(n.First + at)
	}
	t.Equal += equal
	t.Moments.Add(m)
	for _, c := range n.Rows.within(n.First, n.First+len(n.Champion)) {
		i := c.at - n.First
		if c.hash < t.Sample.below() && (whole || n.counts(i)) {
			t.Sample.add(Point{c.hash, n.Champion[i], n.Challenger[i]})
		}
	}
}

// counts says whether a row counts.
func (n *Numbers) counts(i int) bool {
	return (n.Out == nil || !n.Out[n.First+i]) && math.Abs(n.Champion[i]) <= mostNumber && math.Abs(n.Challenger[i]) <= mostNumber
}

// allCount says that all numbers of both sides count. It asks without branches: floats of
// one sign are in the order of their bits, and NaN is beyond all.
func allCount(a, b []float64) bool {
	const sign = 1 << 63
	most, beyond := int64(math.Float64bits(mostNumber)), int64(0)
	b = b[:len(a)]
	for i, x := range a {
		beyond |= (most - int64(math.Float64bits(x)&^sign)) | (most - int64(math.Float64bits(b[i])&^sign))
	}
	return beyond >= 0
}

// leaveOut gathers the rows whose numbers count, and deals with the others.
func (t *Tally) leaveOut(n Numbers) {
	t.a, t.b, t.rows = t.a[:0], t.b[:0], t.rows[:0]
	for i, a := range n.Champion {
		b := n.Challenger[i]
		switch {
		case n.counts(i):
			t.a, t.b, t.rows = append(t.a, a), append(t.b, b), append(t.rows, i)
		case n.Out != nil && n.Out[n.First+i]:
			t.Rows--
		default:
			t.addOdd(a, b)
		}
	}
}

// addPairs counts the differences of pairs by their bins, and gives the moments of the pairs, how
// many are equal, and the place of the largest difference where that is larger than all
// before; else -1.
func (t *Tally) addPairs(a, b []float64) (m Moments, equal int64, at int) {
	at = -1
	if len(a) == 0 {
		return m, 0, at
	}
	t.Bins.open()
	bins, largest := t.Bins.bins, t.Largest.Difference
	if t.Moments.Count == 0 {
		largest = -1 // a difference of 0 has a place too
	}
	b = b[:len(a)]
	// Means are summed up about the first number, so that a constant's is that constant: else the
	// rounding of its mean would be what it correlates with.
	firstA, firstB := a[0], b[0]
	var sum, absolute, sumA, sumB float64
	for i, x := range a {
		y := b[i]
		d := y - x
		bins[binOf(d)]++
		size := math.Abs(d)
		if size > largest {
			largest, at = size, i
		}
		if d == 0 {
			equal++
		}
		sum += d
		absolute += size
		sumA += x - firstA
		sumB += y - firstB
	}
	if at >= 0 {
		t.Largest.Difference = largest
	}
	m.Count, m.Sum, m.Absolute = int64(len(a)), sum, absolute
	m.MeanA, m.MeanB = firstA+sumA/float64(len(a)), firstB+sumB/float64(len(a))
	m.about(a, b)
	return m, equal, at
}

// about adds up squares and products of pairs about their means.
func (m *Moments) about(a, b []float64) {
	meanA, meanB := m.MeanA, m.MeanB
	var aa, bb, ab, aa2, bb2, ab2 float64 // in turn, so that one sum waits for the other half as often
	for len(a) >= 2 && len(b) >= 2 {
		x, y := a[0]-meanA, b[0]-meanB
		aa += x * x
		bb += y * y
		ab += x * y
		x, y = a[1]-meanA, b[1]-meanB
		aa2 += x * x
		bb2 += y * y
		ab2 += x * y
		a, b = a[2:], b[2:]
	}
	for i, x := range a {
		x, y := x-meanA, b[i]-meanB
		aa += x * x
		bb += y * y
		ab += x * y
	}
	m.AA, m.BB, m.AB = aa+aa2, bb+bb2, ab+ab2
}

// addOdd counts a row whose difference says nothing.
func (t *Tally) addOdd(a, b float64) {
	if a == b || a != a && b != b {
		t.Equal++
	} else {
		t.Apart++
	}
}

// AddLabels takes in how many labels of a batch there are, and how many of them both
// models have alike.
func (t *Tally) AddLabels(rows, equal int64) {
	t.Rows += rows
	t.Equal += equal
}

// Add takes in the tally of other rows, but for their moments: sums of floats, which
// whoever adds up tallies adds in the order of the rows.
func (t *Tally) Add(other *Tally) {
	none := t.Bins.count() == 0
	t.Rows += other.Rows
	t.Equal += other.Equal
	t.Apart += other.Apart
	more, less := other.Largest, t.Largest
	if other.Bins.count() > 0 && (none || more.Difference > less.Difference || more.Difference == less.Difference && more.before(less.Place)) {
		t.Largest = more
	}
	t.Bins.merge(&other.Bins)
	t.Sample.merge(&other.Sample)
}

// Moments are sums over pairs of finite numbers: of the champion's a and the
// challenger's b.
type Moments struct {
	Count    int64   `json:"count"`
	Sum      float64 `json:"sum"`      // of b - a
	Absolute float64 `json:"absolute"` // of |b - a|
	// Means, and sums of squares and products about them.
	MeanA float64 `json:"mean_a"`
	MeanB float64 `json:"mean_b"`
	AA    float64 `json:"aa"`
	BB    float64 `json:"bb"`
	AB    float64 `json:"ab"`
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
	da, db := other.MeanA-m.MeanA, other.MeanB-m.MeanB
	weight := n * k / (n + k)
	m.AA += other.AA + da*da*weight
	m.BB += other.BB + db*db*weight
	m.AB += other.AB + da*db*weight
	m.MeanA += da * k / (n + k)
	m.MeanB += db * k / (n + k)
	m.Count += other.Count
	m.Sum += other.Sum
	m.Absolute += other.Absolute
}

// correlation is Pearson's; ok is false where one side is constant, or sums overflow.
func (m *Moments) correlation() (r float64, ok bool) {
	r = m.AB / (math.Sqrt(m.AA) * math.Sqrt(m.BB))
	return max(min(r, 1), -1), r == r && !math.IsInf(r, 0)
}
