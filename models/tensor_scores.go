package models

import (
	"math"
	"slices"
)

// What ONNX Runtime's linear operators and its trees both do to scores
// (onnxruntime:core/providers/cpu/ml/ml_common.h), of the builder's real type.

// postTransform is what becomes of scores [N,outputs]: of one column, by PROBIT
// alone.
func (b *graphBuilder) postTransform(scores, transform string, outputs int) (out, why string) {
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
func (b *graphBuilder) softmaxZero(scores string) string {
	largest := b.largest(scores, 1)
	counted := b.one("Greater", b.one("Abs", scores), b.scalar(float64(float32(1e-7))))
	power := b.one("Exp", b.one("Sub", scores, largest))
	small := b.one("Mul", scores, b.one("Exp", b.one("Neg", largest)))
	sum := b.reduceTo1("ReduceSum", b.one("Where", counted, power, b.scalar(0)), 1)
	return b.one("Div", b.one("Where", counted, power, small), sum)
}

// largest is the largest value along an axis, which stays with one value, as
// std::max finds it from the lowest finite value on: NaN is passed over.
func (b *graphBuilder) largest(x string, axis int) string {
	lowest := b.scalar(-math.MaxFloat32)
	if b.real == Float64 {
		lowest = b.scalar(-math.MaxFloat64)
	}
	numbers := b.one("Where", b.one("IsNaN", x), lowest, x)
	return b.one("Max", b.reduceTo1("ReduceMax", numbers, axis), lowest)
}

// probit is ONNX Runtime's approximation, in float32, of the inverse of the normal
// distribution, by the inverse of erf (Winitzki, 2008), with its constants.
func (b *graphBuilder) probit(scores string) string {
	const pi, a = float32(3.14159), float32(0.147)
	one := b.floatOf(1)
	x := b.one("Sub", b.one("Mul", b.floatOf(2), b.castFrom(scores, b.real, Float32)), one)
	log := b.one("Log", b.one("Mul", b.one("Sub", one, x), b.one("Add", one, x)))
	v := b.one("Add", b.floatOf(2/(pi*a)), b.one("Mul", b.floatOf(0.5), log))
	v2 := b.one("Mul", b.floatOf(1/a), log)
	root := b.one("Sqrt", b.one("Sub", b.one("Mul", v, v), v2))
	size := b.one("Sqrt", b.one("Sub", root, v))
	signed := b.one("Where", b.one("Less", x, b.floatOf(0)), b.one("Neg", size), size)
	return b.castFrom(b.one("Mul", b.floatOf(math.Sqrt2), signed), Float32, b.real)
}

// labelAbove is the second of two labels where a score [N,1] is above a limit,
// else the first: [N].
func (b *graphBuilder) labelAbove(score string, limit float64, labels []int64) string {
	above := b.reshape(b.one("Greater", score, b.scalar(limit)), -1)
	return b.one("Where", above, b.int64Of(labels[1]), b.int64Of(labels[0]))
}

// labelOfBest is the label of the first best of scores, which has one for each
// label: NaN is never better, and a NaN that comes first is never beaten.
func (b *graphBuilder) labelOfBest(scores string, labels []int64) string {
	n := len(labels)
	instead := slices.Repeat([]float64{math.Inf(-1)}, n)
	instead[0] = math.Inf(1)
	ordered := b.one("Where", b.one("IsNaN", scores), b.reals([]int64{int64(n)}, instead...), scores)
	// Not ArgMax: of equal scores, each device may find another first. Places
	// count from the last label, so that the first of the best has the largest.
	places, byPlace := make([]float32, n), make([]int64, n+1)
	for i, label := range labels {
		places[i] = float32(n - i)
		byPlace[n-i] = label
	}
	best := b.equalReals(ordered, b.reduceTo1("ReduceMax", ordered, 1))
	place := b.reduce("ReduceMax", b.one("Where", best, b.vector(places...), b.floatOf(0)), 1)
	return b.gather(b.int64s(byPlace...), b.cast(place, Int64), 0)
}
