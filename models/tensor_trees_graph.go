package models

import (
	"slices"

	"github.com/millrace/millrace/models/onnxpb"
)

// tensorOpset is the version of ai.onnx that a graph imports after a rewrite when
// what it imported is older than minTensorOpset, the first with LessOrEqual.
const (
	tensorOpset    = 17
	minTensorOpset = 12
)

// unchangedOps mean the same from version 7 of ai.onnx to tensorOpset, as far as
// versions that ONNX Runtime runs tell them apart.
var unchangedOps = map[string]bool{
	"Identity": true, "Cast": true, "Add": true, "Sub": true, "Mul": true, "Div": true, "Neg": true, "Abs": true, "Exp": true,
	"Log": true, "Sqrt": true, "Relu": true, "Sigmoid": true, "Tanh": true, "MatMul": true, "Concat": true, "Reshape": true,
	"Transpose": true, "Gather": true, "Shape": true, "Constant": true, "Erf": true,
}

// opsetFor is the version of ai.onnx that the rewritten graph is to import, or
// the reason why there is none.
func opsetFor(p *onnxpb.ModelProto) (int64, string) {
	version := int64(0)
	for _, o := range p.GetOpsetImport() {
		if plainDomain(o.GetDomain()) == "" {
			version = max(version, o.GetVersion())
		}
	}
	if version >= minTensorOpset {
		return version, ""
	}
	reason := ""
	eachGraph(p.GetGraph(), func(g *onnxpb.GraphProto) {
		for _, n := range g.GetNode() {
			if plainDomain(n.GetDomain()) == "" && (version < 7 || !unchangedOps[n.GetOpType()]) {
				reason = "the model imports an ai.onnx older than 12, and its " + n.GetOpType() + " may differ in a later one"
			}
		}
	})
	return tensorOpset, reason
}

func importOpset(p *onnxpb.ModelProto, version int64) {
	found := false
	for _, o := range p.GetOpsetImport() {
		if plainDomain(o.GetDomain()) == "" {
			o.Version, found = new(version), true
		}
	}
	if !found {
		p.OpsetImport = append(p.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: new(""), Version: new(version)})
	}
	// Before version 4 an initializer had to be an input too.
	if p.GetIrVersion() < 4 {
		p.IrVersion = new(int64(4))
	}
}

// valueType is what is known of a matrix [N,columns]; zero for what is not.
type valueType struct {
	elem    ElementType
	columns int64
}

// typeOf is the type of a value: as declared, or by what made it.
func (w *treeRewriter) typeOf(name string) valueType { return w.traceType(name, maxTrace) }

func (w *treeRewriter) traceType(name string, steps int) valueType {
	var v valueType
	if t := w.declared[name]; t != nil {
		v.elem = ElementType(t.GetElemType())
		if dims := t.GetShape().GetDim(); t.GetShape() != nil && len(dims) != 2 {
			return v // rows or a row, or something else
		} else if len(dims) == 2 {
			v.columns = dims[1].GetDimValue()
		}
	}
	n := w.tracer.producer[name]
	if v.elem != Undefined && v.columns > 0 || n == nil || len(n.GetInput()) == 0 || steps == 0 {
		return v
	}
	traced := w.typeByNode(n, steps-1)
	if v.elem == Undefined {
		v.elem = traced.elem
	}
	if v.columns == 0 {
		v.columns = traced.columns
	}
	return v
}

// typeByNode is the type of a node's first output, for operators that stand
// before trees.
func (w *treeRewriter) typeByNode(n *onnxpb.NodeProto, steps int) valueType {
	if plainDomain(n.GetDomain()) == "ai.onnx.ml" {
		switch n.GetOpType() {
		case "Scaler", "Normalizer":
			return valueType{Float32, w.traceType(n.GetInput()[0], steps).columns}
		case "Imputer", "Binarizer":
			return w.traceType(n.GetInput()[0], steps)
		}
		return valueType{}
	}
	if plainDomain(n.GetDomain()) != "" {
		return valueType{}
	}
	switch n.GetOpType() {
	case "Cast":
		return valueType{ElementType(attribute(n, "to").GetI()), w.traceType(n.GetInput()[0], steps).columns}
	case "Identity":
		return w.traceType(n.GetInput()[0], steps)
	case "Concat":
		return w.concatType(n, steps)
	}
	return valueType{}
}

// concatType adds up columns. Steps are shared out among the inputs, so that a
// graph whose Concats take one value twice does not cost 2 to the power of steps.
func (w *treeRewriter) concatType(n *onnxpb.NodeProto, steps int) valueType {
	axis := attribute(n, "axis").GetI()
	v := valueType{}
	for i, name := range n.GetInput() {
		part := w.traceType(name, steps/len(n.GetInput()))
		if i > 0 && part.elem != v.elem || part.columns == 0 || axis != 1 && axis != -1 {
			return valueType{elem: part.elem}
		}
		v.elem, v.columns = part.elem, v.columns+part.columns
	}
	return v
}

// canDrop says that a label may go: that is wanted, and no node takes it but on
// its way to graph outputs.
func (w *treeRewriter) canDrop(label string) bool {
	_, ok := w.wayToOutputs(label)
	return w.opts.DropLabels && ok
}

// wayToOutputs gives a value's names on its way through Identity and Cast, and
// whether that way ends in graph outputs alone.
func (w *treeRewriter) wayToOutputs(name string) (names map[string]bool, ok bool) {
	names = map[string]bool{name: true}
	for queue := []string{name}; len(queue) > 0; queue = queue[1:] {
		takers := 0
		for _, n := range w.graph.GetNode() {
			if (isOp(n, "", "Identity") || isOp(n, "", "Cast")) && len(n.GetInput()) == 1 && n.GetInput()[0] == queue[0] && len(n.GetOutput()) == 1 {
				takers++
				names[n.GetOutput()[0]] = true
				queue = append(queue, n.GetOutput()[0])
			}
		}
		if takers != w.used[queue[0]] {
			return nil, false
		}
	}
	return names, true
}

// dropOutputs takes dropped labels, and what only copies them, out of the graph.
func (w *treeRewriter) dropOutputs(m *Model) {
	gone := map[string]bool{}
	for label := range w.dropped {
		names, _ := w.wayToOutputs(label)
		for name := range names {
			gone[name] = true
		}
	}
	if len(gone) == 0 {
		return
	}
	w.graph.Node = slices.DeleteFunc(w.graph.Node, func(n *onnxpb.NodeProto) bool {
		return len(n.GetOutput()) == 1 && gone[n.GetOutput()[0]]
	})
	isGone := func(v *onnxpb.ValueInfoProto) bool { return gone[v.GetName()] }
	w.graph.ValueInfo = slices.DeleteFunc(w.graph.ValueInfo, isGone)
	w.graph.Output = slices.DeleteFunc(w.graph.Output, isGone)
	var outputs []Value
	var labels []ClassLabels
	for i, v := range m.Outputs {
		if gone[v.Name] {
			w.say("output %.80q, the predicted label, taken off", v.Name)
			continue
		}
		outputs = append(outputs, v)
		if i < len(m.labels) {
			labels = append(labels, m.labels[i])
		}
	}
	m.Outputs, m.labels = outputs, labels
}
