package models

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/models/onnxpb"
)

const (
	// opsetWhenNone is imported for a model that imports no ai.onnx.
	opsetWhenNone = 13
	// maxRaised is the latest version that anything here asks for.
	maxRaised = 11
)

// unchanged are operators of ai.onnx with the version since which, and up to
// maxRaised, a node of theirs means the same: later versions take more types,
// negative axes or new attributes with a default that changes nothing
// (https://github.com/onnx/onnx/blob/main/docs/Changelog.md).
var unchanged = map[string]int64{
	"Identity": 1, "Constant": 1, "MatMul": 1, "Transpose": 1, "Shape": 1, "Gather": 1, "Squeeze": 1, "Unsqueeze": 1, "Flatten": 1, "Not": 1,
	"ArgMax": 1, "ArgMin": 1, "ReduceSum": 1, "ReduceMax": 1, "ReduceMin": 1, "ReduceMean": 1, "ReduceSumSquare": 1, "Softmax": 1,
	"Concat": 4, "Reshape": 5, "Cast": 6, "Relu": 6, "Sigmoid": 6, "Tanh": 6, "Abs": 6, "Neg": 6, "Sqrt": 6, "Exp": 6, "Log": 6,
	"Add": 7, "Sub": 7, "Mul": 7, "Div": 7, "Pow": 7, "Gemm": 7, "Equal": 7, "Less": 7, "Greater": 7, "And": 7, "Or": 7,
	"Sum": 8, "Max": 8, "Min": 8, "Where": 9, "IsNaN": 9,
}

// raisable says whether every operator of ai.onnx in the graph, and in graphs
// inside it, means the same from a version up to maxRaised.
func raisable(g *onnxpb.GraphProto, version int64) bool {
	for _, n := range g.GetNode() {
		if since, ok := unchanged[n.GetOpType()]; plainDomain(n.GetDomain()) == "" && (!ok || version < since) {
			return false
		}
		for _, a := range n.GetAttribute() {
			for _, in := range append(slices.Clone(a.GetGraphs()), a.GetG()) {
				if !raisable(in, version) {
					return false
				}
			}
		}
	}
	return true
}

// imports writes the imported operator sets: ai.onnx in the version that is now
// needed, and ai.onnx.ml only where something of it is left.
func (r *mlRewriter) imports() {
	if usesDomain(r.proto.GetGraph(), "") {
		importDefaultOpset(r.proto)
	}
	for _, o := range r.proto.GetOpsetImport() {
		if plainDomain(o.GetDomain()) == "" {
			o.Version = new(max(o.GetVersion(), r.opset))
		}
	}
	if !usesDomain(r.proto.GetGraph(), mlDomain) {
		r.proto.OpsetImport = slices.DeleteFunc(r.proto.OpsetImport, func(o *onnxpb.OperatorSetIdProto) bool { return o.GetDomain() == mlDomain })
	}
}

func usesDomain(g *onnxpb.GraphProto, domain string) bool {
	return slices.ContainsFunc(g.GetNode(), func(n *onnxpb.NodeProto) bool {
		return plainDomain(n.GetDomain()) == domain || slices.ContainsFunc(n.GetAttribute(), func(a *onnxpb.AttributeProto) bool {
			return usesDomain(a.GetG(), domain) || slices.ContainsFunc(a.GetGraphs(), func(in *onnxpb.GraphProto) bool { return usesDomain(in, domain) })
		})
	})
}

// freshNames gives names that nothing in a graph, or in graphs inside it, has.
type freshNames struct{ taken map[string]bool }

func newFreshNames(g *onnxpb.GraphProto) *freshNames {
	f := &freshNames{taken: map[string]bool{}}
	f.take(g)
	return f
}

func (f *freshNames) take(g *onnxpb.GraphProto) {
	for _, list := range [][]*onnxpb.ValueInfoProto{g.GetInput(), g.GetOutput(), g.GetValueInfo()} {
		for _, v := range list {
			f.taken[v.GetName()] = true
		}
	}
	for _, t := range g.GetInitializer() {
		f.taken[t.GetName()] = true
	}
	for _, t := range g.GetSparseInitializer() {
		f.taken[t.GetValues().GetName()] = true
	}
	for _, n := range g.GetNode() {
		f.taken[n.GetName()] = true
		for _, name := range slices.Concat(n.GetInput(), n.GetOutput()) {
			f.taken[name] = true
		}
		for _, a := range n.GetAttribute() {
			for _, in := range append(slices.Clone(a.GetGraphs()), a.GetG()) {
				f.take(in)
			}
		}
	}
}

// next gives a new name for a step on the way to base.
func (f *freshNames) next(base, step string) string {
	for i := 0; ; i++ {
		name := base + "_" + step
		if i > 0 {
			name = fmt.Sprintf("%s%d", name, i)
		}
		if !f.taken[name] {
			f.taken[name] = true
			return name
		}
	}
}

// tensorBuilder collects the nodes that take the place of one. Each method
// appends a node and gives the name of its value. Constants are nodes too:
// before IR version 4 an initializer would have to be an input as well.
type tensorBuilder struct {
	names *freshNames
	nodes []*onnxpb.NodeProto
	base  string
	opset int64 // decides the form of operators; raising it up to maxRaised changes none
	needs int64 // the least version that has all that was appended
}

// since are the versions of ai.onnx that have an operator in the form, and with
// the types, that are used here: for float32 and int64, on CUDA too
// (https://github.com/microsoft/onnxruntime/blob/main/docs/OperatorKernels.md).
// Equal of floats is asked for where it is made.
var since = map[string]int64{
	"Constant": 1, "Gather": 1, "ReduceSum": 1, "ReduceMax": 1, "Softmax": 1,
	"Concat": 4, "Reshape": 5, "Abs": 6, "Cast": 6, "Exp": 6, "Log": 6, "Neg": 6, "Sqrt": 6, "Sigmoid": 6,
	"Add": 7, "Sub": 7, "Mul": 7, "Div": 7, "Gemm": 7, "Equal": 7, "Or": 7, "Max": 8, "Less": 9, "Greater": 9, "IsNaN": 9, "Where": 9,
}

func (b *tensorBuilder) op(op string, inputs []string, attributes ...*onnxpb.AttributeProto) string {
	name := b.names.next(b.base, op)
	b.needs = max(b.needs, since[op])
	b.nodes = append(b.nodes, &onnxpb.NodeProto{OpType: new(op), Name: new(name), Input: inputs, Output: []string{name}, Attribute: attributes})
	return name
}

// one is op for operators without attributes.
func (b *tensorBuilder) one(op string, inputs ...string) string { return b.op(op, inputs) }

// give gives a value the name of an output of the node that is replaced.
func (b *tensorBuilder) give(value, output string) {
	for _, n := range b.nodes {
		for _, list := range [][]string{n.Input, n.Output} {
			for i := range list {
				if list[i] == value {
					list[i] = output
				}
			}
		}
	}
}

func (b *tensorBuilder) constant(t *onnxpb.TensorProto) string {
	t.Name = nil
	return b.op("Constant", nil, &onnxpb.AttributeProto{Name: new("value"), Type: onnxpb.AttributeProto_TENSOR.Enum(), T: t})
}

// floats is a constant of one dimension, floatOf one of none, which goes with
// values of any shape.
func (b *tensorBuilder) floats(values ...float32) string { return b.constant(floatTensor(values)) }

func (b *tensorBuilder) floatOf(value float32) string {
	t := floatTensor([]float32{value})
	t.Dims = nil
	return b.constant(t)
}

func (b *tensorBuilder) ints(values ...int64) string {
	return b.constant(&onnxpb.TensorProto{DataType: new(int32(Int64)), Dims: []int64{int64(len(values))}, Int64Data: values})
}

func (b *tensorBuilder) intOf(value int64) string {
	return b.constant(&onnxpb.TensorProto{DataType: new(int32(Int64)), Int64Data: []int64{value}})
}

func floatTensor(values []float32) *onnxpb.TensorProto {
	return &onnxpb.TensorProto{DataType: new(int32(Float32)), Dims: []int64{int64(len(values))}, FloatData: values}
}

func (b *tensorBuilder) cast(x string, to ElementType) string {
	return b.op("Cast", []string{x}, intAttribute("to", int64(to)))
}

// float32 casts x unless it is that already.
func (b *tensorBuilder) float32(x string, elem ElementType) string {
	if elem == Float32 {
		return x
	}
	return b.cast(x, Float32)
}

// nonZero is where x, of floats, is not 0; NaN is not.
func (b *tensorBuilder) nonZero(x string) string { return b.cast(x, Bool) }

// equalFloats is Equal, which CUDA has for floats since version 11.
func (b *tensorBuilder) equalFloats(x, y string) string {
	b.needs = max(b.needs, 11)
	return b.one("Equal", x, y)
}

// reduce is ReduceSum or ReduceMax over one axis.
func (b *tensorBuilder) reduce(op, x string, axis int, keep bool) string {
	kept := intAttribute("keepdims", 0)
	if keep {
		kept = intAttribute("keepdims", 1)
	}
	if op == "ReduceSum" && b.opset >= 13 || b.opset >= 18 {
		return b.op(op, []string{x, b.ints(int64(axis))}, kept)
	}
	return b.op(op, []string{x}, kept, intsAttribute("axes", int64(axis)))
}

// reshape keeps a dimension where shape has 0, and works out one where it has -1.
func (b *tensorBuilder) reshape(x string, shape ...int64) string {
	return b.one("Reshape", x, b.ints(shape...))
}
