package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func perValue(b *testing.B, values int, loop func()) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		loop()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(values), "ns/value")
}

// BenchmarkGather looks up indices that are as often any.
//
//	go test -run '^$' -bench Gather -count 5 ./io/parquetfile/kernel
func BenchmarkGather(b *testing.B) {
	b.Run("bytes=4", benchmarkGather[uint32])
	b.Run("bytes=8", benchmarkGather[uint64])
}

func benchmarkGather[T uint32 | uint64](b *testing.B) {
	b.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, width := range []int{4, 6, 7, 8, 10, 12, 17} {
		dict := make([]T, 1<<width)
		for _, n := range []int{8, 16, 24, 32, 64, 504} {
			packed := make([]byte, n*width/8+16)
			for i := range packed {
				packed[i] = byte(rng.Uint32())
			}
			out := make([]T, n)
			for _, l := range levels() {
				b.Run(fmt.Sprintf("bits=%d/values=%d/level=%s", width, n, l.name), func(b *testing.B) {
					perValue(b, n, func() { gather(l, out, dict, packed[:n*width/8], 0, uint(width)) })
				})
			}
		}
	}
}

// BenchmarkSpread spreads a chunk of rows.
//
//	go test -run '^$' -bench Spread -count 5 ./io/parquetfile/kernel
func BenchmarkSpread(b *testing.B) {
	const rows = 8192
	rng := rand.New(rand.NewPCG(1, 2))
	for _, nulls := range []float64{0.001, 0.05, 0.5} {
		set := make([]byte, rows/8)
		for i := range rows {
			if rng.Float64() >= nulls {
				set[i>>3] |= 1 << (i & 7)
			}
		}
		dense := CountBits(set, 0, rows)
		for _, width := range []int{1, 2, 4, 8} {
			out := make([]byte, width*rows)
			for _, l := range levels() {
				b.Run(fmt.Sprintf("nulls=%g/bytes=%d/level=%s", nulls, width, l.name), func(b *testing.B) {
					perValue(b, rows, func() { spread(l, out, width, set, dense, rows) })
				})
			}
		}
	}
}
