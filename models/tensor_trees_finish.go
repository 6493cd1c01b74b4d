package models

// checkFinish gives the reason when ONNX Runtime makes of the scores something
// that is not written here.
func (s *treeSource) checkFinish() string {
	switch s.transform {
	case "NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT":
	default:
		return "its post_transform is not known"
	}
	switch s.aggregate {
	case "SUM", "AVERAGE", "MIN", "MAX":
	default:
		return "its aggregate_function is not known"
	}
	n := len(s.base)
	switch {
	case s.classifier && s.targets < 2:
		return "it has fewer than two classes"
	case s.classifier && s.targets == 2 && n > 1:
		return "it has two classes and a base value for each"
	case (!s.classifier || s.targets > 2) && n != 0 && n != s.targets:
		return "its base values are not as many as its targets"
	// ONNX Runtime 1.24 does not transform these, 1.31 does.
	case s.classifier && s.targets == 2 && s.onlyFirst && s.positive && s.transform == "LOGISTIC":
		return "its scores are of one class and never negative, which versions of ONNX Runtime disagree on"
	case s.classifier && s.targets == 2 && s.onlyFirst && s.transform == "PROBIT":
		return "its scores are of one class, and its post_transform is PROBIT"
	}
	return ""
}

// treeFinish writes what follows the sums: ONNX Runtime's arithmetic
// (onnxruntime:core/providers/cpu/ml/tree_ensemble_aggregator.h and ml_common.h),
// as engine/ort/op_trees.c has it.
type treeFinish struct {
	*treeSum
}

// row is a constant [1,n], which is added to or multiplied with scores.
func (b *treeFinish) row(values []float64) string {
	return b.reals([]int64{1, int64(len(values))}, values...)
}

// regression gives outputs [N,targets], of the data's type.
func (b *treeFinish) regression(scores string) string {
	s := b.source
	if s.aggregate == "AVERAGE" {
		scores = b.op("Div", in(scores, b.scalar(float64(len(s.roots)))))
	}
	if len(s.base) > 0 {
		scores = b.add(scores, b.row(b.baseOfThoseWith()))
	}
	if s.targets == 1 && s.transform != "PROBIT" { // whatever it says, ONNX Runtime transforms not
		return scores
	}
	return b.transform(scores)
}

// baseOfThoseWith is the base values, 0 of a target that no tree has a value for.
func (b *treeFinish) baseOfThoseWith() []float64 {
	base := make([]float64, b.source.targets)
	for i, v := range b.source.base {
		if b.has[i] {
			base[i] = v
		}
	}
	return base
}

// withBase adds a classifier's base values.
func (b *treeFinish) withBase(scores string) string {
	s := b.source
	switch {
	case len(s.base) == 0:
		return scores
	case s.targets > 2:
		return b.add(scores, b.row(s.base))
	case b.has[0]:
		return b.add(scores, b.row([]float64{s.base[0], 0}))
	}
	return scores
}

// class is the number [N] of each row's class, as int32, by scores with their
// base values.
func (b *treeFinish) class(scores string) string {
	s := b.source
	if s.targets == 2 {
		limit := 0.0
		if s.binary && s.positive {
			limit = 0.5
		}
		return b.reshape(b.cast(b.op("Greater", in(b.decisive(scores), b.scalar(limit))), Int32), -1)
	}
	candidates := make([]int32, 0, s.targets)
	for i := range s.targets {
		if b.has[i] || len(s.base) > 0 {
			candidates = append(candidates, int32(i))
		}
	}
	return b.firstLargest(scores, candidates)
}

// firstLargest is the number of the first of the largest scores among some
// columns. It is no ArgMax: ONNX does not say which of equals CUDA's takes, and
// it has been wrong for scores that are all minus infinity.
func (b *treeFinish) firstLargest(scores string, columns []int32) string {
	n := int64(len(columns))
	if len(columns) < b.source.targets {
		scores = b.gather(scores, b.int32s([]int64{n}, columns...), 1)
	}
	largest := b.op("Equal", in(scores, b.reduce("ReduceMax", scores, 1, 1)))
	numbers := b.int32s([]int64{1, n}, columns...)
	return b.reduce("ReduceMin", b.op("Where", in(largest, numbers, b.int32s(nil, columns[n-1]))), 1, 0)
}

// decisive is the score [N,1] that says which of two classes it is: of the second
// or, where no leaf has one, of the first, which then is that of the second
// against the first.
func (b *treeFinish) decisive(scores string) string {
	column := int32(0)
	if b.has[1] {
		column = 1
	}
	return b.gather(scores, b.int32s([]int64{1}, column), 1)
}

// probabilities gives a classifier's scores [N,C], of the data's type.
func (b *treeFinish) probabilities(scores string) string {
	s := b.source
	if s.targets > 2 || b.has[1] {
		return b.transform(scores)
	}
	second := b.decisive(scores)
	if s.positive && s.transform != "LOGISTIC" {
		return b.op("Concat", in(b.op("Sub", in(b.scalar(1), second)), second), intAttribute("axis", 1))
	}
	both := b.op("Concat", in(b.op("Neg", in(second)), second), intAttribute("axis", 1))
	if s.transform == "LOGISTIC" {
		return b.op("Sigmoid", in(both))
	}
	return both
}

// transform is the ensemble's post_transform of scores [N,targets].
func (b *treeFinish) transform(scores string) string {
	switch b.source.transform {
	case "LOGISTIC":
		return b.op("Sigmoid", in(scores))
	case "SOFTMAX":
		return b.op("Softmax", in(scores), intAttribute("axis", 1))
	case "SOFTMAX_ZERO":
		return b.softmaxZero(scores)
	case "PROBIT":
		return b.probit(scores)
	}
	return scores
}

// softmaxZero is a softmax of those scores that are not 0, as ONNX Runtime has it.
func (b *treeFinish) softmaxZero(scores string) string {
	most := b.reduce("ReduceMax", scores, 1, 1)
	large := b.op("Exp", in(b.op("Sub", in(scores, most))))
	small := b.op("Mul", in(scores, b.op("Exp", in(b.op("Neg", in(most))))))
	isLarge := b.op("Greater", in(b.op("Abs", in(scores)), b.scalar(float64(float32(0.0000001)))))
	sum := b.reduce("ReduceSum", b.op("Where", in(isLarge, large, b.scalar(0))), 1, 1)
	return b.op("Div", in(b.op("Where", in(isLarge, large, small)), sum))
}

// probit is ONNX Runtime's approximation of the inverse of the normal
// distribution, by the inverse of erf (Winitzki, 2008), with its constants.
func (b *treeFinish) probit(scores string) string {
	if b.real == Float64 {
		scores = b.cast(scores, Float32)
	}
	number := func(v float32) string { return b.floats(nil, v) }
	one := number(1)
	x := b.op("Sub", in(b.op("Mul", in(number(2), scores)), one))
	product := b.op("Mul", in(b.op("Sub", in(one, x)), b.op("Add", in(one, x))))
	log := b.op("Log", in(product))
	const a = float32(0.147)
	v := b.op("Add", in(number(2/(float32(3.14159)*a)), b.op("Mul", in(number(0.5), log))))
	square := b.op("Sub", in(b.op("Mul", in(v, v)), b.op("Mul", in(number(1/a), log))))
	root := b.op("Sqrt", in(b.op("Sub", in(b.op("Sqrt", in(square)), v))))
	sign := b.op("Where", in(b.op("Less", in(x, number(0))), number(-1), one))
	y := b.op("Mul", in(number(1.41421356), b.op("Mul", in(sign, root))))
	if b.real == Float64 {
		y = b.cast(y, Float64)
	}
	return y
}
