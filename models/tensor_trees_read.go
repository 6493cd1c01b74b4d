package models

import (
	"math"

	"github.com/millrace/millrace/models/onnxpb"
)

// treeSource is a tree ensemble of ai.onnx.ml as its node has it.
type treeSource struct {
	nodes []sourceNode
	roots []int32 // one of each tree
	width int     // columns that an input must have

	targets    int
	aggregate  string // AVERAGE, SUM, MIN or MAX
	transform  string // NONE, LOGISTIC, SOFTMAX, SOFTMAX_ZERO or PROBIT
	base       []float64
	classifier bool
	labels     ClassLabels

	// Of a classifier with two classes.
	binary, positive, onlyFirst bool
}

var asTensors = map[string]onnxpb.AttributeProto_AttributeType{
	"nodes_values_as_tensor": tensorAttribute, "nodes_hitrates_as_tensor": tensorAttribute, "base_values_as_tensor": tensorAttribute,
	"target_weights_as_tensor": tensorAttribute, "class_weights_as_tensor": tensorAttribute,
}

const tensorAttribute = onnxpb.AttributeProto_TENSOR

// numbers reads a list of an attribute or of the tensor in its place, which must
// be of the ensemble's own type, as ONNX Runtime demands.
func numbers(a map[string]*onnxpb.AttributeProto, name string, elem ElementType) ([]float64, bool) {
	list, tensor := a[name].GetFloats(), a[name+"_as_tensor"].GetT()
	if tensor == nil {
		values := make([]float64, len(list))
		for i, v := range list {
			values[i] = float64(v)
		}
		return values, true
	}
	values, ok := realTensor(tensor, elem)
	return values, ok && len(list) == 0
}

// realTensor reads a tensor of a type that is Float32 or Float64.
func realTensor(t *onnxpb.TensorProto, elem ElementType) ([]float64, bool) {
	if ElementType(t.GetDataType()) != elem {
		return nil, false
	}
	all, ok := numbersOf(t)
	values := make([]float64, len(all))
	for i, bits := range all {
		values[i] = floatOfBits(bits, elem)
	}
	return values, ok
}

// finite says that all values are numbers, so that sums of them have no NaN but
// by overflow.
func finite(values []float64) bool {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

// readTreeSource reads a TreeEnsembleRegressor or -Classifier over data of type
// elem. It gives the reason for what it does not take.
func readTreeSource(n *onnxpb.NodeProto, classifier bool, elem ElementType) (*treeSource, string) {
	known, prefix := with(regressorAttributes, asTensors), "target"
	if classifier {
		known, prefix = with(classifierAttributes, asTensors), "class"
	}
	a, ok := attributesOf(n, known)
	if !ok {
		return nil, "it has an attribute that is not known"
	}
	s := &treeSource{classifier: classifier, aggregate: "SUM", transform: "NONE"}
	if v := a["aggregate_function"].GetS(); len(v) > 0 {
		s.aggregate = string(v)
	}
	if v := a["post_transform"].GetS(); len(v) > 0 {
		s.transform = string(v)
	}
	s.targets = int(a["n_targets"].GetI())
	if classifier {
		s.labels = ClassLabels{Ints: a["classlabels_int64s"].GetInts()}
		if text := a["classlabels_strings"].GetStrings(); len(text) > 0 {
			if len(s.labels.Ints) > 0 {
				return nil, "its classes are numbers and text"
			}
			s.labels = stringLabels(text)
		}
		s.targets = s.labels.Len()
	}
	if s.targets < 1 || s.targets > maxForestTargets {
		return nil, "its number of targets is not one that is taken"
	}
	if s.base, ok = numbers(a, "base_values", elem); !ok || !finite(s.base) {
		return nil, "its base values are not understood"
	}
	if !s.readNodes(a, elem) {
		return nil, "its nodes are not understood"
	}
	if !s.readWeights(a, prefix, elem) {
		return nil, "its leaves' values are not understood"
	}
	return s, s.check()
}

// readNodes reads the lists of nodes; each run of one tree id is a tree, its
// root first.
func (s *treeSource) readNodes(a map[string]*onnxpb.AttributeProto, elem ElementType) bool {
	trees, ids, features := a["nodes_treeids"].GetInts(), a["nodes_nodeids"].GetInts(), a["nodes_featureids"].GetInts()
	onTrue, onFalse, missing := a["nodes_truenodeids"].GetInts(), a["nodes_falsenodeids"].GetInts(), a["nodes_missing_value_tracks_true"].GetInts()
	modes := a["nodes_modes"].GetStrings()
	values, ok := numbers(a, "nodes_values", elem)
	n := len(trees)
	for _, length := range []int{len(ids), len(features), len(onTrue), len(onFalse), len(modes), len(values)} {
		ok = ok && length == n
	}
	if !ok || n == 0 || n > maxForestNodes || len(missing) != 0 && len(missing) != n {
		return false
	}
	s.nodes = make([]sourceNode, n)
	all := make([]splitMode, n)
	for i, text := range modes {
		mode, ok := splitModeOf(text)
		if !ok || trees[i] < 0 || trees[i] > math.MaxInt32 || ids[i] < 0 || ids[i] >= int64(n) || features[i] >= maxForestWidth || mode != modeLeaf && features[i] < 0 {
			return false
		}
		all[i] = mode
		s.nodes[i] = sourceNode{mode: mode, feature: int(features[i]), value: values[i], nanTrue: len(missing) > 0 && missing[i] == 1}
		s.width = max(s.width, int(features[i])+1)
	}
	at, seen := make([]int32, n), map[int64]bool{}
	for first := 0; first < n; {
		last := first + 1
		for last < n && trees[last] == trees[first] {
			last++
		}
		if seen[trees[first]] || !s.link(first, last, ids, onTrue, onFalse, at) {
			return false
		}
		seen[trees[first]] = true
		children := make([][2]int32, last-first)
		for i := range children {
			children[i] = [2]int32{s.nodes[first+i].onTrue - int32(first), s.nodes[first+i].onFalse - int32(first)}
		}
		// Of what ONNX Runtime refuses to lay out, nothing is made to run.
		if !laidOut(children, all[first:last]) {
			return false
		}
		s.roots = append(s.roots, int32(first))
		first = last
	}
	return true
}

// link finds the children of a tree's nodes, first to last-1. at holds a node by
// id, of this tree or one before.
func (s *treeSource) link(first, last int, ids, onTrue, onFalse []int64, at []int32) bool {
	find := func(id int64, last int) (int32, bool) {
		if id < 0 || id >= int64(len(at)) {
			return 0, false
		}
		i := int(at[id])
		return at[id], i >= first && i < last && ids[i] == id
	}
	for i := first; i < last; i++ {
		if _, twice := find(ids[i], i); twice {
			return false
		}
		at[ids[i]] = int32(i)
	}
	for i := first; i < last; i++ {
		n := &s.nodes[i]
		if n.mode == modeLeaf {
			continue
		}
		var ok, ok2 bool
		n.onTrue, ok = find(onTrue[i], last)
		n.onFalse, ok2 = find(onFalse[i], last)
		if !ok || !ok2 {
			return false
		}
	}
	return true
}

// readWeights gives leaves their values.
func (s *treeSource) readWeights(a map[string]*onnxpb.AttributeProto, prefix string, elem ElementType) bool {
	targets, trees, ids := a[prefix+"_ids"].GetInts(), a[prefix+"_treeids"].GetInts(), a[prefix+"_nodeids"].GetInts()
	values, ok := numbers(a, prefix+"_weights", elem)
	if !ok || !finite(values) || len(targets) != len(values) || len(trees) != len(values) || len(ids) != len(values) {
		return false
	}
	type key struct{ tree, node int64 }
	at := make(map[key]int32, len(s.nodes))
	nodeTrees, nodeIDs := a["nodes_treeids"].GetInts(), a["nodes_nodeids"].GetInts()
	for i := range s.nodes {
		if s.nodes[i].mode == modeLeaf {
			at[key{nodeTrees[i], nodeIDs[i]}] = int32(i)
		}
	}
	for i, v := range values {
		leaf, ok := at[key{trees[i], ids[i]}]
		if !ok || targets[i] < 0 || targets[i] >= int64(s.targets) {
			return false
		}
		n := &s.nodes[leaf]
		n.weights = append(n.weights, sourceWeight{target: int(targets[i]), value: v})
	}
	return true
}

// check looks at what all kinds of ensembles have in common.
func (s *treeSource) check() string {
	s.width = max(s.width, 1)
	s.positive, s.onlyFirst = true, true
	last := make([]int, s.targets) // by target: the last leaf that was seen to have it, plus 1
	for i := range s.nodes {
		w := s.nodes[i].weights
		if s.nodes[i].mode == modeLeaf && s.targets == 1 && len(w) != 1 {
			return "a leaf has not one value" // which ONNX Runtime takes from elsewhere
		}
		for _, v := range w {
			s.positive = s.positive && !(v.value < 0)
			s.onlyFirst = s.onlyFirst && v.target == 0
			if last[v.target] == i+1 {
				return "a leaf has two values for one target"
			}
			last[v.target] = i + 1
		}
	}
	targets := 0
	for _, leaf := range last {
		targets += min(leaf, 1)
	}
	s.binary = targets == 1
	for _, root := range s.roots {
		if !s.bounded(root) {
			return "a tree has a cycle or is too deep"
		}
	}
	return s.checkFinish()
}

// bounded says that no way from a root is a cycle, or longer than can be
// followed without a stack of one's own.
func (s *treeSource) bounded(root int32) bool {
	const open = -1
	heights := map[int32]int{} // of nodes, or open
	for stack := []int32{root}; len(stack) > 0; {
		i := stack[len(stack)-1]
		n := &s.nodes[i]
		if n.mode == modeLeaf {
			heights[i] = 0
		}
		if h, seen := heights[i]; seen && h != open {
			stack = stack[:len(stack)-1]
			continue
		}
		heights[i] = open
		done, most := true, 0
		for _, child := range []int32{n.onTrue, n.onFalse} {
			h, seen := heights[child]
			switch {
			case seen && h == open:
				return false
			case !seen:
				done = false
				stack = append(stack, child)
			}
			most = max(most, h+1)
		}
		if done {
			if heights[i] = most; most > 16*maxTensorDepth {
				return false
			}
		}
	}
	return true
}
