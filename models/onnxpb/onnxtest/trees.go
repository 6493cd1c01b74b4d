package onnxtest

import (
	pb "github.com/millrace/millrace/models/onnxpb"
)

// Trees builds a tree ensemble of ai.onnx.ml, node by node.
type Trees struct {
	TreeIDs, NodeIDs, Features, OnTrue, OnFalse []int64
	Missing                                     []int64 // left out when nil
	Modes                                       []string
	Values                                      []float32

	WeightTrees, WeightNodes, WeightTargets []int64
	Weights                                 []float32
}

// Node appends a node; a leaf's other fields do not matter.
func (t *Trees) Node(tree, node int64, mode string, feature int64, value float32, onTrue, onFalse int64) {
	t.TreeIDs, t.NodeIDs = append(t.TreeIDs, tree), append(t.NodeIDs, node)
	t.Features, t.Values = append(t.Features, feature), append(t.Values, value)
	t.Modes = append(t.Modes, mode)
	t.OnTrue, t.OnFalse = append(t.OnTrue, onTrue), append(t.OnFalse, onFalse)
}

// Weight appends a leaf's value for a target.
func (t *Trees) Weight(tree, node, target int64, value float32) {
	t.WeightTrees, t.WeightNodes = append(t.WeightTrees, tree), append(t.WeightNodes, node)
	t.WeightTargets, t.Weights = append(t.WeightTargets, target), append(t.Weights, value)
}

func (t *Trees) attributes(prefix string) []*pb.AttributeProto {
	a := []*pb.AttributeProto{
		Ints("nodes_treeids", t.TreeIDs...), Ints("nodes_nodeids", t.NodeIDs...), Ints("nodes_featureids", t.Features...),
		Ints("nodes_truenodeids", t.OnTrue...), Ints("nodes_falsenodeids", t.OnFalse...), Floats("nodes_values", t.Values...),
		Strings("nodes_modes", t.Modes...),
		Ints(prefix+"_treeids", t.WeightTrees...), Ints(prefix+"_nodeids", t.WeightNodes...), Ints(prefix+"_ids", t.WeightTargets...),
		Floats(prefix+"_weights", t.Weights...),
	}
	if t.Missing != nil {
		a = append(a, Ints("nodes_missing_value_tracks_true", t.Missing...))
	}
	return a
}

// Regressor is a model that takes x [N,width] and gives y [N,targets].
func (t *Trees) Regressor(width, targets int, more ...*pb.AttributeProto) *pb.ModelProto {
	a := append(t.attributes("target"), Int("n_targets", int64(targets)))
	return Model(Graph(Values(Tensor("x", pb.TensorProto_FLOAT, "N", width)), Values(Tensor("y", pb.TensorProto_FLOAT, "N", targets)),
		DomainNode("ai.onnx.ml", "TreeEnsembleRegressor", Names("x"), Names("y"), append(a, more...)...)))
}

// Classifier is a model that takes x [N,width] and gives a label [N] and p
// [N,classes]; labels are the attribute classlabels_int64s or _strings.
func (t *Trees) Classifier(width int, labels *pb.AttributeProto, more ...*pb.AttributeProto) *pb.ModelProto {
	elem, classes := pb.TensorProto_INT64, len(labels.GetInts())
	if len(labels.GetStrings()) > 0 {
		elem, classes = pb.TensorProto_STRING, len(labels.GetStrings())
	}
	a := append(t.attributes("class"), labels)
	return Model(Graph(Values(Tensor("x", pb.TensorProto_FLOAT, "N", width)),
		Values(Tensor("label", elem, "N"), Tensor("p", pb.TensorProto_FLOAT, "N", classes)),
		DomainNode("ai.onnx.ml", "TreeEnsembleClassifier", Names("x"), Names("label", "p"), append(a, more...)...)))
}

// String is an attribute of one string.
func String(name, value string) *pb.AttributeProto {
	return &pb.AttributeProto{Name: new(name), Type: pb.AttributeProto_STRING.Enum(), S: []byte(value)}
}

// Float is an attribute of one float.
func Float(name string, value float32) *pb.AttributeProto {
	return &pb.AttributeProto{Name: new(name), Type: pb.AttributeProto_FLOAT.Enum(), F: new(value)}
}
