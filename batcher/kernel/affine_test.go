package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/internal/cpulevel/leveltest"
)

func TestAffineLevels(t *testing.T) {
	checkAffine[float32, float32](t)
	checkAffine[float64, float32](t)
	checkAffine[int32, float32](t)
	checkAffine[int64, float32](t)
	checkAffine[float32, float64](t)
	checkAffine[float64, float64](t)
	checkAffine[int32, float64](t)
	checkAffine[int64, float64](t)
	checkAffine[uint8, float32](t) // no kernel
	for _, l := range levels()[1:] {
		if l.bounds[kindF32].all == nil || l.bounds[kindF64].all == nil || l.narrow[narrowFills].all == nil || l.narrowValues == nil {
			t.Errorf("level %s has no kernels for bounds alone, or none in float32", l.name)
		}
		kernels := 0
		for _, from := range l.affines {
			for _, k := range from {
				if k.all != nil {
					kernels++
				}
			}
		}
		if kernels != 8 {
			t.Errorf("level %s has %d affine kernels; want the 8 that are tested here", l.name, kernels)
		}
	}
}

// affineLoop is what an Affine says, value by value; overflows says that the element
// cannot hold it.
func affineLoop[S, D Number](v S, valid bool, a *Affine) (d D, overflows bool) {
	x := float64(v)
	if !valid || x != x && a.FillNaN {
		return D(a.Fill), false
	}
	y := x - a.Sub
	y *= a.Mul
	y /= a.Div
	y += a.Add
	d = D(y)
	if d < D(a.Lo) {
		d = D(a.Lo)
	}
	if d > D(a.Hi) {
		d = D(a.Hi)
	}
	return d, math.IsInf(float64(d), 0) && !math.IsInf(y, 0)
}

// drawAffine draws a function for which there is a kernel.
func drawAffine(r *rand.Rand) Affine {
	a, factor := Identity, r.NormFloat64()*math.Ldexp(1, r.IntN(10)-5)
	switch r.IntN(6) {
	case 0:
		a.Mul, a.Add = factor, r.NormFloat64()*10
	case 1:
		a.Mul, a.Add = factor, 0
	case 2:
		a.Sub, a.Div = r.NormFloat64()*10, factor
	case 3:
		a.Sub, a.Div = float64(r.IntN(200)), factor // of values here: x - Sub is 0
	case 4:
		a.Div = factor
	}
	if r.IntN(2) == 0 {
		a.Lo = r.NormFloat64() * 5
	}
	if r.IntN(2) == 0 {
		a.Hi = max(a.Lo, r.NormFloat64()*50)
	}
	if r.IntN(8) == 0 {
		a.Lo, a.Hi = math.Copysign(0, float64(r.IntN(2))-1), math.Inf(1)
	}
	a.Fill, a.FillNaN = drawNumber[float64](r), r.IntN(2) == 0
	return a
}

// checkAffine compares rows with what affineLoop makes of each value, bit by bit.
func checkAffine[S, D Number](t *testing.T) {
	t.Helper()
	var from S
	var to D
	t.Run(fmt.Sprintf("from=%T/to=%T", from, to), func(t *testing.T) {
		leveltest.Each(t, levels(), 3*rowColumns+1, func(t *rapid.T, l *level, g *leveltest.Guards) {
			n, r := rapid.IntRange(0, 100).Draw(t, "n"), drawRandom(t)
			n += rapid.SampledFrom([]int{0, 0, -n % stepRows, 90}).Draw(t, "more") // 90: validity bits may be turned first
			first := rapid.IntRange(0, min(n, 20)).Draw(t, "first")
			width := rapid.IntRange(1, RowColumns[D]()).Draw(t, "width")
			gap := rapid.SampledFrom([]int{0, 0, 1, 5}).Draw(t, "gap")
			wild := rapid.SampledFrom([]float64{0, 0.01, 0.2}).Draw(t, "wild")
			onlyNaN := rapid.Bool().Draw(t, "of special values only NaN") && isFloating[S]()
			nulls := rapid.SampledFrom([]int{0, 1, 2}).Draw(t, "columns with nulls") // none, some, all
			bounds := rapid.Bool().Draw(t, "bounds alone")
			size := 0
			if n > first {
				size = (n-first-1)*(width+gap) + width
			}
			group, want := Group[D]{Columns: make([]Column[D], width)}, make([]D, size)
			for i := range Bytes(want) {
				Bytes(want)[i] = leveltest.Canary // what lies between rows stays
			}
			bad, judged := false, true // by every kernel
			for c := range width {
				src := leveltest.Slice[S](g, n)
				for i := range src {
					src[i] = S(r.IntN(200))
					if isFloating[S]() {
						src[i] += S(r.NormFloat64())
					}
					switch special := r.Float64() < wild; {
					case special && onlyNaN:
						nan := math.NaN()
						src[i] = S(nan)
					case special:
						src[i], judged = drawSpecial[S](r), false
					}
					if kindOf[S]() == kindOf[D]() && src[i] != src[i] { //nolint:gocritic // it is NaN
						nan := math.NaN() // bounds alone leave a signalling one as it is
						src[i] = S(nan)
					}
				}
				var bitmap []byte
				bit := 0
				if nulls == 2 || nulls == 1 && r.IntN(2) == 0 {
					bitmap, bit = guardedBits(t, g, n)
				}
				a := drawAffine(r)
				if bounds {
					a.Sub, a.Mul, a.Div, a.Add = Identity.Sub, Identity.Mul, Identity.Div, Identity.Add
				}
				group.Columns[c] = ColumnOf(src, bitmap, bit, D(7)).Through(NewLine[D](a))
				if widens[S, D]() && c > 0 && r.IntN(4) == 0 {
					a = Identity
					a.Fill = 7
					group.Columns[c] = ColumnOf(src, bitmap, bit, D(7))
				}
				if sizeOf[D]() == 4 {
					a = a.multiplied()
				}
				got := leveltest.Slice[D](g, n-first)
				res := fillAffine(l, got, src[first:], bitmap, bit+first, NewLine[D](a))
				worst := -1
				for i, v := range src[first:] {
					valid := bitmap == nil || bitutil.BitIsSet(bitmap, bit+first+i)
					d, overflows := lineLoop[S, D](v, valid, &a)
					if overflows && worst < 0 {
						worst = i
					}
					want[i*(width+gap)+c] = d
				}
				bad = bad || worst >= 0
				if res != (CheckResult{OutOfRange: worst, FirstInexact: -1}) {
					t.Fatalf("fillAffine(%v, %+v) = %+v; want the first out of range at %d", src[first:], a, res, worst)
				}
				for i, d := range got {
					if w := want[i*(width+gap)+c]; bitsOf(d) != bitsOf(w) {
						t.Fatalf("fillAffine(%v, %+v) = %v; want %v", src[first+i], a, d, w)
					}
				}
			}
			dst := leveltest.Slice[D](g, size)
			ok := group.rows(l, dst, width+gap, first, n)
			has := l.affines[kindOf[S]()][kindOf[D]()].all != nil && (!l.wholeSteps || width >= StepColumns || gap == 0)
			switch {
			case n == first:
				return
			case ok && (!has || bad):
				t.Fatalf("rows of %d columns = true; want false", width)
			case !ok && has && judged && !bad:
				t.Fatalf("rows of %d columns from %d to %d = false; want true", width, first, n)
			case !ok:
				return
			}
			for i := range want {
				if bitsOf(dst[i]) != bitsOf(want[i]) {
					t.Fatalf("rows of %d columns from %d to %d, stride %d: value %d = %v (%x); want %v (%x)",
						width, first, n, width+gap, i, dst[i], bitsOf(dst[i]), want[i], bitsOf(want[i]))
				}
			}
			if !leveltest.Intact[D](g, size) {
				t.Fatalf("rows of %d columns from %d to %d wrote before dst", width, first, n)
			}
		})
	})
}

// A clip before the function is bounds after it, whatever the function's sign.
func TestAffineClip(t *testing.T) {
	checkAffineClip[float64, float32](t)
	checkAffineClip[float32, float32](t)
	checkAffineClip[int64, float64](t)
	checkAffineClip[float64, float64](t)
}

func checkAffineClip[S, D Number](t *testing.T) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		r := drawRandom(t)
		a := drawAffine(r)
		bounds := []float64{r.NormFloat64() * 50, r.NormFloat64() * 50}
		slices.Sort(bounds)
		if r.IntN(3) == 0 {
			bounds[r.IntN(2)] *= math.Inf(1)
			slices.Sort(bounds)
		}
		src := make([]S, 20)
		for i := range src {
			if src[i] = S(bounds[r.IntN(2)]); r.IntN(2) == 0 {
				src[i] = drawSpecial[S](r)
			}
		}
		if sizeOf[D]() == 4 {
			a = a.multiplied()
		}
		clipped := a.Clip(bounds[0], bounds[1])
		got := make([]D, len(src))
		FillAffine(got, src, nil, 0, NewLine[D](clipped))
		for i, v := range src {
			x := float64(v)
			if x < bounds[0] {
				x = bounds[0]
			}
			if x > bounds[1] {
				x = bounds[1]
			}
			want, _ := affineLoop[float64, D](x, true, &a)
			if narrow := NewLine[D](a).narrows(kindOf[S]()); narrow && besides(float32(got[i]), float32(want)) {
				continue
			}
			if got[i] != want && (want == want || got[i] == got[i]) { //nolint:gocritic // want may be NaN
				t.Fatalf("%v, bounded by %v, through %+v = %v; want %v", v, bounds, a, got[i], want)
			}
		}
	})
}

// A function that both subtracts and adds is the plain loop's.
func TestAffineWithoutKernel(t *testing.T) {
	g := Group[float32]{Columns: []Column[float32]{
		ColumnOf([]float64{1}, nil, 0, float32(0)).Through(NewLine[float32](Affine{Sub: 1, Mul: 2, Div: 1, Add: 3})),
	}}
	if g.Rows(make([]float32, 1), 1, 0, 1) {
		t.Error("Rows of a function that subtracts and adds = true; want false")
	}
	values, want := make([]float32, 2*block), slices.Repeat([]float32{5}, 2*block)
	FillAffine(values, slices.Repeat([]float64{2}, 2*block), nil, 0, NewLine[float32](Affine{Sub: 1, Mul: 2, Div: 1, Add: 3, Lo: math.Inf(-1), Hi: math.Inf(1)}))
	if !slices.Equal(values, want) {
		t.Errorf("(2-1)*2 + 3 = %v; want 5", values)
	}
	bits := Group[float32]{Columns: []Column[float32]{
		ColumnOfBits([]byte{1}, 0, 1, nil, 0, float32(0)).Through(NewLine[float32](Identity)),
	}}
	if bits.Rows(make([]float32, 1), 1, 0, 1) {
		t.Error("Rows of a function of bools = true; want false")
	}
	mixed := Group[float32]{Columns: []Column[float32]{
		ColumnOf([]float64{0.1}, nil, 0, float32(0)), ColumnOf([]float64{0.1}, nil, 0, float32(0)).Through(NewLine[float32](Identity)),
	}}
	if mixed.Rows(make([]float32, 2), 2, 0, 1) {
		t.Error("Rows of a checked cast beside a function = true; want false, as nobody counts what it rounds")
	}
}

// A float32 of the product with a reciprocal is that of the quotient, or the one beside
// it; a float64 is the quotient's own.
func TestAffineDivides(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	a := Identity
	for range 1000 {
		a.Sub, a.Div = r.NormFloat64()*100, r.NormFloat64()*math.Ldexp(1, r.IntN(100)-50)
		x := r.NormFloat64() * 100
		want := (x - a.Sub) / a.Div
		single, double := []float32{0}, []float64{0}
		FillAffine(single, []float64{x}, nil, 0, NewLine[float32](a))
		FillAffine(double, []float64{x}, nil, 0, NewLine[float64](a))
		if math.Abs(float64(single[0])-want) > math.Abs(float64(math.Nextafter32(float32(want), float32(math.Inf(1)))-float32(want))) {
			t.Errorf("(%v - %v) / %v = %v as float32; want %v", x, a.Sub, a.Div, single[0], want)
		}
		if double[0] != want {
			t.Errorf("(%v - %v) / %v = %v; want %v", x, a.Sub, a.Div, double[0], want)
		}
	}
	for _, div := range []float64{5e-324, 1e308} {
		a.Sub, a.Div = 0, div
		if l := NewLine[float32](a); l.kernels || l.Div != div {
			t.Errorf("a line that divides by %v multiplies; its reciprocal is none", div)
		}
	}
}
