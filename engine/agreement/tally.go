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

	// Of the rows of a batch that count, where some do not.
	a, b   []float64
	hashes []uint64
	rows   []int
}

// Largest is the largest absolute difference, and the first row that has it.
type Largest struct {
	Difference float64 `json:"difference"`
	Place
}

// Numbers are predictions of one number a row by both models.
type Numbers struct {
	Champion, Challenger []float64
	Rows                 *Rows
	Out                  []bool // rows that do not count; nil: all do
}

// AddNumbers takes in the predictions of a batch, which it borrows.
func (t *Tally) AddNumbers(n Numbers) {
	t.Rows += int64(len(n.Champion))
	a, b, hashes := n.Champion, n.Challenger[:len(n.Champion)], n.Rows.hashes
	whole := n.Out == nil && allCount(a) && allCount(b)
	if !whole {
		t.leaveOut(n)
		a, b, hashes = t.a, t.b, t.hashes
	}
	if at := t.addDifferences(a, b); at >= 0 {
		if !whole {
			at = t.rows[at]
		}
		t.Largest.Place = n.Rows.place(at)
	}
	below := t.Sample.below()
	for i, hash := range hashes[:len(a)] {
		if hash < below {
			t.Sample.add(Point{hash, a[i], b[i]})
			below = t.Sample.below()
		}
	}
	m, equal := momentsOf(a, b)
	t.Equal += equal
	t.Moments.Add(m)
}

// allCount says that every number counts.
func allCount(numbers []float64) bool {
	for _, x := range numbers {
		if !(math.Abs(x) <= mostNumber) {
			return false
		}
	}
	return true
}

// leaveOut gathers the rows of a batch whose numbers count, and deals with the others.
func (t *Tally) leaveOut(n Numbers) {
	t.a, t.b, t.hashes, t.rows = t.a[:0], t.b[:0], t.hashes[:0], t.rows[:0]
	for i, a := range n.Champion {
		b := n.Challenger[i]
		switch {
		case n.Out != nil && n.Out[i]:
			t.Rows--
		case !(math.Abs(a) <= mostNumber && math.Abs(b) <= mostNumber):
			t.addOdd(a, b)
		default:
			t.a, t.b = append(t.a, a), append(t.b, b)
			t.hashes, t.rows = append(t.hashes, n.Rows.hashes[i]), append(t.rows, i)
		}
	}
}

// addDifferences counts the differences of numbers by their bins. It gives the place of
// the largest one, where that is larger than all before; else -1.
func (t *Tally) addDifferences(a, b []float64) (at int) {
	t.Bins.open()
	bins, largest := t.Bins.bins, t.Largest.Difference
	if t.Moments.Count == 0 {
		largest = -1 // a difference of 0 has a place too
	}
	at = -1
	for i, x := range a {
		d := b[i] - x
		bins[binOf(d)]++
		if size := math.Abs(d); size > largest {
			largest, at = size, i
		}
	}
	if at >= 0 {
		t.Largest.Difference = largest
	}
	return at
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

// momentsOf are those of two sides, and how many numbers are equal.
func momentsOf(a, b []float64) (m Moments, equal int64) {
	m.Count = int64(len(a))
	if len(a) == 0 {
		return m, 0
	}
	var sum, absolute, sumA, sumB float64
	b = b[:len(a)]
	for i, x := range a {
		d := b[i] - x
		sum += d
		absolute += math.Abs(d)
		sumA += x
		sumB += b[i]
		if d == 0 {
			equal++
		}
	}
	m.Sum, m.Absolute = sum, absolute
	m.MeanA, m.MeanB = sumA/float64(len(a)), sumB/float64(len(a))
	var aa, bb, ab float64
	for i, x := range a {
		x, y := x-m.MeanA, b[i]-m.MeanB
		aa += x * x
		bb += y * y
		ab += x * y
	}
	m.AA, m.BB, m.AB = aa, bb, ab
	return m, equal
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
