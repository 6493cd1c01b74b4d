package decimal

import (
	"math"
	"math/big"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"
)

// TestQuotients: the short way and the long way say the same.
func TestQuotients(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		unscaled := rapid.Int64Range(-maxExactInt+1, maxExactInt-1).Draw(t, "unscaled")
		scale := rapid.Int32Range(0, 22).Draw(t, "scale")
		power, _ := powerOf(scale)
		got, want := Quotient(float64(unscaled), power), bigDecimal(big.NewInt(unscaled), scale)
		if got != want || math.Float64bits(got.Odd()) != math.Float64bits(want.Odd()) {
			t.Fatalf("Quotient(%d, 1e%d) = %+v; want %+v", unscaled, scale, got, want)
		}
	})
}

// TestWideDecimals: decimals of 256 bits have the values that math/big says, on both sides of
// where the short way ends and where a word does.
func TestWideDecimals(t *testing.T) {
	const scale = 7
	unscaled := make([]*big.Int, 0, 96)
	for _, bits := range []uint{0, 1, 52, 53, 54, 62, 63, 64, 65, 127, 128, 129, 191, 192, 193, 240} {
		for _, off := range []int64{-1, 0, 1} {
			v := new(big.Int).Lsh(big.NewInt(1), bits)
			v.Add(v, big.NewInt(off))
			unscaled = append(unscaled, v, new(big.Int).Neg(v))
		}
	}
	b := array.NewDecimal256Builder(memory.DefaultAllocator, &arrow.Decimal256Type{Precision: 76, Scale: scale})
	defer b.Release()
	for _, v := range unscaled {
		b.Append(decimal256.FromBigInt(v))
	}
	arr := b.NewArray()
	defer arr.Release()
	value, ok := Values(arr)
	if !ok {
		t.Fatal("no values of decimals")
	}
	for i, v := range unscaled {
		if got, want := value(i), bigDecimal(v, scale); got != want {
			t.Errorf("decimal of %s = %+v; want %+v", v, got, want)
		}
	}
	fill, power, ok := Small(arr)
	if !ok || power != 1e7 {
		t.Fatalf("Small = %v, %v", power, ok)
	}
	for i, v := range unscaled {
		var one [1]float64
		n := fill(one[:], i)
		if small := v.IsInt64() && isSmall(v.Int64()); n == 1 != small || small && one[0] != float64(v.Int64()) {
			t.Errorf("%s among the small ones: %d, %v", v, n, one[0])
		}
	}
}
