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
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// tensorModels opens models in a folder with their ZipMaps off, and gives those
// that have tree ensembles.
func tensorModels(t *testing.T, pattern string) map[string]*models.Model {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "..", "models", pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no models: %v", err)
	}
	all := map[string]*models.Model{}
	for _, path := range paths {
		m, err := models.OpenRewritten(path, models.Options{}, models.Rewrites{ZipMap: true})
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(m.Operators, func(o models.Operator) bool { return strings.HasPrefix(o.Name, "TreeEnsemble") }) {
			all[strings.TrimSuffix(filepath.Base(path), ".onnx")] = m
		}
	}
	return all
}

// The reference models' trees give what ONNX Runtime's operator gives, within the
// rounding of sums: minutes of delay, some of 100, and probabilities.
func TestTensorTreesOfReferenceModels(t *testing.T) {
	orttest.Library(t)
	all := tensorModels(t, "reference/flights_*.onnx")
	for name, tolerance := range map[string]float64{"flights_gbdt": 2e-4, "flights_xgb": 2e-6} {
		t.Run(name, func(t *testing.T) {
			g := &forestGen{Rand: rand.New(rand.NewPCG(1, 2)), width: 32}
			x := make([]float32, 700*g.width)
			for i := range x {
				x[i] = float32(g.NormFloat64() * 30)
				if g.IntN(20) == 0 {
					x[i] = float32(math.NaN())
				}
			}
			sameTrees(t, t, all[name], x, g.width, tolerance, treeForms())
		})
	}
}

// Exported models whose trees are tensor operators give the training libraries'
// own predictions; labels that are text come off.
func TestTensorTreesPredictionsOfTrainingLibraries(t *testing.T) {
	lib := orttest.Library(t)
	var golden map[string]json.RawMessage
	readJSON(t, "predictions.json", &golden)
	var rows [][]float32
	if err := json.Unmarshal(golden["x"], &rows); err != nil {
		t.Fatal(err)
	}
	x := tensor(t, models.Float32, []int64{int64(len(rows)), int64(len(rows[0]))}, slices.Concat(rows...))
	defer closeAll(t, x)
	all := tensorModels(t, "testdata/*.onnx")
	if len(all) < 8 {
		t.Fatalf("%d models with trees; want 8 or more", len(all))
	}
	for name, m := range all {
		t.Run(name, func(t *testing.T) {
			var want prediction
			if err := json.Unmarshal(golden[name], &want); err != nil {
				t.Fatal(err)
			}
			if m.Outputs[0].Elem == models.String {
				var err error
				if m, _, _, err = models.MLToTensors(m, models.MLTensors{DropLabels: true}); err != nil {
					t.Fatal(err)
				}
			}
			for _, opts := range treeForms() {
				k, changed, left, err := models.TreesToTensors(m, opts)
				if err != nil || !changed || len(left) > 0 {
					t.Fatalf("TreesToTensors(%+v) = %v, %q, %v; want it changed", opts, changed, left, err)
				}
				if slices.ContainsFunc(k.Operators, func(o models.Operator) bool { return o.Domain != "" }) {
					t.Errorf("operators = %v; want none but of ai.onnx", k.Operators)
				}
				comparePredictions(t, lib, k, x, want)
			}
		})
	}
}

// comparePredictions wants the predicted labels or values of a model's first
// output, unless its labels came off, and its scores.
func comparePredictions(t *testing.T, lib *ort.Library, m *models.Model, x *ort.Tensor, want prediction) {
	t.Helper()
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
	last := outputs[len(outputs)-1]
	if want.Scores == nil || len(outputs) > 1 {
		if got := column(t, outputs[0]); !equal(got, want.Predict) {
			t.Errorf("%v = %v; want %v", m.Rewrites, got, want.Predict)
		}
	}
	if want.Scores == nil {
		return
	}
	flat := slices.Concat(want.Scores...)
	if !slices.EqualFunc(ort.View[float32](last), flat, func(a float32, b float64) bool { return math.Abs(float64(a)-b) < 1e-5 }) {
		t.Errorf("%v scores = %v; want %v", m.Rewrites, ort.View[float32](last), flat)
	}
	if labels, ok := m.OutputLabels(len(outputs) - 1); !ok || labels.Len() != len(want.Scores[0]) {
		t.Errorf("labels = %v, %v; want %d", labels, ok, len(want.Scores[0]))
	}
}

// Trees of all sizes in one ensemble go down in several groups.
func TestTensorTreesInGroups(t *testing.T) {
	orttest.Library(t)
	g := newForest(5, 6)
	sizes := slices.Concat(slices.Repeat([]int{2, 4}, 40), slices.Repeat([]int{40}, 30))
	g.weigh(sizes, 1)
	g.chains = true
	for id := range int64(3) {
		for _, leaf := range g.tree(int64(len(sizes))+id, 150) {
			g.trees.Weight(int64(len(sizes))+id, leaf, 0, g.integer())
		}
	}
	m := openModel(t, g.trees.Regressor(g.width, 1))
	sameTrees(t, t, m, g.rows(300), g.width, 0, treeForms())
	k, _, _, err := models.TreesToTensors(m, models.TensorTrees{})
	if err != nil || strings.Count(k.Rewrites[0], "gemm") == 0 || strings.Count(k.Rewrites[0], "traversal") < 2 {
		t.Errorf("rewrites = %q, %v; want groups of two forms", k.Rewrites, err)
	}
}

// A test of membership that is written as a chain of BRANCH_EQ to one node is one
// search, also where what it leads to is a tree of its own.
func TestTensorTreesWithSharedNodes(t *testing.T) {
	orttest.Library(t)
	tree := &onnxtest.Trees{}
	const members = 40
	for i := range int64(members) {
		tree.Node(0, i, "BRANCH_EQ", 0, float32(3*i), members+1, i+1)
	}
	tree.Node(0, members, "LEAF", 0, 0, 0, 0)
	tree.Node(0, members+1, "BRANCH_LEQ", 1, 0.5, members+2, members+3)
	tree.Node(0, members+2, "LEAF", 0, 0, 0, 0)
	tree.Node(0, members+3, "LEAF", 0, 0, 0, 0)
	for leaf, value := range map[int64]float32{members: 1, members + 2: 2, members + 3: 4} {
		tree.Weight(0, leaf, 0, value)
	}
	x := make([]float32, 0, 1000)
	for a := range 125 {
		x = append(x, float32(a), 0.5, float32(a), 0.75, float32(a)+0.5, 0, float32(math.NaN()), float32(a))
	}
	m := openModel(t, tree.Regressor(2, 1))
	sameTrees(t, t, m, x, 2, 0, treeForms())
	k, _, _, err := models.TreesToTensors(m, models.TensorTrees{Form: models.FormTraversal})
	if want := "1 traversal of 8 levels"; err != nil || !strings.Contains(k.Rewrites[0], want) {
		t.Errorf("rewrites = %q, %v; want %s", k.Rewrites, err, want)
	}
}
