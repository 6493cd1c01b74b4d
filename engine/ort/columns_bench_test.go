package ort_test

// go test -run '^$' -bench Columns -benchtime 2s ./engine/ort

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
)

// record makes batches of columns that lie as in a record batch of an Arrow file, as far
// apart as each column's values and its bitmap take.
func record(g *rand.Rand, batches [][]ort.Column, width, rows int) {
	total := rows * len(batches)
	bitmaps, words := make([]byte, width*total/8), make([]float32, width*(total+total/32))
	for range width {
		validity, values := bitmaps[:total/8], words[total/32:][:total]
		bitmaps, words = bitmaps[total/8:], words[total/32+total:]
		for i := range values {
			values[i] = float32(g.NormFloat64() * 30)
			if g.IntN(20) > 0 {
				validity[i/8] |= 1 << (i % 8)
			}
		}
		for at := range batches {
			batches[at] = append(batches[at], ort.Column{Values: values[at*rows:][:rows], Validity: validity, Bit: at * rows, Fill: special[5]})
		}
	}
}

// BenchmarkColumns runs reference models on batches of 4,096 rows of columns where they
// lie, 1 in 20 values null: the same batch again, which is in cache, or all of 256 MiB in
// turn. ns/row is the fastest lap's.
func BenchmarkColumns(b *testing.B) {
	const rows, width, perRecord = 4096, 32, 16
	for _, name := range []string{"flights_linear", "flights_mlp", "flights_gbdt"} {
		m, err := models.Open(filepath.Join("..", "..", "models", "reference", name+".onnx"), models.Options{})
		if err != nil {
			b.Fatal(err)
		}
		k, _, err := models.UseKernels(m)
		if err != nil {
			b.Fatal(err)
		}
		if k, err = models.TakeColumns(k, []bool{true}); err != nil {
			b.Fatal(err)
		}
		for _, place := range []string{"cache", "memory"} {
			batches := 1
			if place == "memory" {
				batches = 256 << 20 / (rows * width * 4)
			}
			g := rand.New(rand.NewPCG(1, 2))
			all := make([][]ort.Column, batches)
			for at := range all {
				if at%perRecord == 0 {
					record(g, all[at:min(at+perRecord, batches)], width, rows)
				}
			}
			for level, text := range ort.KernelLevels() {
				ort.ForceKernelLevel(b, level)
				s, err := ort.NewSession(orttest.Library(b), k, ort.SessionOptions{})
				if err != nil {
					b.Fatal(err)
				}
				b.Run("model="+name+"/place="+place+"/level="+text, func(b *testing.B) {
					runtime.LockOSThread()
					defer runtime.UnlockOSThread()
					inputs := make([]*ort.Tensor, batches)
					described := make([]ort.Columns, batches)
					for i := range inputs {
						if inputs[i], err = described[i].SetColumns([]int{rows}, all[i:i+1]); err != nil {
							b.Fatal(err)
						}
					}
					y := make([]float32, rows)
					out := tensor(b, models.Float32, []int64{rows, 1}, y)
					defer closeAll(b, out)
					best := time.Hour
					for b.Loop() {
						before := threadTime()
						for i := range inputs {
							if err := s.Run(context.Background(), inputs[i:i+1], []*ort.Tensor{out}); err != nil {
								b.Fatal(err)
							}
						}
						best = min(best, threadTime()-before)
					}
					b.ReportMetric(float64(best.Nanoseconds())/float64(rows*batches), "ns/row")
					for i := range described {
						if err := described[i].Close(); err != nil {
							b.Fatal(err)
						}
					}
				})
				closeAll(b, s)
			}
		}
	}
}
