package half

import (
	"math"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/float16"
)

// Every float16 has the value that IEEE 754 gives it: a sign, 5 bits of exponent, 10 of fraction.
func TestFloat32(t *testing.T) {
	for i := range 1 << 16 {
		sign, exponent, fraction := 1-2*float64(i>>15), i>>10&31, float64(i&1023)
		want := sign * math.Ldexp(1024+fraction, exponent-25)
		switch {
		case exponent == 31 && fraction != 0:
			want = math.NaN()
		case exponent == 31:
			want = math.Inf(int(sign))
		case exponent == 0:
			want = math.Copysign(math.Ldexp(fraction, -24), sign)
		}
		got := float64(Float32(float16.FromBits(uint16(i))))
		if math.Float64bits(got) != math.Float64bits(want) && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Fatalf("Float32(%#04x) = %g; want %g", i, got, want)
		}
	}
}
