package decimal

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// TestSmallDecimals: the short way and the long way say the same.
func TestSmallDecimals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		unscaled := rapid.Int64Range(-maxExactInt+1, maxExactInt-1).Draw(t, "unscaled")
		scale := rapid.Int32Range(0, 22).Draw(t, "scale")
		got, want := smallDecimal(unscaled, scale), bigDecimal(big.NewInt(unscaled), scale)
		if got != want || math.Float64bits(got.Odd()) != math.Float64bits(want.Odd()) {
			t.Fatalf("smallDecimal(%d, %d) = %+v; want %+v", unscaled, scale, got, want)
		}
	})
}
