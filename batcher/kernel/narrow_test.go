package kernel

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

// lineLoop is affineLoop, or narrowLoop where a line computes in float32.
func lineLoop[S, D Number](v S, valid bool, a *Affine) (D, bool) {
	if l := NewLine[D](*a); l.narrows(kindOf[S]()) {
		y, overflows := narrowLoop(float32(v), valid, a, &l.row.narrow)
		return D(y), overflows
	}
	return affineLoop[S, D](v, valid, a)
}

// narrowLoop is what a narrowLine says, in numbers of as many digits as it takes.
func narrowLoop(x float32, valid bool, a *Affine, n *narrowLine) (y float32, overflows bool) {
	switch {
	case !valid || x != x && a.FillNaN:
		return float32(a.Fill), false
	case x != x:
		return x, false
	}
	d := fusedBig(x, 1, -n.zero)
	if n.zero == 0 {
		d = x - n.zero // of zeros -n.zero would be another
	}
	y = fusedBig(d, n.slope, fusedBig(d, n.rest, n.add))
	if y < float32(a.Lo) {
		y = float32(a.Lo)
	}
	if y > float32(a.Hi) {
		y = float32(a.Hi)
	}
	return y, math.IsInf(float64(y), 0) && !math.IsInf(float64(x), 0)
}

// fusedBig is x*y + z, rounded once.
func fusedBig(x, y, z float32) float32 {
	number := func(v float32) *big.Float { return new(big.Float).SetPrec(1000).SetFloat64(float64(v)) }
	sum := number(x)
	sum.Mul(sum, number(y)).Add(sum, number(z))
	v, _ := sum.Float32()
	return v
}

// besides says that two numbers are the same or next to each other.
func besides(a, b float32) bool {
	return a == b || a != a && b != b || math.Nextafter32(a, b) == b
}

// Whatever the machine, a product and a sum are rounded once.
func TestFMA32(t *testing.T) {
	for _, c := range []struct {
		about   string
		x, y, z float32
	}{
		{"half way between two, exactly", 1 + 0x1p-12, 1 + 0x1p-12, 0},
		{"a little more than half way, which a float64 does not see", 1 + 0x1p-12, 1 + 0x1p-12, 0x1p-60},
		{"a little less", 1 + 0x1p-12, 1 + 0x1p-12, -0x1p-60},
		{"below zero", -1 - 0x1p-12, 1 + 0x1p-12, -0x1p-60},
		{"the sum of no difference", 3, 5, -15},
		{"zeros of either sign", 0, -1, float32(math.Copysign(0, -1))},
		{"the least number, and half of it", 0x1p-75, 0x1p-75, 0x1p-149},
		{"more than half of the least", 0x1p-75, 0x1.000002p-75, 0},
		{"more than half way between two of the least, which a float64 does not see", 32513 * 0x1p-90, 33025 * 0x1p-90, 0x7ffffe * 0x1p-149},
		{"beyond the largest", math.MaxFloat32, 2, 0},
		{"half a step beyond the largest", 0x1p64, 0x1p64, -0x1p103},
		{"less than half a step beyond it", 0x1p64, 0x1p64, -0x1.000002p103},
	} {
		if got, want := fma32(c.x, c.y, c.z), fusedBig(c.x, c.y, c.z); math.Float32bits(got) != math.Float32bits(want) {
			t.Errorf("%s: %v*%v + %v = %v; want %v", c.about, c.x, c.y, c.z, got, want)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		x, y := float32(r.IntN(1<<13))+1<<12, float32(r.IntN(1<<13))+1<<12 // often half way
		z := float32(math.Ldexp(r.Float64()-0.5, r.IntN(120)-60))
		scale := float32(math.Ldexp(1, -r.IntN(80)))
		if got, want := fma32(x*scale, y*scale, z*scale*scale), fusedBig(x*scale, y*scale, z*scale*scale); math.Float32bits(got) != math.Float32bits(want) {
			t.Fatalf("%v*%v + %v = %v; want %v", x*scale, y*scale, z*scale*scale, got, want)
		}
	}
}

// Where a rounding hangs on a digit that a float64 does not have, a line sees it.
func TestNarrowLineHangs(t *testing.T) {
	const x = 1 + 0x1p-12
	for _, n := range []narrowLine{
		{slope: x, rest: 0x1p-60},
		{slope: x, rest: -0x1p-60},
		{rest: x, add: 0x1p-60},
		{rest: x, add: -0x1p-60},
	} {
		if got, want := n.at(x), fusedBig(x, n.slope, fusedBig(x, n.rest, n.add)); got != want {
			t.Errorf("%v through %+v = %v; want %v", float32(x), n, got, want)
		}
	}
}

// A function in float32 is that in float64, rounded, or the number beside it: near its
// zero too, where it is 0 and where it is not.
func TestNarrowLine(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	scales := []func() Affine{
		func() Affine {
			return Affine{Sub: r.NormFloat64() * 100, Mul: 1, Div: r.ExpFloat64() + 1e-3, Add: math.Copysign(0, -1)}
		},
		func() Affine {
			return Affine{Sub: float64(r.IntN(100)), Mul: 1, Div: float64(r.IntN(100) + 1), Add: math.Copysign(0, -1)}
		},
		func() Affine { return Affine{Mul: -r.ExpFloat64() - 1e-3, Div: 1, Add: r.NormFloat64() * 100} },
		func() Affine { return Affine{Mul: 1 / (r.ExpFloat64() + 1), Div: 1} },
		func() Affine { return Affine{Sub: r.NormFloat64(), Mul: 2, Div: 3, Add: r.NormFloat64()} },
		func() Affine {
			return Affine{Sub: math.Ldexp(r.NormFloat64(), r.IntN(80)-60), Mul: 1, Div: math.Ldexp(1+r.Float64(), r.IntN(80)-40), Add: math.Copysign(0, -1)}
		},
	}
	for kind, scale := range scales {
		t.Run(fmt.Sprint("scale=", kind), func(t *testing.T) {
			for range 3000 {
				a := scale()
				n, ok := narrowLineOf(&a)
				if !ok {
					t.Fatalf("narrowLineOf(%+v) = false; want true", a)
				}
				values := append(make([]float32, 0, 67), 0, 1, n.zero, -n.zero, 2*n.zero, float32(a.Sub), math.MaxFloat32/4)
				for range 20 {
					near := math.Float32frombits(math.Float32bits(n.zero) + uint32(r.IntN(64)))
					values = append(values, near, n.zero+float32(r.NormFloat64()), float32(r.NormFloat64()*1e3))
				}
				slices.Sort(values)
				previous := n.at(values[0])
				for _, x := range values {
					got, want := n.at(x), float32(a.At(float64(x)))
					if !besides(got, want) {
						t.Fatalf("%v through %+v = %v; want %v or a number beside it", x, a, got, want)
					}
					if (got > previous) != (a.Mul/a.Div > 0) && got != previous {
						t.Fatalf("%v through %+v = %v, after %v; want it monotonic", x, a, got, previous)
					}
					previous = got
				}
			}
		})
	}
	// To add -0 changes nothing, to add 0 makes it of a -0.
	zero := float32(math.Copysign(0, -1))
	for _, add := range []float64{0, math.Copysign(0, -1)} {
		n, _ := narrowLineOf(&Affine{Mul: 1, Div: 2, Add: add})
		if got := n.at(zero); got != 0 || math.Signbit(float64(got)) != math.Signbit(add) {
			t.Errorf("-0/2 + %v = %v", add, got)
		}
	}
	inf := float32(math.Inf(1))
	for _, a := range []Affine{{Mul: 1, Div: 2}, {Sub: 3, Mul: -1, Div: 7}} {
		n, _ := narrowLineOf(&a)
		if got := n.at(inf); got != inf*float32(a.Mul) {
			t.Errorf("an infinite number through %+v = %v", a, got)
		}
	}
}

// Numbers that are too large or too small stay in float64, and do not go with others
// in one kernel.
func TestNarrowRefuses(t *testing.T) {
	wild := Identity
	wild.Div = 0x1p70
	for _, a := range []Affine{wild, {Mul: 1e-30, Div: 1, Add: 1}, {Sub: 1e30, Mul: 1, Div: 1, Add: math.Copysign(0, -1)}, {Mul: 1, Div: 5e-324}} {
		if l := NewLine[float32](a); l.narrow {
			t.Errorf("NewLine(%+v) computes in float32; want float64", a)
		}
	}
	src := []float32{1, 2, 3}
	tame := Identity
	tame.Div = 3
	column := ColumnOf(src, nil, 0, float32(0))
	for _, l := range levels()[1:] {
		g := Group[float32]{Columns: []Column[float32]{column.Through(NewLine[float32](wild)), column.Through(NewLine[float32](tame))}}
		if g.rows(l, make([]float32, 6), 2, 0, 3) {
			t.Errorf("level %s: rows of float32 and float64 arithmetic = true; want false", l.name)
		}
		g.Columns = g.Columns[:1]
		if dst := make([]float32, 3); !g.rows(l, dst, 1, 0, 3) || dst[2] != 3*0x1p-70 {
			t.Errorf("level %s: rows of %v = %v", l.name, src, dst)
		}
	}
}
