package ort_test

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/ort/orttest"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// drawRows draws a shape of one or two dimensions.
func (g *forestGen) drawRows(rt *rapid.T) []int64 {
	if rapid.Bool().Draw(rt, "one dimension") {
		return []int64{int64(g.width)}
	}
	return []int64{int64(rapid.SampledFrom([]int{0, 1, 2, 7, 33}).Draw(rt, "rows")), int64(g.width)}
}

func drawOpset(rt *rapid.T) int64 {
	return rapid.SampledFrom([]int64{7, 9, 11, 12, 13, 15, 17, 18, 21}).Draw(rt, "opset")
}

func (g *forestGen) floats(n int64) []float32 {
	all := make([]float32, n)
	for i := range all {
		all[i] = g.value()
	}
	return all
}

func count(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

// ints are small numbers, and sometimes the largest.
func (g *forestGen) ints(n int64) []int64 {
	all := make([]int64, n)
	for i := range all {
		all[i] = int64(g.IntN(20) - 10)
		if g.IntN(15) == 0 {
			all[i] = []int64{math.MinInt64, math.MaxInt64, 1 << 40, -1 << 40}[g.IntN(4)]
		}
	}
	return all
}

// values are of the type, and include what goes wrong first.
func (g *forestGen) values(elem pb.TensorProto_DataType, n int64) any {
	switch elem {
	case pb.TensorProto_FLOAT:
		return g.floats(n)
	case pb.TensorProto_DOUBLE:
		all := make([]float64, n)
		for i := range all {
			all[i] = float64(g.value()) * (1 + g.Float64()*1e-9)
		}
		return all
	case pb.TensorProto_INT64:
		return g.ints(n)
	default:
		all := make([]int32, n)
		for i, v := range g.ints(n) {
			all[i] = int32(v)
		}
		return all
	}
}

var numbers = []pb.TensorProto_DataType{pb.TensorProto_FLOAT, pb.TensorProto_DOUBLE, pb.TensorProto_INT64, pb.TensorProto_INT32}

func typesOf(t ...pb.TensorProto_DataType) []pb.TensorProto_DataType { return t }

func TestScalerTensors(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := drawWidth(rt)
		c := mlCase{op: "Scaler", in: rapid.SampledFrom(numbers).Draw(rt, "type"), out: typesOf(pb.TensorProto_FLOAT), shape: g.drawRows(rt)}
		parameters := int64(rapid.SampledFrom([]int{1, g.width}).Draw(rt, "parameters"))
		c.attributes = []*pb.AttributeProto{onnxtest.Floats("offset", g.floats(parameters)...), onnxtest.Floats("scale", g.floats(parameters)...)}
		c.x = g.values(c.in, count(c.shape))
		c.check(t, rt, drawOpset(rt), rapid.SampledFrom([]int64{1, 3, 5}).Draw(rt, "ml"))
	})
}

func TestImputerTensors(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := drawWidth(rt)
		c := mlCase{op: "Imputer", in: pb.TensorProto_FLOAT, shape: g.drawRows(rt)}
		parameters := int64(rapid.SampledFrom([]int{1, 2, g.width}).Draw(rt, "parameters"))
		if rapid.Bool().Draw(rt, "integers") {
			c.in = pb.TensorProto_INT64
			c.attributes = []*pb.AttributeProto{onnxtest.Ints("imputed_value_int64s", g.ints(parameters)...), onnxtest.Int("replaced_value_int64", g.ints(1)[0])}
		} else {
			c.attributes = []*pb.AttributeProto{onnxtest.Floats("imputed_value_floats", g.floats(parameters)...), onnxtest.Float("replaced_value_float", g.value())}
		}
		c.out, c.x = typesOf(c.in), g.values(c.in, count(c.shape))
		c.check(t, rt, drawOpset(rt), 1)
	})
}

func TestBinarizerTensors(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := drawWidth(rt)
		c := mlCase{op: "Binarizer", in: pb.TensorProto_FLOAT, out: typesOf(pb.TensorProto_FLOAT), shape: g.drawRows(rt)}
		if rapid.Bool().Draw(rt, "threshold") {
			c.attributes = append(c.attributes, onnxtest.Float("threshold", g.value()))
		}
		x := g.floats(count(c.shape))
		for i := range x {
			if math.IsNaN(float64(x[i])) { // which the operator refuses
				x[i] = 0
			}
		}
		c.x = x
		c.check(t, rt, drawOpset(rt), 1)
	})
}

// What ONNX Runtime's operator fails a run for is NaN.
func TestRefusedValuesAreNaN(t *testing.T) {
	orttest.Library(t)
	nan := float32(math.NaN())
	for _, test := range []struct {
		c    mlCase
		want []float64
	}{
		{mlCase{
			op: "Binarizer", in: pb.TensorProto_FLOAT, shape: []int64{1, 3}, x: []float32{2, nan, -1},
			attributes: []*pb.AttributeProto{onnxtest.Float("threshold", 1)},
		}, []float64{1, math.NaN(), 0}},
		{mlCase{
			op: "OneHotEncoder", in: pb.TensorProto_INT64, shape: []int64{2, 1}, x: []int64{5, 9},
			attributes: []*pb.AttributeProto{onnxtest.Ints("cats_int64s", 4, 5), onnxtest.Int("zeros", 0)},
		}, []float64{0, 1, math.NaN(), math.NaN()}},
	} {
		test.c.out = typesOf(pb.TensorProto_FLOAT)
		m := openModel(t, test.c.model(17, 1))
		x := test.c.tensor(t)
		defer closeAll(t, x)
		if _, err := runTensors(t, m, x); err == nil {
			t.Errorf("%s of ONNX Runtime takes what it should refuse", test.c.op)
		}
		got, err := runTensors(t, toTensors(t, m), x)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got[0].values) != fmt.Sprint(test.want) {
			t.Errorf("%s = %v; want %v", test.c.op, got[0].values, test.want)
		}
	}
}

// withoutLeast takes the smallest integers out, whose size overflows.
func withoutLeast(values any) {
	switch x := values.(type) {
	case []int64:
		for i := range x {
			x[i] = max(x[i], -math.MaxInt64)
		}
	case []int32:
		for i := range x {
			x[i] = max(x[i], -math.MaxInt32)
		}
	}
}

func TestNormalizerTensors(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := drawWidth(rt)
		norm := rapid.SampledFrom([]string{"", "MAX", "L1", "L2"}).Draw(rt, "norm")
		c := mlCase{op: "Normalizer", in: pb.TensorProto_FLOAT, out: typesOf(pb.TensorProto_FLOAT), shape: g.drawRows(rt), tolerance: 2e-6 * math.Sqrt(float64(g.width))}
		if norm == "" || norm == "MAX" {
			c.tolerance = 0
		}
		if norm != "" {
			c.attributes = []*pb.AttributeProto{onnxtest.String("norm", norm)}
		}
		if norm != "L2" {
			c.in = rapid.SampledFrom(numbers).Draw(rt, "type")
		} else if rapid.Bool().Draw(rt, "double") {
			c.in = pb.TensorProto_DOUBLE
		}
		c.x = g.values(c.in, count(c.shape))
		withoutLeast(c.x)
		if x, ok := c.x.([]float32); ok && rapid.Bool().Draw(rt, "mild") {
			for i := range x {
				x[i] = float32(g.NormFloat64())
			}
		}
		c.check(t, rt, drawOpset(rt), 1)
	})
}

// Rows whose divisor is 0, is next to it or is none.
func TestNormalizerOddRows(t *testing.T) {
	orttest.Library(t)
	inf, nan, tiny := float32(math.Inf(1)), float32(math.NaN()), float32(1e-30)
	x := []float32{
		0, 0, -inf, -inf, inf, 1, inf, inf, -inf, inf, nan, nan, nan, 2, -3, nan, -1, -2, 0, -2,
		tiny, -tiny, tiny * tiny, 0, math.MaxFloat32, math.MaxFloat32, -math.MaxFloat32, 1, -inf, 5,
	}
	for _, norm := range []string{"MAX", "L1", "L2"} {
		c := mlCase{
			op: "Normalizer", in: pb.TensorProto_FLOAT, out: typesOf(pb.TensorProto_FLOAT), shape: []int64{int64(len(x) / 2), 2}, x: x,
			attributes: []*pb.AttributeProto{onnxtest.String("norm", norm)},
		}
		c.check(t, t, 17, 1)
	}
}

func TestOneHotEncoderTensors(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := drawWidth(rt)
		g.width = min(g.width, 17)
		c := mlCase{op: "OneHotEncoder", in: rapid.SampledFrom(numbers[:3]).Draw(rt, "type"), out: typesOf(pb.TensorProto_FLOAT), shape: g.drawRows(rt)}
		cats := make([]int64, rapid.IntRange(1, 20).Draw(rt, "categories"))
		for i, k := range g.Perm(20)[:len(cats)] {
			cats[i] = int64(k - 10)
		}
		c.attributes = []*pb.AttributeProto{onnxtest.Ints("cats_int64s", cats...)}
		c.x = g.values(c.in, count(c.shape))
		switch rapid.SampledFrom([]string{"default", "zeros", "error"}).Draw(rt, "unknown") {
		case "zeros":
			c.attributes = append(c.attributes, onnxtest.Int("zeros", 1))
		case "error":
			c.attributes = append(c.attributes, onnxtest.Int("zeros", 0))
			known := make([]int64, count(c.shape))
			for i := range known {
				known[i] = cats[g.IntN(len(cats))]
			}
			c.in, c.x = pb.TensorProto_INT64, known
		}
		c.check(t, rt, drawOpset(rt), 1)
	})
}

func TestLabelEncoderTensors(t *testing.T) {
	orttest.Library(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := drawWidth(rt)
		g.width = min(g.width, 40)
		opset := rapid.SampledFrom([]int64{11, 13, 17, 18, 21}).Draw(rt, "opset")
		mlOpset := rapid.SampledFrom([]int64{2, 3, 4, 5}).Draw(rt, "ml")
		c := mlCase{op: "LabelEncoder", shape: g.drawRows(rt)}
		n := int64(rapid.IntRange(1, 20).Draw(rt, "keys"))
		isTensor := mlOpset >= 4 && rapid.Bool().Draw(rt, "tensors")
		floats := func(what string, values []float32) *pb.AttributeProto {
			if isTensor {
				return &pb.AttributeProto{Name: new(what + "_tensor"), Type: pb.AttributeProto_TENSOR.Enum(), T: onnxtest.Floats32(what, []int64{int64(len(values))}, values...)}
			}
			return onnxtest.Floats(what+"_floats", values...)
		}
		ints := func(what string, values []int64) *pb.AttributeProto {
			if isTensor {
				return &pb.AttributeProto{Name: new(what + "_tensor"), Type: pb.AttributeProto_TENSOR.Enum(), T: onnxtest.Int64s(what, []int64{int64(len(values))}, values...)}
			}
			return onnxtest.Ints(what+"_int64s", values...)
		}
		if rapid.Bool().Draw(rt, "integer keys") {
			c.in = pb.TensorProto_INT64
			keys := g.ints(n)
			if rapid.Bool().Draw(rt, "close") {
				for i := range keys {
					keys[i] = keys[i]%10 + 5
				}
			}
			c.attributes = append(c.attributes, ints("keys", keys))
		} else {
			c.in = pb.TensorProto_FLOAT
			keys := g.floats(n)
			keys[0] = float32(g.IntN(9)) // NaN alone would be no key
			c.attributes = append(c.attributes, floats("keys", keys))
		}
		isDefault := rapid.Bool().Draw(rt, "default")
		if rapid.Bool().Draw(rt, "integer values") {
			c.out = typesOf(pb.TensorProto_INT64)
			c.attributes = append(c.attributes, ints("values", g.ints(n)))
			if isDefault {
				c.attributes = append(c.attributes, onnxtest.Int("default_int64", g.ints(1)[0]))
			}
		} else {
			c.out = typesOf(pb.TensorProto_FLOAT)
			c.attributes = append(c.attributes, floats("values", g.floats(n)))
			if isDefault {
				c.attributes = append(c.attributes, onnxtest.Float("default_float", g.value()))
			}
		}
		c.x = g.values(c.in, count(c.shape))
		c.check(t, rt, opset, mlOpset)
	})
}

// Keys and values of double, and of double and integers, come as tensors alone.
func TestLabelEncoderOfDoubles(t *testing.T) {
	orttest.Library(t)
	doubles := func(name string, values ...float64) *pb.AttributeProto {
		return &pb.AttributeProto{Name: &name, Type: pb.AttributeProto_TENSOR.Enum(), T: &pb.TensorProto{
			DataType: new(int32(pb.TensorProto_DOUBLE)), Dims: []int64{int64(len(values))}, DoubleData: values,
		}}
	}
	ints := func(name string, values ...int64) *pb.AttributeProto {
		return &pb.AttributeProto{Name: &name, Type: pb.AttributeProto_TENSOR.Enum(), T: onnxtest.Int64s(name, []int64{int64(len(values))}, values...)}
	}
	nan, x := math.NaN(), []float64{0.1, float64(float32(0.1)), -1, math.NaN(), 7, 0}
	for _, c := range []mlCase{
		{attributes: []*pb.AttributeProto{doubles("keys_tensor", 0.1, nan, 0), doubles("values_tensor", 1.5, 2.5, 3.5), doubles("default_tensor", -9)}},
		{attributes: []*pb.AttributeProto{doubles("keys_tensor", 0.1, nan), doubles("values_tensor", 1.5, 2.5)}},
		{attributes: []*pb.AttributeProto{doubles("keys_tensor", 0.1, -1), ints("values_tensor", 8, 9), ints("default_tensor", 3)}, out: typesOf(pb.TensorProto_INT64)},
		{attributes: []*pb.AttributeProto{ints("keys_tensor", 0, 3), doubles("values_tensor", 8, 9.5)}, in: pb.TensorProto_INT64, x: []int64{0, 3, 1, -1, 2, 4}},
	} {
		c.op, c.shape = "LabelEncoder", []int64{3, 2}
		if c.in == 0 {
			c.in, c.x = pb.TensorProto_DOUBLE, x
		}
		if c.out == nil {
			c.out = typesOf(pb.TensorProto_DOUBLE)
		}
		c.check(t, t, 17, 4)
	}
}
