package parquetfile

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/internal/recycle"
	"github.com/millrace/millrace/io/parquetfile/kernel"
)

// BenchmarkDecode times the inner loops on one chunk of rows, per value.
//
//	go test -run '^$' -bench Decode/ ./io/parquetfile
func BenchmarkDecode(b *testing.B) {
	const rows = 16384
	rng := rand.New(rand.NewPCG(1, 2))
	perValue := func(b *testing.B) {
		b.Helper()
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/value")
	}
	for _, width := range []int{1, 7, 12, 17} {
		dict := make([]uint32, 1<<width)
		page := packedRuns(rng, rows, width, 1<<width)
		out := make([]uint32, rows)
		b.Run(fmt.Sprintf("what=dictionary/bits=%d", width), func(b *testing.B) {
			for b.Loop() {
				h := newHybrid(page, uint(width))
				if err := gather(&h, out, dict); err != nil {
					b.Fatal(err)
				}
			}
			perValue(b)
		})
	}
	for _, nulls := range []float64{0.001, 0.05, 0.5} {
		bits := make([]byte, rows/8)
		dense := 0
		for i := range rows {
			if rng.Float64() >= nulls {
				bits[i>>3] |= 1 << (i & 7)
				dense++
			}
		}
		for _, width := range []int{4, 8} {
			out := make([]byte, width*rows)
			b.Run(fmt.Sprintf("what=spread/bytes=%d/nulls=%g", width, nulls), func(b *testing.B) {
				for b.Loop() {
					kernel.Spread(out, width, bits, dense, rows)
				}
				perValue(b)
			})
		}
		levels := runsOf(bits, rows)
		v := validity{mem: newBudget(recycle.New(memoryOf(b), 0), 1<<30)}
		b.Run(fmt.Sprintf("what=levels/nulls=%g", nulls), func(b *testing.B) {
			for b.Loop() {
				v.reset(rows)
				r := newLevelReader(levels, 1, false)
				if err := v.read(&r, rows); err != nil {
					b.Fatal(err)
				}
			}
			perValue(b)
		})
		v.release()
	}
}
