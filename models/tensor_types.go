package models

import (
	"slices"

	"github.com/millrace/millrace/models/onnxpb"
)

// tensorType is what is known of a value: Undefined elements where nothing is.
type tensorType struct {
	elem  ElementType
	shape []int64 // -1 for an open dimension
	rank  int     // -1 where unknown, and then there is no shape
}

var unknownType = tensorType{rank: -1}

// width is the size of the last of one or two dimensions; -1 where unknown.
func (t tensorType) width() int64 {
	if t.rank != 1 && t.rank != 2 {
		return -1
	}
	return t.shape[t.rank-1]
}

// shaped forgets shapes of more dimensions than maxRank, which no operator takes
// and which a hostile graph could copy from node to node.
func shaped(elem ElementType, dims ...int64) tensorType {
	if len(dims) > maxRank {
		return tensorType{elem: elem, rank: -1}
	}
	return tensorType{elem: elem, shape: dims, rank: len(dims)}
}

// of the same shape, another type of elements.
func (t tensorType) of(elem ElementType) tensorType {
	t.elem = elem
	return t
}

// typeTracer follows types and shapes through the main graph, node by node. It
// believes what is declared of inputs, which ONNX Runtime holds callers to, and
// of inner values that it cannot work out; outputs are declared wrongly by too
// many exporters.
type typeTracer struct {
	known     map[string]tensorType
	declared  map[string]tensorType
	constants map[string]*onnxpb.TensorProto
}

func newTypeTracer(g *onnxpb.GraphProto) *typeTracer {
	t := &typeTracer{known: map[string]tensorType{}, declared: map[string]tensorType{}, constants: newTracer(g).constants}
	for _, v := range g.GetOutput() {
		t.declared[v.GetName()] = unknownType
	}
	for _, v := range g.GetValueInfo() {
		t.declared[v.GetName()] = declaredType(v)
	}
	for _, v := range g.GetInput() {
		t.known[v.GetName()] = declaredType(v)
	}
	for name, c := range t.constants {
		t.known[name] = shaped(ElementType(c.GetDataType()), c.GetDims()...)
	}
	return t
}

// typesOf are the types of all of a graph's values.
func typesOf(g *onnxpb.GraphProto) *typeTracer {
	t := newTypeTracer(g)
	for _, n := range g.GetNode() {
		t.node(n)
	}
	return t
}

func declaredType(v *onnxpb.ValueInfoProto) tensorType {
	tensor := v.GetType().GetTensorType()
	if tensor == nil {
		return unknownType
	}
	elem := ElementType(tensor.GetElemType())
	shape, ok := shapeOf(tensor.GetShape())
	if !ok {
		return tensorType{elem: elem, rank: -1}
	}
	dims := make([]int64, len(shape))
	for i, d := range shape {
		dims[i] = d.Size
	}
	return shaped(elem, dims...)
}

// info declares a value to be of a type; nil where the elements are not known.
func (t tensorType) info(name string) *onnxpb.ValueInfoProto {
	if t.elem == Undefined {
		return nil
	}
	tensor := &onnxpb.TypeProto_Tensor{ElemType: new(int32(t.elem))}
	if t.rank >= 0 {
		tensor.Shape = &onnxpb.TensorShapeProto{}
		for _, d := range t.shape {
			dim := &onnxpb.TensorShapeProto_Dimension{}
			if d >= 0 {
				dim.Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: d}
			}
			tensor.Shape.Dim = append(tensor.Shape.Dim, dim)
		}
	}
	return &onnxpb.ValueInfoProto{Name: &name, Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: tensor}}}
}

func (t *typeTracer) of(name string) tensorType {
	known, ok := t.known[name]
	if !ok {
		known = unknownType
	}
	if declared, ok := t.declared[name]; ok {
		return known.filled(declared)
	}
	return known
}

// filled takes what is not known from what is declared.
func (t tensorType) filled(declared tensorType) tensorType {
	if t.elem == Undefined {
		t.elem = declared.elem
	}
	switch {
	case t.rank < 0:
		t.rank, t.shape = declared.rank, declared.shape
	case t.rank == declared.rank:
		t.shape = slices.Clone(t.shape)
		for i, d := range declared.shape {
			if t.shape[i] < 0 {
				t.shape[i] = d
			}
		}
	}
	return t
}

// node works out the types of a node's outputs; types of its inputs come first.
func (t *typeTracer) node(n *onnxpb.NodeProto) {
	if len(n.GetInput()) == 0 || len(n.GetOutput()) == 0 {
		return
	}
	in := make([]tensorType, len(n.GetInput()))
	for i, name := range n.GetInput() {
		in[i] = t.of(name)
	}
	var out []tensorType
	switch plainDomain(n.GetDomain()) {
	case "":
		out = t.plain(n, in)
	case mlDomain:
		out = mlTypes(n, in)
	case KernelDomain:
		out = kernelTypes(n, in[0])
	}
	for i, name := range n.GetOutput() {
		if i < len(out) && out[i].elem != Undefined {
			t.known[name] = out[i]
		}
	}
}

// Operators of ai.onnx by what their first output is; the further ones are of types of their
// own, and not followed.
var (
	// Of the first input's type and shape.
	likeFirst = setOf("Identity", "Dropout", "Relu", "LeakyRelu", "PRelu", "ThresholdedRelu", "Elu", "Selu", "Celu", "Gelu", "Mish",
		"Sigmoid", "HardSigmoid", "HardSwish", "Softplus", "Softsign", "Tanh", "Softmax", "LogSoftmax", "Hardmax", "Clip", "Shrink",
		"Abs", "Neg", "Sign", "Reciprocal", "Sqrt", "Exp", "Log", "Erf", "Floor", "Ceil", "Round", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan",
		"Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "CumSum", "Trilu", "BatchNormalization", "LayerNormalization", "InstanceNormalization",
		"LpNormalization", "MeanVarianceNormalization", "ScatterElements", "ScatterND", "Not")
	// Of the first input's type and the shape that all broadcast to.
	broadcasts = setOf("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Sum", "Mean")
	// Of bool and the shape that all broadcast to.
	compares = setOf("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor", "IsNaN", "IsInf")
	// Of the first input's type and a shape that is not worked out.
	likeFirstUnshaped = setOf("Transpose", "Squeeze", "Unsqueeze", "Slice", "Expand", "Tile", "Pad", "Compress", "GatherElements", "GatherND",
		"ReduceSum", "ReduceMax", "ReduceMin", "ReduceMean", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
		"ReduceSumSquare", "Einsum", "Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool")
)

func setOf(names ...string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// plain are the types of an operator of ai.onnx, as far as they are worked out.
func (t *typeTracer) plain(n *onnxpb.NodeProto, in []tensorType) []tensorType {
	switch n.GetOpType() {
	case "Split":
		return t.split(n, in[0])
	case "TopK":
		return []tensorType{in[0].unshaped(), unknownType.of(Int64)}
	}
	return []tensorType{t.first(n, in)}
}

// first is the type of the first output, by which all but few operators are used.
func (t *typeTracer) first(n *onnxpb.NodeProto, in []tensorType) tensorType {
	x, op := in[0], n.GetOpType()
	switch {
	case likeFirst[op]:
		return x
	case likeFirstUnshaped[op]:
		return x.unshaped()
	case broadcasts[op]:
		return broadcastAll(in)
	case compares[op]:
		return broadcastAll(in).of(Bool)
	}
	switch op {
	case "Where":
		return broadcastAll(in).of(in[len(in)-1].elem)
	case "Cast":
		return x.of(ElementType(attribute(n, "to").GetI()))
	case "CastLike":
		return x.of(in[len(in)-1].elem)
	case "MatMul", "Gemm":
		if len(in) >= 2 && x.rank == 2 && in[1].rank == 2 && attribute(n, "transA").GetI() == 0 {
			return shaped(x.elem, x.shape[0], in[1].shape[1-attribute(n, "transB").GetI()&1])
		}
		return x.unshaped()
	case "Concat":
		return concatenated(in, attribute(n, "axis").GetI())
	case "Reshape":
		if len(in) == 2 && attribute(n, "allowzero").GetI() == 0 {
			return reshaped(x, t.constants[n.GetInput()[1]])
		}
		return x.unshaped()
	case "Gather":
		return gathered(in, attribute(n, "axis").GetI())
	case "Flatten":
		if a := attribute(n, "axis"); x.rank == 2 && (a == nil || a.GetI() == 1) {
			return x
		}
		return shaped(x.elem, -1, -1)
	case "ArgMax", "ArgMin":
		return argTypes(n, x)
	case "Shape", "Size", "NonZero":
		return unknownType.of(Int64)
	}
	return unknownType
}

// split are the types of a Split, of sizes that stand in an attribute before opset 13 and in
// a constant from then on; else all are of one size.
func (t *typeTracer) split(n *onnxpb.NodeProto, x tensorType) []tensorType {
	parts := len(n.GetOutput())
	out := slices.Repeat([]tensorType{x.unshaped()}, parts)
	axis, ok := axisOf(attribute(n, "axis").GetI(), x.rank)
	if !ok {
		return out
	}
	sizes := attribute(n, "split").GetInts()
	switch {
	case len(n.GetInput()) > 1 && n.GetInput()[1] != "":
		sizes = tensorLabels(t.constants[n.GetInput()[1]]).Ints
	case len(sizes) == 0 && x.shape[axis] >= 0 && x.shape[axis]%int64(parts) == 0:
		sizes = slices.Repeat([]int64{x.shape[axis] / int64(parts)}, parts)
	}
	if len(sizes) != parts {
		sizes = slices.Repeat([]int64{-1}, parts)
	}
	for i, size := range sizes {
		out[i] = shaped(x.elem, slices.Clone(x.shape)...)
		out[i].shape[axis] = size
	}
	return out
}

// axisOf counts an axis from the front; false where there is none such.
func axisOf(axis int64, rank int) (int, bool) {
	if axis < 0 {
		axis += int64(rank)
	}
	return int(axis), axis >= 0 && axis < int64(rank)
}

func broadcastAll(in []tensorType) tensorType {
	out := in[0]
	for _, x := range in[1:] {
		out = broadcast(out, x)
	}
	return out
}

func broadcast(a, b tensorType) tensorType {
	if a.rank < 0 || b.rank < 0 {
		return tensorType{elem: a.elem, rank: -1}
	}
	if a.rank < b.rank {
		a, b = b.of(a.elem), a
	}
	out := shaped(a.elem, slices.Clone(a.shape)...)
	for i := range b.shape {
		at := a.rank - b.rank + i
		if b.shape[i] != 1 && out.shape[at] <= 1 {
			// An open dimension beside a larger one is that, or 1; beside another
			// open one it may be either.
			out.shape[at] = b.shape[i]
		}
	}
	return out
}

func concatenated(in []tensorType, axis int64) tensorType {
	rank := in[0].rank
	at, ok := axisOf(axis, rank)
	if !ok {
		return in[0].unshaped()
	}
	sum := int64(0)
	for _, x := range in {
		if x.rank != rank {
			return in[0].unshaped()
		}
		if sum >= 0 && x.shape[at] >= 0 {
			sum += x.shape[at]
		} else {
			sum = -1
		}
	}
	out := shaped(in[0].elem, slices.Clone(in[0].shape)...)
	out.shape[at] = sum
	return out
}

// unshaped forgets the shape.
func (t tensorType) unshaped() tensorType { return tensorType{elem: t.elem, rank: -1} }

// gathered is the type of a Gather: the indices' dimensions take the place of the axis.
func gathered(in []tensorType, axis int64) tensorType {
	x := in[0]
	at, ok := axisOf(axis, x.rank)
	if !ok || len(in) != 2 || in[1].rank < 0 {
		return x.unshaped()
	}
	return shaped(x.elem, slices.Concat(x.shape[:at], in[1].shape, x.shape[at+1:])...)
}

func reshaped(x tensorType, to *onnxpb.TensorProto) tensorType {
	if ElementType(to.GetDataType()) != Int64 || len(to.GetDims()) != 1 || to.GetDims()[0] > maxRank {
		return x.unshaped()
	}
	shape := tensorLabels(to).Ints
	if int64(len(shape)) != to.GetDims()[0] {
		return x.unshaped()
	}
	out := shaped(x.elem, slices.Clone(shape)...)
	for i, d := range out.shape {
		if d == 0 {
			out.shape[i] = -1
			if i < len(x.shape) {
				out.shape[i] = x.shape[i]
			}
		}
	}
	return out
}

func argTypes(n *onnxpb.NodeProto, x tensorType) tensorType {
	axis, ok := axisOf(attribute(n, "axis").GetI(), x.rank)
	if !ok {
		return unknownType.of(Int64)
	}
	shape := slices.Clone(x.shape)
	if keep := attribute(n, "keepdims"); keep != nil && keep.GetI() == 0 {
		return shaped(Int64, slices.Delete(shape, axis, axis+1)...)
	}
	shape[axis] = 1
	return shaped(Int64, shape...)
}

// mlTypes are the types of an operator of ai.onnx.ml.
func mlTypes(n *onnxpb.NodeProto, in []tensorType) []tensorType {
	x := in[0]
	rows := x.rows()
	switch n.GetOpType() {
	case "Scaler", "Normalizer":
		return []tensorType{x.of(Float32)}
	case "Imputer", "Binarizer":
		return []tensorType{x}
	case "OneHotEncoder":
		if x.rank < 0 {
			return []tensorType{x.of(Float32)}
		}
		return []tensorType{shaped(Float32, append(slices.Clone(x.shape), categories(n))...)}
	case "LabelEncoder":
		return []tensorType{x.of(encodedType(n))}
	case "FeatureVectorizer":
		sum := int64(0)
		for _, d := range attribute(n, "inputdimensions").GetInts() {
			sum += d
		}
		return []tensorType{shaped(Float32, rows, sum)}
	case "ArrayFeatureExtractor":
		return []tensorType{extracted(in)}
	case "SVMRegressor":
		return []tensorType{shaped(Float32, rows, 1)}
	case "TreeEnsemble":
		return []tensorType{shaped(x.elem, rows, attribute(n, "n_targets").GetI())}
	case "LinearRegressor":
		return []tensorType{shaped(Float32, rows, max(1, attribute(n, "targets").GetI()))}
	case "TreeEnsembleRegressor":
		return []tensorType{shaped(x.elem, rows, max(1, attribute(n, "n_targets").GetI())).of(Float32)}
	case "LinearClassifier", "TreeEnsembleClassifier", "SVMClassifier":
		label := Int64
		if len(attribute(n, "classlabels_strings").GetStrings()) > 0 {
			label = String
		}
		return []tensorType{shaped(label, rows), shaped(Float32, rows, -1)}
	}
	return nil
}

// rows is how many rows operators of ai.onnx.ml see: of one dimension, one.
func (t tensorType) rows() int64 {
	switch t.rank {
	case 1:
		return 1
	case 2:
		return t.shape[0]
	}
	return -1
}

// kernelTypes are the types of an operator of UseKernels.
func kernelTypes(n *onnxpb.NodeProto, x tensorType) []tensorType {
	scores := shaped(Float32, x.rows(), attribute(n, "targets").GetI())
	switch n.GetOpType() {
	case "Affine":
		return []tensorType{x}
	case "Dense":
		return []tensorType{shaped(Float32, x.rows(), attribute(n, "outputs").GetI())}
	case "Linear":
		return []tensorType{shaped(Float32, x.rows(), 1)}
	case "TreesRegressor":
		return []tensorType{scores}
	case "TreesClassifierInt64":
		return []tensorType{shaped(Int64, x.rows()), scores}
	case "TreesClassifierString":
		return []tensorType{shaped(String, x.rows()), scores}
	}
	return nil
}

func categories(n *onnxpb.NodeProto) int64 {
	return int64(max(len(attribute(n, "cats_int64s").GetInts()), len(attribute(n, "cats_strings").GetStrings())))
}

// extracted is the type of an ArrayFeatureExtractor: one dimension becomes two.
func extracted(in []tensorType) tensorType {
	x, picked := in[0], int64(-1)
	if len(in) == 2 && in[1].rank >= 0 {
		picked = 1
		for _, d := range in[1].shape {
			if d < 0 || picked < 0 {
				picked = -1
			} else {
				picked *= d
			}
		}
	}
	switch {
	case x.rank == 1:
		return shaped(x.elem, 1, picked)
	case x.rank > 1:
		shape := slices.Clone(x.shape)
		shape[x.rank-1] = picked
		return shaped(x.elem, shape...)
	}
	return x.unshaped()
}
