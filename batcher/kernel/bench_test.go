package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// Values in a tile, and its bytes: a tile of float32 and its result lie in the
// first level of cache.
const tile = 2048

func run(b *testing.B, bytes int, loop func()) {
	b.Helper()
	b.ReportAllocs()
	b.SetBytes(int64(bytes))
	for b.Loop() {
		loop()
	}
}

// go test -run '^$' -bench Rows -count 5 ./batcher/kernel
//
// Rows of float32 by each level, with a bitmap and without. Bytes are those
// written; x-memcpy is the speed as a multiple of memcpy's of as many bytes,
// best of turns. apart is what lies between two columns: columns of a
// multiple of 4 KiB are in each other's way in the first level of cache.
func BenchmarkRows(b *testing.B) {
	for _, l := range levels() {
		for _, shape := range []struct{ rows, width, apart int }{
			{128, 16, 0}, {1024, 16, 0}, {1024, 16, 64}, {4096, 16, 0}, {4096, 16, 64}, {1024, 7, 0}, {1024, 13, 0},
		} {
			for _, valid := range []bool{false, true} {
				b.Run(fmt.Sprintf("level=%s/rows=%d/width=%d/apart=%d/valid=%v", l.name, shape.rows, shape.width, shape.apart, valid), func(b *testing.B) {
					store := Aligned[float32]((shape.rows + shape.apart/4) * shape.width)
					bitmap := slices.Repeat([]byte{0x7f}, shape.rows/8)
					g := &Group[float32]{}
					for c := range shape.width {
						src := store[c*(shape.rows+shape.apart/4):][:shape.rows]
						if valid {
							g.Columns = append(g.Columns, ColumnOf(src, bitmap, 0, float32(7)))
						} else {
							g.Columns = append(g.Columns, ColumnOf(src, nil, 0, float32(7)))
						}
					}
					dst := Aligned[float32](shape.rows * shape.width)
					if !g.rows(l, dst, shape.width, 0, shape.rows) {
						b.Skip("no kernel")
					}
					other := Aligned[float32](shape.rows * shape.width)
					ours, memcpy := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
					b.SetBytes(int64(len(dst) * 4))
					for b.Loop() {
						start := time.Now()
						for range 16 {
							g.rows(l, dst, shape.width, 0, shape.rows)
						}
						middle := time.Now()
						for range 16 {
							copy(other, store)
						}
						ours, memcpy = min(ours, middle.Sub(start)), min(memcpy, time.Since(middle))
					}
					b.ReportMetric(float64(memcpy)/float64(ours), "x-memcpy")
					b.ReportMetric(float64(len(dst)*4*16)/ours.Seconds()/1e9, "GB/s")
				})
			}
		}
	}
}

func BenchmarkFillNulls(b *testing.B) {
	dst := make([]float32, tile)
	for _, every := range []int{1, 20, 1000} {
		bitmap := make([]byte, tile/8)
		for i := range tile {
			if i%every != 0 {
				bitmap[i/8] |= 1 << (i % 8)
			}
		}
		b.Run(fmt.Sprintf("null=1in%d", every), func(b *testing.B) {
			run(b, tile*4, func() { FillNulls(dst, bitmap, 0, -1) })
		})
	}
}

func BenchmarkCast(b *testing.B) {
	doubles, ints := make([]float64, tile), make([]int64, tile)
	for i := range doubles {
		doubles[i], ints[i] = float64(i)/10, int64(i)
	}
	floats, halves, wide := make([]float32, tile), make([]uint16, tile), make([]float64, tile)
	b.Run("from=float64/to=float32/rounds=most", func(b *testing.B) {
		run(b, tile*4, func() { CastChecked(floats, doubles, nil, 0) })
	})
	b.Run("from=int64/to=float32/rounds=none", func(b *testing.B) {
		run(b, tile*4, func() { CastChecked(floats, ints, nil, 0) })
	})
	b.Run("from=float32/to=float64", func(b *testing.B) {
		run(b, tile*8, func() { Cast(wide, floats) })
	})
	b.Run("from=float64/to=float16", func(b *testing.B) {
		run(b, tile*2, func() { Float16.Narrow(halves, doubles, nil, 0) })
	})
	b.Run("from=float16/to=float64", func(b *testing.B) {
		run(b, tile*8, func() { Float16.Widen(wide, halves) })
	})
}

func BenchmarkMemcpy(b *testing.B) {
	src, dst := make([]float32, tile), make([]float32, tile)
	b.Run(fmt.Sprintf("bytes=%d", tile*4), func(b *testing.B) {
		run(b, tile*4, func() { copy(dst, src) })
	})
}
