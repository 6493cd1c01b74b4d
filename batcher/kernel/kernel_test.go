package kernel

import (
	"flag"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"testing"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestMain asks for fewer rapid checks than its default, as every pair of
// types has a property of its own.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "30"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // TestMain is the main of its package
	}
	flag.Parse()
	os.Exit(m.Run()) //nolint:forbidigo // TestMain is the main of its package
}

// drawBits draws a bitmap of n bits from bit on, with anything around them.
func drawBits(t *rapid.T, n int) (bitmap []byte, bit int) {
	bit = rapid.IntRange(0, 17).Draw(t, "bit")
	bitmap = make([]byte, (bit+n+7)/8)
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "bits"), 0))
	density := rapid.SampledFrom([]float64{0, 0.5, 0.9, 1}).Draw(t, "density")
	for i := range len(bitmap) * 8 {
		if r.Float64() < density {
			bitutil.SetBit(bitmap, i)
		}
	}
	return bitmap, bit
}

func drawSize(t *rapid.T) int { return rapid.IntRange(0, 77).Draw(t, "size") }

func TestFillNulls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := drawSize(t)
		bitmap, bit := drawBits(t, n)
		got, want := make([]int32, n), make([]int32, n)
		for i := range n {
			got[i], want[i] = int32(i), int32(i)
			if !bitutil.BitIsSet(bitmap, bit+i) {
				want[i] = -7
			}
		}
		FillNulls(got, bitmap, bit, -7)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("FillNulls(%08b, %d) differs (-want +got):\n%s", bitmap, bit, diff)
		}
	})
}

func TestFill(t *testing.T) {
	got := make([]float32, 5)
	Fill(got[1:4], 2)
	if diff := cmp.Diff([]float32{0, 2, 2, 2, 0}, got); diff != "" {
		t.Errorf("Fill differs (-want +got):\n%s", diff)
	}
}

func TestBools(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := drawSize(t)
		bitmap, bit := drawBits(t, n)
		got, want := make([]float32, n), make([]float32, n)
		for i := range n {
			if bitutil.BitIsSet(bitmap, bit+i) {
				want[i] = 1
			}
		}
		Bools(got, bitmap, bit)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("Bools(%08b, %d) differs (-want +got):\n%s", bitmap, bit, diff)
		}
	})
}

func TestFirstZeroBit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := drawSize(t)
		bitmap, bit := drawBits(t, n)
		want := -1
		for i := range n {
			if !bitutil.BitIsSet(bitmap, bit+i) {
				want = i
				break
			}
		}
		if got := FirstZeroBit(bitmap, bit, n); got != want {
			t.Fatalf("FirstZeroBit(%08b, %d, %d) = %d; want %d", bitmap, bit, n, got, want)
		}
	})
}

func TestGather(t *testing.T) {
	got := make([]string, 4)
	Gather(got, []string{"a", "b", "c"}, []int32{2, 0, 0, 1})
	if diff := cmp.Diff([]string{"c", "a", "a", "b"}, got); diff != "" {
		t.Errorf("Gather differs (-want +got):\n%s", diff)
	}
}

func TestTranspose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, width := drawSize(t), rapid.IntRange(1, 35).Draw(t, "width")
		cols := make([][]float32, width)
		for c := range cols {
			cols[c] = make([]float32, rows+rapid.IntRange(0, 2).Draw(t, "longer"))
			for r := range cols[c] {
				cols[c][r] = float32(1000*c + r)
			}
		}
		got := make([]float32, rows*width+1)
		got[rows*width] = -1
		Transpose(got, width, cols, rows)
		for r := range rows {
			for c := range width {
				if v := got[r*width+c]; v != float32(1000*c+r) {
					t.Fatalf("Transpose: row %d, column %d = %v; want %v", r, c, v, 1000*c+r)
				}
			}
		}
		if got[rows*width] != -1 {
			t.Fatalf("Transpose wrote beyond %d rows of %d", rows, width)
		}
	})
}

func TestAlignedAndBytes(t *testing.T) {
	for n := range 70 {
		s := Aligned[float32](n)
		if len(s) != n || cap(s) != n {
			t.Errorf("Aligned(%d) has length %d and capacity %d", n, len(s), cap(s))
		}
		if n > 0 && uintptr(unsafe.Pointer(&s[0]))%64 != 0 {
			t.Errorf("Aligned(%d) is at %p; want a multiple of 64", n, &s[0])
		}
		b := Bytes(s)
		if len(b) != 4*n {
			t.Errorf("Bytes of %d float32 has length %d", n, len(b))
		}
		if n > 0 && unsafe.Pointer(&b[0]) != unsafe.Pointer(&s[0]) {
			t.Errorf("Bytes is at %p; want %p", &b[0], &s[0])
		}
	}
}

// rational is a number's value; nil for NaN and infinities.
func rational[T Number](v T) *big.Rat {
	f := float64(v)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	if isFraction := T(f) != v; isFraction || f >= 1<<53 || f <= -1<<53 {
		if v < 0 && !isFloating[T]() {
			return new(big.Rat).SetInt64(int64(v))
		}
		if !isFloating[T]() {
			return new(big.Rat).SetInt(new(big.Int).SetUint64(uint64(v)))
		}
	}
	return new(big.Rat).SetFloat64(f)
}

func isFloating[T Number]() bool {
	var t T
	switch any(t).(type) {
	case float32, float64:
		return true
	default:
		return false
	}
}

func drawNumber[T Number](r *rand.Rand) T {
	var t T
	switch any(t).(type) {
	case float32, float64:
		edges := []float64{0, 1, -1, 0.5, 127, 128, -129, 255, 256, 1 << 24, 1<<24 + 1, 1 << 31, 1 << 32, 1 << 53, 1 << 63, -1 << 63, 1 << 64, math.Inf(1), math.Inf(-1), math.NaN(), 1e300, -1e39, 1e-50, 0.1}
		if r.IntN(2) == 0 {
			return T(edges[r.IntN(len(edges))])
		}
		return T(r.NormFloat64() * math.Ldexp(1, r.IntN(70)-4))
	default:
		bits := r.Uint64() >> r.IntN(64)
		if r.IntN(2) == 0 {
			bits = -bits
		}
		return T(bits)
	}
}

func checkCast[S, D Number](t *testing.T) {
	t.Helper()
	var s S
	var d D
	t.Run(fmt.Sprintf("from=%T/to=%T", s, d), rapid.MakeCheck(func(t *rapid.T) {
		n := drawSize(t)
		bitmap, bit := drawBits(t, n)
		if rapid.Bool().Draw(t, "no bitmap") {
			bitmap = nil
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		src, dst := make([]S, n+1), make([]D, n)
		for i := range src {
			src[i] = drawNumber[S](r)
		}
		want := CheckResult{OutOfRange: -1, FirstInexact: -1}
		got := CastChecked(dst, src, bitmap, bit)
		for i, v := range src[:n] {
			if bitmap != nil && !bitutil.BitIsSet(bitmap, bit+i) {
				continue
			}
			from, to := rational(v), rational(dst[i])
			switch {
			case !isFloating[D]() && (from == nil || from.Cmp(to) != 0):
				if want.OutOfRange < 0 {
					want.OutOfRange = i
				}
			case from == nil:
				if a, b := float64(v), float64(dst[i]); a != b && !(math.IsNaN(a) && math.IsNaN(b)) {
					t.Fatalf("CastChecked(%v) = %v", v, dst[i])
				}
			case to == nil:
				if want.OutOfRange < 0 {
					want.OutOfRange = i
				}
			case from.Cmp(to) != 0:
				if want.FirstInexact < 0 {
					want.FirstInexact = i
				}
				want.Inexact++
			}
		}
		if got != want {
			t.Fatalf("CastChecked(%v) = %v, %+v; want %+v", src[:n], dst, got, want)
		}
	}))
}

func checkCasts[S Number](t *testing.T) {
	t.Helper()
	checkCast[S, int8](t)
	checkCast[S, int16](t)
	checkCast[S, int32](t)
	checkCast[S, int64](t)
	checkCast[S, uint8](t)
	checkCast[S, uint16](t)
	checkCast[S, uint32](t)
	checkCast[S, uint64](t)
	checkCast[S, float32](t)
	checkCast[S, float64](t)
}

func TestCastChecked(t *testing.T) {
	checkCasts[int8](t)
	checkCasts[int16](t)
	checkCasts[int32](t)
	checkCasts[int64](t)
	checkCasts[uint8](t)
	checkCasts[uint16](t)
	checkCasts[uint32](t)
	checkCasts[uint64](t)
	checkCasts[float32](t)
	checkCasts[float64](t)
}

func TestCast(t *testing.T) {
	dst := make([]float64, 3)
	Cast(dst, []int16{-32768, 0, 32767, 5})
	if diff := cmp.Diff([]float64{-32768, 0, 32767}, dst); diff != "" {
		t.Errorf("Cast differs (-want +got):\n%s", diff)
	}
}

func TestCastOdd(t *testing.T) {
	tests := []struct {
		why  string
		in   int64
		want float64
	}{
		{"what fits is kept", 1 << 53, 1 << 53},
		{"of two neighbours the odd one is below", 1<<54 + 2<<1 + 3, 1<<54 + 4},
		{"or above", 1<<54 + 1, 1<<54 + 4},
		{"whatever the sign", -(1<<54 + 1), -(1<<54 + 4)},
		{"the last", math.MinInt64, -1 << 63},
	}
	for _, test := range tests {
		got := []float64{0}
		if CastOdd(got, []int64{test.in}); got[0] != test.want {
			t.Errorf("%s: CastOdd(%d) = %.0f; want %.0f", test.why, test.in, got[0], test.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Uint64().Draw(t, "v")
		got := []float64{0}
		CastOdd(got, []uint64{v})
		exactly := new(big.Int).SetUint64(v)
		f, _ := new(big.Float).SetFloat64(got[0]).Int(nil)
		if f.Cmp(exactly) == 0 {
			return
		}
		if math.Float64bits(got[0])&1 == 0 {
			t.Fatalf("CastOdd(%d) = %.0f, which is even", v, got[0])
		}
		next, _ := new(big.Float).SetFloat64(math.Nextafter(got[0], math.Inf(exactly.Cmp(f)))).Int(nil)
		if (next.Cmp(exactly) > 0) != (f.Cmp(exactly) < 0) {
			t.Fatalf("CastOdd(%d) = %.0f, which is no neighbour", v, got[0])
		}
	})
}
