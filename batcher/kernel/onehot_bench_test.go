package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// go test -run '^$' -bench OneHot -benchtime 100x -count 3 ./batcher/kernel
//
// Rows of float32 from int32 codes with 5% nulls, by turns with clear of the same
// bytes, row by row where they are apart; x-clear is the time as a multiple of its,
// least of all turns. Batches of a 128 MiB memory, in turn, or one again and again.
func BenchmarkOneHot(b *testing.B) {
	for _, shape := range []struct {
		rows, width, stride int
		place               string
	}{
		{4096, 300, 300, "cache"}, {4096, 300, 300, "memory"}, {4096, 300, 332, "cache"}, {4096, 300, 332, "memory"},
		{256, 300, 300, "cache"}, {4096, 12, 12, "cache"}, {4096, 12, 40, "cache"}, {4096, 3, 40, "cache"},
	} {
		b.Run(fmt.Sprintf("rows=%d/width=%d/stride=%d/place=%s", shape.rows, shape.width, shape.stride, shape.place), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 2))
			h := &OneHot[float32]{Width: shape.width, One: 1, Slots: make([]int32, shape.width), Null: -1}
			for i := range h.Slots {
				h.Slots[i] = int32(i)
			}
			codes := Codes[int32]{Index: make([]int32, shape.rows), Validity: make([]byte, shape.rows/8)}
			for i := range codes.Index {
				codes.Index[i] = int32(r.IntN(shape.width))
				if r.IntN(20) > 0 {
					codes.Validity[i/8] |= 1 << (i % 8)
				}
			}
			batch := shape.rows * shape.stride
			store := Aligned[float32](batch)
			if shape.place == "memory" {
				store = Aligned[float32](128 << 20 / 4 / batch * batch)
			}
			least := [2]time.Duration{math.MaxInt64, math.MaxInt64}
			at := 0
			b.SetBytes(int64(shape.rows * shape.width * 4))
			for b.Loop() {
				for arm := range least {
					dst := store[at:][:batch]
					start := time.Now()
					switch {
					case arm == 1:
						SetOneHot(dst, shape.stride, codes, h)
					case shape.stride == shape.width:
						clear(dst)
					default:
						for row := range shape.rows {
							clear(dst[row*shape.stride:][:shape.width])
						}
					}
					least[arm] = min(least[arm], time.Since(start))
					if at += batch; at == len(store) {
						at = 0
					}
				}
			}
			b.ReportMetric(float64(least[0]), "clear-ns")
			b.ReportMetric(float64(least[1]), "onehot-ns")
			b.ReportMetric(float64(least[1])/float64(least[0]), "x-clear")
		})
	}
}
