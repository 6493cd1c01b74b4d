package ort_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/ort/orttest"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

func TestLinearRegressorTensors(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := drawWidth(rt)
		c := mlCase{op: "LinearRegressor", in: pb.TensorProto_FLOAT, out: typesOf(pb.TensorProto_FLOAT), shape: g.drawRows(rt), tolerance: 1e-5 * math.Sqrt(float64(g.width))}
		targets := rapid.IntRange(1, 5).Draw(rt, "targets")
		c.attributes = []*pb.AttributeProto{onnxtest.Floats("coefficients", g.normal(targets*g.width)...)}
		if targets > 1 || rapid.Bool().Draw(rt, "said") {
			c.attributes = append(c.attributes, onnxtest.Int("targets", int64(targets)))
		}
		switch rapid.SampledFrom([]string{"none", "one each", "too many"}).Draw(rt, "intercepts") {
		case "one each":
			c.attributes = append(c.attributes, onnxtest.Floats("intercepts", g.normal(targets)...))
		case "too many": // which are not looked at
			c.attributes = append(c.attributes, onnxtest.Floats("intercepts", g.normal(targets+1)...))
		}
		if transform := drawTransform(rt); transform != "" {
			c.attributes = append(c.attributes, onnxtest.String("post_transform", transform))
		}
		c.x = g.normal(int(count(c.shape)))
		c.check(t, rt, drawOpset(rt), 1)
	})
}

func drawTransform(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"", "NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"}).Draw(rt, "transform")
}

func (g *forestGen) normal(n int) []float32 {
	all := make([]float32, n)
	for i := range all {
		all[i] = float32(g.NormFloat64())
	}
	return all
}

func TestLinearClassifierTensors(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := drawWidth(rt)
		c := mlCase{op: "LinearClassifier", in: rapid.SampledFrom(numbers).Draw(rt, "type"), out: typesOf(pb.TensorProto_INT64, pb.TensorProto_FLOAT), shape: g.drawRows(rt), tolerance: 1e-5 * math.Sqrt(float64(g.width))}
		outputs := rapid.IntRange(1, 5).Draw(rt, "outputs")
		classes := outputs
		if outputs == 1 {
			classes = rapid.SampledFrom([]int{0, 2}).Draw(rt, "classes")
		}
		labels := make([]int64, classes)
		for i := range labels {
			labels[i] = int64(g.IntN(100) - 50)
		}
		c.attributes = []*pb.AttributeProto{
			onnxtest.Floats("coefficients", g.normal(outputs*g.width)...), onnxtest.Floats("intercepts", g.normal(outputs)...),
		}
		if classes > 0 {
			c.attributes = append(c.attributes, onnxtest.Ints("classlabels_ints", labels...))
		}
		if transform := drawTransform(rt); transform != "" {
			c.attributes = append(c.attributes, onnxtest.String("post_transform", transform))
		}
		// Of numbers that only a double or a long holds, sums are of another size.
		switch n := int(count(c.shape)); c.in {
		case pb.TensorProto_FLOAT:
			c.x = g.normal(n)
		case pb.TensorProto_DOUBLE:
			x := make([]float64, n)
			for i := range x {
				x[i] = g.NormFloat64()
			}
			c.x = x
		case pb.TensorProto_INT64:
			x := make([]int64, n)
			for i := range x {
				x[i] = int64(g.IntN(9) - 4)
			}
			c.x = x
		default:
			x := make([]int32, n)
			for i := range x {
				x[i] = int32(g.IntN(9) - 4)
			}
			c.x = x
		}
		c.check(t, rt, drawOpset(rt), 1)
	})
}

// Labels and scores of rows with NaN and infinities, with coefficients of one
// column each, so that no sum rounds.
func TestLinearClassifierOddRows(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := drawWidth(rt)
		outputs := rapid.IntRange(1, 4).Draw(rt, "outputs")
		coefficients := make([]float32, outputs)
		for i := range coefficients {
			coefficients[i] = float32(g.IntN(5) - 2)
		}
		labels := []int64{7, -1, 30, 4}[:max(2, outputs)]
		rows := int64(rapid.IntRange(1, 40).Draw(rt, "rows"))
		c := mlCase{
			op: "LinearClassifier", in: pb.TensorProto_FLOAT, out: typesOf(pb.TensorProto_INT64, pb.TensorProto_FLOAT), shape: []int64{rows, 1},
			attributes: []*pb.AttributeProto{
				onnxtest.Floats("coefficients", coefficients...), onnxtest.Floats("intercepts", make([]float32, outputs)...), onnxtest.Ints("classlabels_ints", labels...),
			},
			x: g.floats(rows), tolerance: 1e-6,
		}
		if transform := drawTransform(rt); transform != "" {
			c.attributes = append(c.attributes, onnxtest.String("post_transform", transform))
		}
		c.check(t, rt, 13, 1)
	})
}

// PROBIT's root of a difference is right to half as many digits near 0, in ONNX
// Runtime and here: so squares are compared.
func TestProbitTensors(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := drawWidth(rt)
		c := mlCase{op: "LinearRegressor", in: pb.TensorProto_FLOAT, out: typesOf(pb.TensorProto_FLOAT), shape: []int64{50, 1}}
		targets := rapid.IntRange(1, 3).Draw(rt, "targets")
		c.attributes = []*pb.AttributeProto{
			onnxtest.Floats("coefficients", slices.Repeat([]float32{1}, targets)...), onnxtest.Int("targets", int64(targets)), onnxtest.String("post_transform", "PROBIT"),
		}
		x := make([]float32, 50)
		for i := range x {
			x[i] = g.Float32()*1.2 - 0.1
		}
		c.x = x
		m := openModel(t, c.model(17, 1))
		in := c.tensor(rt)
		defer closeAll(t, in)
		want, err := runTensors(t, m, in)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := runTensors(t, toTensors(rt, m), in)
		if err != nil {
			rt.Fatal(err)
		}
		for _, r := range [][]result{got, want} {
			for i, v := range r[0].values {
				r[0].values[i], r[0].bits[i] = math.Copysign(v*v, v), uint64(i)
			}
		}
		for i := range got[0].bits {
			got[0].bits[i]++ // never taken for the same
		}
		compare(rt, got, want, 2e-5)
	})
}
