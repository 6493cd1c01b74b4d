package models

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/models/onnxpb"
)

// HostNode is a node that only ONNX Runtime's CPU provider is known to have a
// kernel for.
type HostNode struct {
	Name     string   // of the node, or else of its last output
	Operator Operator // Nodes is 1
	Why      string
}

// HostNodes lists, from the graph alone, the nodes that would run on the CPU
// whichever device a session is made for: of ai.onnx.ml, and those that take or
// give text. It is what is to be expected, and no placement: operators of ai.onnx
// may lack a kernel for a type or a version, which a session's Placement tells.
func HostNodes(m *Model) ([]HostNode, error) {
	p, err := unmarshal(m.data)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", m.Path, damagedf("%s", err))
	}
	f := hostFinder{types: typesOf(p.GetGraph()), text: map[string]bool{}}
	for _, v := range p.GetGraph().GetOutput() {
		f.text[v.GetName()] = declaredType(v).elem == String
	}
	for _, n := range p.GetGraph().GetNode() {
		f.node(n)
	}
	return f.all, nil
}

// hostFinder looks at nodes.
type hostFinder struct {
	types *typeTracer
	text  map[string]bool // outputs of the graph that are declared to be text
	all   []HostNode
}

func (f *hostFinder) node(n *onnxpb.NodeProto) {
	isText := func(name string) bool { return f.text[name] || f.types.of(name).elem == String }
	switch {
	case plainDomain(n.GetDomain()) == mlDomain:
		f.add(n, "ONNX Runtime has operators of ai.onnx.ml on the CPU alone")
	case slices.ContainsFunc(n.GetInput(), isText), slices.ContainsFunc(n.GetOutput(), isText):
		f.add(n, "it takes or gives text, which no device holds")
	}
	eachInside(n, func(g *onnxpb.GraphProto) {
		for _, in := range g.GetNode() {
			f.node(in)
		}
	})
}

func (f *hostFinder) add(n *onnxpb.NodeProto, why string) {
	name := n.GetName()
	if name == "" {
		name = mainOutput(n)
	}
	f.all = append(f.all, HostNode{Name: name, Operator: Operator{Domain: plainDomain(n.GetDomain()), Name: n.GetOpType(), Nodes: 1}, Why: why})
}
