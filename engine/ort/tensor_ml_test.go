package ort_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// onDevice are the operators that tensors of ai.onnx.ml may become: ONNX
// Runtime's CUDA provider has kernels for them, of the types that are used.
var onDevice = []string{
	"Abs", "Add", "ArgMax", "Cast", "Concat", "Constant", "Div", "Equal", "Exp", "Gather", "Gemm", "Greater", "Identity", "IsNaN", "Less", "Log",
	"Max", "Mul", "Neg", "Or", "ReduceMax", "ReduceSum", "Reshape", "Sigmoid", "Softmax", "Sqrt", "Sub", "Where",
}

// mlCase is one operator of ai.onnx.ml and rows for it.
type mlCase struct {
	op         string
	attributes []*pb.AttributeProto
	in         pb.TensorProto_DataType
	out        []pb.TensorProto_DataType
	shape      []int64
	x          any // []float32, []float64, []int64 or []int32
	// tolerance is how far a result may lie off: sums that are added in another
	// order. 0 wants the same bits.
	tolerance float64
}

// model makes a model of the operator alone, of an opset; open leaves the
// number of rows open, and the rank known.
func (c *mlCase) model(opset, mlOpset int64) *pb.ModelProto {
	dims := make([]any, len(c.shape))
	for i, d := range c.shape {
		dims[i] = int(d)
	}
	if len(dims) == 2 {
		dims[0] = "N"
	}
	outputs := make([]*pb.ValueInfoProto, len(c.out))
	names := make([]string, len(c.out))
	for i, t := range c.out {
		names[i] = fmt.Sprintf("y%d", i)
		outputs[i] = onnxtest.Tensor(names[i], t)
		outputs[i].Type.GetTensorType().Shape = nil
	}
	p := onnxtest.Model(onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("x", c.in, dims...)), outputs,
		onnxtest.DomainNode("ai.onnx.ml", c.op, onnxtest.Names("x"), names, c.attributes...)))
	p.OpsetImport[0].Version, p.OpsetImport[1].Version = &opset, &mlOpset
	return p
}

func (c *mlCase) tensor(t fatal) *ort.Tensor {
	t.Helper()
	elem := models.ElementType(c.in)
	var x *ort.Tensor
	var err error
	switch values := c.x.(type) {
	case []float32:
		x, err = ort.Of(elem, c.shape, values)
	case []float64:
		x, err = ort.Of(elem, c.shape, values)
	case []int64:
		x, err = ort.Of(elem, c.shape, values)
	case []int32:
		x, err = ort.Of(elem, c.shape, values)
	}
	if err != nil || x == nil {
		t.Fatalf("tensor of %v %v: %v", c.shape, elem, err)
	}
	return x
}

// result is one output of a run, as numbers and as bits.
type result struct {
	shape  []int64
	values []float64
	bits   []uint64
}

// runTensors runs a model on the CPU provider.
func runTensors(tb testing.TB, m *models.Model, inputs ...*ort.Tensor) ([]result, error) {
	tb.Helper()
	s, err := ort.NewSession(orttest.Library(tb), m, ort.SessionOptions{})
	if err != nil {
		return nil, err
	}
	defer closeAll(tb, s)
	outputs := make([]*ort.Tensor, len(s.Outputs()))
	if err := s.Run(tb.Context(), inputs, outputs); err != nil {
		return nil, err
	}
	defer closeAll(tb, outputs...)
	all := make([]result, len(outputs))
	for i, o := range outputs {
		all[i].shape = slices.Clone(o.Shape())
		switch o.Elem() {
		case models.Float32:
			for _, v := range ort.View[float32](o) {
				all[i].values, all[i].bits = append(all[i].values, float64(v)), append(all[i].bits, uint64(math.Float32bits(v)))
			}
		case models.Float64:
			for _, v := range ort.View[float64](o) {
				all[i].values, all[i].bits = append(all[i].values, v), append(all[i].bits, math.Float64bits(v))
			}
		case models.Int64:
			for _, v := range ort.View[int64](o) {
				all[i].values, all[i].bits = append(all[i].values, float64(v)), append(all[i].bits, uint64(v))
			}
		default:
			return nil, fmt.Errorf("output %d is of %v", i, o.Elem())
		}
	}
	return all, nil
}

// compare fails unless results agree within a tolerance relative to the larger
// of 1 and the value; 0 wants the same values. A NaN is as good as another, and
// so is a zero: Where on the CPU gives 0 for -0.
func compare(t fatal, got, want []result, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d outputs; want %d", len(got), len(want))
	}
	for i := range got {
		if !slices.Equal(got[i].shape, want[i].shape) {
			t.Fatalf("output %d has shape %v; want %v", i, got[i].shape, want[i].shape)
		}
		for j, w := range want[i].values {
			g := got[i].values[j]
			switch {
			case math.IsNaN(w) && math.IsNaN(g), got[i].bits[j] == want[i].bits[j], g == 0 && w == 0:
			case tolerance > 0 && math.Abs(g-w) <= tolerance*max(1, math.Abs(w)):
			default:
				t.Fatalf("output %d, value %d of %v = %v (%x); want %v (%x)", i, j, want[i].shape, g, got[i].bits[j], w, want[i].bits[j])
			}
		}
	}
}

// toTensors rewrites, and wants only operators that run on a device.
func toTensors(t fatal, m *models.Model) *models.Model {
	t.Helper()
	k, changed, left, err := models.MLToTensors(m, models.MLTensors{})
	if err != nil || !changed || len(left) > 0 {
		t.Fatalf("MLToTensors() = changed %v, left %q, %v; want it changed as a whole", changed, left, err)
	}
	for _, o := range k.Operators {
		if o.Domain != "" || !slices.Contains(onDevice, o.Name) {
			t.Fatalf("%v has no CUDA kernel", o)
		}
	}
	return k
}

// check runs a case as ONNX Runtime's operator and as tensors, at opsets.
func (c *mlCase) check(tb testing.TB, t fatal, opset, mlOpset int64) {
	tb.Helper()
	t.Helper()
	m := openModel(tb, c.model(opset, mlOpset))
	x := c.tensor(t)
	defer closeAll(tb, x)
	want, err := runTensors(tb, m, x)
	if err != nil {
		t.Fatalf("%s of ONNX Runtime: %v", c.op, err)
	}
	got, err := runTensors(tb, toTensors(t, m), x)
	if err != nil {
		t.Fatalf("%s as tensors: %+v", c.op, err)
	}
	compare(t, got, want, c.tolerance)
}

// Nodes that take two inputs, or constants.
func TestTensorsOfManyInputs(t *testing.T) {
	orttest.Library(t)
	g := onnxtest.Graph(
		onnxtest.Values(onnxtest.Tensor("a", pb.TensorProto_FLOAT, "N", 3), onnxtest.Tensor("b", pb.TensorProto_FLOAT, "N", 2)),
		onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N", 2), onnxtest.Tensor("z", pb.TensorProto_INT64, 1, "N")),
		onnxtest.DomainNode("ai.onnx.ml", "FeatureVectorizer", onnxtest.Names("a", "b"), onnxtest.Names("v"), onnxtest.Ints("inputdimensions", 3, 2)),
		onnxtest.DomainNode("ai.onnx.ml", "ArrayFeatureExtractor", onnxtest.Names("v", "picked"), onnxtest.Names("y")),
		onnxtest.Node("ArgMax", onnxtest.Names("v"), onnxtest.Names("best"), onnxtest.Int("axis", 1)),
		onnxtest.DomainNode("ai.onnx.ml", "ArrayFeatureExtractor", onnxtest.Names("classes", "best"), onnxtest.Names("z")))
	g.Initializer = []*pb.TensorProto{onnxtest.Int64s("picked", []int64{1, 2}, 4, 0), onnxtest.Int64s("classes", []int64{5}, 10, 11, 12, 13, 14)}
	m := openModel(t, onnxtest.Model(g))
	a := tensor(t, models.Float32, []int64{2, 3}, []float32{1, 2, 3, 4, 5, 6})
	b := tensor(t, models.Float32, []int64{2, 2}, []float32{7, float32(math.NaN()), 0, -1})
	defer closeAll(t, a, b)
	want, err := runTensors(t, m, a, b)
	if err != nil {
		t.Fatal(err)
	}
	got, err := runTensors(t, toTensors(t, m), a, b)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	compare(t, got, want, 0)
	if got[0].values[0] != 7 && !strings.Contains(fmt.Sprint(got[0].values), "NaN") {
		t.Errorf("picked = %v; want NaN and 1 first", got[0].values)
	}
}
