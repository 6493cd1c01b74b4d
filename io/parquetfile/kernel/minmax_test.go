package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/internal/cpulevel/leveltest"
)

// The least and the greatest value are those of the plain loop, NaN are passed
// over and told of, and what was least and greatest before stays so.
func TestExtremesLevels(t *testing.T) {
	t.Run("type=int32", func(t *testing.T) {
		testMinMax(t, func(r *rand.Rand) int32 { return int32(r.Uint32() >> r.IntN(31)) }, math.MinInt32, math.MaxInt32)
	})
	t.Run("type=uint32", func(t *testing.T) {
		testMinMax(t, func(r *rand.Rand) uint32 { return r.Uint32() >> r.IntN(31) }, 0, math.MaxUint32)
	})
	t.Run("type=int64", func(t *testing.T) {
		testMinMax(t, func(r *rand.Rand) int64 { return int64(r.Uint64() >> r.IntN(63)) }, math.MinInt64, math.MaxInt64)
	})
	t.Run("type=uint64", func(t *testing.T) {
		testMinMax(t, func(r *rand.Rand) uint64 { return r.Uint64() >> r.IntN(63) }, 0, math.MaxUint64)
	})
	t.Run("type=float32", func(t *testing.T) {
		testMinMax(t, func(r *rand.Rand) float32 { return float32(drawFloat(r)) }, float32(math.Inf(-1)), float32(math.Inf(1)))
	})
	t.Run("type=float64", func(t *testing.T) { testMinMax(t, drawFloat, math.Inf(-1), math.Inf(1)) })
	nan := func(*rand.Rand) float64 { return math.NaN() }
	// One NaN in some runs, so that it is in any lane, and numbers alone in others.
	seldom := func(r *rand.Rand) float64 {
		if r.IntN(100) == 0 {
			return drawNaN(r)
		}
		return r.NormFloat64()
	}
	t.Run("type=float32/NaN=seldom", func(t *testing.T) {
		testMinMax(t, func(r *rand.Rand) float32 { return float32(seldom(r)) }, float32(math.Inf(-1)), float32(math.Inf(1)))
	})
	t.Run("type=float64/NaN=seldom", func(t *testing.T) { testMinMax(t, seldom, math.Inf(-1), math.Inf(1)) })
	t.Run("type=float64/all=NaN", func(t *testing.T) { testMinMax(t, nan, math.Inf(-1), math.Inf(1)) })
}

// drawFloat gives any number, and often what is none.
func drawFloat(r *rand.Rand) float64 {
	switch r.IntN(8) {
	case 0:
		return math.Inf(r.IntN(2)*2 - 1)
	case 1:
		return math.Copysign(0, float64(r.IntN(2))-0.5)
	case 2, 3, 4:
		return drawNaN(r)
	}
	return r.NormFloat64()
}

// drawNaN gives one of either sign.
func drawNaN(r *rand.Rand) float64 { return math.Float64frombits(0x7ff0000000000001 | r.Uint64()) }

func testMinMax[T Number](t *testing.T, draw func(r *rand.Rand) T, lowest, highest T) {
	t.Helper()
	leveltest.Each(t, levels(), 1, func(t *rapid.T, l *level, g *leveltest.Guards) {
		n, r := drawRun(t), drawRandom(t)
		values := leveltest.Slice[T](g, n)
		for i := range values {
			values[i] = draw(r)
		}
		least, most := highest, lowest
		if rapid.Bool().Draw(t, "before") {
			least, most = 1, 2
		}
		e := Extremes[T]{Least: least, Most: most}
		nan := rapid.Bool().Draw(t, "NaN before")
		e.NaN = nan
		e.add(l, values)
		for _, v := range values {
			nan = nan || v != v //nolint:gocritic // a NaN
			if v < least {
				least = v
			}
			if v > most {
				most = v
			}
		}
		if e.Least != least || e.Most != most || e.NaN != nan {
			t.Fatalf("add(%v) = %v, %v, NaN %v; want %v, %v, %v", values, e.Least, e.Most, e.NaN, least, most, nan)
		}
	})
}

// Differences wrap, and as many values are read as there are.
func TestDifferencesLevels(t *testing.T) {
	leveltest.Each(t, levels(), 4, func(t *rapid.T, l *level, g *leveltest.Guards) {
		n, r := drawRun(t), drawRandom(t)
		long, short := leveltest.Slice[int64](g, n+1), leveltest.Slice[int32](g, n+1)
		for i := range long {
			long[i], short[i] = int64(r.Uint64()>>r.IntN(63)), int32(r.Uint32()>>r.IntN(31))
		}
		of32 := leveltest.Slice[uint64](g, n)
		differences(l, of32, short)
		of64 := leveltest.Slice[uint64](g, n)
		differences(l, of64, long)
		if !leveltest.Intact[uint64](g, n) {
			t.Fatal("wrote before the differences")
		}
		for i := range n {
			if want := uint64(long[i+1] - long[i]); of64[i] != want {
				t.Fatalf("difference %d of %d = %d; want %d", i, n, of64[i], want)
			}
			if want := uint64(int64(short[i+1] - short[i])); of32[i] != want {
				t.Fatalf("difference %d of %d (32 bits) = %d; want %d", i, n, of32[i], want)
			}
		}
	})
}

// The least of a block is subtracted from all of it.
func TestRebaseLevels(t *testing.T) {
	leveltest.Each(t, levels(), 2, func(t *rapid.T, l *level, g *leveltest.Guards) {
		lanes := (*[4 * minis]uint64)(leveltest.Slice[uint64](g, 4*minis))
		r, width := drawRandom(t), rapid.IntRange(0, 63).Draw(t, "width")
		block := (*[BlockValues]uint64)(leveltest.Slice[uint64](g, BlockValues))
		for i := range block {
			block[i] = r.Uint64() >> width
			if r.IntN(2) == 0 {
				block[i] = -block[i]
			}
		}
		want := *block
		wantLeast, wantSet := rebasePlain(&want)
		least, set := rebase(l, block, lanes)
		if least != wantLeast || set != wantSet || *block != want || !leveltest.Intact[uint64](g, BlockValues) {
			t.Fatalf("rebase = %d, %x, %v; want %d, %x, %v", least, set, *block, wantLeast, wantSet, want)
		}
	})
}

// BenchmarkWriting times the inner loops of writing numbers, per value.
//
//	go test -run '^$' -bench Writing -count 5 ./io/parquetfile/kernel
func BenchmarkWriting(b *testing.B) {
	floats, ids, out := make([]float32, 1024), make([]int64, 1025), make([]uint64, 1024)
	for i := range out {
		floats[i], ids[i+1] = rand.Float32(), ids[i]+rand.Int64N(100)
	}
	small, large, block := Extremes[float32]{}, Extremes[int64]{}, Block{}
	for _, l := range levels() {
		b.Run("loop=minmax/bytes=4/level="+l.name, func(b *testing.B) {
			perValue(b, len(floats), func() { small.add(l, floats) })
		})
		b.Run("loop=minmax/bytes=8/level="+l.name, func(b *testing.B) {
			perValue(b, len(out), func() { large.add(l, ids[1:]) })
		})
		b.Run("loop=differences/level="+l.name, func(b *testing.B) {
			perValue(b, len(out), func() { differences(l, out, ids) })
		})
		b.Run("loop=rebase/level="+l.name, func(b *testing.B) {
			perValue(b, BlockValues, func() { rebase(l, &block.Values, &block.lanes) })
		})
	}
}
