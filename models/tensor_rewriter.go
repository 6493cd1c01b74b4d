package models

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/models/onnxpb"
)

const mlDomain = "ai.onnx.ml"

// tensorRewriter replaces nodes of one graph by tensor operators.
type tensorRewriter struct {
	proto    *onnxpb.ModelProto
	graph    *onnxpb.GraphProto
	types    *typeTracer
	names    *freshNames
	used     map[string]int // how often a value is taken; a graph output counts as well
	opset    int64          // of ai.onnx, as imported or to be imported
	mlOpset  int64
	rewrites []string
	left     []string
}

func newTensorRewriter(p *onnxpb.ModelProto) *tensorRewriter {
	g := p.GetGraph()
	return &tensorRewriter{
		proto: p, graph: g, types: newTypeTracer(g), names: newFreshNames(g), used: countTaken(g), opset: plainOpset(p), mlOpset: mlOpset(p),
	}
}

// rewritable says whether a graph may be looked at node by node. A function may
// bear the name of an operator and mean something else.
func rewritable(p *onnxpb.ModelProto) bool {
	return len(p.GetFunctions()) == 0 && len(p.GetGraph().GetNode()) <= maxKernelNodes
}

// leaveAll says, once, that a graph is not rewritable.
func leaveAll(left *[]string) {
	const why = "the whole model: it has functions of its own, or too many nodes"
	if !slices.Contains(*left, why) {
		*left = append(*left, why)
	}
}

// run gives each node of the operators that are ours to replace, which gives what
// takes its place, or says why it stays.
func (r *tensorRewriter) run(ours func(*onnxpb.NodeProto) bool, replace func(*onnxpb.NodeProto, *graphBuilder) (why string)) {
	nodes := make([]*onnxpb.NodeProto, 0, len(r.graph.GetNode()))
	for _, n := range r.graph.GetNode() {
		r.leaveInside(n, ours)
		made := []*onnxpb.NodeProto{n}
		if ours(n) {
			b := &graphBuilder{names: r.names, base: mainOutput(n), opset: r.opset, real: Float32}
			if why := replace(n, b); why != "" {
				r.leave(n, why)
			} else {
				made = b.nodes
				r.graph.Initializer = append(r.graph.Initializer, b.constants...)
			}
		}
		r.types.node(n)
		if len(made) != 1 || made[0] != n {
			r.declare(made, n.GetOutput())
		}
		nodes = append(nodes, made...)
	}
	r.graph.Node = nodes
}

func (r *tensorRewriter) leave(n *onnxpb.NodeProto, why string) {
	r.left = append(r.left, fmt.Sprintf("%s of %.80q: %s", n.GetOpType(), mainOutput(n), why))
}

// leaveInside names the operators inside a node's graphs, which are left.
func (r *tensorRewriter) leaveInside(n *onnxpb.NodeProto, ours func(*onnxpb.NodeProto) bool) {
	eachInside(n, func(g *onnxpb.GraphProto) {
		for _, in := range g.GetNode() {
			if ours(in) {
				r.leave(in, "it stands in a graph inside "+n.GetOpType())
			}
			r.leaveInside(in, ours)
		}
	})
}

// mainOutput names a node to a person: its last output, which for classifiers is
// the scores.
func mainOutput(n *onnxpb.NodeProto) string {
	if out := n.GetOutput(); len(out) > 0 {
		return out[len(out)-1]
	}
	return n.GetName()
}

func (r *tensorRewriter) say(format string, args ...any) {
	r.rewrites = append(r.rewrites, fmt.Sprintf(format, args...))
}

// declare writes down the types of a replaced node's outputs, which are harder to
// tell from tensor operators.
func (r *tensorRewriter) declare(made []*onnxpb.NodeProto, outputs []string) {
	for _, name := range outputs {
		isMade := slices.ContainsFunc(made, func(n *onnxpb.NodeProto) bool { return slices.Contains(n.GetOutput(), name) })
		if _, declared := r.types.declared[name]; isMade && !declared {
			if info := r.types.of(name).info(name); info != nil {
				r.graph.ValueInfo = append(r.graph.ValueInfo, info)
			}
		}
	}
}
