package ort_test

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
)

// An IsolationForest as skl2onnx exports it becomes one ensemble, which gives scikit-learn's own
// scores and, but for the last bits of a logarithm, those of the 27 operators a tree.
func TestIsolationForest(t *testing.T) {
	orttest.Library(t)
	var golden struct {
		X       [][]float32 `json:"x"`
		Predict []any       `json:"predict"`
		Scores  []float64   `json:"scores"`
	}
	readJSON(t, "isolation/golden.json", &golden)
	m := openPlain(t, filepath.Join("..", "..", "models", "testdata", "isolation", "forest.onnx"))
	k, changed, err := models.UseKernels(m)
	if err != nil || !changed {
		t.Fatalf("UseKernels = %v, %v", changed, err)
	}
	device, _, left, err := models.MLToTensors(m, models.MLTensors{})
	if err != nil || len(left) > 0 {
		t.Fatalf("MLToTensors: left %q, %v", left, err)
	}
	device, _, left, err = models.TreesToTensors(device, models.TensorTrees{})
	if err != nil || len(left) > 0 {
		t.Fatalf("TreesToTensors: left %q, %v", left, err)
	}
	for name, m := range map[string]*models.Model{"kernels": k, "tensors": device} {
		said := strings.Join(m.Rewrites, "\n")
		if !strings.Contains(said, "leaves of 12 trees") || !strings.Contains(said, "(12 trees") {
			t.Errorf("%s: rewrites = %q; want one ensemble of 12 trees", name, said)
		}
	}

	flat := make([]float32, 0, 5*len(golden.X))
	for _, row := range golden.X {
		flat = append(flat, row...)
	}
	in := tensor(t, models.Float32, []int64{int64(len(golden.X)), 5}, flat)
	defer closeAll(t, in)
	for name, m := range map[string]*models.Model{"as exported": m, "kernels": k, "tensors": device} {
		eachOutput(t, t, m, in, func(o *ort.Tensor) {
			if o.Elem() == models.Int64 {
				if got := column(t, o); !equal(got, golden.Predict) {
					t.Errorf("%s: labels = %v; want %v", name, got, golden.Predict)
				}
				return
			}
			for i, got := range ort.View[float32](o) {
				if math.Abs(float64(got)-golden.Scores[i]) > 1e-6 {
					t.Errorf("%s: row %d scores %g; want %g", name, i, got, golden.Scores[i])
				}
			}
		})
	}

	r := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, 5*5000)
	for i := range x {
		x[i] = float32(r.NormFloat64() * 2)
		if r.IntN(30) == 0 {
			x[i] = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0, math.MaxFloat32}[r.IntN(5)]
		}
	}
	odd := tensor(t, models.Float32, []int64{5000, 5}, x)
	defer closeAll(t, odd)
	want, err := runTensors(t, m, odd)
	if err != nil {
		t.Fatal(err)
	}
	got, err := runTensors(t, k, odd)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, got, want, 1e-6)
}
