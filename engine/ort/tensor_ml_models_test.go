package ort_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
)

// openPlain opens a model without its ZipMaps.
func openPlain(t *testing.T, path string) *models.Model {
	t.Helper()
	m, err := models.Open(path, models.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m, _, err = models.StripZipMap(m); err != nil {
		t.Fatal(err)
	}
	return m
}

// Exported models as tensors give the training libraries' own predictions.
func TestTensorsOfExportedModels(t *testing.T) {
	lib := orttest.Library(t)
	var all map[string]json.RawMessage
	readJSON(t, "predictions.json", &all)
	var rows [][]float32
	if err := json.Unmarshal(all["x"], &rows); err != nil {
		t.Fatal(err)
	}
	delete(all, "x")
	x := tensor(t, models.Float32, []int64{int64(len(rows)), int64(len(rows[0]))}, slices.Concat(rows...))
	defer closeAll(t, x)
	rewritten := 0
	for name, raw := range all {
		var want prediction
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		m, changed, left, err := models.MLToTensors(openPlain(t, filepath.Join("..", "..", "models", "testdata", name+".onnx")), models.MLTensors{DropLabels: true})
		if err != nil {
			t.Fatal(err)
		}
		if !changed {
			continue
		}
		rewritten++
		t.Run(name, func(t *testing.T) {
			if wantLeft := strings.Contains(name, "svc"); wantLeft != (len(left) > 0) {
				t.Errorf("left %q; want a support vector machine at most", left)
			}
			s, err := ort.NewSession(lib, m, ort.SessionOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer closeAll(t, s)
			outputs := make([]*ort.Tensor, len(s.Outputs()))
			if err := s.Run(t.Context(), []*ort.Tensor{x}, outputs); err != nil {
				t.Fatal(err)
			}
			defer closeAll(t, outputs...)
			scores := outputs[len(outputs)-1]
			if _, isWord := want.Predict[0].(string); isWord != (len(outputs) == 1) {
				t.Fatalf("%d outputs; want no label that is a string", len(outputs))
			}
			if len(outputs) > 1 {
				if got := column(t, outputs[0]); !equal(got, want.Predict) {
					t.Errorf("label = %v; want %v", got, want.Predict)
				}
			}
			flat := slices.Concat(want.Scores...)
			if got := ort.View[float32](scores); !slices.EqualFunc(got, flat, func(a float32, b float64) bool { return math.Abs(float64(a)-b) < 1e-5 }) {
				t.Errorf("scores = %v; want %v", got, flat)
			}
		})
	}
	if rewritten < 8 {
		t.Errorf("%d models were rewritten; want 8 or more", rewritten)
	}
}

// The linear and neural reference models give, as tensors, what ONNX Runtime's
// operators give, on odd rows too.
func TestTensorsOfReferenceModels(t *testing.T) {
	orttest.Library(t)
	g := &forestGen{Rand: rand.New(rand.NewPCG(1, 2)), width: 32}
	for _, name := range []string{"flights_linear", "flights_mlp"} {
		m := openPlain(t, filepath.Join("..", "..", "models", "reference", name+".onnx"))
		k, changed, left, err := models.MLToTensors(m, models.MLTensors{})
		if err != nil || !changed || len(left) > 0 {
			t.Fatalf("MLToTensors = %v, left %q, %v", changed, left, err)
		}
		x := make([]float32, 3000*g.width)
		for i := range x {
			x[i] = float32(g.NormFloat64() * 30)
			if g.IntN(20) == 0 {
				x[i] = g.value()
			}
		}
		in := tensor(t, models.Float32, []int64{3000, 32}, x)
		defer closeAll(t, in)
		want, err := runTensors(t, m, in)
		if err != nil {
			t.Fatal(err)
		}
		got, err := runTensors(t, k, in)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, got, want, 2e-6)
	}
}
