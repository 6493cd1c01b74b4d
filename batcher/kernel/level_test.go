package kernel

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/internal/cpulevel/leveltest"
)

// The tests here run every kernel of every level that this machine has against
// the plainest loop, on memory that ends where the values do.

func TestLevel(t *testing.T) { leveltest.Choice(t, levels(), plain, Level()) }

// guardedBits draws a bitmap of n bits from bit on, and not a byte more.
func guardedBits(t *rapid.T, g *leveltest.Guards, n int) (bitmap []byte, bit int) {
	drawn, bit := drawBits(t, n)
	bitmap = leveltest.Slice[byte](g, len(drawn))
	copy(bitmap, drawn)
	return bitmap, bit
}

func drawRun(t *rapid.T) int { return rapid.IntRange(0, 200).Draw(t, "n") }

func drawRandom(t *rapid.T) *rand.Rand {
	return rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
}

func TestTransposeLevels(t *testing.T) {
	checkTranspose[uint8](t)
	checkTranspose[uint16](t)
	checkTranspose[uint32](t)
	checkTranspose[float32](t)
	checkTranspose[uint64](t)
	checkTranspose[float64](t)
}

func checkTranspose[T Number](t *testing.T) {
	t.Helper()
	const widest = 40
	var zero T
	t.Run(fmt.Sprintf("type=%T", zero), func(t *testing.T) {
		leveltest.Each(t, levels(), widest+1, func(t *rapid.T, l *level, g *leveltest.Guards) {
			rows, width := rapid.IntRange(0, 45).Draw(t, "rows"), rapid.IntRange(1, widest).Draw(t, "width")
			gap := rapid.SampledFrom([]int{0, 0, 1, 5}).Draw(t, "gap")
			r := drawRandom(t)
			cols := make([][]T, width)
			for c := range cols {
				cols[c] = leveltest.Slice[T](g, rows)
				for i := range cols[c] {
					cols[c][i] = T(r.Uint32())
				}
			}
			size := 0
			if rows > 0 {
				size = (rows-1)*(width+gap) + width
			}
			dst := leveltest.Slice[T](g, size)
			want := append([]T(nil), dst...)
			for i := range rows {
				for c := range width {
					want[i*(width+gap)+c] = cols[c][i]
				}
			}
			transpose(l, dst, width+gap, cols, rows)
			if !bytes.Equal(Bytes(dst), Bytes(want)) {
				t.Fatalf("transpose of %d columns of %d rows, stride %d = %v; want %v", width, rows, width+gap, dst, want)
			}
			if !leveltest.Intact[T](g, size) {
				t.Fatalf("transpose of %d columns of %d rows wrote before dst", width, rows)
			}
		})
	})
}

func TestCopyFillLevels(t *testing.T) {
	checkCopyFill[uint8](t)
	checkCopyFill[int16](t)
	checkCopyFill[int32](t)
	checkCopyFill[float32](t)
	checkCopyFill[int64](t)
	checkCopyFill[float64](t)
}

func checkCopyFill[T Number](t *testing.T) {
	t.Helper()
	var zero T
	t.Run(fmt.Sprintf("type=%T", zero), func(t *testing.T) {
		leveltest.Each(t, levels(), 3, func(t *rapid.T, l *level, g *leveltest.Guards) {
			n, r := drawRun(t), drawRandom(t)
			bitmap, bit := guardedBits(t, g, n)
			src := leveltest.Slice[T](g, n)
			fill := drawNumber[T](r)
			want := make([]T, n)
			for i := range src {
				src[i] = drawNumber[T](r)
				if want[i] = src[i]; !bitutil.BitIsSet(bitmap, bit+i) {
					want[i] = fill
				}
			}
			dst := src
			if rapid.Bool().Draw(t, "apart") {
				dst = leveltest.Slice[T](g, n)
			}
			copyFill(l, dst, src, bitmap, bit, fill)
			if !bytes.Equal(Bytes(dst), Bytes(want)) {
				t.Fatalf("copyFill(%08b, %d, %v) = %v; want %v", bitmap, bit, fill, dst, want)
			}
			if !leveltest.Intact[T](g, n) {
				t.Fatalf("copyFill of %d values wrote before dst", n)
			}
		})
	})
}

func TestBoolsLevels(t *testing.T) {
	checkBools[uint8](t)
	checkBools[int16](t)
	checkBools[int32](t)
	checkBools[float32](t)
	checkBools[int64](t)
	checkBools[float64](t)
}

func checkBools[T Number](t *testing.T) {
	t.Helper()
	var zero T
	t.Run(fmt.Sprintf("type=%T", zero), func(t *testing.T) {
		leveltest.Each(t, levels(), 2, func(t *rapid.T, l *level, g *leveltest.Guards) {
			n := drawRun(t)
			bitmap, bit := guardedBits(t, g, n)
			dst, want := leveltest.Slice[T](g, n), make([]T, n)
			for i := range want {
				if bitutil.BitIsSet(bitmap, bit+i) {
					want[i] = 1
				}
			}
			bools(l, dst, bitmap, bit)
			if !bytes.Equal(Bytes(dst), Bytes(want)) {
				t.Fatalf("bools(%08b, %d) = %v; want %v", bitmap, bit, dst, want)
			}
			if !leveltest.Intact[T](g, n) {
				t.Fatalf("bools of %d values wrote before dst", n)
			}
		})
	})
}

func TestCountOnesLevels(t *testing.T) {
	leveltest.Each(t, levels(), 1, func(t *rapid.T, l *level, g *leveltest.Guards) {
		n, want := rapid.IntRange(0, 3000).Draw(t, "n"), 0
		bitmap, bit := guardedBits(t, g, n)
		for i := range n {
			if bitutil.BitIsSet(bitmap, bit+i) {
				want++
			}
		}
		if got := countOnes(l, bitmap, bit, n); got != want {
			t.Fatalf("countOnes(%08b, %d, %d) = %d; want %d", bitmap, bit, n, got, want)
		}
	})
}

func TestCastFillLevels(t *testing.T) {
	checkCastFill[float64, float32](t)
	checkCastFill[int64, float32](t)
	checkCastFill[int64, int32](t)
	checkCastFill[int64, float64](t)
	checkCastFill[int32, float32](t)
	checkCastFill[int32, float64](t)
	checkCastFill[float32, float64](t)
	checkCastFill[int32, int64](t)
	checkCastFill[uint8, float32](t)
	checkCastFill[float64, int64](t)
	for _, l := range levels()[1:] {
		kernels := 0
		for _, from := range l.casts {
			for _, k := range from {
				if k.all != nil {
					kernels++
				}
			}
		}
		if kernels != 8 {
			t.Errorf("level %s has %d casts; want the 8 that are tested here", l.name, kernels)
		}
	}
}

// checkCastFill compares bits, so that NaN must be the same NaN.
func checkCastFill[S, D Number](t *testing.T) {
	t.Helper()
	var from S
	var to D
	t.Run(fmt.Sprintf("from=%T/to=%T", from, to), func(t *testing.T) {
		leveltest.Each(t, levels(), 3, func(t *rapid.T, l *level, g *leveltest.Guards) {
			n, r := drawRun(t), drawRandom(t)
			bitmap, bit := guardedBits(t, g, n)
			if rapid.Bool().Draw(t, "no bitmap") {
				bitmap = nil
			}
			src, dst := leveltest.Slice[S](g, n), leveltest.Slice[D](g, n)
			// Kernels judge a run as a whole: some runs have to be tame.
			wild := rapid.SampledFrom([]float64{0, 0.01, 1}).Draw(t, "wild")
			rough := rapid.SampledFrom([]float64{0, 0.01, 1}).Draw(t, "rough")
			for i := range src {
				switch {
				case r.Float64() < wild:
					src[i] = drawSpecial[S](r)
				case r.Float64() < rough:
					src[i] = roughNumber[S](r)
				default:
					src[i] = S(r.IntN(200))
				}
			}
			fill := drawNumber[D](r)
			want := make([]D, n)
			wantResult := CheckResult{OutOfRange: -1, FirstInexact: -1}
			if !widensTo[S, D]() {
				wantResult = CastChecked(want, src, bitmap, bit)
			}
			for i := range want {
				want[i] = D(src[i])
				if isFloating[S]() && !isFloating[D]() {
					CastChecked(want[i:i+1], src[i:i+1], nil, 0) // out of range, Go leaves it to the machine
				}
				if bitmap != nil && !bitutil.BitIsSet(bitmap, bit+i) {
					want[i] = fill
				}
			}
			if got := castFill(l, dst, src, bitmap, bit, fill); got != wantResult {
				t.Fatalf("castFill(%v, %08b, %d) = %+v; want %+v", src, bitmap, bit, got, wantResult)
			}
			if !bytes.Equal(Bytes(dst), Bytes(want)) {
				t.Fatalf("castFill(%v, %08b, %d, %v) wrote %v; want %v", src, bitmap, bit, fill, dst, want)
			}
			if !leveltest.Intact[D](g, n) {
				t.Fatalf("castFill of %d values wrote before dst", n)
			}
		})
	})
}

// widensTo is what widens should be: all corners of S come back from D.
func widensTo[S, D Number]() bool {
	var from S
	var to D
	pairs := map[string]bool{
		"int32 float64": true, "float32 float64": true, "int32 int64": true, "uint8 float32": true,
	}
	return pairs[fmt.Sprintf("%T %T", from, to)]
}

// roughNumber is an ordinary value that a narrower type often has to round.
func roughNumber[T Number](r *rand.Rand) T {
	if isFloating[T]() {
		return T(r.NormFloat64())
	}
	return T(r.Uint64() >> (64 - min(8*sizeOf[T](), 31)) & math.MaxInt32)
}

// drawSpecial is drawNumber with what only bits can say.
func drawSpecial[T Number](r *rand.Rand) T {
	var v any
	switch any(T(0)).(type) {
	case float32:
		v = math.Float32frombits(r.Uint32() | 0x7f800000*uint32(r.IntN(2)))
	case float64:
		bits := r.Uint64()
		switch r.IntN(4) {
		case 0:
			bits |= 0x7ff << 52 // NaN with a payload
		case 1:
			bits &^= 0x7ff << 52 // denormal
		case 2: // becomes a denormal float32, or none
			bits = bits&^(0x7ff<<52) | uint64(1023-150+r.IntN(30))<<52
		}
		v = math.Float64frombits(bits)
	default:
		return drawNumber[T](r)
	}
	if r.IntN(2) == 0 {
		return drawNumber[T](r)
	}
	special, _ := v.(T)
	return special
}

func TestWidens(t *testing.T) {
	tests := []struct {
		why  string
		got  bool
		want bool
	}{
		{"int32 has 31 bits, float32 24", widens[int32, float32](), false},
		{"int16 fits float32", widens[int16, float32](), true},
		{"uint16 fits float32", widens[uint16, float32](), true},
		{"uint32 fits float64", widens[uint32, float64](), true},
		{"int64 does not fit float64", widens[int64, float64](), false},
		{"float64 does not fit float32", widens[float64, float32](), false},
		{"float32 fits itself", widens[float32, float32](), true},
		{"a float is no integer", widens[float32, int64](), false},
		{"unsigned fits a wider signed", widens[uint8, int16](), true},
		{"but not one as wide", widens[uint8, int8](), false},
		{"signed never fits unsigned", widens[int8, uint64](), false},
		{"signed fits a wider signed", widens[int8, int64](), true},
		{"and not a narrower", widens[int64, int32](), false},
	}
	for _, test := range tests {
		if test.got != test.want {
			t.Errorf("%s: widens = %v; want %v", test.why, test.got, test.want)
		}
	}
}
