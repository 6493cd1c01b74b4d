package ort_test

import (
	"testing"

	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// Exporters leave the number of rows without a name. What computes with the shape
// of what an operator of ours gives, as scikit-learn's AdaBoost does behind trees,
// must not take it for a number.
func TestShapesOfUnnamedRows(t *testing.T) {
	orttest.Library(t)
	const width = 4
	trees := onnxtest.Trees{}
	trees.Node(0, 0, "BRANCH_LEQ", 1, 0.5, 1, 2)
	trees.Node(0, 1, "LEAF", 0, 0, 0, 0)
	trees.Node(0, 2, "LEAF", 0, 0, 0, 0)
	trees.Weight(0, 1, 0, 2)
	trees.Weight(0, 2, 0, 3)
	square := onnxtest.Floats32("w", []int64{width, width}, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8)
	for name, nodes := range map[string][]*pb.NodeProto{
		"trees": trees.Regressor(width, 1).GetGraph().GetNode(),
		"affine": {onnxtest.DomainNode("ai.onnx.ml", "Scaler", onnxtest.Names("x"), onnxtest.Names("y"),
			onnxtest.Floats("scale", 2), onnxtest.Floats("offset", 1))},
		"dense": {
			onnxtest.Node("MatMul", onnxtest.Names("x", "w"), onnxtest.Names("h")),
			onnxtest.Node("Relu", onnxtest.Names("h"), onnxtest.Names("r")),
			onnxtest.Node("MatMul", onnxtest.Names("r", "w"), onnxtest.Names("y")),
		},
	} {
		t.Run(name, func(t *testing.T) {
			y := nodes[len(nodes)-1].GetOutput()[0]
			g := onnxtest.Graph(
				onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, nil, width)),
				onnxtest.Values(onnxtest.Tensor("z", pb.TensorProto_FLOAT, nil, nil)),
				append(nodes,
					onnxtest.Node("Shape", onnxtest.Names(y), onnxtest.Names("shape")),
					onnxtest.Node("ConstantOfShape", onnxtest.Names("shape"), onnxtest.Names("zeros")),
					onnxtest.Node("Add", onnxtest.Names(y, "zeros"), onnxtest.Names("z")))...)
			if name == "dense" {
				g.Initializer = append(g.Initializer, square)
			}
			m := openModel(t, onnxtest.Model(g))
			if _, changed, err := models.UseKernels(m); !changed || err != nil {
				t.Fatalf("UseKernels() = %v, %v; want it changed", changed, err)
			}
			sameButRounding(t, t, m, []float32{1, 0.25, 3, 4, 5, 0.75, 7, 8, -1, -2, -3, -4}, width, 0)
		})
	}
}
