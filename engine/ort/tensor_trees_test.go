package ort_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// treeForms are all ways to write trees as tensor operators.
func treeForms() (all []models.TensorTrees) {
	for _, form := range []models.TreeForm{models.FormAuto, models.FormGEMM, models.FormPerfect, models.FormTraversal} {
		all = append(all, models.TensorTrees{Form: form}, models.TensorTrees{Form: form, Transposed: true})
	}
	return all
}

// drawForm draws one of them: a check of all takes 8 sessions.
func drawForm(t *rapid.T) []models.TensorTrees {
	return []models.TensorTrees{rapid.SampledFrom(treeForms()).Draw(t, "form")}
}

// sameTrees runs a model as ONNX Runtime does it, and with its trees as tensor
// operators in some forms, on x [rows,width]. Values may differ by tolerance; a
// tolerance of 0 wants the same bits, but for the sign of 0 and the bits of NaN.
func sameTrees(tb testing.TB, t fatal, m *models.Model, x []float32, width int, tolerance float64, forms []models.TensorTrees) {
	tb.Helper()
	t.Helper()
	want := runRows(tb, t, m, x, width)
	for _, opts := range forms {
		k, changed, left, err := models.TreesToTensors(m, opts)
		if err != nil || !changed || len(left) > 0 {
			t.Fatalf("TreesToTensors(%+v) = %v, %q, %v; want it changed", opts, changed, left, err)
		}
		for i, got := range runRows(tb, t, k, x, width) {
			if m.Outputs[i].Elem != models.Float32 {
				if !slices.Equal(got, want[i]) {
					t.Fatalf("%+v: labels differ:\ngot  %x\nwant %x\n%q", opts, got, want[i], k.Rewrites)
				}
				continue
			}
			if at, ok := within(got, want[i], tolerance); !ok {
				t.Fatalf("%+v: output %d differs at %d of %d: %v; want %v within %v\n%q", opts, i, at, len(want[i])/4, float(got, at), float(want[i], at), tolerance, k.Rewrites)
			}
		}
	}
}

func float(data []byte, i int) float32 {
	if 4*i+4 > len(data) {
		return float32(math.NaN())
	}
	return math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
}

func within(got, want []byte, tolerance float64) (at int, ok bool) {
	if len(got) != len(want) {
		return min(len(got), len(want)) / 4, false
	}
	for i := range len(want) / 4 {
		a, b := float64(float(got, i)), float64(float(want, i))
		if a != b && !(math.IsNaN(a) && math.IsNaN(b)) && !(math.Abs(a-b) <= tolerance) {
			return i, false
		}
	}
	return 0, true
}

// newForest is a generator of ensembles of all modes.
func newForest(seed uint64, width int) *forestGen {
	g := &forestGen{
		Rand: rand.New(rand.NewPCG(seed, 1)), width: width, missing: true,
		modes: []string{"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"},
	}
	for range 8 {
		g.thresholds = append(g.thresholds, g.value())
	}
	return g
}

// integer is a leaf value; sums of such are exact in float32 in any order.
func (g *forestGen) integer() float32 { return float32(g.IntN(1<<12) - 1<<11) }

// drawTreeSizes draws how many leaves trees have, so that there are many of a few
// leaves, or several as deep as the generator makes them.
func drawTreeSizes(t *rapid.T) []int {
	if rapid.Bool().Draw(t, "shallow") {
		return slices.Repeat([]int{2, 1, 4, 8, 3, 9}, rapid.IntRange(1, 8).Draw(t, "times"))
	}
	sizes := make([]int, rapid.IntRange(1, 5).Draw(t, "trees"))
	for i := range sizes {
		sizes[i] = rapid.SampledFrom([]int{1, 2, 3, 5, 8, 31, 33, 64, 90}).Draw(t, "leaves")
	}
	return sizes
}

// Every row comes to the leaves that ONNX Runtime takes it to, whatever the
// modes, thresholds and values: sums of integers are exact.
func TestTensorTreesRouting(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := drawForest(rt)
		targets := rapid.SampledFrom([]int{1, 1, 2, 3}).Draw(rt, "targets")
		scores := rapid.SampledFrom([]string{"all", "by tree", "first"}).Draw(rt, "targets of leaves")
		aggregate := rapid.SampledFrom([]string{"SUM", "SUM", "AVERAGE", "MIN", "MAX"}).Draw(rt, "aggregate")
		for id, size := range drawTreeSizes(rt) {
			for _, leaf := range g.tree(int64(id), size) {
				for k := range targets {
					if scores == "all" || scores == "by tree" && k == id%targets || k == 0 && scores == "first" {
						g.trees.Weight(int64(id), leaf, int64(k), g.integer())
					}
				}
			}
		}
		more := []*pb.AttributeProto{onnxtest.String("aggregate_function", aggregate)}
		if rapid.Bool().Draw(rt, "base") {
			base := make([]float32, targets)
			for i := range base {
				base[i] = g.integer()
			}
			more = append(more, onnxtest.Floats("base_values", base...))
		}
		m := openModel(t, g.trees.Regressor(g.width, targets, more...))
		sameTrees(t, rt, m, g.rows(drawRows(rt)), g.width, 0, drawForm(rt))
	})
}

// Sums of any values differ by no more than float32 rounds, which is measured by
// the sum of their sizes.
func TestTensorTreesSums(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := drawForest(rt)
		targets := rapid.SampledFrom([]int{1, 3}).Draw(rt, "targets")
		size := 0.0
		for id, leaves := range drawTreeSizes(rt) {
			most := 0.0
			for _, leaf := range g.tree(int64(id), leaves) {
				for k := range targets {
					v := g.weight()
					most = max(most, math.Abs(float64(v)))
					g.trees.Weight(int64(id), leaf, int64(k), v)
				}
			}
			size += most
		}
		m := openModel(t, g.trees.Regressor(g.width, targets))
		sameTrees(t, rt, m, g.rows(drawRows(rt)), g.width, 16*size/(1<<24), drawForm(rt))
	})
}

// toleranceOf is how far scores of about 1 may be apart after a transform. The
// probit takes the difference of two numbers about 4 and then its root, so that
// the last bit of a logarithm is worth that much where it is nearly 0.
func toleranceOf(transform string) float64 {
	switch transform {
	case "NONE":
		return 0
	case "PROBIT":
		return 2e-3
	}
	return 2e-6
}

// Regressors have post-transforms too.
func TestTensorTreesTransforms(t *testing.T) {
	orttest.Library(t)
	for _, transform := range []string{"NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"} {
		for _, targets := range []int{1, 2, 3} {
			t.Run(fmt.Sprint(transform, targets), func(t *testing.T) {
				g := newForest(1, 3)
				for id := range int64(2) {
					for _, leaf := range g.tree(id, 6) {
						for k := range targets {
							g.trees.Weight(id, leaf, int64(k), float32(g.IntN(4))*0.11)
						}
					}
				}
				m := openModel(t, g.trees.Regressor(g.width, targets, onnxtest.String("post_transform", transform)))
				sameTrees(t, t, m, g.rows(200), g.width, toleranceOf(transform), treeForms())
			})
		}
	}
}

// Classifiers give the same label, and the same scores but for the rounding of
// transforms.
func TestTensorTreesClassifier(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := drawForest(rt)
		classes := rapid.SampledFrom([]int{2, 2, 3, 5}).Draw(rt, "classes")
		scores := rapid.SampledFrom([]string{"all", "one", "first", "second"}).Draw(rt, "scores")
		positive := rapid.Bool().Draw(rt, "positive")
		for id, size := range drawTreeSizes(rt) {
			one := map[string]int{"one": id % classes, "first": 0, "second": 1}[scores]
			for _, leaf := range g.tree(int64(id), size) {
				for k := range classes {
					if w := float32(g.IntN(64)-32) / 32; scores == "all" || k == one {
						if positive {
							w = float32(math.Abs(float64(w)))
						}
						g.trees.Weight(int64(id), leaf, int64(k), w)
					}
				}
			}
		}
		transform := rapid.SampledFrom([]string{"NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"}).Draw(rt, "transform")
		more := []*pb.AttributeProto{onnxtest.String("post_transform", transform)}
		if rapid.Bool().Draw(rt, "base") {
			base := []float32{0.5, -0.25, 0, 1, 0.125}[:classes]
			if classes == 2 {
				base = base[:1]
			}
			more = append(more, onnxtest.Floats("base_values", base...))
		}
		labels := onnxtest.Ints("classlabels_int64s", []int64{7, -3, math.MaxInt64, 0, 1}[:classes]...)
		m := openModel(t, g.trees.Classifier(g.width, labels, more...))
		if why := leftOfBinary(&g.trees, classes, transform); why {
			if _, changed, left, err := models.TreesToTensors(m, models.TensorTrees{}); changed || err != nil || len(left) != 1 {
				rt.Fatalf("TreesToTensors() = %v, %q, %v; want it left", changed, left, err)
			}
			return
		}
		sameTrees(t, rt, m, g.rows(drawRows(rt)), g.width, toleranceOf(transform), drawForm(rt))
	})
}

// leftOfBinary says that a classifier of two classes is one that versions of ONNX
// Runtime do different things with, or one that is not written down.
func leftOfBinary(trees *onnxtest.Trees, classes int, transform string) bool {
	negative := slices.ContainsFunc(trees.Weights, func(w float32) bool { return w < 0 })
	second := slices.ContainsFunc(trees.WeightTargets, func(id int64) bool { return id > 0 })
	return classes == 2 && !second && (transform == "LOGISTIC" && !negative || transform == "PROBIT")
}
