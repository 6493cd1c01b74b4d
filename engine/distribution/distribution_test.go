package distribution

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"
)

// float64s is an array of numbers; valid nil: none is null.
func float64s(values []float64, valid []bool) arrow.Array {
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	defer b.Release()
	b.AppendValues(values, valid)
	return b.NewArray()
}

func tallyOf(arrays ...arrow.Array) *Tally {
	t := NewTally(arrays[0].DataType())
	for _, a := range arrays {
		t.Add(a)
	}
	return t
}

// made are numbers of some shapes that predictions have.
func made(seed uint64) map[string][]float64 {
	r := rand.New(rand.NewPCG(seed, 1))
	of := func(n int, one func() float64) []float64 {
		values := make([]float64, n)
		for i := range values {
			values[i] = one()
		}
		return values
	}
	return map[string][]float64{
		"probabilities":                 of(5000, func() float64 { return 1 / (1 + math.Exp(-r.NormFloat64()*3)) }),
		"signed":                        of(5000, func() float64 { return r.NormFloat64() * 40 }),
		"large numbers close together":  of(5000, func() float64 { return 1e9 + r.Float64() }),
		"many zeros":                    of(5000, func() float64 { return max(r.NormFloat64(), 0) }),
		"one constant":                  of(100, func() float64 { return 0.25 }),
		"one number":                    {-7},
		"tiny, huge, and not finite":    {1e-300, -1e-30, 5e-324, 1e39, -1e100, 1e300, math.MaxFloat64, math.Inf(1), math.Inf(-1), math.NaN(), math.Copysign(0, -1), 3},
		"none that counts":              {math.NaN(), math.Inf(1)},
		"as wide as floats, both signs": of(3000, func() float64 { return math.Exp(r.NormFloat64()*15) * float64(1-2*r.IntN(2)) }),
	}
}

// Counts, extremes and moments are those of a plain loop over sorted numbers, and
// quantiles are within the stated error.
func TestNumbers(t *testing.T) {
	for name, values := range made(1) {
		tally := tallyOf(float64s(values[:len(values)/3], nil), float64s(values[len(values)/3:], nil))
		s, err := tally.Summary("x", tally.Moments())
		if err != nil {
			t.Fatal(err)
		}
		var numbers []float64
		nans, endless := int64(0), int64(0)
		for _, v := range values {
			switch {
			case math.IsNaN(v):
				nans++
			case math.Abs(v) > 1e140:
				endless++
			default:
				numbers = append(numbers, v)
			}
		}
		if s.Rows != int64(len(values)) || s.NaNs != nans || s.Infinities != endless || s.Nulls != 0 {
			t.Errorf("%s: %d rows, %d NaNs, %d infinities; want %d, %d, %d", name, s.Rows, s.NaNs, s.Infinities, len(values), nans, endless)
		}
		if len(numbers) == 0 {
			if s.Min != nil || s.Mean != nil || s.Quantiles != nil || s.Sketch != nil {
				t.Errorf("%s: %+v; want no numbers", name, s)
			}
			continue
		}
		slices.Sort(numbers)
		if *s.Min != numbers[0] || *s.Max != numbers[len(numbers)-1] {
			t.Errorf("%s: from %v to %v; want %v to %v", name, *s.Min, *s.Max, numbers[0], numbers[len(numbers)-1])
		}
		mean, sd := plainMoments(numbers)
		scale := max(math.Abs(numbers[0]), math.Abs(numbers[len(numbers)-1]))
		if math.Abs(*s.Mean-mean) > 1e-12*scale {
			t.Errorf("%s: mean %v; want %v", name, *s.Mean, mean)
		}
		if (s.SD == nil) != (len(numbers) < 2) || s.SD != nil && math.Abs(*s.SD-sd) > 1e-6*sd+1e-15 {
			t.Errorf("%s: standard deviation %v; want %v", name, s.SD, sd)
		}
		if len(s.Quantiles) != len(quantiles) {
			t.Fatalf("%s: %d quantiles", name, len(s.Quantiles))
		}
		for _, q := range s.Quantiles {
			want := numbers[int(q.Q*float64(len(numbers)-1))]
			if math.Abs(want) < 0x1p-64 {
				want = 0
			}
			if math.Abs(want) >= 0x1p64 && math.Abs(q.Value) >= 0x1p64 && (want < 0) == (q.Value < 0) {
				continue // all of them count as 2^64
			}
			if math.Abs(q.Value-want) > RelativeError*math.Abs(want)*1.0000001 {
				t.Errorf("%s: quantile %v is %v; want %v within %v of it", name, q.Q, q.Value, want, RelativeError)
			}
		}
	}
}

func plainMoments(numbers []float64) (mean, sd float64) {
	for _, v := range numbers {
		mean += v / float64(len(numbers))
	}
	for _, v := range numbers {
		sd += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(sd / float64(len(numbers)-1))
}

// Parts that are added up in any order, and that a journal had meanwhile, come to the
// same bytes; how a part's rows were cut into arrays does not count either.
func TestMerge(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for name, values := range made(2) {
		var parts []*Tally
		for rest := values; len(rest) > 0; {
			n := 1 + r.IntN(len(rest))
			parts = append(parts, tallyOf(float64s(rest[:n], nil)))
			rest = rest[n:]
		}
		var moments Moments
		for _, p := range parts {
			moments.Add(p.Moments())
		}
		var want []byte
		for range 4 {
			total := parts[0].Empty()
			for _, i := range r.Perm(len(parts)) {
				total.Merge(throughJournal(t, parts[i]))
			}
			s, err := total.Summary("x", moments)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = got
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: %s\nand in another order %s", name, want, got)
			}
		}
		whole := tallyOf(float64s(values, nil))
		cut := tallyOf(float64s(values[:len(values)/2], nil), float64s(values[len(values)/2:], nil))
		if diff := cmp.Diff(text(t, whole), text(t, cut)); diff != "" {
			t.Errorf("%s: in one array and in two:\n%s", name, diff)
		}
		if parts := text(t, throughJournal(t, whole)); parts != text(t, whole) {
			t.Errorf("%s: a journal changes %s to %s", name, text(t, whole), parts)
		}
	}
}

func text(t *testing.T, tally *Tally) string {
	t.Helper()
	out, err := json.Marshal(tally)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func throughJournal(t *testing.T, tally *Tally) *Tally {
	t.Helper()
	var back Tally
	if err := json.Unmarshal([]byte(text(t, tally)), &back); err != nil {
		t.Fatal(err)
	}
	return &back
}

// Nulls are counted, and nothing else of them is.
func TestNulls(t *testing.T) {
	tally := tallyOf(float64s([]float64{1, math.NaN(), 3, 4}, []bool{false, false, true, false}), float64s([]float64{9}, []bool{false}))
	s, err := tally.Summary("x", tally.Moments())
	if err != nil {
		t.Fatal(err)
	}
	if s.Rows != 5 || s.Nulls != 4 || s.NaNs != 0 || *s.Min != 3 || *s.Max != 3 || *s.Mean != 3 {
		t.Errorf("%+v; want the one value 3 and four nulls", s)
	}
}

// Labels of every type are counted by their texts; too many, or one that is too long, are
// not, in whichever order parts are added up.
func TestLabels(t *testing.T) {
	ints := func(values ...int64) arrow.Array {
		b := array.NewInt64Builder(memory.DefaultAllocator)
		defer b.Release()
		b.AppendValues(values, nil)
		return b.NewArray()
	}
	texts := func(values ...string) arrow.Array {
		b := array.NewStringBuilder(memory.DefaultAllocator)
		defer b.Release()
		b.AppendValues(values, nil)
		return b.NewArray()
	}
	bools := array.NewBooleanBuilder(memory.DefaultAllocator)
	bools.AppendValues([]bool{true, false, true}, []bool{true, true, false})
	upTo := func(n int64) (all []int64) {
		for i := range n {
			all = append(all, i-100)
		}
		return all
	}
	for _, c := range []struct {
		name  string
		parts []arrow.Array
		want  []LabelCount
		many  bool
	}{
		{"classes, the one with the most rows first", []arrow.Array{ints(0, 1, 1), ints(1, 0, 7)}, []LabelCount{{"1", 3}, {"0", 2}, {"7", 1}}, false},
		{"integers of any size", []arrow.Array{ints(-1, math.MinInt64, 255, 256), ints(256, 255)}, []LabelCount{{"255", 2}, {"256", 2}, {"-1", 1}, {"-9223372036854775808", 1}}, false},
		{"texts, equal rows by name", []arrow.Array{texts("b", "a", "<script>", "b"), texts("", "a")}, []LabelCount{{"a", 2}, {"b", 2}, {"", 1}, {"<script>", 1}}, false},
		{"texts that are no UTF-8 are one", []arrow.Array{texts("\xff"), texts("\xfe")}, []LabelCount{{"\uFFFD", 2}}, false},
		{"truth values, without nulls", []arrow.Array{bools.NewArray()}, []LabelCount{{"false", 1}, {"true", 1}}, false},
		{"as many as are counted", []arrow.Array{ints(upTo(MostLabels)...)}, nil, false},
		{"one more", []arrow.Array{ints(upTo(MostLabels + 1)...)}, nil, true},
		{"one more, in two parts", []arrow.Array{ints(upTo(MostLabels)...), ints(5000)}, nil, true},
		{"one more, in small and large ones", []arrow.Array{ints(upTo(MostLabels - 1)...), ints(-5000), ints(-5001)}, nil, true},
		{"one that is too long", []arrow.Array{texts("a"), texts(strings.Repeat("x", 2000))}, nil, true},
	} {
		for _, order := range []string{"as they come", "from the last"} {
			parts := make([]*Tally, len(c.parts))
			for i, a := range c.parts {
				parts[i] = throughJournal(t, tallyOf(a))
			}
			if order != "as they come" {
				slices.Reverse(parts)
			}
			total := parts[0].Empty()
			for _, p := range parts {
				total.Merge(p)
			}
			s, err := total.Summary("label", Moments{})
			if err != nil {
				t.Fatal(err)
			}
			if s.ManyLabels != c.many {
				t.Errorf("%s: too many labels: %v; want %v", c.name, s.ManyLabels, c.many)
			}
			if c.many && (s.Labels != nil || s.Distinct != 0 || s.OtherRows != 0) {
				t.Errorf("%s: %+v; want no counts", c.name, s)
			}
			if diff := cmp.Diff(c.want, s.Labels); c.want != nil && diff != "" {
				t.Errorf("%s, %s:\n%s", c.name, order, diff)
			}
			if len(s.Labels) > shownLabels {
				t.Errorf("%s: %d labels are named", c.name, len(s.Labels))
			}
		}
	}
}

// A type that has several values a row is counted alone.
func TestLists(t *testing.T) {
	b := array.NewFixedSizeListBuilder(memory.DefaultAllocator, 2, arrow.PrimitiveTypes.Float32)
	b.Append(true)
	b.ValueBuilder().(*array.Float32Builder).AppendValues([]float32{1, 2}, nil)
	b.AppendNull()
	tally := tallyOf(b.NewArray())
	s, err := tally.Summary("e", tally.Moments())
	if want := (Summary{Column: "e", Kind: List, Rows: 2, Nulls: 1}); err != nil || cmp.Diff(want, s) != "" {
		t.Errorf("%+v, %v; want %+v", s, err, want)
	}
}

// The index is the sum over deciles that a plain loop makes of the numbers themselves;
// these fill no bin with numbers of two deciles, so there is no error.
func TestPSI(t *testing.T) {
	rows := func(counts ...int) (values []float64) {
		for i, n := range counts {
			for range n {
				values = append(values, float64(i-3)) // negative ones and 0 among them
			}
		}
		return values
	}
	psi := func(p, q []float64) (sum float64) {
		for i := range p {
			sum += (q[i] - p[i]) * math.Log(q[i]/p[i])
		}
		return sum
	}
	for _, c := range []struct {
		name        string
		before, now []float64
		want        float64
	}{
		{"the same", rows(10, 10, 10, 10, 10, 10, 10, 10, 10, 10), rows(1, 1, 1, 1, 1, 1, 1, 1, 1, 1), 0},
		{"half and half becomes a quarter and three", rows(50, 50), rows(25, 75), psi([]float64{0.5, 0.5}, []float64{0.25, 0.75})},
		{"a constant that another takes the place of counts half a row", rows(0, 0, 0, 0, 100), rows(0, 0, 0, 0, 0, 100), psi([]float64{1, 0.005}, []float64{0.005, 1})},
		{"smaller ones alone", rows(0, 50, 50), rows(100), psi([]float64{0.5, 0.5}, []float64{1, 0.005})},
	} {
		a, b := tallyOf(float64s(c.before, nil)), tallyOf(float64s(c.now, nil))
		before, _ := a.Summary("x", a.Moments())
		now, _ := b.Summary("x", b.Moments())
		if got, ok := PSI(&before, &now); !ok || math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: PSI = %v, %v; want %v", c.name, got, ok, c.want)
		}
	}
}

// Of labels it is the sum over labels, where both name all of theirs.
func TestPSIOfLabels(t *testing.T) {
	before := Summary{Kind: Label, Labels: []LabelCount{{"a", 50}, {"b", 50}}}
	now := Summary{Kind: Label, Labels: []LabelCount{{"b", 75}, {"a", 25}}}
	want := -0.25*math.Log(0.5) + 0.25*math.Log(1.5)
	if got, ok := PSI(&before, &now); !ok || math.Abs(got-want) > 1e-12 {
		t.Errorf("PSI = %v, %v; want %v", got, ok, want)
	}
	now.ManyLabels = true
	if got, ok := PSI(&before, &now); ok {
		t.Errorf("PSI = %v of labels that were not counted", got)
	}
	now = Summary{Kind: Number}
	if got, ok := PSI(&before, &now); ok {
		t.Errorf("PSI = %v of labels and numbers", got)
	}
}

// Bins are in order, and have the rows that lie in them.
func TestBins(t *testing.T) {
	for name, values := range made(4) {
		tally := tallyOf(float64s(values, nil))
		s, err := tally.Summary("x", tally.Moments())
		if err != nil {
			t.Fatal(err)
		}
		all := s.Bins()
		for i, b := range all {
			if i > 0 && b.From < all[i-1].To || b.From > b.To {
				t.Fatalf("%s: bin %v after %v", name, b, all[i-1])
			}
			rows := int64(0)
			for _, v := range values {
				in := v >= b.From && v < b.To
				if b.To <= 0 && b.From < 0 {
					in = v > b.From && v <= b.To
				}
				if b.From == 0 {
					in = math.Abs(v) < 0x1p-64
				}
				if in && math.Abs(v) < 0x1p64 {
					rows++
				}
			}
			if math.Abs(b.From) < 0x1p63 && rows != b.Rows {
				t.Errorf("%s: %d rows in %v", name, rows, b)
			}
		}
	}
}

// Bytes of a manifest that are no sketch of these bins give no bins, and nothing panics or
// takes much memory.
func TestHostileSketch(t *testing.T) {
	tally := tallyOf(float64s(made(5)["signed"], nil))
	s, _ := tally.Summary("x", tally.Moments())
	r := rand.New(rand.NewPCG(6, 6))
	for range 3000 {
		bad := slices.Clone(s.Sketch)
		for range 1 + r.IntN(4) {
			bad[r.IntN(len(bad))] = byte(r.Uint32())
		}
		b, err := decodeBins(bad[:r.IntN(len(bad)+1)])
		if (b == nil) == (err == nil) {
			t.Fatalf("decodeBins = %v, %v; want one of them", b, err)
		}
	}
	other, _ := (&bins{}).encode()
	if _, err := decodeBins(other); err != nil {
		t.Errorf("an empty sketch: %v", err)
	}
}

func FuzzDecodeBins(f *testing.F) {
	for _, values := range made(7) {
		tally := tallyOf(float64s(values, nil))
		text, err := tally.bins.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := decodeBins(text)
		if (b == nil) == (err == nil) {
			t.Fatalf("decodeBins = %v, %v; want one of them", b, err)
		}
		if err == nil && b.count() < 0 {
			t.Fatalf("%d numbers", b.count())
		}
	})
}

// go test ./engine/distribution -run '^$' -bench Add.
func BenchmarkAdd(b *testing.B) {
	r := rand.New(rand.NewPCG(8, 8))
	const rows = 4096
	scores := array.NewFloat32Builder(memory.DefaultAllocator)
	classes := array.NewInt64Builder(memory.DefaultAllocator)
	for range rows {
		scores.Append(float32(r.NormFloat64() * 20))
		classes.Append(int64(r.IntN(2)))
	}
	for _, c := range []struct {
		name   string
		column arrow.Array
	}{{"score", scores.NewArray()}, {"class", classes.NewArray()}} {
		b.Run("kind="+c.name, func(b *testing.B) {
			t := NewTally(c.column.DataType())
			b.ReportAllocs()
			for b.Loop() {
				t.Add(c.column)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
		})
	}
}
