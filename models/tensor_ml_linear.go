package models

import (
	"math"
	"slices"

	"github.com/millrace/millrace/models/onnxpb"
)

// matrix gives a linear operator's input as float32 [N,F], and F by the
// coefficients, which ONNX Runtime multiplies as [outputs,F].
func (r *mlRewriter) matrix(x tensorType, value string, outputs, coefficients int, b *tensorBuilder) (matrix string, why string) {
	switch {
	case x.rank != 1 && x.rank != 2:
		return "", whyRank
	case outputs == 0 || coefficients == 0 || coefficients%outputs != 0,
		x.width() >= 0 && x.width() != int64(coefficients/outputs):
		return "", "it has not a coefficient for every column"
	}
	matrix = b.float32(value, x.elem)
	if x.rank == 1 {
		matrix = b.reshape(matrix, 1, -1)
	}
	return matrix, ""
}

// gemm is matrix times the transpose of coefficients [outputs,F], plus
// intercepts; none are 0.
func (b *tensorBuilder) gemm(matrix string, coefficients, intercepts []float32, outputs int) string {
	weights := floatTensor(coefficients)
	weights.Dims = []int64{int64(outputs), int64(len(coefficients) / outputs)}
	if len(intercepts) != outputs {
		intercepts = make([]float32, outputs)
	}
	return b.op("Gemm", []string{matrix, b.constant(weights), b.floats(intercepts...)}, intAttribute("transB", 1))
}

// regressorTensors is a Gemm, and the post-transform of more than one target.
func regressorTensors(r *mlRewriter, n *onnxpb.NodeProto, b *tensorBuilder) string {
	x, why := r.input(n, 1)
	if why != "" {
		return why
	}
	a, ok := attributesOf(n, linearAttributes)
	coefficients, targets := a["coefficients"].GetFloats(), 1
	if t := a["targets"]; t != nil {
		targets = int(min(max(t.GetI(), 0), math.MaxInt32))
	}
	switch {
	case !ok:
		return whyAttributes
	case x.elem != Float32:
		return whyType(x.elem)
	}
	matrix, why := r.matrix(x, n.GetInput()[0], targets, len(coefficients), b)
	if why != "" {
		return why
	}
	scores := b.gemm(matrix, coefficients, a["intercepts"].GetFloats(), targets)
	out, why := b.postTransform(scores, string(a["post_transform"].GetS()), targets)
	if why != "" {
		return why
	}
	b.give(out, n.GetOutput()[0])
	return ""
}

var linearClassifierAttributes = map[string]onnxpb.AttributeProto_AttributeType{
	"coefficients": floatsType, "intercepts": floatsType, "post_transform": stringType,
	"multi_class":      onnxpb.AttributeProto_INT, // not looked at
	"classlabels_ints": onnxpb.AttributeProto_INTS, "classlabels_strings": onnxpb.AttributeProto_STRINGS,
}

// classifierTensors is a Gemm for scores, whose best gives the label. The label
// is worked out only where something takes it, and then must be an integer.
func classifierTensors(r *mlRewriter, n *onnxpb.NodeProto, b *tensorBuilder) string {
	x, why := r.input(n, 2)
	if why != "" {
		return why
	}
	a, ok := attributesOf(n, linearClassifierAttributes)
	coefficients, intercepts := a["coefficients"].GetFloats(), a["intercepts"].GetFloats()
	ints, strings := a["classlabels_ints"].GetInts(), a["classlabels_strings"].GetStrings()
	outputs, classes := len(intercepts), max(len(ints), len(strings)) // ONNX Runtime counts intercepts, too
	label, labelled := n.GetOutput()[0], r.used[n.GetOutput()[0]] > 0
	switch {
	case !ok || outputs > 1 && classes != outputs || outputs == 1 && classes != 0 && classes != 2 || len(ints) > 0 && len(strings) > 0:
		return whyAttributes
	case x.elem != Float32 && x.elem != Float64 && x.elem != Int64 && x.elem != Int32:
		return whyType(x.elem)
	case labelled && len(strings) > 0:
		return "its labels are strings, which no device holds"
	}
	matrix, why := r.matrix(x, n.GetInput()[0], outputs, len(coefficients), b)
	if why != "" {
		return why
	}
	scores := b.gemm(matrix, coefficients, intercepts, outputs)
	if labelled {
		b.give(b.bestLabel(scores, ints, outputs), label)
	}
	out, why := b.classScores(scores, string(a["post_transform"].GetS()), outputs, classes)
	if why != "" {
		return why
	}
	b.give(out, n.GetOutput()[1])
	return ""
}

// classScores are the scores of a classifier. One score with labels for two
// classes becomes two: with LOGISTIC the probabilities, else the score and what
// it lacks of 1, whatever the transform.
func (b *tensorBuilder) classScores(scores, transform string, outputs, classes int) (out, why string) {
	switch {
	case outputs > 1 || classes != 2:
		return b.postTransform(scores, transform, outputs)
	case transform == "PROBIT":
		return "", "its post-transform is PROBIT for one score and two classes, of which ONNX Runtime gives only parts"
	case transform == "LOGISTIC":
		return b.sides(b.one("Sigmoid", b.one("Neg", scores)), b.one("Sigmoid", scores)), ""
	}
	return b.sides(b.one("Sub", b.floatOf(1), scores), scores), ""
}

// sides puts two columns side by side.
func (b *tensorBuilder) sides(left, right string) string {
	return b.op("Concat", []string{left, right}, intAttribute("axis", 1))
}

// bestLabel gathers the label of the first best score: NaN is never better, and
// a NaN that comes first is never beaten.
func (b *tensorBuilder) bestLabel(scores string, labels []int64, outputs int) string {
	if outputs == 1 {
		if len(labels) != 2 {
			labels = []int64{0, 1}
		}
		positive := b.reshape(b.one("Greater", scores, b.floatOf(0)), -1)
		return b.one("Where", positive, b.intOf(labels[1]), b.intOf(labels[0]))
	}
	instead := slices.Repeat([]float32{float32(math.Inf(-1))}, outputs)
	instead[0] = float32(math.Inf(1))
	ordered := b.one("Where", b.one("IsNaN", scores), b.floats(instead...), scores)
	// Not ArgMax: of equal scores, each device may find another first. Places
	// count from the last label, so that the first of the best has the largest.
	places, byPlace := make([]float32, outputs), make([]int64, outputs+1)
	for i, label := range labels {
		places[i] = float32(outputs - i)
		byPlace[outputs-i] = label
	}
	best := b.equalFloats(ordered, b.reduce("ReduceMax", ordered, 1, true))
	place := b.reduce("ReduceMax", b.one("Where", best, b.floats(places...), b.floatOf(0)), 1, false)
	return b.op("Gather", []string{b.ints(byPlace...), b.cast(place, Int64)}, intAttribute("axis", 0))
}

// postTransform is what ONNX Runtime does to scores [N,outputs]: to one column,
// PROBIT alone.
func (b *tensorBuilder) postTransform(scores, transform string, outputs int) (out, why string) {
	if outputs == 1 && transform != "PROBIT" {
		transform = "NONE"
	}
	switch transform {
	case "", "NONE":
		return scores, ""
	case "LOGISTIC":
		return b.one("Sigmoid", scores), ""
	case "SOFTMAX":
		return b.op("Softmax", []string{scores}, intAttribute("axis", 1)), ""
	case "SOFTMAX_ZERO":
		return b.softmaxZero(scores), ""
	case "PROBIT":
		return b.probit(scores), ""
	}
	return "", "its post-transform is " + transform
}

// softmaxZero is a Softmax that leaves scores next to 0 out of the sum.
func (b *tensorBuilder) softmaxZero(scores string) string {
	largest := b.largest(scores, 1)
	counted := b.one("Or", b.one("Greater", scores, b.floatOf(1e-7)), b.one("Less", scores, b.floatOf(-1e-7)))
	power := b.one("Exp", b.one("Sub", scores, largest))
	small := b.one("Mul", scores, b.one("Exp", b.one("Neg", largest)))
	sum := b.reduce("ReduceSum", b.one("Where", counted, power, b.floatOf(0)), 1, true)
	return b.one("Div", b.one("Where", counted, power, small), sum)
}

// probit is ONNX Runtime's approximation of the inverse of the normal
// distribution, with its constants
// (onnxruntime/core/providers/cpu/ml/ml_common.h, ErfInv).
func (b *tensorBuilder) probit(p string) string {
	const pi, a = float32(3.14159), float32(0.147)
	one := b.floatOf(1)
	x := b.one("Sub", b.one("Mul", b.floatOf(2), p), one)
	log := b.one("Log", b.one("Mul", b.one("Sub", one, x), b.one("Add", one, x)))
	v := b.one("Add", b.floatOf(2/(pi*a)), b.one("Mul", b.floatOf(0.5), log))
	v2 := b.one("Mul", b.floatOf(1/a), log)
	root := b.one("Sqrt", b.one("Sub", b.one("Mul", v, v), v2))
	size := b.one("Sqrt", b.one("Add", b.one("Neg", v), root))
	signed := b.one("Where", b.one("Less", x, b.floatOf(0)), b.one("Neg", size), size)
	return b.one("Mul", b.floatOf(math.Sqrt2), signed)
}
