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
		scores = b.one("Div", scores, b.scalar(float64(len(s.roots))))
	}
	if len(s.base) > 0 {
		scores = b.add(scores, b.row(b.baseOfThoseWith()))
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

// label is the label [N] of each row's class, by scores with their base values.
func (b *treeFinish) label(scores string) string {
	s := b.source
	labels := s.classLabels()
	if s.targets == 2 {
		limit := 0.0
		if s.binary && s.positive {
			limit = 0.5
		}
		return b.labelAbove(b.decisive(scores), limit, labels)
	}
	var columns []int32
	var candidates []int64
	for i := range s.targets {
		if b.has[i] || len(s.base) > 0 {
			columns, candidates = append(columns, int32(i)), append(candidates, labels[i])
		}
	}
	if len(columns) < s.targets {
		scores = b.gather(scores, b.int32s([]int64{int64(len(columns))}, columns...), 1)
	}
	return b.labelOfBest(scores, candidates)
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
		return b.sides(b.one("Sub", b.scalar(1), second), second)
	}
	both := b.sides(b.one("Neg", second), second)
	if s.transform == "LOGISTIC" {
		return b.one("Sigmoid", both)
	}
	return both
}

// transform is the ensemble's post_transform of scores [N,targets], which
// checkFinish knows.
func (b *treeFinish) transform(scores string) string {
	out, _ := b.postTransform(scores, b.source.transform, b.source.targets)
	return out
}
