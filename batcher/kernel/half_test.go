package kernel

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWidenByDefinition checks every value of both formats against the formula
// of IEEE 754.
func TestWidenByDefinition(t *testing.T) {
	for _, f := range []HalfFormat{Float16, BFloat16} {
		for b := range 1 << 16 {
			exponent := b >> f.mantissa & (0x7fff >> f.mantissa)
			mantissa := float64(b & (1<<f.mantissa - 1))
			var want float64
			switch {
			case exponent == 0x7fff>>f.mantissa && mantissa != 0:
				want = math.NaN()
			case exponent == 0x7fff>>f.mantissa:
				want = math.Inf(1)
			case exponent == 0:
				want = math.Ldexp(mantissa, 1-f.bias-f.mantissa)
			default:
				want = math.Ldexp(1+math.Ldexp(mantissa, -f.mantissa), exponent-f.bias)
			}
			if b>>15 == 1 {
				want = -want
			}
			got := []float64{0}
			f.Widen(got, []uint16{uint16(b)})
			if math.Float64bits(got[0]) != math.Float64bits(want) && !(math.IsNaN(got[0]) && math.IsNaN(want)) {
				t.Fatalf("%+v.Widen(%#04x) = %v; want %v", f, b, got[0], want)
			}
		}
	}
}

// TestNarrowNeighbours takes every two neighbours of both formats, what lies
// just about the middle between them, and the two themselves.
func TestNarrowNeighbours(t *testing.T) {
	for _, f := range []HalfFormat{Float16, BFloat16} {
		for b := range int(f.inf()) {
			pair := make([]float64, 2)
			f.Widen(pair, []uint16{uint16(b), uint16(b + 1)})
			low, high := pair[0], pair[1]
			if b+1 == int(f.inf()) {
				high = 2*low - f.widen(uint16(b-1)) // what infinity's bits would mean
			}
			middle := low + (high-low)/2
			even := b + b&1
			tests := []struct {
				v    float64
				want int
			}{
				{low, b},
				{math.Nextafter(low, high), b},
				{math.Nextafter(middle, low), b},
				{middle, even},
				{math.Nextafter(middle, high), b + 1},
				{math.Nextafter(high, low), b + 1},
			}
			for _, test := range tests {
				got := []uint16{0, 0}
				res := f.Narrow(got, []float64{test.v, -test.v}, nil, 0)
				if int(got[0]) != test.want || int(got[1]) != test.want|0x8000 {
					t.Fatalf("%+v.Narrow(±%v) = %#04x, %#04x; want %#04x", f, test.v, got[0], got[1], test.want)
				}
				want := CheckResult{OutOfRange: -1, FirstInexact: -1}
				switch {
				case test.want == int(f.inf()):
					want.OutOfRange = 0
				case test.v != low:
					want.FirstInexact, want.Inexact = 0, 2
				}
				if res != want {
					t.Fatalf("%+v.Narrow(±%v) = %+v; want %+v", f, test.v, res, want)
				}
			}
		}
	}
}

func TestNarrowSpecials(t *testing.T) {
	values := []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), math.SmallestNonzeroFloat64, -1e-300}
	want := []uint16{0x7e00, 0x7c00, 0xfc00, 0x8000, 0, 0x8000}
	got := make([]uint16, len(values))
	res := Float16.Narrow(got, values, nil, 0)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Narrow(%v) differs (-want +got):\n%s", values, diff)
	}
	if want := (CheckResult{OutOfRange: -1, Inexact: 2, FirstInexact: 4}); res != want {
		t.Errorf("Narrow(%v) = %+v; want %+v", values, res, want)
	}
	res = Float16.Narrow(got, values, []byte{0b1000, 0}, 0)
	if want := (CheckResult{OutOfRange: -1, FirstInexact: -1}); res != want {
		t.Errorf("Narrow(%v) without the last = %+v; want %+v", values, res, want)
	}
}
