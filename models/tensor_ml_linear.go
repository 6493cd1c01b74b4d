package models

import (
	"math"

	"github.com/millrace/millrace/models/onnxpb"
)

// matrix gives a linear operator's input as float32 [N,F], and F by the
// coefficients, which ONNX Runtime multiplies as [outputs,F].
func (r *mlRewriter) matrix(x tensorType, value string, outputs, coefficients int, b *graphBuilder) (matrix string, why string) {
	switch {
	case x.rank != 1 && x.rank != 2:
		return "", whyRank
	case outputs == 0 || coefficients == 0 || coefficients%outputs != 0,
		x.width() >= 0 && x.width() != int64(coefficients/outputs):
		return "", "it has not a coefficient for every column"
	}
	matrix = b.castFrom(value, x.elem, Float32)
	if x.rank == 1 {
		matrix = b.reshape(matrix, 1, -1)
	}
	return matrix, ""
}

// product is matrix times the transpose of coefficients [outputs,F], plus
// intercepts; none are 0.
func (b *graphBuilder) product(matrix string, coefficients, intercepts []float32, outputs int) string {
	weights := b.floats([]int64{int64(outputs), int64(len(coefficients) / outputs)}, coefficients...)
	if len(intercepts) != outputs {
		intercepts = make([]float32, outputs)
	}
	return b.op("Gemm", []string{matrix, weights, b.vector(intercepts...)}, intAttribute("transB", 1))
}

// regressorTensors is a Gemm, and the post-transform of more than one target.
func regressorTensors(r *mlRewriter, n *onnxpb.NodeProto, b *graphBuilder) string {
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
	scores := b.product(matrix, coefficients, a["intercepts"].GetFloats(), targets)
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
func classifierTensors(r *mlRewriter, n *onnxpb.NodeProto, b *graphBuilder) string {
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
	scores := b.product(matrix, coefficients, intercepts, outputs)
	if labelled {
		switch {
		case outputs > 1:
			b.give(b.labelOfBest(scores, ints), label)
		case len(ints) == 2:
			b.give(b.labelAbove(scores, 0, ints), label)
		default:
			b.give(b.labelAbove(scores, 0, []int64{0, 1}), label)
		}
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
func (b *graphBuilder) classScores(scores, transform string, outputs, classes int) (out, why string) {
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
