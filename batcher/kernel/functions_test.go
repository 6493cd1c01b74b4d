package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/internal/cpulevel/leveltest"
)

// drawValue draws a number, of all, of those that a function has ways of its own for, or of a range.
func drawValue(r *rand.Rand, special []float64, spread float64) float64 {
	switch r.IntN(40) {
	case 0:
		return math.Float64frombits(r.Uint64())
	case 1, 2, 3:
		v := special[r.IntN(len(special))]
		for range r.IntN(5) {
			v = math.Nextafter(v, math.Inf(r.IntN(2)*2-1))
		}
		return v
	case 4:
		return float64(r.IntN(20) - 10)
	case 5:
		return math.Ldexp(r.Float64()-0.5, -r.IntN(80))
	default:
		return (r.Float64() - 0.5) * spread
	}
}

// sameFloats says that numbers are equal to the bit, whatever NaN they are.
func sameFloats(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || a != a && b != b
}

// Every level's logarithms are those of package math, to the bit.
func TestLog1pLevels(t *testing.T) {
	special := []float64{
		0, math.Copysign(0, -1), -1, 1, 3, 7, math.Sqrt2 - 1, math.Sqrt2/2 - 1, 1 - math.Sqrt2, math.Sqrt2, 0x1p-29, -0x1p-29, 0x1p-54, 0x1p53, 1<<53 - 1, -2, math.Inf(1), math.Inf(-1), math.NaN(),
		math.SmallestNonzeroFloat64, math.MaxFloat64, -0.5, -0.75, 1e-9, 0x1p-1022,
	}
	leveltest.Each(t, levels(), 1, func(t *rapid.T, l *level, g *leveltest.Guards) {
		n, r := rapid.IntRange(0, 1200).Draw(t, "n"), drawRandom(t)
		spread := rapid.SampledFrom([]float64{0.1, 1, 2, 10, 1e3, 1e9, 1e16}).Draw(t, "spread")
		values := leveltest.Slice[float64](g, n)
		for i := range values {
			values[i] = drawValue(r, special, spread)
		}
		before := append([]float64(nil), values...)
		log1p(l, values)
		for i, v := range values {
			if want := math.Log1p(before[i]); !sameFloats(v, want) {
				t.Fatalf("log1p(%v, %x) = %x; want %x", before[i], before[i], v, want)
			}
		}
		if !leveltest.Intact[float64](g, n) {
			t.Fatalf("log1p of %d values wrote before them", n)
		}
	})
}

// Every level's distances are those by package math, to the bit.
func TestHaversineLevels(t *testing.T) {
	special := []float64{0, math.Copysign(0, -1), 45, -45, 90, -90, 135, 180, -180, 225, 270, 315, 360, 720, 1e6, 999_999, 1e9, math.NaN(), math.Inf(1), math.SmallestNonzeroFloat64}
	leveltest.Each(t, levels(), 5, func(t *rapid.T, l *level, g *leveltest.Guards) {
		n, r := rapid.IntRange(0, 600).Draw(t, "n"), drawRandom(t)
		spread := rapid.SampledFrom([]float64{1e-3, 1, 180, 360, 5000, 2e6}).Draw(t, "spread")
		far := rapid.SampledFrom([]float64{1, 1e-6}).Draw(t, "far")
		var p Places
		for _, of := range []*[]float64{&p.Lat1, &p.Lon1, &p.Lat2, &p.Lon2} {
			*of = leveltest.Slice[float64](g, n)
			for i := range *of {
				(*of)[i] = drawValue(r, special, spread)
			}
		}
		for i := range p.Lat2 {
			if far < 1 { // the places lie near each other, or just opposite
				p.Lat2[i], p.Lon2[i] = p.Lat1[i]+far*r.NormFloat64(), p.Lon1[i]+far*r.NormFloat64()+float64(180*r.IntN(2))
			}
		}
		dst := leveltest.Slice[float64](g, n)
		haversine(l, dst, p, 12742)
		for i, v := range dst {
			if want := 12742 * arc(p.Lat1[i], p.Lon1[i], p.Lat2[i], p.Lon2[i]); !sameFloats(v, want) {
				t.Fatalf("haversine(%v, %v, %v, %v) = %x; want %x", p.Lat1[i], p.Lon1[i], p.Lat2[i], p.Lon2[i], v, want)
			}
		}
		if !leveltest.Intact[float64](g, n) {
			t.Fatalf("haversine of %d values wrote before them", n)
		}
	})
}
