package models

import (
	"math"
	"slices"

	"github.com/millrace/millrace/models/onnxpb"
)

var ensembleAttributes = map[string]onnxpb.AttributeProto_AttributeType{
	"aggregate_function": onnxpb.AttributeProto_INT, "n_targets": onnxpb.AttributeProto_INT, "post_transform": onnxpb.AttributeProto_INT,
	"leaf_targetids": intsType, "leaf_weights": tensorAttribute, "membership_values": tensorAttribute,
	"nodes_falseleafs": intsType, "nodes_falsenodeids": intsType, "nodes_featureids": intsType, "nodes_hitrates": tensorAttribute,
	"nodes_missing_value_tracks_true": intsType, "nodes_modes": tensorAttribute, "nodes_splits": tensorAttribute,
	"nodes_trueleafs": intsType, "nodes_truenodeids": intsType, "tree_roots": intsType,
}

// The numbers of TreeEnsemble's attributes. Those of post_transform are ONNX
// Runtime's, in which 1 and 2 are not what the specification has them be
// (onnxruntime:core/providers/cpu/ml/ml_common.h): the rewrite gives what ran
// before.
var (
	ensembleModes      = []splitMode{modeLessEqual, modeLess, modeGreaterEqual, modeGreater, modeEqual, modeNotEqual, modeMember}
	ensembleAggregates = []string{"AVERAGE", "SUM", "MIN", "MAX"}
	ensembleTransforms = []string{"NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"}
)

// readTreeSource5 reads a TreeEnsemble, which came with version 5 of ai.onnx.ml,
// over data of type elem. Its leaves are put behind its other nodes.
func readTreeSource5(n *onnxpb.NodeProto, elem ElementType) (*treeSource, string) {
	a, ok := attributesOf(n, ensembleAttributes)
	if !ok {
		return nil, "it has an attribute that is not known"
	}
	s := &treeSource{targets: int(a["n_targets"].GetI())}
	aggregate, transform := int64(1), a["post_transform"].GetI()
	if a["aggregate_function"] != nil {
		aggregate = a["aggregate_function"].GetI()
	}
	if aggregate < 0 || aggregate >= int64(len(ensembleAggregates)) || transform < 0 || transform >= int64(len(ensembleTransforms)) {
		return nil, "its aggregate_function or post_transform is not known"
	}
	s.aggregate, s.transform = ensembleAggregates[aggregate], ensembleTransforms[transform]
	if s.targets < 1 || s.targets > maxForestTargets {
		return nil, "its number of targets is not one that is taken"
	}
	if !s.readNodes5(a, elem) {
		return nil, "its nodes are not understood"
	}
	if confusedRoot(a) {
		return nil, "ONNX Runtime takes the root of one of its trees for a leaf"
	}
	if !s.readLeaves5(a, elem) {
		return nil, "its leaves are not understood"
	}
	return s, s.check()
}

func (s *treeSource) readNodes5(a map[string]*onnxpb.AttributeProto, elem ElementType) bool {
	features, missing := a["nodes_featureids"].GetInts(), a["nodes_missing_value_tracks_true"].GetInts()
	modes := tensorBytes(a["nodes_modes"].GetT())
	values, ok := realTensor(a["nodes_splits"].GetT(), elem)
	n, leaves := len(features), len(a["leaf_targetids"].GetInts())
	trueIDs, falseIDs := a["nodes_truenodeids"].GetInts(), a["nodes_falsenodeids"].GetInts()
	trueLeaves, falseLeaves := a["nodes_trueleafs"].GetInts(), a["nodes_falseleafs"].GetInts()
	for _, length := range []int{len(modes), len(values), len(trueIDs), len(falseIDs), len(trueLeaves), len(falseLeaves)} {
		ok = ok && length == n
	}
	if !ok || n == 0 || n > maxForestNodes || leaves > maxForestNodes || len(missing) != 0 && len(missing) != n {
		return false
	}
	child := func(id, isLeaf int64) (int32, bool) {
		switch {
		case isLeaf == 0 && id >= 0 && id < int64(n):
			return int32(id), true
		case isLeaf == 1 && id >= 0 && id < int64(leaves):
			return int32(n) + int32(id), true
		}
		return 0, false
	}
	members, ok := memberSets(a["membership_values"].GetT(), modes, elem)
	if !ok {
		return false
	}
	s.nodes = make([]sourceNode, n, n+leaves)
	for i := range s.nodes {
		yes, ok := child(trueIDs[i], trueLeaves[i])
		no, ok2 := child(falseIDs[i], falseLeaves[i])
		if !ok || !ok2 || int(modes[i]) >= len(ensembleModes) || features[i] < 0 || features[i] >= maxForestWidth {
			return false
		}
		s.nodes[i] = sourceNode{
			mode: ensembleModes[modes[i]], feature: int(features[i]), value: values[i], members: members[i],
			nanTrue: len(missing) > 0 && missing[i] == 1, onTrue: yes, onFalse: no,
		}
		s.width = max(s.width, int(features[i])+1)
	}
	for _, root := range a["tree_roots"].GetInts() {
		if root < 0 || root >= int64(n) {
			return false
		}
		s.roots = append(s.roots, int32(root))
	}
	return len(s.roots) > 0
}

// confusedRoot says that a tree's root has a node and a leaf of the same number for
// its children, by which ONNX Runtime takes it for a tree of that one leaf
// (https://github.com/microsoft/onnxruntime/issues/24679). readNodes5 has read it.
func confusedRoot(a map[string]*onnxpb.AttributeProto) bool {
	for _, i := range a["tree_roots"].GetInts() {
		sameNumber := a["nodes_truenodeids"].GetInts()[i] == a["nodes_falsenodeids"].GetInts()[i]
		if sameNumber && a["nodes_trueleafs"].GetInts()[i] != a["nodes_falseleafs"].GetInts()[i] {
			return true
		}
	}
	return false
}

// TestsMembership says whether a tree ensemble of the main graph asks if values are in
// sets: BRANCH_MEMBER, which came with version 5 of ai.onnx.ml.
func (m *Model) TestsMembership() bool {
	if !slices.ContainsFunc(m.Operators, func(o Operator) bool { return o.Domain == mlDomain && o.Name == "TreeEnsemble" }) {
		return false // nearly all models, which are not parsed for it
	}
	p, err := unmarshal(m.data)
	return err == nil && slices.ContainsFunc(p.GetGraph().GetNode(), func(n *onnxpb.NodeProto) bool {
		return isOp(n, mlDomain, "TreeEnsemble") && attribute(n, "membership_values") != nil
	})
}

// memberSets gives the values of each test of membership; they lie one node's
// after the other's, with NaN between.
func memberSets(t *onnxpb.TensorProto, modes []byte, elem ElementType) ([][]float64, bool) {
	sets := make([][]float64, len(modes))
	var values []float64
	ok := true
	if t != nil {
		values, ok = realTensor(t, elem)
	}
	for i, mode := range modes {
		if int(mode) >= len(ensembleModes) || ensembleModes[mode] != modeMember {
			continue
		}
		end := 0
		for end < len(values) && !math.IsNaN(values[end]) {
			end++
		}
		if end == 0 { // which ONNX Runtime refuses
			return nil, false
		}
		sets[i], values = values[:end], values[min(end+1, len(values)):]
	}
	return sets, ok && len(values) == 0
}

// tensorBytes reads a tensor of uint8.
func tensorBytes(t *onnxpb.TensorProto) []byte {
	if ElementType(t.GetDataType()) != Uint8 || t.GetDataLocation() == onnxpb.TensorProto_EXTERNAL {
		return nil
	}
	all := append([]byte(nil), t.GetRawData()...)
	for _, v := range t.GetInt32Data() {
		all = append(all, byte(v))
	}
	return all
}

// readLeaves5 appends the leaves, each of one value of one target.
func (s *treeSource) readLeaves5(a map[string]*onnxpb.AttributeProto, elem ElementType) bool {
	targets := a["leaf_targetids"].GetInts()
	values, ok := realTensor(a["leaf_weights"].GetT(), elem)
	if !ok || !finite(values) || len(values) != len(targets) {
		return false
	}
	for i, v := range values {
		if targets[i] < 0 || targets[i] >= int64(s.targets) {
			return false
		}
		s.nodes = append(s.nodes, sourceNode{mode: modeLeaf, weights: []sourceWeight{{target: int(targets[i]), value: v}}})
	}
	return true
}
