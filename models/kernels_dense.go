package models

import (
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/cpuid/v2"

	"github.com/millrace/millrace/models/onnxpb"
)

// What a chain of dense layers may have, by what was faster than ONNX Runtime
// (docs/decisions/019); engine/ort/op_dense.c takes more.
const (
	minDenseLayers = 2
	maxDenseLayers = 32
	maxDenseWidth  = 1 << 11
	maxDenseSums   = 1 << 21 // weights of all layers
	maxDenseRead   = 4 * maxDenseSums
)

// denseOpset is the version of ai.onnx from which operands are broadcast, and
// Dropout is for inference, without attributes that say so.
const denseOpset = 7

var (
	gemmAttributes = map[string]onnxpb.AttributeProto_AttributeType{
		"alpha": onnxpb.AttributeProto_FLOAT, "beta": onnxpb.AttributeProto_FLOAT,
		"transA": onnxpb.AttributeProto_INT, "transB": onnxpb.AttributeProto_INT,
	}
	leakyReluAttributes = map[string]onnxpb.AttributeProto_AttributeType{"alpha": onnxpb.AttributeProto_FLOAT}
	clipAttributes      = map[string]onnxpb.AttributeProto_AttributeType{"min": onnxpb.AttributeProto_FLOAT, "max": onnxpb.AttributeProto_FLOAT}
)

// hasFMA says whether this processor multiplies and adds vectors in one
// instruction, which the kernel of dense layers is made of.
func hasFMA() bool { return fmaOn(runtime.GOARCH, cpuid.CPU.Supports(cpuid.AVX2, cpuid.FMA3)) }

func fmaOn(arch string, avx2AndFMA bool) bool {
	return arch == "arm64" || arch == "amd64" && avx2AndFMA
}

// denseChain is a run of nodes that are dense layers, each the only user of the
// one before.
type denseChain struct {
	input  string
	nodes  []*onnxpb.NodeProto
	layers []denseLayer
	sums   int
	stages []byte // of an operator Affine whose place is taken, too
}

// denseFinder finds chains of dense layers in a graph.
type denseFinder struct {
	*kernelRewriter
	constants map[string]*onnxpb.TensorProto
	users     map[string]*onnxpb.NodeProto // the last
	taken     map[string]bool              // constants that layers have a copy of
	left      int64                        // weights that may still be read: a hostile graph has nodes that share them
}

// dense replaces each longest run of dense layers by one operator.
func (r *kernelRewriter) dense() {
	if r.opset < denseOpset || !hasFMA() {
		return
	}
	f := denseFinder{kernelRewriter: r, constants: constantsOnly(r.graph), users: map[string]*onnxpb.NodeProto{}, taken: map[string]bool{}, left: maxDenseRead}
	for _, n := range r.graph.GetNode() {
		for _, name := range n.GetInput() {
			f.users[name] = n
		}
	}
	gone := map[*onnxpb.NodeProto]bool{}
	for _, n := range r.graph.GetNode() {
		if gone[n] || len(n.GetInput()) == 0 {
			continue
		}
		if x := r.types.of(n.GetInput()[0]); x.elem != Float32 || x.rank != 2 {
			continue
		}
		c := f.chain(n)
		if len(c.layers) < minDenseLayers {
			continue
		}
		f.precede(&c)
		for _, n := range c.nodes {
			for _, name := range n.GetInput() {
				f.taken[name] = f.taken[name] || f.constants[name] != nil
			}
		}
		for _, n := range c.nodes[:len(c.nodes)-1] {
			gone[n] = true
		}
		f.replace(&c)
	}
	if len(gone) == 0 {
		return
	}
	r.graph.Node = slices.DeleteFunc(r.graph.GetNode(), func(n *onnxpb.NodeProto) bool { return gone[n] })
	dropUnused(r.graph, newTracer(r.graph), f.taken)
}

// constantsOnly are the constants that no caller can give another value.
func constantsOnly(g *onnxpb.GraphProto) map[string]*onnxpb.TensorProto {
	all := newTracer(g).constants
	for _, v := range g.GetInput() {
		delete(all, v.GetName())
	}
	return all
}

// chain follows dense layers from a node on, with what does nothing between them.
func (f *denseFinder) chain(n *onnxpb.NodeProto) (c denseChain) {
	end := 0 // of the nodes up to the last that does something
	for more := true; more && n != nil; n = f.next(n) {
		c.nodes = append(c.nodes, n)
		switch {
		case f.addLayer(&c, n), len(c.layers) > 0 && f.amend(&c.layers[len(c.layers)-1], n):
			end = len(c.nodes)
		default:
			more = len(c.layers) > 0 && f.keeps(n, c.layers[len(c.layers)-1].outputs)
		}
	}
	c.nodes = c.nodes[:end]
	return c
}

// next is the only user of a node's only needed output.
func (f *denseFinder) next(n *onnxpb.NodeProto) *onnxpb.NodeProto {
	var only string
	for i, out := range n.GetOutput() {
		switch {
		case i == 0:
			only = out
		case f.used[out] > 0 || f.isOutput[out]:
			return nil
		}
	}
	if only == "" || f.isOutput[only] || f.used[only] != 1 {
		return nil
	}
	return f.users[only]
}

// addLayer appends a MatMul or Gemm.
func (f *denseFinder) addLayer(c *denseChain, n *onnxpb.NodeProto) bool {
	l, ok := f.readLayer(n)
	last := len(c.layers) - 1
	if !ok || last+1 == maxDenseLayers || last >= 0 && l.inputs != c.layers[last].outputs || c.sums+len(l.weights) > maxDenseSums {
		return false
	}
	c.layers = append(c.layers, l)
	c.sums += len(l.weights)
	return true
}

// precede takes an Affine before a chain into it, where nothing else needs what
// it gives.
func (f *denseFinder) precede(c *denseChain) {
	var nodes []*onnxpb.NodeProto
	c.input = c.nodes[0].GetInput()[0]
	for at := c.input; len(nodes) < maxTrace && !f.isOutput[at] && f.used[at] == 1; {
		n := f.tracer.producer[at]
		if n == nil || len(n.GetInput()) == 0 {
			return
		}
		nodes = append(nodes, n)
		at = n.GetInput()[0]
		if isOp(n, KernelDomain, "Affine") {
			c.stages, c.input = attribute(n, "stages").GetS(), at
			c.nodes = append(nodes, c.nodes...)
			return
		}
		if s, ok := readStage(n); !ok || !s.nothing() {
			return
		}
	}
}

// replace makes the last node of a chain the operator for all of it.
func (f *denseFinder) replace(c *denseChain) {
	widths := append(make([]string, 0, len(c.layers)+1), strconv.Itoa(c.layers[0].inputs))
	for i := range c.layers {
		widths = append(widths, strconv.Itoa(c.layers[i].outputs))
	}
	last := c.nodes[len(c.nodes)-1]
	last.Input = []string{c.input}
	last.Output = last.GetOutput()[:1]
	last.Domain, last.OpType = new(KernelDomain), new("Dense")
	outputs := c.layers[len(c.layers)-1].outputs
	last.Attribute = []*onnxpb.AttributeProto{
		bytesAttribute("layers", c.encode()), bytesAttribute("stages", c.stages), intAttribute("outputs", int64(outputs)),
	}
	before := ""
	if c.stages != nil {
		before = ", and what is before them,"
	}
	f.say("%d dense layers of %.80q (%s)%s run as one kernel of millrace's", len(c.layers), last.GetOutput()[0], strings.Join(widths, "-"), before)
}
