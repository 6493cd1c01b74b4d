package kernel

import (
	"fmt"
	"testing"
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

// go test -run '^$' -bench . -count 5 ./batcher/kernel
//
// Bytes are those written.
func BenchmarkTranspose(b *testing.B) {
	for _, width := range []int{8, 31, 32} {
		rows := 3072 / width &^ 15
		cols := make([][]float32, width)
		for i := range cols {
			cols[i] = Aligned[float32](rows)
		}
		dst := Aligned[float32](rows * width)
		b.Run(fmt.Sprintf("rows=%d/width=%d", rows, width), func(b *testing.B) {
			run(b, rows*width*4, func() { Transpose(dst, width, cols, rows) })
		})
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
