package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// go test -run '^$' -bench AffineRows -benchtime 100x -count 3 ./batcher/kernel
//
// A [4096,32] float32 tensor from 32 columns, by turns as they are and through
// fill, clip and scale; x-plain is the time as a multiple of the first's, plain-x-memcpy
// memcpy's of as many bytes as a share of the first's, least of all turns. Every column has its
// own bitmap. holes are in 5% of the values: nulls, or NaN, which the function fills.
// place=memory has columns of 128 MiB, in turn.
func BenchmarkAffineRows(b *testing.B) {
	const rows, width, bytes = 4096, 32, 128 << 20
	store := Aligned[float32](bytes / 4)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range store {
		store[i] = float32(r.NormFloat64())
	}
	a := NewLine[float32](Affine{Sub: 0.25, Mul: 1, Div: 1.5, Add: math.Copysign(0, -1), Lo: math.Inf(-1), Hi: math.Inf(1), Fill: 0.5, FillNaN: true}.Clip(-2, 2))
	for _, holes := range []string{"none", "null", "NaN"} {
		if holes == "NaN" {
			for i := range store {
				if r.IntN(20) == 0 {
					store[i] = float32(math.NaN())
				}
			}
		}
		for _, l := range levels()[1:] {
			for _, place := range []string{"cache", "memory"} {
				length := rows
				if place == "memory" {
					length = bytes / 4 / width
				}
				var plain, through [width / 16]Group[float32]
				for c := range width {
					var bitmap []byte
					if holes == "null" {
						bitmap = make([]byte, length/8)
						for i := range length {
							if r.IntN(20) != 0 {
								bitmap[i/8] |= 1 << (i % 8)
							}
						}
					}
					column := ColumnOf(store[c*length:][:length], bitmap, 0, float32(7))
					plain[c/16].Columns = append(plain[c/16].Columns, column)
					through[c/16].Columns = append(through[c/16].Columns, column.Through(a))
				}
				dst, other := Aligned[float32](rows*width), Aligned[float32](rows*width)
				pass := func(groups *[width / 16]Group[float32], at int) time.Duration {
					start := time.Now()
					for i := range groups {
						if !groups[i].rows(l, dst[16*i:], width, at, at+rows) {
							b.Skip("no kernel")
						}
					}
					return time.Since(start)
				}
				b.Run(fmt.Sprintf("level=%s/holes=%s/place=%s", l.name, holes, place), func(b *testing.B) {
					least := [3]time.Duration{math.MaxInt64, math.MaxInt64, math.MaxInt64}
					at := 0
					b.SetBytes(rows * width * 4)
					for b.Loop() {
						for arm, groups := range []*[width / 16]Group[float32]{&plain, &through} {
							var sum time.Duration
							for range 16 {
								sum += pass(groups, at)
								at = (at + rows) % length
							}
							least[arm] = min(least[arm], sum/16)
						}
						start := time.Now()
						for range 16 {
							copy(other, store[at*width:])
							at = (at + rows) % length
						}
						least[2] = min(least[2], time.Since(start)/16)
					}
					b.ReportMetric(float64(least[0]), "plain-ns")
					b.ReportMetric(float64(least[1]), "affine-ns")
					b.ReportMetric(float64(least[1])/float64(least[0]), "x-plain")
					b.ReportMetric(float64(least[2])/float64(least[0]), "plain-x-memcpy")
				})
			}
		}
	}
}
