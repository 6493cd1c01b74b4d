// Package onnxtest builds small ONNX models for tests.
package onnxtest

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/millrace/millrace/models/onnxpb"
)

// Model wraps a graph: IR version 8, opsets ai.onnx 17, ai.onnx.ml 3 and
// com.microsoft 1.
func Model(g *pb.GraphProto) *pb.ModelProto {
	return &pb.ModelProto{
		IrVersion: new(int64(8)), ProducerName: new("onnxtest"), Graph: g,
		OpsetImport: []*pb.OperatorSetIdProto{
			{Domain: new(""), Version: new(int64(17))},
			{Domain: new("ai.onnx.ml"), Version: new(int64(3))},
			{Domain: new("com.microsoft"), Version: new(int64(1))},
		},
	}
}

// Graph makes a graph named g.
func Graph(inputs, outputs []*pb.ValueInfoProto, nodes ...*pb.NodeProto) *pb.GraphProto {
	return &pb.GraphProto{Name: new("g"), Input: inputs, Output: outputs, Node: nodes}
}

// Values groups inputs or outputs.
func Values(v ...*pb.ValueInfoProto) []*pb.ValueInfoProto { return v }

// Tensor declares a tensor; a dimension is an int, a name, or nil when open.
func Tensor(name string, elem pb.TensorProto_DataType, dims ...any) *pb.ValueInfoProto {
	shape := &pb.TensorShapeProto{}
	for _, d := range dims {
		dim := &pb.TensorShapeProto_Dimension{}
		switch d := d.(type) {
		case int:
			dim.Value = &pb.TensorShapeProto_Dimension_DimValue{DimValue: int64(d)}
		case string:
			dim.Value = &pb.TensorShapeProto_Dimension_DimParam{DimParam: d}
		}
		shape.Dim = append(shape.Dim, dim)
	}
	return &pb.ValueInfoProto{Name: new(name), Type: &pb.TypeProto{Value: &pb.TypeProto_TensorType{
		TensorType: &pb.TypeProto_Tensor{ElemType: new(int32(elem)), Shape: shape},
	}}}
}

// Maps declares a sequence of maps from key to float.
func Maps(name string, key pb.TensorProto_DataType) *pb.ValueInfoProto {
	value := Tensor("", pb.TensorProto_FLOAT).Type
	value.GetTensorType().Shape = nil
	m := &pb.TypeProto{Value: &pb.TypeProto_MapType{MapType: &pb.TypeProto_Map{
		KeyType: new(int32(key)), ValueType: value,
	}}}
	return &pb.ValueInfoProto{Name: new(name), Type: &pb.TypeProto{Value: &pb.TypeProto_SequenceType{
		SequenceType: &pb.TypeProto_Sequence{ElemType: m},
	}}}
}

// Node makes a node of ai.onnx.
func Node(op string, inputs, outputs []string, attributes ...*pb.AttributeProto) *pb.NodeProto {
	return DomainNode("", op, inputs, outputs, attributes...)
}

// DomainNode makes a node of any domain.
func DomainNode(domain, op string, inputs, outputs []string, attributes ...*pb.AttributeProto) *pb.NodeProto {
	return &pb.NodeProto{
		OpType: new(op), Domain: new(domain), Name: new(op + "/" + fmt.Sprint(outputs)),
		Input: inputs, Output: outputs, Attribute: attributes,
	}
}

// ZipMap makes a ZipMap from input to output with classes, strings or int64s.
func ZipMap(input, output string, classes *pb.AttributeProto) *pb.NodeProto {
	return DomainNode("ai.onnx.ml", "ZipMap", Names(input), Names(output), classes)
}

// Names is a list of values.
func Names(names ...string) []string { return names }

// Ints is an attribute of integers.
func Ints(name string, values ...int64) *pb.AttributeProto {
	return &pb.AttributeProto{Name: new(name), Type: pb.AttributeProto_INTS.Enum(), Ints: values}
}

// Strings is an attribute of strings.
func Strings(name string, values ...string) *pb.AttributeProto {
	a := &pb.AttributeProto{Name: new(name), Type: pb.AttributeProto_STRINGS.Enum()}
	for _, v := range values {
		a.Strings = append(a.Strings, []byte(v))
	}
	return a
}

// Int is an attribute of one integer.
func Int(name string, value int64) *pb.AttributeProto {
	return &pb.AttributeProto{Name: new(name), Type: pb.AttributeProto_INT.Enum(), I: new(value)}
}

// Floats is an attribute of floats.
func Floats(name string, values ...float32) *pb.AttributeProto {
	return &pb.AttributeProto{Name: new(name), Type: pb.AttributeProto_FLOATS.Enum(), Floats: values}
}

// SubGraph is an attribute that holds a graph.
func SubGraph(name string, g *pb.GraphProto) *pb.AttributeProto {
	return &pb.AttributeProto{Name: new(name), Type: pb.AttributeProto_GRAPH.Enum(), G: g}
}

// Floats32 is a constant float tensor.
func Floats32(name string, dims []int64, values ...float32) *pb.TensorProto {
	return &pb.TensorProto{
		Name: new(name), DataType: proto.Int32(int32(pb.TensorProto_FLOAT)), Dims: dims, FloatData: values,
	}
}

// Int64s is a constant int64 tensor.
func Int64s(name string, dims []int64, values ...int64) *pb.TensorProto {
	return &pb.TensorProto{
		Name: new(name), DataType: proto.Int32(int32(pb.TensorProto_INT64)), Dims: dims, Int64Data: values,
	}
}

// Bools is a constant bool tensor.
func Bools(name string, dims []int64, values ...int32) *pb.TensorProto {
	return &pb.TensorProto{
		Name: new(name), DataType: proto.Int32(int32(pb.TensorProto_BOOL)), Dims: dims, Int32Data: values,
	}
}

// Text is a constant string tensor.
func Text(name string, dims []int64, values ...string) *pb.TensorProto {
	t := &pb.TensorProto{Name: new(name), DataType: proto.Int32(int32(pb.TensorProto_STRING)), Dims: dims}
	for _, v := range values {
		t.StringData = append(t.StringData, []byte(v))
	}
	return t
}

// Identity is a model whose output y is its input x.
func Identity(elem pb.TensorProto_DataType, dims ...any) *pb.ModelProto {
	return Model(Graph(Values(Tensor("x", elem, dims...)), Values(Tensor("y", elem, dims...)),
		Node("Identity", Names("x"), Names("y"))))
}

// Endless is a model that takes x [1], adds one to it 2^62 times and gives y.
func Endless() *pb.ModelProto {
	body := Graph(
		Values(Tensor("i", pb.TensorProto_INT64), Tensor("c", pb.TensorProto_BOOL), Tensor("v", pb.TensorProto_FLOAT, 1)),
		Values(Tensor("c2", pb.TensorProto_BOOL), Tensor("v2", pb.TensorProto_FLOAT, 1)),
		Node("Identity", Names("c"), Names("c2")),
		Node("Add", Names("v", "one"), Names("v2")))
	g := Graph(Values(Tensor("x", pb.TensorProto_FLOAT, 1)), Values(Tensor("y", pb.TensorProto_FLOAT, 1)),
		Node("Loop", Names("n", "yes", "x"), Names("y"), SubGraph("body", body)))
	g.Initializer = []*pb.TensorProto{
		Int64s("n", nil, math.MaxInt64/2), Bools("yes", nil, 1), Floats32("one", []int64{1}, 1),
	}
	return Model(g)
}

// Bytes serialises a model.
func Bytes(tb testing.TB, m *pb.ModelProto) []byte {
	tb.Helper()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		tb.Fatalf("marshal model: %v", err)
	}
	return data
}

// Write writes a model to a folder of the test's and gives its path.
func Write(tb testing.TB, m *pb.ModelProto) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "model.onnx")
	if err := os.WriteFile(path, Bytes(tb, m), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}
