package models

import (
	"math"
	"slices"

	"github.com/millrace/millrace/models/onnxpb"
)

// perColumn checks a list of parameters, one for all columns or one a column,
// against a value that it is for.
func perColumn(x tensorType, parameters int) (why string) {
	switch {
	case parameters == 1:
		return ""
	case x.rank != 1 && x.rank != 2:
		return whyRank
	case x.width() < 0:
		return whyColumns
	case x.width() != int64(parameters):
		return "it is for another number of columns"
	}
	return ""
}

// scalerTensors: (x - offset) * scale, in double where x is, then in float32.
func scalerTensors(r *mlRewriter, n *onnxpb.NodeProto, b *graphBuilder) string {
	x, why := r.input(n, 1)
	if why != "" {
		return why
	}
	a, ok := attributesOf(n, scalerAttributes)
	offset, scale := a["offset"].GetFloats(), a["scale"].GetFloats()
	if !ok || len(scale) == 0 || len(offset) != len(scale) {
		return whyAttributes
	}
	if why := perColumn(x, len(scale)); why != "" {
		return why
	}
	value := n.GetInput()[0]
	parameters := func(values []float32) string {
		all := make([]float64, len(values))
		for i, v := range values {
			all[i] = float64(v)
		}
		if len(all) == 1 {
			return b.scalar(all[0])
		}
		return b.reals([]int64{int64(len(all))}, all...)
	}
	switch x.elem {
	case Float32:
	case Float64:
		b.real = Float64
	case Int64, Int32:
		value = b.cast(value, Float32)
	default:
		return whyType(x.elem)
	}
	value = b.one("Mul", b.one("Sub", value, parameters(offset)), parameters(scale))
	b.give(b.castFrom(value, b.real, Float32), n.GetOutput()[0])
	return ""
}

var imputerOfIntsAttributes = map[string]onnxpb.AttributeProto_AttributeType{
	"imputed_value_int64s": onnxpb.AttributeProto_INTS, "replaced_value_int64": onnxpb.AttributeProto_INT,
	// Given by exporters that write all defaults, and not looked at.
	"replaced_value_float": onnxpb.AttributeProto_FLOAT,
}

// imputerTensors: Where(x is the replaced value, imputed, x). A list that is not
// one value a column gives its first value to all.
func imputerTensors(r *mlRewriter, n *onnxpb.NodeProto, b *graphBuilder) string {
	x, why := r.input(n, 1)
	if why != "" {
		return why
	}
	value := n.GetInput()[0]
	var count int
	var missing string
	var imputed func(columns bool) string
	switch x.elem {
	case Float32:
		a, ok := attributesOf(n, imputerAttributes)
		list, replaced := a["imputed_value_floats"].GetFloats(), a["replaced_value_float"]
		if !ok || len(list) == 0 || replaced == nil {
			return whyAttributes
		}
		if math.IsNaN(float64(replaced.GetF())) {
			missing = b.one("IsNaN", value)
		} else {
			missing = b.equalReals(value, b.floatOf(replaced.GetF()))
		}
		count = len(list)
		imputed = func(columns bool) string {
			if columns {
				return b.vector(list...)
			}
			return b.floatOf(list[0])
		}
	case Int64:
		a, ok := attributesOf(n, imputerOfIntsAttributes)
		list, replaced := a["imputed_value_int64s"].GetInts(), a["replaced_value_int64"]
		if !ok || len(list) == 0 || replaced == nil {
			return whyAttributes
		}
		missing = b.one("Equal", value, b.int64Of(replaced.GetI()))
		count = len(list)
		imputed = func(columns bool) string {
			if columns {
				return b.int64s(list...)
			}
			return b.int64Of(list[0])
		}
	default:
		return whyType(x.elem)
	}
	switch why := perColumn(x, count); why {
	case "":
	case whyRank, whyColumns:
		return why
	default:
		count = 1
	}
	b.give(b.one("Where", missing, imputed(count > 1), value), n.GetOutput()[0])
	return ""
}

// binarizerTensors: 1 above the threshold, else 0. The operator refuses NaN,
// which stays here.
func binarizerTensors(r *mlRewriter, n *onnxpb.NodeProto, b *graphBuilder) string {
	x, why := r.input(n, 1)
	if why != "" {
		return why
	}
	a, ok := attributesOf(n, map[string]onnxpb.AttributeProto_AttributeType{"threshold": onnxpb.AttributeProto_FLOAT})
	switch {
	case !ok:
		return whyAttributes
	case x.elem != Float32:
		return whyType(x.elem)
	}
	value := n.GetInput()[0]
	above := b.cast(b.one("Greater", value, b.floatOf(a["threshold"].GetF())), Float32)
	b.give(b.one("Where", b.one("IsNaN", value), value, above), n.GetOutput()[0])
	return ""
}

// normalizerTensors divides each row by its largest value, the sum of its sizes
// or of its squares, as ONNX Runtime does: a row whose divisor is 0 stays, the
// largest value ignores NaN, and L2 is the root of a quotient.
func normalizerTensors(r *mlRewriter, n *onnxpb.NodeProto, b *graphBuilder) string {
	x, why := r.input(n, 1)
	if why != "" {
		return why
	}
	a, ok := attributesOf(n, map[string]onnxpb.AttributeProto_AttributeType{"norm": stringType})
	norm := string(a["norm"].GetS())
	switch {
	case !ok || !slices.Contains([]string{"", "MAX", "L1", "L2"}, norm):
		return whyAttributes
	case x.rank != 1 && x.rank != 2:
		return whyRank
	case x.elem != Float32 && x.elem != Float64 && x.elem != Int64 && x.elem != Int32:
		return whyType(x.elem)
	case norm == "L2" && x.elem != Float32 && x.elem != Float64:
		return whyType(x.elem) // its squares wrap around
	}
	input, row := n.GetInput()[0], x.rank-1
	value := b.castFrom(input, x.elem, Float32)
	// over divides by a divisor, [N,1], where that is not 0.
	over := func(divided, divisor string) string {
		return b.one("Div", divided, b.one("Where", b.cast(divisor, Bool), divisor, b.floatOf(1)))
	}
	var out string
	switch norm {
	case "L1":
		out = over(value, b.reduceTo1("ReduceSum", b.one("Abs", value), row))
	case "L2":
		square := b.castFrom(b.one("Mul", input, input), x.elem, Float32)
		sum := b.reduceTo1("ReduceSum", square, row)
		root := b.one("Sqrt", over(square, sum))
		signed := b.one("Where", b.one("Less", value, b.floatOf(0)), b.one("Neg", root), root)
		out = b.one("Where", b.cast(sum, Bool), signed, value)
	default:
		out = over(value, b.largest(value, row))
	}
	b.give(out, n.GetOutput()[0])
	return ""
}

// vectorizerTensors puts columns side by side, as float32.
func vectorizerTensors(r *mlRewriter, n *onnxpb.NodeProto, b *graphBuilder) string {
	a, ok := attributesOf(n, map[string]onnxpb.AttributeProto_AttributeType{"inputdimensions": onnxpb.AttributeProto_INTS})
	widths := a["inputdimensions"].GetInts()
	if !ok || len(widths) != len(n.GetInput()) || len(n.GetOutput()) != 1 {
		return whyAttributes
	}
	parts := make([]string, len(widths))
	rank := r.types.of(n.GetInput()[0]).rank
	for i, name := range n.GetInput() {
		x := r.types.of(name)
		switch {
		case x.elem != Float32 && x.elem != Float64 && x.elem != Int64 && x.elem != Int32:
			return whyType(x.elem)
		case x.rank != rank || rank != 1 && rank != 2:
			return whyRank
		case x.width() < 0:
			return whyColumns
		case x.width() != widths[i]:
			return "it pads or cuts its inputs"
		}
		parts[i] = b.castFrom(name, x.elem, Float32)
		if rank == 1 {
			parts[i] = b.reshape(parts[i], 1, -1)
		}
	}
	b.give(b.op("Concat", parts, intAttribute("axis", 1)), n.GetOutput()[0])
	return ""
}

// extractorTensors gathers along the last dimension; of one dimension it makes
// two.
func extractorTensors(r *mlRewriter, n *onnxpb.NodeProto, b *graphBuilder) string {
	if len(n.GetInput()) != 2 || len(n.GetOutput()) != 1 || len(n.GetAttribute()) > 0 {
		return whyAttributes
	}
	x := r.types.of(n.GetInput()[0])
	switch {
	case x.elem == String:
		return whyStrings
	case x.elem == Undefined || x.rank < 1:
		return "the type or shape of its input is not known"
	case x.elem != Float32 && x.elem != Float64 && x.elem != Int64 && x.elem != Int32:
		return whyType(x.elem)
	}
	indices := n.GetInput()[1]
	if r.types.of(indices).rank != 1 {
		indices = b.reshape(indices, -1)
	}
	out := b.gather(n.GetInput()[0], indices, x.rank-1)
	if x.rank == 1 {
		out = b.reshape(out, 1, -1)
	}
	b.give(out, n.GetOutput()[0])
	return ""
}
