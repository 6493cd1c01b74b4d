package ort_test

// go test -run '^$' -bench 'Kernels|Trees|Dense' -benchtime 2s ./engine/ort

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
)

// threadTime is the processor time of the calling thread: what other programs do
// on the same cores does not count.
func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// benchRows measures Runs of x with a model as it is, and with kernels of ours
// at every level. ns/row is the fastest Run's.
func benchRows(b *testing.B, name string, m *models.Model, x []float32, width int) {
	b.Helper()
	k, changed, err := models.UseKernels(m)
	if err != nil || !changed {
		b.Fatal(changed, err)
	}
	run := func(name string, m *models.Model) {
		s, err := ort.NewSession(orttest.Library(b), m, ort.SessionOptions{})
		if err != nil {
			b.Fatal(err)
		}
		defer closeAll(b, s)
		rows := len(x) / width
		b.Run(name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			in := tensor(b, models.Float32, []int64{int64(rows), int64(width)}, x)
			defer closeAll(b, in)
			outputs := make([]*ort.Tensor, len(s.Outputs()))
			best := time.Hour
			b.ReportAllocs()
			for b.Loop() {
				before := threadTime()
				if err := s.Run(context.Background(), []*ort.Tensor{in}, outputs); err != nil {
					b.Fatal(err)
				}
				best = min(best, threadTime()-before)
				closeAll(b, outputs...)
				clear(outputs)
			}
			b.ReportMetric(float64(best.Nanoseconds())/float64(rows), "ns/row")
			b.ReportMetric(float64(rows)/best.Seconds(), "rows/s")
		})
	}
	run(name+"/kernel=onnxruntime/level=own", m)
	for level, text := range ort.KernelLevels() {
		ort.ForceKernelLevel(b, level)
		run(name+"/kernel=millrace/level="+text, k)
	}
}

// BenchmarkKernels runs the reference models of one float32 matrix on batches of
// 4,096 made rows, of which 1 in 20 values is missing.
func BenchmarkKernels(b *testing.B) {
	for _, name := range []string{"flights_gbdt", "flights_xgb", "flights_mlp", "flights_linear"} {
		m, err := models.Open(filepath.Join("..", "..", "models", "reference", name+".onnx"), models.Options{})
		if err != nil {
			b.Fatal(err)
		}
		const rows, width = 4096, 32
		g := rand.New(rand.NewPCG(1, 2))
		x := make([]float32, rows*width)
		for i := range x {
			x[i] = float32(g.NormFloat64() * 30)
			if g.IntN(20) == 0 {
				x[i] = float32(math.NaN())
			}
		}
		benchRows(b, "model="+name, m, x, width)
	}
}

// BenchmarkTrees shows where walking overtakes planes: 100 random trees of ever
// more leaves, whose splits on 32 features share few bounds or many (engine/ort/forest_plan.c,
// prices).
func BenchmarkTrees(b *testing.B) {
	for _, bounds := range []int{4000, 100} {
		for _, leaves := range []int{8, 32, 64, 128, 256, 512, 1024, 4096} {
			g := &forestGen{Rand: rand.New(rand.NewPCG(1, 2)), width: 32, modes: []string{"BRANCH_LEQ"}}
			for range bounds {
				g.thresholds = append(g.thresholds, float32(g.NormFloat64()))
			}
			for id := range int64(100) {
				for _, leaf := range g.tree(id, leaves) {
					g.trees.Weight(id, leaf, 0, float32(g.NormFloat64()))
				}
			}
			m := openModel(b, g.trees.Regressor(g.width, 1))
			x := make([]float32, 4096*g.width)
			for i := range x {
				x[i] = float32(g.NormFloat64())
			}
			benchRows(b, fmt.Sprintf("trees=100/bounds=%d/leaves=%d", bounds, leaves), m, x, g.width)
		}
	}
}

// BenchmarkDense runs multi-layer perceptrons of several shapes, as PyTorch
// exports them, on batches of one and of 4,096 rows.
func BenchmarkDense(b *testing.B) {
	for _, widths := range [][]int{
		{16, 32, 1},
		{32, 64, 64, 1},
		{32, 128, 64, 1},
		{64, 256, 128, 1},
		{64, 128, 128},
		{256, 512, 128, 10},
		{512, 512, 1},
		{256, 1024, 1024, 1},
		{1024, 1024, 1023, 1},
	} {
		m := &mlp{Rand: rand.New(rand.NewPCG(1, 2)), last: "x"}
		for i := range widths[1:] {
			m.layer("Gemm", widths[i], widths[i+1], true)
			if i+2 < len(widths) {
				m.activate("Relu")
			}
		}
		exported := m.model(b, widths[0], widths[len(widths)-1])
		for _, rows := range []int{1, 4096} {
			x := make([]float32, rows*widths[0])
			for i := range x {
				x[i] = m.value()
			}
			name := strings.Trim(strings.ReplaceAll(fmt.Sprint(widths), " ", "-"), "[]")
			benchRows(b, fmt.Sprintf("dense=%s/rows=%d", name, rows), exported, x, widths[0])
		}
	}
}
