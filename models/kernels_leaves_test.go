package models

import (
	"math"
	"slices"
	"strings"
	"testing"

	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// leafGraph adds up what two trees' leaves give after an operator or two for each tree, of which the
// second looks at columns 2 and 0 of x.
func leafGraph(perTree func(in, out string) []*pb.NodeProto) *pb.ModelProto {
	tree := func(in, out string) *pb.NodeProto {
		t := &onnxtest.Trees{}
		t.Node(0, 0, "BRANCH_LEQ", 1, 0.5, 1, 2)
		t.Node(0, 1, "LEAF", 0, 0, 0, 0)
		t.Node(0, 2, "LEAF", 0, 0, 0, 0)
		t.Weight(0, 1, 0, 1)
		t.Weight(0, 2, 0, 2)
		n := t.Regressor(3, 1).Graph.Node[0]
		n.Input, n.Output = onnxtest.Names(in), onnxtest.Names(out)
		return n
	}
	nodes := []*pb.NodeProto{onnxtest.Node("Gather", onnxtest.Names("x", "picked"), onnxtest.Names("some"), onnxtest.Int("axis", 1)), tree("x", "a0"), tree("some", "b0")}
	nodes = slices.Concat(nodes, perTree("a0", "a1"), perTree("b0", "b1"), []*pb.NodeProto{onnxtest.Node("Sum", onnxtest.Names("a1", "b1"), onnxtest.Names("y"))})
	p := onnxtest.Model(onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 3), onnxtest.Tensor("other", pb.TensorProto_FLOAT, "N", 1)),
		onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N", 1)), nodes...))
	p.Graph.Initializer = append(p.Graph.Initializer, onnxtest.Int64s("picked", []int64{2}, 2, 0), onnxtest.Int64s("shape", []int64{2}, -1, 1),
		onnxtest.Int64s("wrong", []int64{2}, 1, -1), onnxtest.Floats32("ten", []int64{1}, 10), onnxtest.Floats32("two", []int64{1, 1}, 2),
		onnxtest.Floats32("many", []int64{2}, 1, 2), onnxtest.Floats32("deep", []int64{1, 1, 1}, 1), onnxtest.Floats32("zero", nil, 0))
	return p
}

func step(name string, in, out string, more ...string) *pb.NodeProto {
	return onnxtest.Node(name, append(onnxtest.Names(in), more...), onnxtest.Names(out))
}

func castTo(in, out string, to pb.TensorProto_DataType) *pb.NodeProto {
	return onnxtest.Node("Cast", onnxtest.Names(in), onnxtest.Names(out), onnxtest.Int("to", int64(to)))
}

// What operators give of a leaf stands in the leaf, and the trees in one ensemble over x.
func TestFoldLeaves(t *testing.T) {
	encode := onnxtest.DomainNode("ai.onnx.ml", "LabelEncoder", nil, nil, onnxtest.Ints("keys_int64s", 2), onnxtest.Floats("values_floats", 7), onnxtest.Float("default_float", 4))
	for name, c := range map[string]struct {
		nodes func(in, out string) []*pb.NodeProto
		want  []float32 // of the leaves 1 and 2
	}{
		"nothing": {func(in, out string) []*pb.NodeProto { return []*pb.NodeProto{step("Identity", in, out)} }, []float32{1, 2}},
		"arithmetic": {func(in, out string) []*pb.NodeProto {
			return []*pb.NodeProto{step("Sub", "ten", out+"d", in), step("Div", out+"d", out, "two")}
		}, []float32{4.5, 4}},
		"a value twice": {func(in, out string) []*pb.NodeProto {
			return []*pb.NodeProto{step("Mul", in, out+"d", in), step("Add", out+"d", out, in)}
		}, []float32{2, 6}},
		"the least": {func(in, out string) []*pb.NodeProto {
			return []*pb.NodeProto{step("Min", in, out+"d", "two", "ten"), step("Neg", out+"d", out)}
		}, []float32{-1, -2}},
		"a logarithm": {func(in, out string) []*pb.NodeProto {
			return []*pb.NodeProto{step("Log", in, out+"d"), step("Max", out+"d", out, "zero")}
		}, []float32{0, float32(math.Ln2)}},
		"a comparison": {func(in, out string) []*pb.NodeProto {
			return []*pb.NodeProto{step("Equal", in, out+"d", "two"), castTo(out+"d", out, pb.TensorProto_FLOAT)}
		}, []float32{0, 1}},
		"another shape": {func(in, out string) []*pb.NodeProto { return []*pb.NodeProto{step("Reshape", in, out, "shape")} }, []float32{1, 2}},
		"whole numbers": {func(in, out string) []*pb.NodeProto {
			return []*pb.NodeProto{castTo(in, out+"d", pb.TensorProto_INT64), castTo(out+"d", out, pb.TensorProto_FLOAT)}
		}, []float32{1, 2}},
		"a table of them": {func(in, out string) []*pb.NodeProto {
			n := &pb.NodeProto{Domain: encode.Domain, OpType: encode.OpType, Attribute: encode.Attribute, Input: onnxtest.Names(out + "d"), Output: onnxtest.Names(out)}
			return []*pb.NodeProto{castTo(in, out+"d", pb.TensorProto_INT64), n}
		}, []float32{4, 7}},
	} {
		p := leafGraph(c.nodes)
		if said := foldLeaves(newKernelRewriter(inOne(p), "")); len(said) != 1 {
			t.Errorf("%s: said %q; want one line", name, said)
			continue
		}
		if len(p.Graph.Node) != 1 || !isOp(p.Graph.Node[0], "ai.onnx.ml", "TreeEnsembleRegressor") || !slices.Equal(p.Graph.Node[0].Input, []string{"x"}) {
			t.Errorf("%s: %v is left; want one ensemble of x", name, p.Graph.Node)
			continue
		}
		n := p.Graph.Node[0]
		if got := attribute(n, "target_weights").GetFloats(); !slices.Equal(got, append(slices.Clone(c.want), c.want...)) {
			t.Errorf("%s: leaves have %v; want %v twice", name, got, c.want)
		}
		features := attribute(n, "nodes_featureids").GetInts()
		if features[0] != 1 || features[3] != 0 {
			t.Errorf("%s: features %v; want 1 of the first tree, and of the second column 0, the second of those it is given", name, features)
		}
		if _, ok := readForest(n, nil, false, inChains); !ok {
			t.Errorf("%s: it is no ensemble that kernels take", name)
		}
	}
}

// What a row's leaf does not decide, or not surely, is left.
func TestFoldLeavesLeaves(t *testing.T) {
	one := func(n func(in, out string) *pb.NodeProto) *pb.ModelProto {
		return leafGraph(func(in, out string) []*pb.NodeProto { return []*pb.NodeProto{n(in, out)} })
	}
	plain := func() *pb.ModelProto {
		return one(func(in, out string) *pb.NodeProto { return step("Identity", in, out) })
	}
	with := func(change func(g *pb.GraphProto)) *pb.ModelProto {
		p := plain()
		change(p.Graph)
		return p
	}
	cases := map[string]*pb.ModelProto{
		"another input's values":     one(func(in, out string) *pb.NodeProto { return step("Add", in, out, "other") }),
		"a list of numbers":          one(func(in, out string) *pb.NodeProto { return step("Add", in, out, "many") }),
		"more dimensions":            one(func(in, out string) *pb.NodeProto { return step("Add", in, out, "deep") }),
		"another shape":              one(func(in, out string) *pb.NodeProto { return step("Reshape", in, out, "wrong") }),
		"an operator that sees rows": one(func(in, out string) *pb.NodeProto { return step("ReduceSum", in, out) }),
		"NaN":                        one(func(in, out string) *pb.NodeProto { return step("Log", in, out) }),
		"two trees": with(func(g *pb.GraphProto) {
			g.Node[3] = step("Add", "a0", "a1", "b0")
		}),
		"two values a leaf": with(func(g *pb.GraphProto) {
			w := attribute(g.Node[1], "target_weights")
			for _, name := range []string{"target_ids", "target_nodeids", "target_treeids"} {
				a := attribute(g.Node[1], name)
				a.Ints = append(a.Ints, a.Ints[0])
			}
			w.Floats = append(w.Floats, 1)
		}),
		"a base value": with(func(g *pb.GraphProto) {
			g.Node[1].Attribute = append(g.Node[1].Attribute, onnxtest.Floats("base_values", 1))
		}),
		"too few columns":       with(func(g *pb.GraphProto) { g.Initializer[0] = onnxtest.Int64s("picked", []int64{1}, 2) }),
		"columns from the end":  with(func(g *pb.GraphProto) { g.Initializer[0] = onnxtest.Int64s("picked", []int64{2}, -1, 0) }),
		"trees of other values": with(func(g *pb.GraphProto) { g.Node[0] = step("Relu", "x", "some") }),
	}
	cases["NaN"].Graph.Node[1].Attribute = slices.Clone(cases["NaN"].Graph.Node[1].Attribute)
	attribute(cases["NaN"].Graph.Node[1], "target_weights").Floats[0] = -1
	for name, p := range cases {
		before := len(p.Graph.Node)
		if said := foldLeaves(newKernelRewriter(inOne(p), "")); len(said) > 0 || len(p.Graph.Node) != before {
			t.Errorf("%s: %s", name, strings.Join(said, "\n"))
		}
	}
	if said := foldLeaves(newKernelRewriter(inOne(plain()), "")); len(said) == 0 {
		t.Error("nothing was folded where nothing is odd")
	}
}

// A Sum that has one large tree very often would make a graph many times the file's.
func TestFoldLeavesIsBounded(t *testing.T) {
	const splits = 5000
	chain := &onnxtest.Trees{}
	for i := range int64(splits) {
		chain.Node(0, 2*i, "BRANCH_LEQ", 0, float32(i), 2*i+1, 2*i+2)
		chain.Node(0, 2*i+1, "LEAF", 0, 0, 0, 0)
		chain.Weight(0, 2*i+1, 0, 1)
	}
	chain.Node(0, 2*splits, "LEAF", 0, 0, 0, 0)
	chain.Weight(0, 2*splits, 0, 1)
	for times, want := range map[int]int{maxLeafValues/(2*splits) + 1: 0, 10: 1} {
		p := chain.Regressor(3, 1)
		p.Graph.Node[0].Output = onnxtest.Names("a")
		p.Graph.Node = append(p.Graph.Node, onnxtest.Node("Sum", slices.Repeat(onnxtest.Names("a"), times), onnxtest.Names("y")))
		if said := foldLeaves(newKernelRewriter(inOne(p), "")); len(said) != want {
			t.Errorf("%d times: %q; want %d lines", times, said, want)
		}
	}
}

// Values that something else takes stay, and what they come of.
func TestFoldLeavesKeepsWhatIsNeeded(t *testing.T) {
	p := leafGraph(func(in, out string) []*pb.NodeProto { return []*pb.NodeProto{step("Neg", in, out)} })
	p.Graph.Output = append(p.Graph.Output, onnxtest.Tensor("a1", pb.TensorProto_FLOAT, "N", 1))
	foldLeaves(newKernelRewriter(inOne(p), ""))
	left := make([]string, 0, len(p.Graph.Node))
	for _, n := range p.Graph.Node {
		left = append(left, n.GetOutput()[0])
	}
	if !slices.Equal(left, []string{"a0", "a1", "y"}) {
		t.Errorf("nodes of %q are left; want those of a0, a1 and y", left)
	}
}

func inOne(p *pb.ModelProto) *parsedModel { return &parsedModel{ModelProto: p} }
