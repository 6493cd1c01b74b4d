package agreement

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// truth is what numpy and scipy say; see testdata/golden.py.
type truth struct {
	Rows            int64     `json:"rows"`
	Equal           int64     `json:"equal"`
	Apart           int64     `json:"apart"`
	Mean            float64   `json:"mean"`
	MeanAbsolute    float64   `json:"mean_absolute"`
	Max             float64   `json:"max"`
	Quantiles       []float64 `json:"quantiles"`
	Absolute        []float64 `json:"absolute"`
	Correlation     *float64  `json:"correlation"`
	RankCorrelation *float64  `json:"rank_correlation"`
	PSI             *float64  `json:"psi"`
}

type golden struct {
	Cases []struct {
		Name       string   `json:"name"`
		Champion   []string `json:"champion"`
		Challenger []string `json:"challenger"`
		Want       truth    `json:"want"`
	} `json:"cases"`
	Large struct {
		Rows int   `json:"rows"`
		Want truth `json:"want"`
	} `json:"large"`
}

func readGolden(t *testing.T) (g golden) {
	t.Helper()
	text, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func floats(t *testing.T, texts []string) []float64 {
	t.Helper()
	values := make([]float64, len(texts))
	for i, text := range texts {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		values[i] = v
	}
	return values
}

// tallied is the tally of numbers that come in batches of some rows, of which a part has
// some; parts are added up as a run does that reads its journal.
func tallied(t rapid.TB, a, b []float64, batch, part int) *Tally {
	t.Helper()
	all := &Tally{Sample: NewSample(1, 1)}
	for from := 0; from < len(a); from += part {
		to := min(from+part, len(a))
		one := &Tally{Sample: NewSample(int64(to-from), int64(len(a)))}
		for first := from; first < to; first += batch {
			last := min(first+batch, to)
			rows := &Rows{}
			rows.Reset([]Tally{*one})
			rows.Append(3, int64(first), last-first)
			one.AddNumbers(Numbers{Champion: a[first:last], Challenger: b[first:last], Rows: rows})
		}
		text, err := json.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		var read Tally
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		all.Add(&read)
		all.Moments.Add(read.Moments)
	}
	return all
}

var number = Pair{Model: "m", Challenger: "b", Champion: "a", Kind: Number}

func summaryOf(tally *Tally) Summary {
	return tally.Summary(number, []string{"0", "1", "2", "in.parquet"})
}

// near says that two numbers, or none, agree to a tolerance.
func near(got, want *float64, tolerance float64) bool {
	if got == nil || want == nil {
		return got == want
	}
	return math.Abs(*got-*want) <= tolerance*max(1, math.Abs(*want))
}

func TestAgreesWithNumpyAndScipy(t *testing.T) {
	for _, c := range readGolden(t).Cases {
		s := summaryOf(tallied(t, floats(t, c.Champion), floats(t, c.Challenger), 7, 90))
		want, d := c.Want, s.Difference
		if s.Rows != want.Rows || s.Equal != want.Equal || s.NotFinite != want.Apart {
			t.Errorf("%s: %d rows, %d equal, %d not finite; want %d, %d and %d", c.Name, s.Rows, s.Equal, s.NotFinite, want.Rows, want.Equal, want.Apart)
		}
		odd := 0
		for i, x := range floats(t, c.Champion) {
			if y := floats(t, c.Challenger)[i]; math.IsNaN(x) || math.IsInf(x, 0) || math.IsNaN(y) || math.IsInf(y, 0) {
				odd++
			}
		}
		if d.Rows != want.Rows-int64(odd) {
			t.Errorf("%s: %d rows with a difference; want %d less %d", c.Name, d.Rows, want.Rows, odd)
		}
		scale := max(want.Max, 1e-12)
		if math.Abs(d.Mean-want.Mean) > 1e-12*scale || math.Abs(d.MeanAbsolute-want.MeanAbsolute) > 1e-12*scale || d.Max != want.Max {
			t.Errorf("%s: difference mean %v, of sizes %v, at most %v; want %v, %v, %v", c.Name, d.Mean, d.MeanAbsolute, d.Max, want.Mean, want.MeanAbsolute, want.Max)
		}
		for i, q := range d.Quantiles {
			if math.Abs(q.Value-want.Quantiles[i]) > math.Abs(want.Quantiles[i])/128 {
				t.Errorf("%s: quantile %v = %v; want %v within 1/128", c.Name, q.Q, q.Value, want.Quantiles[i])
			}
		}
		for i, q := range d.Absolute {
			if math.Abs(q.Value-want.Absolute[i]) > want.Absolute[i]/128 {
				t.Errorf("%s: quantile %v of sizes = %v; want %v within 1/128", c.Name, q.Q, q.Value, want.Absolute[i])
			}
		}
		if !near(s.Correlation, want.Correlation, 1e-9) || !near(s.RankCorrelation, want.RankCorrelation, 1e-12) || !near(s.PSI, want.PSI, 1e-12) {
			t.Errorf("%s: %s; want %s", c.Name, shown(s.Correlation, s.RankCorrelation, s.PSI), shown(want.Correlation, want.RankCorrelation, want.PSI))
		}
	}
}

func shown(correlation, rank, psi *float64) string {
	text, _ := json.Marshal(map[string]*float64{"correlation": correlation, "rank correlation": rank, "psi": psi})
	return string(text)
}

// drawn is a number in [0, 1) as testdata/golden.py draws it.
func drawn(i uint64) float64 { return float64(mix(i)>>11) / (1 << 53) }

func largeCase(rows int) (a, b []float64) {
	a, b = make([]float64, rows), make([]float64, rows)
	for i := range a {
		u := drawn(2 * uint64(i))
		a[i], b[i] = u, u*u+0.5*drawn(2*uint64(i)+1)
	}
	return a, b
}

// Of more rows than the sample has, what is of the sample is within the error that the
// package states, and the rest is as exact as before.
func TestSampleOfManyRows(t *testing.T) {
	g := readGolden(t)
	a, b := largeCase(g.Large.Rows)
	want := g.Large.Want
	for _, part := range []int{len(a), 70_000, 4_100} {
		s := summaryOf(tallied(t, a, b, 4096, part))
		if s.SampleRows < SampleRows*99/100 || s.SampleRows > SampleRows {
			t.Errorf("parts of %d: a sample of %d rows; want %d or few less", part, s.SampleRows, SampleRows)
		}
		r := *want.RankCorrelation
		if off := math.Abs(*s.RankCorrelation - r); off > 4*(1-r*r)*math.Sqrt(1+r*r/2)/181 {
			t.Errorf("parts of %d: rank correlation %v; want %v within 4 standard errors", part, *s.RankCorrelation, r)
		}
		if off := math.Abs(*s.PSI - *want.PSI); off > 0.01 {
			t.Errorf("parts of %d: psi %v; want about %v", part, *s.PSI, *want.PSI)
		}
		if !near(s.Correlation, want.Correlation, 1e-9) || s.Difference.Max != want.Max || math.Abs(s.Difference.Mean-want.Mean) > 1e-12 {
			t.Errorf("parts of %d: correlation %v, mean %v, max %v; want %v, %v, %v", part, *s.Correlation, s.Difference.Mean, s.Difference.Max, *want.Correlation, want.Mean, want.Max)
		}
	}
}

// A sample of few rows in one part, which a filter left, is not too small.
func TestSampleOfUnevenParts(t *testing.T) {
	a, b := largeCase(50_000)
	all := &Tally{Sample: NewSample(1, 1)}
	for part := range 100 {
		one := &Tally{Sample: NewSample(50_000, 5_000_000)} // as announced
		if part == 7 {
			rows := &Rows{}
			rows.Reset([]Tally{*one})
			rows.Append(0, 7*50_000, len(a))
			one.AddNumbers(Numbers{Champion: a, Challenger: b, Rows: rows})
		}
		all.Add(one)
		all.Moments.Add(one.Moments)
	}
	if s := summaryOf(all); s.SampleRows < leastSampleRows || s.SampleRows > 5*SampleRows/400+1+leastSampleRows {
		t.Errorf("a sample of %d rows; want at least %d", s.SampleRows, leastSampleRows)
	}
}

// Whatever batches rows come in, and in whatever order parts are added, counts,
// histogram, sample and place of the largest difference are the same bits; a plain loop
// over all rows has the same.
func TestTalliesAddUp(t *testing.T) {
	value := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, 1, -1, math.NaN(), math.Inf(1), math.Inf(-1), 1e200, math.Copysign(0, -1)}))
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOfN(value, 1, 60).Draw(t, "a")
		b := rapid.SliceOfN(value, len(a), len(a)).Draw(t, "b")
		one := tallied(t, a, b, len(a), len(a))
		other := tallied(t, a, b, rapid.IntRange(1, 9).Draw(t, "batch"), rapid.IntRange(1, 20).Draw(t, "part"))
		same := func(t *Tally) any {
			t.Sample.sides() // in order
			return []any{t.Rows, t.Equal, t.Apart, t.Largest, t.Bins.bins, t.Sample.points}
		}
		if diff := cmp.Diff(same(one), same(other), cmp.AllowUnexported(Point{})); diff != "" {
			t.Fatalf("in parts (-whole +parts):\n%s", diff)
		}
		equal, apart, largest := int64(0), int64(0), 0.0
		for i := range a {
			x, y := a[i], b[i]
			switch {
			case x == y || math.IsNaN(x) && math.IsNaN(y):
				equal++
			case math.IsNaN(x) || math.IsNaN(y) || math.Abs(x) > 1e140 || math.Abs(y) > 1e140:
				apart++
			default:
				largest = max(largest, math.Abs(y-x))
			}
		}
		if one.Equal != equal || one.Apart != apart || one.Largest.Difference != largest {
			t.Fatalf("equal %d, apart %d, largest %v; a loop has %d, %d, %v", one.Equal, one.Apart, one.Largest.Difference, equal, apart, largest)
		}
	})
}

// TestRankCorrelationOfEqualRanks: sides that rank alike have exactly 1, and sides that rank
// the other way round exactly -1, so that a limit of 1 can be held.
func TestRankCorrelationOfEqualRanks(t *testing.T) {
	for n := 2; n <= SampleRows; n += 1 + n/3 {
		for _, distinct := range []int{2, 7, n} {
			a, alike, opposed := make([]float64, n), make([]float64, n), make([]float64, n)
			for i := range a {
				a[i] = float64(i * 7919 % n % distinct)
				alike[i], opposed[i] = math.Exp(a[i]/float64(n)), -a[i]
			}
			for _, c := range []struct {
				b    []float64
				want float64
			}{{a, 1}, {alike, 1}, {opposed, -1}} {
				if r, ok := spearman(a, c.b); !ok || r != c.want {
					t.Errorf("spearman of %d rows of %d numbers = %v, %t; want %v", n, distinct, r, ok, c.want)
				}
			}
		}
	}
}

// TestCorrelationWithConstant: there is none, whatever the constant. The mean of equal numbers has to be
// exactly that number, or squares of its rounding are left to divide by.
func TestCorrelationWithConstant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		varied := rapid.SliceOfN(rapid.Float64Range(-9, 9), 1, 300).Draw(t, "varied")
		constant := slices.Repeat([]float64{rapid.Float64Range(-1e9, 1e9).Draw(t, "constant")}, len(varied))
		batch, part := rapid.IntRange(1, 300).Draw(t, "batch"), rapid.IntRange(1, 300).Draw(t, "part")
		for _, sides := range [][2][]float64{{varied, constant}, {constant, varied}, {constant, constant}} {
			if s := summaryOf(tallied(t, sides[0], sides[1], batch, part)); s.Correlation != nil {
				t.Fatalf("%d rows, one side being always %v: correlation %v; want none", len(varied), constant[0], *s.Correlation)
			}
		}
	})
}

func TestNth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Uint64Range(0, 40), 1, 50).Draw(t, "values")
		n := rapid.IntRange(0, len(values)-1).Draw(t, "n")
		if got, want := nth(slices.Clone(values), n), slices.Sorted(slices.Values(values))[n]; got != want {
			t.Fatalf("nth(%v, %d) = %d; want %d", values, n, got, want)
		}
	})
}

// A bin's middle is within 1/128 of every number in it.
func TestBins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Float64Range(-1e19, 1e19).Draw(t, "x")
		if math.Abs(x) < math.Ldexp(1, -64) {
			x = 0
		}
		if got := middle(binOf(x)); math.Abs(got-x) > math.Abs(x)/128 {
			t.Fatalf("%v is in the bin of %v", x, got)
		}
	})
	for _, x := range []float64{1e300, -1e300} {
		if got := middle(binOf(x)); got != math.Copysign(math.Ldexp(1, 64), x) {
			t.Errorf("%v is in the bin of %v; want the last", x, got)
		}
	}
}

func TestRowsThatAreOutDoNotCount(t *testing.T) {
	tally := &Tally{Sample: NewSample(1, 1)}
	rows := &Rows{}
	rows.Reset([]Tally{*tally})
	rows.Append(0, 10, 3)
	tally.AddNumbers(Numbers{Champion: []float64{1, 2, 3}, Challenger: []float64{1, 9, 3.5}, Rows: rows, Out: []bool{false, true, false}})
	s := tally.Summary(number, []string{"in.parquet"})
	if s.Rows != 2 || s.Equal != 1 || s.Difference.Max != 0.5 || s.Difference.MaxRow != 12 || s.Difference.MaxFile != "in.parquet" {
		t.Errorf("%+v, %+v; want 2 rows, 0.5 in row 12 at most", s, s.Difference)
	}
}

func TestLabels(t *testing.T) {
	tally := &Tally{}
	tally.AddLabels(10, 7)
	tally.AddLabels(10, 10)
	s := tally.Summary(Pair{Kind: Label}, nil)
	if s.Rows != 20 || s.EqualShare() != 0.85 || s.Difference != nil || s.RankCorrelation != nil {
		t.Errorf("%+v; want 17 of 20 equal and no numbers", s)
	}
}

// What a journal says that nobody wrote is an error.
func TestDamagedTallies(t *testing.T) {
	for _, text := range []string{
		`{"bins":[[99999999,1]]}`, `{"bins":[[-1,1]]}`, `{"bins":[[5,-1]]}`, `{"sample":{"rows":5,"points":"AAAA"}}`, `{"sample":{"rows":-5}}`,
	} {
		var tally Tally
		if err := json.Unmarshal([]byte(text), &tally); err == nil {
			t.Errorf("Unmarshal(%s) = nil; want an error", text)
		}
	}
}

// What a row of one prediction costs.
//
//	go test ./engine/agreement -run '^$' -bench Tally
func BenchmarkTally(b *testing.B) {
	x, y := largeCase(1 << 20)
	const batch, chunk = 32_768, 1024
	rows, tallies := &Rows{}, []Tally{{Sample: NewSample(1, 1)}}
	tally := &tallies[0]
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		at := n % (len(x) / batch) * batch
		rows.Reset(tallies)
		rows.Append(0, int64(n)*batch, batch)
		for from := 0; from < batch; from += chunk {
			tally.AddNumbers(Numbers{Champion: x[at+from:][:chunk], Challenger: y[at+from:][:chunk], Rows: rows, First: from})
		}
		n++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*batch), "ns/row")
	if s := tally.Summary(number, []string{"in"}); s.SampleRows == 0 {
		b.Fatal("no sample")
	}
}
