package ort_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// reals is a constant tensor of float or, when wide, double.
func reals(wide bool, values []float64) *pb.TensorProto {
	t := &pb.TensorProto{DataType: new(int32(pb.TensorProto_FLOAT)), Dims: []int64{int64(len(values))}}
	if wide {
		t.DataType, t.DoubleData = new(int32(pb.TensorProto_DOUBLE)), values
		return t
	}
	for _, v := range values {
		t.FloatData = append(t.FloatData, float32(v))
	}
	return t
}

func tensorAttribute(name string, t *pb.TensorProto) *pb.AttributeProto {
	return &pb.AttributeProto{Name: new(name), Type: pb.AttributeProto_TENSOR.Enum(), T: t}
}

func float64s(values []float32) []float64 {
	all := make([]float64, len(values))
	for i, v := range values {
		all[i] = float64(v)
	}
	return all
}

// ensembleModes are the numbers of TreeEnsemble's nodes_modes.
var ensembleModes = map[string]byte{"BRANCH_LEQ": 0, "BRANCH_LT": 1, "BRANCH_GTE": 2, "BRANCH_GT": 3, "BRANCH_EQ": 4, "BRANCH_NEQ": 5, "BRANCH_MEMBER": 6}

// ensemble writes trees as a TreeEnsemble, which has leaves beside its nodes, and
// for a tree of one leaf a split with that leaf on both sides. Every other
// BRANCH_EQ becomes a test of membership among members.
func ensemble(trees *onnxtest.Trees, wide bool, width, targets int, members []float64, more ...*pb.AttributeProto) *pb.ModelProto {
	var features, onTrue, onFalse, trueLeaf, falseLeaf, missing, roots []int64
	var modes []byte
	var splits, sets []float64
	type key struct{ tree, node int64 }
	node, leaf := map[key]int64{}, map[key]int64{}
	// No leaf has a node's number: ONNX Runtime confuses the two at roots.
	first := len(trees.Modes)
	leafTargets, weights := make([]int64, first+len(trees.Weights)), make([]float64, first+len(trees.Weights))
	for i, w := range trees.Weights {
		leaf[key{trees.WeightTrees[i], trees.WeightNodes[i]}] = int64(first + i)
		leafTargets[first+i], weights[first+i] = trees.WeightTargets[i], float64(w)
	}
	for i, mode := range trees.Modes {
		root := i == 0 || trees.TreeIDs[i] != trees.TreeIDs[i-1]
		if mode == "LEAF" && !root {
			continue
		}
		at := int64(len(node))
		node[key{trees.TreeIDs[i], trees.NodeIDs[i]}] = at
		if root {
			roots = append(roots, at)
		}
	}
	child := func(tree, id int64, into, isLeaf *[]int64) {
		if at, ok := leaf[key{tree, id}]; ok {
			*into, *isLeaf = append(*into, at), append(*isLeaf, 1)
			return
		}
		*into, *isLeaf = append(*into, node[key{tree, id}]), append(*isLeaf, 0)
	}
	equals := 0
	for i, mode := range trees.Modes {
		tree, yes, no := trees.TreeIDs[i], trees.OnTrue[i], trees.OnFalse[i]
		if _, ok := node[key{tree, trees.NodeIDs[i]}]; !ok {
			continue
		}
		if mode == "LEAF" {
			mode, yes, no = "BRANCH_LEQ", trees.NodeIDs[i], trees.NodeIDs[i]
		}
		if mode == "BRANCH_EQ" {
			if equals++; members != nil && equals%2 == 0 {
				mode = "BRANCH_MEMBER"
				sets = append(append(sets, members...), math.NaN())
			}
		}
		modes, features, splits = append(modes, ensembleModes[mode]), append(features, trees.Features[i]), append(splits, float64(trees.Values[i]))
		child(tree, yes, &onTrue, &trueLeaf)
		child(tree, no, &onFalse, &falseLeaf)
		if trees.Missing != nil {
			missing = append(missing, trees.Missing[i])
		}
	}
	a := []*pb.AttributeProto{
		onnxtest.Ints("nodes_featureids", features...), onnxtest.Ints("nodes_truenodeids", onTrue...), onnxtest.Ints("nodes_falsenodeids", onFalse...),
		onnxtest.Ints("nodes_trueleafs", trueLeaf...), onnxtest.Ints("nodes_falseleafs", falseLeaf...), onnxtest.Ints("tree_roots", roots...),
		onnxtest.Ints("leaf_targetids", leafTargets...), onnxtest.Int("n_targets", int64(targets)),
		tensorAttribute("nodes_splits", reals(wide, splits)), tensorAttribute("leaf_weights", reals(wide, weights)),
		tensorAttribute("nodes_modes", &pb.TensorProto{DataType: new(int32(pb.TensorProto_UINT8)), Dims: []int64{int64(len(modes))}, RawData: modes}),
	}
	if missing != nil {
		a = append(a, onnxtest.Ints("nodes_missing_value_tracks_true", missing...))
	}
	if sets != nil {
		a = append(a, tensorAttribute("membership_values", reals(wide, sets)))
	}
	elem := pb.TensorProto_FLOAT
	if wide {
		elem = pb.TensorProto_DOUBLE
	}
	m := onnxtest.Model(onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("x", elem, "N", width)), onnxtest.Values(onnxtest.Tensor("y", elem, "N", targets)),
		onnxtest.DomainNode("ai.onnx.ml", "TreeEnsemble", onnxtest.Names("x"), onnxtest.Names("y"), append(a, more...)...)))
	m.OpsetImport[1].Version = new(int64(5))
	return m
}

// runOn gives the numbers of every output.
func runOn(tb testing.TB, t fatal, m *models.Model, x *ort.Tensor) (all [][]float64) {
	tb.Helper()
	t.Helper()
	eachOutput(tb, t, m, x, func(o *ort.Tensor) {
		switch o.Elem() {
		case models.Float64:
			all = append(all, slices.Clone(ort.View[float64](o)))
		case models.Float32:
			all = append(all, float64s(ort.View[float32](o)))
		case models.Int64:
			values := make([]float64, 0, len(ort.View[int64](o)))
			for _, v := range ort.View[int64](o) {
				values = append(values, float64(v))
			}
			all = append(all, values)
		default:
			t.Fatalf("output of %v", o.Elem())
		}
	})
	return all
}

// sameNumbers wants a model whose trees are tensor operators to give equal
// numbers.
func sameNumbers(tb testing.TB, t fatal, m *models.Model, x *ort.Tensor, forms []models.TensorTrees) {
	tb.Helper()
	t.Helper()
	want := runOn(tb, t, m, x)
	for _, opts := range forms {
		k, changed, left, err := models.TreesToTensors(m, opts)
		if err != nil || !changed || len(left) > 0 {
			t.Fatalf("TreesToTensors(%+v) = %v, %q, %v; want it changed", opts, changed, left, err)
		}
		for i, got := range runOn(tb, t, k, x) {
			if !slices.Equal(got, want[i]) {
				t.Fatalf("%+v: output %d = %v; want %v\n%q", opts, i, got, want[i], k.Rewrites)
			}
		}
	}
}

// wideRows are rows of double, near thresholds that only double tells apart.
func (g *forestGen) wideRows(n int) []float64 {
	x := make([]float64, n*g.width)
	for i := range x {
		x[i] = float64(g.value())
		switch g.IntN(4) {
		case 0:
			x[i] = math.Nextafter(x[i], math.Inf(1))
		case 1:
			x[i] = math.Nextafter(x[i], math.Inf(-1))
		}
	}
	return x
}

// weigh gives every leaf of new trees an integer for one target.
func (g *forestGen) weigh(sizes []int, targets int) {
	for id, size := range sizes {
		for _, leaf := range g.tree(int64(id), size) {
			g.trees.Weight(int64(id), leaf, int64(g.IntN(targets)), g.integer())
		}
	}
}

// whole makes integers of what ONNX Runtime tests for membership: of three
// integers or more it takes 4.5 for 4 (1.31.1), which the rewrite does not.
func whole[F float32 | float64](tested bool, x []F) []F {
	for i := range x {
		if tested {
			x[i] = F(math.Trunc(float64(x[i])))
		}
	}
	return x
}

func TestTensorTreesOfTreeEnsemble(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := drawForest(rt)
		targets := rapid.SampledFrom([]int{1, 3}).Draw(rt, "targets")
		g.weigh(drawTreeSizes(rt), targets)
		wide := rapid.Bool().Draw(rt, "double")
		var members []float64
		if rapid.Bool().Draw(rt, "members") {
			members = [][]float64{{1, 2, 3}, {-1, 4, 1e9}, {0}, {2, 7, 40, 70}}[g.IntN(4)]
		}
		more := onnxtest.Int("aggregate_function", int64(rapid.IntRange(0, 1).Draw(rt, "aggregate")))
		m := openModel(t, ensemble(&g.trees, wide, g.width, targets, members, more))
		rows := rapid.IntRange(0, 70).Draw(rt, "rows")
		shape := []int64{int64(rows), int64(g.width)}
		var x *ort.Tensor
		if wide {
			x = tensor(t, models.Float64, shape, whole(members != nil, g.wideRows(rows)))
		} else {
			x = tensor(t, models.Float32, shape, whole(members != nil, g.rows(rows)))
		}
		defer closeAll(t, x)
		sameNumbers(t, rt, m, x, drawForm(rt))
	})
}

// Regressors and classifiers over double have their numbers in tensors.
func TestTensorTreesOfDouble(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := drawForest(rt)
		classes := rapid.SampledFrom([]int{0, 2, 3}).Draw(rt, "classes")
		for id, size := range drawTreeSizes(rt) {
			for _, leaf := range g.tree(int64(id), size) {
				for k := range max(classes, 1) {
					g.trees.Weight(int64(id), leaf, int64(k), g.integer())
				}
			}
		}
		p := g.trees.Regressor(g.width, 1)
		if classes > 0 {
			p = g.trees.Classifier(g.width, onnxtest.Ints("classlabels_int64s", []int64{5, 2, 9}[:classes]...))
		}
		p.Graph.Input[0].Type.GetTensorType().ElemType = new(int32(pb.TensorProto_DOUBLE))
		if rapid.Bool().Draw(rt, "tensors") {
			inTensors(p.Graph.Node[0])
		}
		rows := rapid.IntRange(0, 70).Draw(rt, "rows")
		x := tensor(t, models.Float64, []int64{int64(rows), int64(g.width)}, g.wideRows(rows))
		defer closeAll(t, x)
		sameNumbers(t, rt, openModel(t, p), x, drawForm(rt))
	})
}

// inTensors moves an ensemble's floats into tensors of double.
func inTensors(n *pb.NodeProto) {
	for i, a := range n.Attribute {
		switch a.GetName() {
		case "nodes_values", "target_weights", "class_weights":
			n.Attribute[i] = tensorAttribute(a.GetName()+"_as_tensor", reals(true, float64s(a.GetFloats())))
		}
	}
}

// Integers, which a classifier takes, are compared as float32, as ONNX Runtime
// does.
func TestTensorTreesOfIntegers(t *testing.T) {
	orttest.Library(t)
	for elem, name := range map[pb.TensorProto_DataType]string{pb.TensorProto_INT64: "int64", pb.TensorProto_INT32: "int32"} {
		t.Run(name, func(t *testing.T) {
			g := newForest(3, 4)
			g.thresholds = append(g.thresholds, 1<<24, 1<<24+2)
			for id, size := range []int{9, 30, 2} {
				for _, leaf := range g.tree(int64(id), size) {
					for class := range int64(3) {
						g.trees.Weight(int64(id), leaf, class, g.integer())
					}
				}
			}
			p := g.trees.Classifier(g.width, onnxtest.Ints("classlabels_int64s", 4, 5, 6))
			p.Graph.Input[0].Type.GetTensorType().ElemType = new(int32(elem))
			const rows = 100
			wide, narrow := make([]int64, rows*g.width), make([]int32, rows*g.width)
			for i := range wide {
				wide[i] = []int64{int64(g.IntN(7) - 3), 1<<24 + int64(g.IntN(5)), math.MinInt32}[g.IntN(3)]
				narrow[i] = int32(wide[i])
			}
			x := tensor(t, models.Int64, []int64{rows, int64(g.width)}, wide)
			if elem == pb.TensorProto_INT32 {
				closeAll(t, x)
				x = tensor(t, models.Int32, []int64{rows, int64(g.width)}, narrow)
			}
			defer closeAll(t, x)
			sameNumbers(t, t, openModel(t, p), x, treeForms())
		})
	}
}
