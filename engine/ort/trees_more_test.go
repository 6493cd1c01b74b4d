package ort_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// largeForest is more than a core's cache holds, so that its trees come in
// groups, and rows in several parts.
func largeForest(t *testing.T) (*models.Model, []float32, int) {
	t.Helper()
	g := &forestGen{Rand: rand.New(rand.NewPCG(7, 8)), width: 9, modes: []string{"BRANCH_LEQ", "BRANCH_EQ"}}
	for range 300 {
		g.thresholds = append(g.thresholds, float32(g.IntN(40)))
	}
	for id := range int64(9) {
		for _, leaf := range g.tree(id, 4000) {
			g.trees.Weight(id, leaf, 0, g.weight())
		}
	}
	x := make([]float32, 5000*g.width)
	for i := range x {
		x[i] = float32(g.IntN(40))
	}
	return openModel(t, g.trees.Regressor(g.width, 1)), x, g.width
}

func TestTreesInGroups(t *testing.T) {
	orttest.Library(t)
	m, x, width := largeForest(t)
	sameBits(t, t, m, x, width)
}

// manySplits is a forest of small trees whose splits share little: more planes than a
// core's cache holds. With many features, tiles have fewer rows.
func manySplits(t *testing.T, trees, leaves, width int, modes ...string) {
	t.Helper()
	orttest.Library(t)
	g := &forestGen{Rand: rand.New(rand.NewPCG(9, uint64(width))), width: width, modes: modes}
	for range 3000 {
		g.thresholds = append(g.thresholds, float32(g.NormFloat64()))
	}
	for id := range int64(trees) {
		for _, leaf := range g.tree(id, leaves) {
			g.trees.Weight(id, leaf, 0, g.weight())
		}
	}
	x := make([]float32, 2500*width)
	for i := range x {
		x[i] = float32(g.NormFloat64())
		if g.IntN(20) == 0 {
			x[i] = g.thresholds[g.IntN(len(g.thresholds))]
		}
	}
	sameBits(t, t, openModel(t, g.trees.Regressor(width, 1)), x, width)
}

func TestTreesOfManySplits(t *testing.T) { manySplits(t, 120, 90, 7, "BRANCH_LT", "BRANCH_EQ") }

func TestTreesOnManyFeatures(t *testing.T) { manySplits(t, 60, 30, 900, "BRANCH_LEQ") }

// Threads within a Run, and Runs at the same time on one session, change
// nothing.
func TestKernelsInParallel(t *testing.T) {
	lib := orttest.Library(t)
	m, x, width := largeForest(t)
	k, _, err := models.UseKernels(m)
	if err != nil {
		t.Fatal(err)
	}
	want := runRows(t, t, m, x, width)[0]
	s, err := ort.NewSession(lib, k, ort.SessionOptions{IntraOpThreads: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, s)
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			in, err := ort.Of(models.Float32, []int64{int64(len(x) / width), int64(width)}, x)
			if err != nil {
				t.Error(err)
				return
			}
			defer closeAll(t, in)
			outputs := []*ort.Tensor{nil}
			if err := s.Run(t.Context(), []*ort.Tensor{in}, outputs); err != nil {
				t.Error(err)
				return
			}
			defer closeAll(t, outputs...)
			if !bytes.Equal(outputs[0].Bytes(), want) {
				t.Error("other bits than ONNX Runtime's")
			}
		})
	}
	running.Wait()
}

// Some exporters write a test of membership as a chain of BRANCH_EQ whose true
// sides are one node.
func TestTreesWithSharedNodes(t *testing.T) {
	orttest.Library(t)
	tree := &onnxtest.Trees{}
	tree.Node(0, 0, "BRANCH_EQ", 0, 3, 4, 1)
	tree.Node(0, 1, "BRANCH_EQ", 0, 7, 4, 2)
	tree.Node(0, 2, "BRANCH_EQ", 0, 9, 4, 3)
	tree.Node(0, 3, "LEAF", 0, 0, 0, 0)
	tree.Node(0, 4, "BRANCH_LEQ", 1, 0.5, 5, 6)
	tree.Node(0, 5, "LEAF", 0, 0, 0, 0)
	tree.Node(0, 6, "LEAF", 0, 0, 0, 0)
	for leaf, value := range map[int64]float32{3: 1, 5: 2, 6: 4} {
		tree.Weight(0, leaf, 0, value)
	}
	x := make([]float32, 0, 72)
	for a := range 12 {
		x = append(x, float32(a), 0.5, float32(a), 0.75, float32(a)+0.5, 0)
	}
	sameBits(t, t, openModel(t, tree.Regressor(2, 1)), x, 2)
}

// LightGBM's splits on categories become chains of dozens of nodes, nested in each other, whose
// copies nobody could lay out.
func TestTreesOfSetsOfCategories(t *testing.T) {
	orttest.Library(t)
	g := &forestGen{Rand: rand.New(rand.NewPCG(11, 12)), width: 5, modes: []string{"BRANCH_LEQ", "BRANCH_EQ"}, sets: 40}
	for v := range 60 {
		g.thresholds = append(g.thresholds, float32(v))
	}
	for id := range int64(50) {
		for _, leaf := range g.tree(id, 31+60*int(id%2)) {
			g.trees.Weight(id, leaf, 0, g.weight())
		}
	}
	x := make([]float32, 2100*g.width)
	for i := range x {
		x[i] = float32(g.IntN(62)) / float32(1+g.IntN(2))
	}
	x[7] = float32(math.NaN())
	sameBits(t, t, openModel(t, g.trees.Regressor(g.width, 1)), x, g.width)
}

// The average of nearly nothing is a zero, whose sign is that of ONNX Runtime's.
func TestTreesAverageOfNearlyNothing(t *testing.T) {
	orttest.Library(t)
	for _, targets := range []int{1, 2} {
		tree := &onnxtest.Trees{}
		for id := range int64(3) {
			tree.Node(id, 0, "LEAF", 0, 0, 0, 0)
			for target := range int64(targets) {
				tree.Weight(id, 0, target, -math.SmallestNonzeroFloat32*float32(id/2))
			}
		}
		sameBits(t, t, openModel(t, tree.Regressor(1, targets, onnxtest.String("aggregate_function", "AVERAGE"))), []float32{1, 2}, 1)
	}
}

// An input that a kernel of ours cannot take is refused as ONNX Runtime's is,
// with the model's fault.
func TestTreesRefuseNarrowInputs(t *testing.T) {
	lib := orttest.Library(t)
	tree := &onnxtest.Trees{}
	tree.Node(0, 0, "BRANCH_LEQ", 5, 0.5, 1, 2)
	tree.Node(0, 1, "LEAF", 0, 0, 0, 0)
	tree.Node(0, 2, "LEAF", 0, 0, 0, 0)
	tree.Weight(0, 1, 0, 1)
	tree.Weight(0, 2, 0, 2)
	m := openModel(t, tree.Regressor(3, 1))
	k, changed, err := models.UseKernels(m)
	if err != nil || !changed {
		t.Fatal(changed, err)
	}
	for _, m := range []*models.Model{m, k} {
		s, err := ort.NewSession(lib, m, ort.SessionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		in := tensor(t, models.Float32, []int64{2, 3}, make([]float32, 6))
		err = s.Run(t.Context(), []*ort.Tensor{in}, []*ort.Tensor{nil})
		var status *ort.StatusError
		if !errors.As(err, &status) || !strings.Contains(err.Error(), "feature") {
			t.Errorf("%v: Run = %v; want a status that names the feature", m.Rewrites, err)
		}
		closeAll(t, in)
		closeAll(t, s)
	}
}

// Shapes stay known: a session says the same of its outputs.
func TestKernelsKeepSignatures(t *testing.T) {
	lib := orttest.Library(t)
	labels := onnxtest.Strings("classlabels_strings", "a", "b", "c")
	tree := &onnxtest.Trees{}
	tree.Node(0, 0, "LEAF", 0, 0, 0, 0)
	for class := range int64(3) {
		tree.Weight(0, 0, class, float32(class))
	}
	for name, p := range map[string]*models.Model{
		"classifier": openModel(t, tree.Classifier(3, labels)), "regressor": openModel(t, tree.Regressor(3, 3)),
	} {
		k, changed, err := models.UseKernels(p)
		if err != nil || !changed {
			t.Fatal(name, changed, err)
		}
		signatures := make([]string, 0, 2)
		for _, m := range []*models.Model{p, k} {
			s, err := ort.NewSession(lib, m, ort.SessionOptions{})
			if err != nil {
				t.Fatal(err)
			}
			text := make([]string, 0, 3*len(s.Outputs()))
			for _, v := range s.Outputs() {
				text = append(text, v.Name, v.Elem.String(), v.Shape.String())
			}
			signatures = append(signatures, strings.Join(text, " "))
			closeAll(t, s)
		}
		if signatures[0] != signatures[1] {
			t.Errorf("%s: outputs %s; want %s", name, signatures[1], signatures[0])
		}
	}
}
