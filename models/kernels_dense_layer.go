package models

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/millrace/millrace/models/onnxpb"
)

// denseLayer is activation(x weights + bias).
type denseLayer struct {
	inputs, outputs int
	weights         []float32 // [inputs][outputs]
	bias            []float32 // [outputs]; nil: none
	activation      activation
	low, high       float32
}

// activation is what is done to a layer's sums, by engine/ort/dense.h's numbers.
type activation uint32

const (
	noActivation activation = iota
	relu
	leakyRelu // by low below 0
	clip      // from low to high
)

// readLayer reads a MatMul or Gemm by constants.
func (f *denseFinder) readLayer(n *onnxpb.NodeProto) (l denseLayer, ok bool) {
	in := n.GetInput()
	gemm := isOp(n, "", "Gemm")
	if len(n.GetOutput()) != 1 || !gemm && (!isOp(n, "", "MatMul") || len(in) != 2) || gemm && len(in) != 2 && len(in) != 3 {
		return l, false
	}
	a, ok := attributesOf(n, gemmAttributes)
	if !ok || a["alpha"] != nil && a["alpha"].GetF() != 1 || a["transA"].GetI() != 0 {
		return l, false
	}
	w := f.constants[in[1]]
	dims := w.GetDims()
	if len(dims) != 2 || min(dims[0], dims[1]) < 1 || max(dims[0], dims[1]) > maxDenseWidth {
		return l, false
	}
	weights := dims[0] * dims[1]
	if weights > min(maxDenseSums, f.left) {
		return l, false
	}
	f.left -= weights
	if l.weights, ok = f.floats(w, weights); !ok {
		return l, false
	}
	l.inputs, l.outputs = int(dims[0]), int(dims[1])
	if a["transB"].GetI() != 0 {
		l.inputs, l.outputs = l.outputs, l.inputs
		l.weights = turned(l.weights, l.outputs)
	}
	if len(in) == 3 && in[2] != "" {
		ok = (a["beta"] == nil || a["beta"].GetF() == 1) && f.addBias(&l, in[2])
	}
	return l, ok
}

// turned gives a matrix of so many rows with rows and columns exchanged.
func turned(m []float32, rows int) []float32 {
	columns := len(m) / rows
	out := make([]float32, len(m))
	for i, v := range m {
		out[i%columns*rows+i/columns] = v
	}
	return out
}

// addBias reads a constant that is added to every row.
func (f *denseFinder) addBias(l *denseLayer, name string) (ok bool) {
	c := f.constants[name]
	dims := c.GetDims()
	if n := int64(l.outputs); !slices.Equal(dims, []int64{n}) && !slices.Equal(dims, []int64{1, n}) {
		return false
	}
	l.bias, ok = f.floats(c, int64(l.outputs))
	return ok
}

// amend gives a layer the bias or activation that a node is.
func (f *denseFinder) amend(l *denseLayer, n *onnxpb.NodeProto) bool {
	in := n.GetInput()
	if l.activation != noActivation || len(n.GetOutput()) != 1 || len(in) == 0 {
		return false
	}
	switch {
	case isOp(n, "", "Add") && len(in) == 2 && len(n.GetAttribute()) == 0 && l.bias == nil:
		return f.addBias(l, in[0]) || f.addBias(l, in[1])
	case isOp(n, "", "Relu") && len(in) == 1 && len(n.GetAttribute()) == 0:
		l.activation = relu
		return true
	case isOp(n, "", "LeakyRelu") && len(in) == 1:
		a, ok := attributesOf(n, leakyReluAttributes)
		if !ok {
			return false
		}
		l.activation, l.low = leakyRelu, 0.01
		if a["alpha"] != nil {
			l.low = a["alpha"].GetF()
		}
		return true
	case isOp(n, "", "Clip"):
		return f.addClip(l, n)
	}
	return false
}

// addClip reads bounds, which are attributes before version 11 of ai.onnx and
// inputs since.
func (f *denseFinder) addClip(l *denseLayer, n *onnxpb.NodeProto) bool {
	a, ok := attributesOf(n, clipAttributes)
	if !ok {
		return false
	}
	bounds := [2]float32{-math.MaxFloat32, math.MaxFloat32}
	for i, name := range []string{"min", "max"} {
		if a[name] != nil {
			bounds[i] = a[name].GetF()
		}
		if in := n.GetInput(); len(in) > i+1 && in[i+1] != "" {
			given, ok := f.floats(f.constants[in[i+1]], 1)
			if !ok {
				return false
			}
			bounds[i] = given[0]
		}
	}
	// Crossed bounds that are attributes ONNX Runtime refuses; of inputs the upper one
	// counts.
	if anyNaN(bounds[:]) || len(n.GetInput()) > 3 || len(a) > 0 && bounds[0] > bounds[1] {
		return false
	}
	l.activation, l.low, l.high = clip, bounds[0], bounds[1]
	return true
}

// keeps says whether a node gives the matrix of so many columns that it takes.
func (f *denseFinder) keeps(n *onnxpb.NodeProto, columns int) bool {
	in := n.GetInput()
	switch {
	case isOp(n, "", "Identity"):
		return true
	case isOp(n, "", "Cast"):
		return ElementType(attribute(n, "to").GetI()) == Float32
	case isOp(n, "", "Dropout"):
		// With a third input it may be told to drop.
		return len(in) < 3 || in[2] == ""
	case isOp(n, "", "Flatten"):
		axis := attribute(n, "axis")
		return axis == nil || axis.GetI() == 1
	case isOp(n, "", "Reshape") && len(in) == 2:
		shape := tensorLabels(f.constants[in[1]]).Ints
		return len(shape) == 2 && shape[1] == int64(columns) && (shape[0] == -1 || shape[0] == 0 && attribute(n, "allowzero").GetI() == 0)
	}
	return false
}

// floats reads a constant of so many float32, in the model or in a file beside it.
func (r *kernelRewriter) floats(t *onnxpb.TensorProto, want int64) ([]float32, bool) {
	n, ok := elements(t.GetDims())
	if t == nil || !ok || n != want || ElementType(t.GetDataType()) != Float32 {
		return nil, false
	}
	raw := t.GetRawData()
	if t.GetDataLocation() == onnxpb.TensorProto_EXTERNAL {
		var err error
		if raw, err = readExternal(r.folder, t, 4*n); err != nil {
			return nil, false // ONNX Runtime will say what is wrong with it
		}
	}
	all := append(make([]float32, 0, n), t.GetFloatData()...)
	for ; len(raw) >= 4; raw = raw[4:] {
		all = append(all, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
	}
	return all, int64(len(all)) == n
}

// encode writes the layout that engine/ort/op_dense.c reads: words of 4 bytes,
// little-endian.
//
//	head        magic "MRD1", layers
//	each layer  inputs, outputs, activation, low, high, bias [outputs],
//	            weights [inputs][outputs]
func (c *denseChain) encode() []byte {
	b := make([]byte, 0, 4*c.sums)
	word := func(v uint32) { b = binary.LittleEndian.AppendUint32(b, v) }
	floats := func(list ...float32) {
		for _, v := range list {
			word(math.Float32bits(v))
		}
	}
	b = append(b, "MRD1"...)
	word(uint32(len(c.layers)))
	for i := range c.layers {
		l := &c.layers[i]
		word(uint32(l.inputs))
		word(uint32(l.outputs))
		word(uint32(l.activation))
		floats(l.low, l.high)
		if l.bias == nil {
			floats(make([]float32, l.outputs)...)
		}
		floats(l.bias...)
		floats(l.weights...)
	}
	return b
}
