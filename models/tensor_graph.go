package models

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/millrace/millrace/models/onnxpb"
)

// graphBuilder collects the nodes and constants that take the place of a node.
// Each method that appends one gives the name of its value.
type graphBuilder struct {
	names *freshNames
	base  string      // names begin with it
	opset int64       // of ai.onnx; decides the form of operators
	needs int64       // the least version that has all that was appended
	real  ElementType // of data and parameters: Float32 or Float64

	nodes     []*onnxpb.NodeProto
	constants []*onnxpb.TensorProto
}

// since are the versions of ai.onnx that have an operator in the form, and with
// the types, that are used here, on CUDA too
// (https://github.com/microsoft/onnxruntime/blob/main/docs/OperatorKernels.md).
// Equal of floats is asked for where it is made.
var since = map[string]int64{
	"Gather": 1, "MatMul": 1, "ReduceSum": 1, "ReduceMax": 1, "ReduceMin": 1, "Softmax": 1, "Transpose": 1,
	"Concat": 4, "Reshape": 5, "Abs": 6, "Cast": 6, "Exp": 6, "Log": 6, "Neg": 6, "Sqrt": 6, "Sigmoid": 6,
	"Add": 7, "Sub": 7, "Mul": 7, "Div": 7, "Gemm": 7, "Equal": 7, "Or": 7, "Max": 8, "Min": 8, "Less": 9, "Greater": 9, "IsNaN": 9, "Where": 9,
	"GatherElements": 11, "LessOrEqual": 12,
}

// op adds a node of ai.onnx with one output.
func (b *graphBuilder) op(op string, inputs []string, attributes ...*onnxpb.AttributeProto) string {
	name := b.names.next(b.base, op)
	b.needs = max(b.needs, since[op])
	b.nodes = append(b.nodes, &onnxpb.NodeProto{OpType: new(op), Name: new(name), Input: inputs, Output: []string{name}, Attribute: attributes})
	return name
}

// one is op for operators without attributes.
func (b *graphBuilder) one(op string, inputs ...string) string { return b.op(op, inputs) }

// give gives a value the name of an output of the node that is replaced.
func (b *graphBuilder) give(value, output string) {
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

// tensor is a constant, whose name it sets.
func (b *graphBuilder) tensor(t *onnxpb.TensorProto) string {
	t.Name = new(b.names.next(b.base, "constant"))
	b.constants = append(b.constants, t)
	return t.GetName()
}

func (b *graphBuilder) raw(kind ElementType, dims []int64, data []byte) string {
	return b.tensor(&onnxpb.TensorProto{DataType: new(int32(kind)), Dims: dims, RawData: data})
}

// reals is a constant of the type that the builder's data have.
func (b *graphBuilder) reals(dims []int64, values ...float64) string {
	data := make([]byte, 0, len(values)*b.real.Bytes())
	for _, v := range values {
		if b.real == Float64 {
			data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
		} else {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(v)))
		}
	}
	return b.raw(b.real, dims, data)
}

// scalar is one of no dimension, which goes with values of any shape.
func (b *graphBuilder) scalar(v float64) string { return b.reals(nil, v) }

func (b *graphBuilder) floats(dims []int64, values ...float32) string {
	data := make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return b.raw(Float32, dims, data)
}

// vector is floats of one dimension, floatOf one of none.
func (b *graphBuilder) vector(values ...float32) string {
	return b.floats([]int64{int64(len(values))}, values...)
}

func (b *graphBuilder) floatOf(v float32) string { return b.floats(nil, v) }

func (b *graphBuilder) int32s(dims []int64, values ...int32) string {
	data := make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, uint32(v))
	}
	return b.raw(Int32, dims, data)
}

func (b *graphBuilder) int64s(values ...int64) string {
	return b.raw(Int64, []int64{int64(len(values))}, encodeInts(values))
}

func (b *graphBuilder) int64Of(v int64) string { return b.raw(Int64, nil, encodeInts([]int64{v})) }

func (b *graphBuilder) cast(x string, to ElementType) string {
	return b.op("Cast", []string{x}, intAttribute("to", int64(to)))
}

// castFrom casts x of type from, unless it is of type to.
func (b *graphBuilder) castFrom(x string, from, to ElementType) string {
	if from == to {
		return x
	}
	return b.cast(x, to)
}

// reshape keeps a dimension where dims has 0, and works out one where it has -1.
func (b *graphBuilder) reshape(x string, dims ...int64) string {
	return b.one("Reshape", x, b.int64s(dims...))
}

func (b *graphBuilder) transpose(x string) string {
	return b.op("Transpose", []string{x}, intsAttribute("perm", 1, 0))
}

func (b *graphBuilder) gather(table, index string, axis int) string {
	return b.op("Gather", []string{table, index}, intAttribute("axis", int64(axis)))
}

// sides puts two columns side by side.
func (b *graphBuilder) sides(left, right string) string {
	return b.op("Concat", []string{left, right}, intAttribute("axis", 1))
}

// equalReals is Equal, which CUDA has for floats since version 11.
func (b *graphBuilder) equalReals(x, y string) string {
	b.needs = max(b.needs, 11)
	return b.one("Equal", x, y)
}

// reduce is ReduceSum, ReduceMax or ReduceMin over an axis, which then is gone.
func (b *graphBuilder) reduce(op, x string, axis int) string { return b.reduction(op, x, axis, 0) }

// reduceTo1 is reduce to an axis of size 1.
func (b *graphBuilder) reduceTo1(op, x string, axis int) string { return b.reduction(op, x, axis, 1) }

// The axis became an input with versions 13 and 18.
func (b *graphBuilder) reduction(op, x string, axis int, keep int64) string {
	kept := intAttribute("keepdims", keep)
	if b.opset >= 18 || op == "ReduceSum" && b.opset >= 13 {
		return b.op(op, []string{x, b.int64s(int64(axis))}, kept)
	}
	return b.op(op, []string{x}, kept, intsAttribute("axes", int64(axis)))
}

func intsAttribute(name string, values ...int64) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: new(name), Type: onnxpb.AttributeProto_INTS.Enum(), Ints: values}
}

// freshNames gives names that nothing in a graph, or in graphs inside it, has.
type freshNames struct {
	taken map[string]bool
	count map[string]int // of names given, by what they begin with
}

func newFreshNames(g *onnxpb.GraphProto) *freshNames {
	f := &freshNames{taken: map[string]bool{}, count: map[string]int{}}
	eachGraph(g, func(g *onnxpb.GraphProto) {
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
		}
	})
	return f
}

// next gives a new name for a step on the way to base.
func (f *freshNames) next(base, step string) string {
	stem := base + "_" + step
	for {
		name := stem
		if i := f.count[stem]; i > 0 {
			name = fmt.Sprintf("%s%d", stem, i)
		}
		f.count[stem]++
		if !f.taken[name] {
			f.taken[name] = true
			return name
		}
	}
}

// eachGraph visits a graph and those in attributes of its nodes.
func eachGraph(g *onnxpb.GraphProto, visit func(*onnxpb.GraphProto)) {
	visit(g)
	for _, n := range g.GetNode() {
		eachInside(n, func(g *onnxpb.GraphProto) { eachGraph(g, visit) })
	}
}

// eachInside visits the graphs in a node's attributes, but not those in them.
func eachInside(n *onnxpb.NodeProto, visit func(*onnxpb.GraphProto)) {
	for _, a := range n.GetAttribute() {
		if a.GetG() != nil {
			visit(a.GetG())
		}
		for _, g := range a.GetGraphs() {
			visit(g)
		}
	}
}
