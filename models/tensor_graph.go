package models

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/millrace/millrace/models/onnxpb"
)

// graphBuilder collects new nodes and constants for a graph. Every name it gives
// begins with a prefix that no name of the graph has.
type graphBuilder struct {
	prefix string
	names  int
	opset  int64       // of ai.onnx, as the graph imports it then
	real   ElementType // of data, thresholds and values: Float32 or Float64

	nodes     []*onnxpb.NodeProto
	constants []*onnxpb.TensorProto
}

// freePrefix gives a prefix that no name in the graph, nor in graphs inside it,
// begins with.
func freePrefix(g *onnxpb.GraphProto, want string) string {
	taken := map[string]bool{}
	take := func(names ...string) {
		for _, name := range names {
			if strings.HasPrefix(name, want) {
				taken[name] = true
			}
		}
	}
	eachGraph(g, func(g *onnxpb.GraphProto) {
		for _, list := range [][]*onnxpb.ValueInfoProto{g.GetInput(), g.GetOutput(), g.GetValueInfo()} {
			for _, v := range list {
				take(v.GetName())
			}
		}
		for _, t := range g.GetInitializer() {
			take(t.GetName())
		}
		for _, t := range g.GetSparseInitializer() {
			take(t.GetValues().GetName())
		}
		for _, n := range g.GetNode() {
			take(n.GetName())
			take(n.GetInput()...)
			take(n.GetOutput()...)
		}
	})
	// Each name taken rules out one number at most.
	for i := 0; ; i++ {
		prefix, free := fmt.Sprintf("%s%d/", want, i), true
		for name := range taken {
			free = free && !strings.HasPrefix(name, prefix)
		}
		if free {
			return prefix
		}
	}
}

// eachGraph visits a graph and those in attributes of its nodes.
func eachGraph(g *onnxpb.GraphProto, visit func(*onnxpb.GraphProto)) {
	visit(g)
	for _, n := range g.GetNode() {
		for _, a := range n.GetAttribute() {
			if a.GetG() != nil {
				eachGraph(a.GetG(), visit)
			}
			for _, sub := range a.GetGraphs() {
				eachGraph(sub, visit)
			}
		}
	}
}

func (b *graphBuilder) name(what string) string {
	b.names++
	return fmt.Sprintf("%s%s_%d", b.prefix, what, b.names)
}

// op adds a node of ai.onnx and names its one output.
func (b *graphBuilder) op(op string, inputs []string, attributes ...*onnxpb.AttributeProto) string {
	out := b.name(op)
	b.nodes = append(b.nodes, &onnxpb.NodeProto{
		OpType: new(op), Name: new(out), Input: inputs, Output: []string{out}, Attribute: attributes,
	})
	return out
}

func in(names ...string) []string { return names }

// rename gives a value of the builder's the name that the graph knows it by.
func (b *graphBuilder) rename(from, to string) {
	for _, n := range b.nodes {
		for _, list := range [][]string{n.Input, n.Output} {
			for i := range list {
				if list[i] == from {
					list[i] = to
				}
			}
		}
	}
}

func (b *graphBuilder) constant(kind ElementType, dims []int64, raw []byte) string {
	name := b.name("constant")
	b.constants = append(b.constants, &onnxpb.TensorProto{Name: new(name), DataType: new(int32(kind)), Dims: dims, RawData: raw})
	return name
}

// reals is a constant of the data's own type.
func (b *graphBuilder) reals(dims []int64, values ...float64) string {
	raw := make([]byte, 0, len(values)*b.real.Bytes())
	for _, v := range values {
		if b.real == Float64 {
			raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(v))
		} else {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(v)))
		}
	}
	return b.constant(b.real, dims, raw)
}

func (b *graphBuilder) scalar(v float64) string { return b.reals(nil, v) }

func (b *graphBuilder) floats(dims []int64, values ...float32) string {
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return b.constant(Float32, dims, raw)
}

func (b *graphBuilder) int32s(dims []int64, values ...int32) string {
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, uint32(v))
	}
	return b.constant(Int32, dims, raw)
}

func (b *graphBuilder) int64s(values ...int64) string {
	return b.constant(Int64, []int64{int64(len(values))}, encodeInts(values))
}

func (b *graphBuilder) cast(x string, to ElementType) string {
	return b.op("Cast", in(x), intAttribute("to", int64(to)))
}

func (b *graphBuilder) reshape(x string, dims ...int64) string {
	return b.op("Reshape", in(x, b.int64s(dims...)))
}

func (b *graphBuilder) transpose(x string) string {
	return b.op("Transpose", in(x), intsAttribute("perm", 1, 0))
}

func (b *graphBuilder) gather(table, index string, axis int64) string {
	return b.op("Gather", in(table, index), intAttribute("axis", axis))
}

// reduce is ReduceSum, ReduceMax or ReduceMin over one axis, which became an
// input with opset 13 and 18.
func (b *graphBuilder) reduce(op, x string, axis int64, keep int64) string {
	asInput := b.opset >= 18 || op == "ReduceSum" && b.opset >= 13
	if asInput {
		return b.op(op, in(x, b.int64s(axis)), intAttribute("keepdims", keep))
	}
	return b.op(op, in(x), intsAttribute("axes", axis), intAttribute("keepdims", keep))
}

func intsAttribute(name string, values ...int64) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: new(name), Type: onnxpb.AttributeProto_INTS.Enum(), Ints: values}
}
