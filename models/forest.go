package models

import (
	"maps"

	"github.com/millrace/millrace/models/onnxpb"
)

// splitKind is a split's condition after simplification; a row goes to the true
// side when it holds. The numbers are the layout's.
type splitKind uint32

const (
	atMostNaNFalse splitKind = iota // x <= t, and NaN goes to the false side
	atMostNaNTrue                   // x <= t, and NaN goes to the true side
	equalNaNFalse
	equalNaNTrue
	leafKind
)

// sharedSides says what becomes of a true side that several splits have, as in the chains of BRANCH_EQ
// that exporters make of LightGBM's tests of membership in a set of categories.
type sharedSides int

const (
	copied   sharedSides = iota // each split gets its own, for kernels that know trees alone
	inChains                    // a chain stays one: treeNode.or
)

// forest is a tree ensemble of ai.onnx.ml, simplified: four kinds of splits, no
// node that no row reaches, nothing shared between branches but in chains. Its trees are
// in the layout alone: each was written there when it was read.
type forest struct {
	width     int // columns that an input must have
	targets   int
	average   bool
	transform uint32 // 0 none, 1 logistic, 2 softmax, 3 softmax of what is not zero
	base      []float32
	has       []bool // by target: some tree adds to it whatever the row; else none does
	trees     int
	leaves    int
	layout    forestLayout

	classifier, binary, positive bool
	labels                       ClassLabels
}

// logistic is a transform of forest.
const logistic = 1

type treeNode struct {
	kind      splitKind
	feature   uint32
	threshold float32
	or        bool // of equality: it has the true side of the next node, which is its false side
}

// Limits of what is taken; engine/ort/forest.c has them too.
const (
	maxForestNodes   = 1 << 26
	maxForestTargets = 1 << 12
	maxForestWidth   = 1 << 16
	maxTreeValues    = 1 << 22 // of all trees, or else 8 times those in the file
)

const (
	intsType    = onnxpb.AttributeProto_INTS
	floatsType  = onnxpb.AttributeProto_FLOATS
	stringsType = onnxpb.AttributeProto_STRINGS
	stringType  = onnxpb.AttributeProto_STRING
)

var forestAttributes = map[string]onnxpb.AttributeProto_AttributeType{
	"nodes_falsenodeids": intsType, "nodes_featureids": intsType, "nodes_hitrates": floatsType,
	"nodes_missing_value_tracks_true": intsType, "nodes_modes": stringsType, "nodes_nodeids": intsType,
	"nodes_treeids": intsType, "nodes_truenodeids": intsType, "nodes_values": floatsType,
	"post_transform": stringType, "base_values": floatsType,
}

var regressorAttributes = with(forestAttributes, map[string]onnxpb.AttributeProto_AttributeType{
	"n_targets": onnxpb.AttributeProto_INT, "aggregate_function": stringType,
	"target_ids": intsType, "target_nodeids": intsType, "target_treeids": intsType, "target_weights": floatsType,
})

var classifierAttributes = with(forestAttributes, map[string]onnxpb.AttributeProto_AttributeType{
	"classlabels_int64s": intsType, "classlabels_strings": stringsType,
	"class_ids": intsType, "class_nodeids": intsType, "class_treeids": intsType, "class_weights": floatsType,
})

func with[K comparable, V any](a, b map[K]V) map[K]V {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// weights are the attributes that give leaves their values, all of one length.
type weights struct {
	targets, nodes, trees intList
	values                floatList
}

// readForest reads the attributes of an ensemble, whose lists may be apart; false for one that is not
// understood in full, or whose finish is not one of the known ones.
func readForest(n *onnxpb.NodeProto, apart lists, classifier bool, shared sharedSides) (*forest, bool) {
	known, prefix := regressorAttributes, "target"
	if classifier {
		known, prefix = classifierAttributes, "class"
	}
	a, ok := attributesOf(n, known)
	if !ok {
		return nil, false
	}
	f := &forest{classifier: classifier, base: a["base_values"].GetFloats()}
	w := weights{
		targets: apart.ints(a[prefix+"_ids"]), nodes: apart.ints(a[prefix+"_nodeids"]), trees: apart.ints(a[prefix+"_treeids"]),
		values: apart.floats(a[prefix+"_weights"]),
	}
	if w.targets.len != w.values.len || w.nodes.len != w.values.len || w.trees.len != w.values.len || anyNaN(f.base) {
		return nil, false
	}
	if classifier {
		ok = f.classes(a, w)
	} else {
		ok = f.regression(a)
	}
	if !ok || f.targets > maxForestTargets {
		return nil, false
	}
	r, ok := newForestReader(f, a, apart, w)
	if !ok {
		return nil, false
	}
	r.shared = shared
	return f, r.read()
}

// regression reads how a regressor's scores become its outputs. What ONNX
// Runtime does with several targets and another number of base values, or one
// target and a transform, is left to it.
func (f *forest) regression(a map[string]*onnxpb.AttributeProto) bool {
	n := a["n_targets"].GetI()
	if n < 1 || n > maxForestTargets {
		return false
	}
	f.targets = int(n)
	switch string(a["aggregate_function"].GetS()) {
	case "AVERAGE":
		f.average = true
	case "SUM", "":
	default:
		return false
	}
	transform := string(a["post_transform"].GetS())
	return (transform == "" || transform == "NONE") && (len(f.base) == 0 || len(f.base) == f.targets)
}

// classes reads how a classifier's scores become its outputs. With two classes
// ONNX Runtime has several ways; those with base values for both are left to it.
func (f *forest) classes(a map[string]*onnxpb.AttributeProto, w weights) bool {
	f.labels = ClassLabels{Ints: a["classlabels_int64s"].GetInts()}
	if text := a["classlabels_strings"].GetStrings(); len(text) > 0 {
		if len(f.labels.Ints) > 0 {
			return false
		}
		f.labels = stringLabels(text)
	}
	f.targets = f.labels.Len()
	switch string(a["post_transform"].GetS()) {
	case "NONE", "":
	case "LOGISTIC":
		f.transform = logistic
	case "SOFTMAX":
		f.transform = 2
	case "SOFTMAX_ZERO":
		f.transform = 3
	default:
		return false
	}
	if f.targets < 2 {
		return false
	}
	if f.targets > 2 {
		return len(f.base) == 0 || len(f.base) == f.targets
	}
	var seen [2]bool
	f.positive = true
	var ids [256]int32
	var values [256]float32
	for left := w.values.len; left > 0; left -= len(ids) {
		n := min(left, len(ids))
		w.targets.read(ids[:n])
		w.values.read(values[:n])
		for i, id := range ids[:n] {
			if id < 0 || id > 1 {
				return false
			}
			seen[id] = true
			f.positive = f.positive && !(values[i] < 0)
		}
	}
	f.binary = seen[0] != seen[1]
	if !f.binary && len(f.labels.Ints) > 0 {
		f.labels.Ints = []int64{0, 1} // whatever the labels are, ONNX Runtime gives these
	}
	// Scores of the first class alone, none of them negative, are probabilities
	// already: ONNX Runtime 1.24 does not transform them, 1.31 does.
	if f.binary && seen[0] && f.positive && f.transform == logistic {
		return false
	}
	return len(f.base) <= 1
}

func anyNaN(values []float32) bool {
	for _, v := range values {
		if v != v {
			return true
		}
	}
	return false
}
