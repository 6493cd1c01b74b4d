package models

import (
	"slices"

	"github.com/millrace/millrace/models/onnxpb"
)

const (
	// opsetWhenNone is imported for a model that imports no ai.onnx.
	opsetWhenNone = 13
	// mlOpsetMost is the latest version that the tensor form of an operator other
	// than trees asks for.
	mlOpsetMost = 11
	// treesOpset is imported for the tensor form of trees where what is imported
	// is older than treesOpsetLeast, the first with LessOrEqual.
	treesOpset      = 17
	treesOpsetLeast = 12
)

// unchanged are operators of ai.onnx with the versions from and to which a node
// of theirs means the same: versions between take more types, negative axes or
// new attributes with a default that changes nothing
// (https://github.com/onnx/onnx/blob/main/docs/Changelog.md).
var unchanged = map[string]struct{ from, to int64 }{
	"Identity": {1, 17}, "Constant": {1, 17}, "MatMul": {1, 17}, "Transpose": {1, 17}, "Shape": {1, 17}, "Gather": {1, 17}, "Flatten": {1, 17},
	"Not": {1, 17}, "ArgMax": {1, 17}, "ArgMin": {1, 17}, "ReduceMax": {1, 17}, "ReduceMin": {1, 17}, "ReduceMean": {1, 17}, "ReduceSumSquare": {1, 17},
	"Concat": {4, 17}, "Reshape": {5, 17}, "Cast": {6, 17}, "Relu": {6, 17}, "Sigmoid": {6, 17}, "Tanh": {6, 17}, "Abs": {6, 17}, "Neg": {6, 17},
	"Sqrt": {6, 17}, "Exp": {6, 17}, "Log": {6, 17}, "Add": {7, 17}, "Sub": {7, 17}, "Mul": {7, 17}, "Div": {7, 17}, "Pow": {7, 17}, "Gemm": {7, 17},
	"Equal": {7, 17}, "Less": {7, 17}, "Greater": {7, 17}, "And": {7, 17}, "Or": {7, 17}, "Sum": {8, 17}, "Max": {8, 17}, "Min": {8, 17},
	"Where": {9, 17}, "IsNaN": {9, 17}, "Erf": {9, 17},
	// Axes became an input, or another default.
	"Squeeze": {1, 12}, "Unsqueeze": {1, 12}, "ReduceSum": {1, 12}, "Softmax": {1, 12},
}

// changedOp is an operator of ai.onnx, in the graph or in graphs inside it, that
// may not mean the same in two versions; "" where there is none.
func changedOp(g *onnxpb.GraphProto, from, to int64) (name string) {
	eachGraph(g, func(g *onnxpb.GraphProto) {
		for _, n := range g.GetNode() {
			if same, ok := unchanged[n.GetOpType()]; plainDomain(n.GetDomain()) == "" && (!ok || from < same.from || to > same.to) {
				name = n.GetOpType()
			}
		}
	})
	return name
}

// importTensors writes what a graph imports after a rewrite: ai.onnx, if used, in
// a version at least, and ai.onnx.ml only where something of it is left.
func importTensors(m *Model, p *onnxpb.ModelProto, version int64) {
	g := p.GetGraph()
	if usesDomain(g, "") {
		importDefaultOpset(p)
	}
	for _, o := range p.GetOpsetImport() {
		if plainDomain(o.GetDomain()) == "" {
			o.Version = new(max(o.GetVersion(), version))
		}
	}
	if !usesDomain(g, mlDomain) {
		p.OpsetImport = slices.DeleteFunc(p.OpsetImport, func(o *onnxpb.OperatorSetIdProto) bool { return o.GetDomain() == mlDomain })
	}
	// Before version 4 an initializer had to be an input too; since then one that
	// is an input is no constant.
	if p.GetIrVersion() < 4 {
		p.IrVersion = new(int64(4))
		constants := newTracer(g).constants
		g.Input = slices.DeleteFunc(g.GetInput(), func(v *onnxpb.ValueInfoProto) bool { return constants[v.GetName()] != nil })
	}
	m.IRVersion, m.Opsets = p.GetIrVersion(), opsetsOf(p)
}

func usesDomain(g *onnxpb.GraphProto, domain string) (uses bool) {
	eachGraph(g, func(g *onnxpb.GraphProto) {
		uses = uses || slices.ContainsFunc(g.GetNode(), func(n *onnxpb.NodeProto) bool { return plainDomain(n.GetDomain()) == domain })
	})
	return uses
}

// opsetsOf lists what a graph imports, each domain once.
func opsetsOf(p *onnxpb.ModelProto) (all []Opset) {
	for _, o := range p.GetOpsetImport() {
		set := Opset{Domain: plainDomain(o.GetDomain()), Version: o.GetVersion()}
		if !slices.Contains(all, set) {
			all = append(all, set)
		}
	}
	return all
}
