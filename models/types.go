package models

import (
	"fmt"
	"strconv"
	"strings"
)

// ElementType is the type of a tensor's elements; the numbers are those of
// TensorProto.DataType in onnx.proto and of ONNXTensorElementDataType in the
// ONNX Runtime C API, which agree.
type ElementType int32

// The element types.
const (
	Undefined  ElementType = 0
	Float32    ElementType = 1
	Uint8      ElementType = 2
	Int8       ElementType = 3
	Uint16     ElementType = 4
	Int16      ElementType = 5
	Int32      ElementType = 6
	Int64      ElementType = 7
	String     ElementType = 8
	Bool       ElementType = 9
	Float16    ElementType = 10
	Float64    ElementType = 11
	Uint32     ElementType = 12
	Uint64     ElementType = 13
	Complex64  ElementType = 14
	Complex128 ElementType = 15
	BFloat16   ElementType = 16
)

var elementNames = map[ElementType]string{
	Float32: "float32", Uint8: "uint8", Int8: "int8", Uint16: "uint16", Int16: "int16", Int32: "int32",
	Int64: "int64", String: "string", Bool: "bool", Float16: "float16", Float64: "float64", Uint32: "uint32",
	Uint64: "uint64", Complex64: "complex64", Complex128: "complex128", BFloat16: "bfloat16",
}

// String returns the type's name, such as float32.
func (t ElementType) String() string {
	if s, ok := elementNames[t]; ok {
		return s
	}
	return fmt.Sprintf("element type %d", int32(t))
}

// Bytes is the size of one element; 0 for strings and unknown types.
func (t ElementType) Bytes() int {
	switch t {
	case Uint8, Int8, Bool:
		return 1
	case Uint16, Int16, Float16, BFloat16:
		return 2
	case Float32, Int32, Uint32:
		return 4
	case Float64, Int64, Uint64, Complex64:
		return 8
	case Complex128:
		return 16
	default:
		return 0
	}
}

// Dim is one dimension of a shape. Size is -1 where the model leaves it open;
// Param is its name then, when it has one.
type Dim struct {
	Size  int64
	Param string
}

// Shape is the shape of a tensor in a signature.
type Shape []Dim

// String draws a shape as [N,32]; an open, nameless dimension is a question
// mark.
func (s Shape) String() string {
	parts := make([]string, len(s))
	for i, d := range s {
		switch {
		case d.Size >= 0:
			parts[i] = strconv.FormatInt(d.Size, 10)
		case d.Param != "":
			parts[i] = d.Param
		default:
			parts[i] = "?"
		}
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// Kind says what a model's input or output is.
type Kind int

// The kinds of values in ONNX's type system.
const (
	Tensor Kind = iota
	Sequence
	Map
	SequenceOfMaps // what a ZipMap operator gives
	Optional
	SparseTensor
)

// Value is one input or output of a model's signature.
type Value struct {
	Name  string
	Kind  Kind
	Elem  ElementType // of the tensor, the sequence's tensors, or the map's values
	Key   ElementType // of a map's keys
	Shape Shape       // nil where the model does not say
	// HasShape tells a scalar (true, no dimensions) from an unknown rank.
	HasShape bool
}

// ClassLabels are the labels of a classifier, in the order of its score
// columns; at most one of the lists is set.
type ClassLabels struct {
	Strings []string
	Ints    []int64
}
