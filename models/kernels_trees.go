package models

import (
	"encoding/binary"
	"slices"

	"github.com/millrace/millrace/models/onnxpb"
)

// trees replaces TreeEnsembleRegressor and TreeEnsembleClassifier.
func (r *kernelRewriter) trees(shared sharedSides) {
	for _, n := range r.graph.GetNode() {
		classifier := isOp(n, "ai.onnx.ml", "TreeEnsembleClassifier")
		if !classifier && !isOp(n, "ai.onnx.ml", "TreeEnsembleRegressor") {
			continue
		}
		outputs := 1
		if classifier {
			outputs = 2
		}
		if len(n.GetInput()) != 1 || len(n.GetOutput()) != outputs || slices.Contains(n.GetOutput(), "") || !r.isFloat32(n.GetInput()[0]) {
			continue
		}
		was := n.GetOpType()
		f, ok := readForest(n, r.apart, classifier, shared)
		if !ok {
			continue
		}
		n.Domain = new(KernelDomain)
		n.Attribute = []*onnxpb.AttributeProto{bytesAttribute("forest", f.encode()), intAttribute("targets", int64(f.targets))}
		switch {
		case !classifier:
			n.OpType = new("TreesRegressor")
		case len(f.labels.Strings) > 0:
			n.OpType = new("TreesClassifierString")
			n.Attribute = append(n.Attribute, bytesAttribute("labels", encodeStrings(f.labels.Strings)))
		default:
			n.OpType = new("TreesClassifierInt64")
			n.Attribute = append(n.Attribute, bytesAttribute("labels", encodeInts(f.labels.Ints)))
		}
		r.say("%s of %.80q (%d trees, %d leaves) runs on millrace's kernel", was, n.GetOutput()[outputs-1], f.trees, f.leaves)
	}
}

func encodeInts(values []int64) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return b
}

func encodeStrings(values []string) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(v)))
		b = append(b, v...)
	}
	return b
}
