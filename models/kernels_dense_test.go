package models

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// op is a node whose inputs and output are words of "a, b -> c".
func op(name, values string, attributes ...*pb.AttributeProto) *pb.NodeProto {
	in, out, _ := strings.Cut(values, " -> ")
	var inputs []string
	if in != "" {
		inputs = strings.Split(in, ", ")
	}
	return onnxtest.Node(name, inputs, strings.Split(out, ", "), attributes...)
}

// layers is a graph from x [N,3] to y with constants of the sizes of layers 3-4-2:
// v and w, their biases b and c, and some that do not fit.
func layers(nodes ...*pb.NodeProto) *pb.ModelProto {
	g := onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 3)),
		onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT)), nodes...)
	floats := func(name string, dims ...int64) {
		n := int64(1)
		for _, d := range dims {
			n *= d
		}
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(i) + 0.5
		}
		g.Initializer = append(g.Initializer, onnxtest.Floats32(name, dims, values...))
	}
	floats("v", 3, 4)
	floats("b", 4)
	floats("w", 4, 2)
	floats("wT", 2, 4)
	floats("c", 1, 2)
	floats("square", 4, 4)
	floats("column", 4, 1)
	floats("one", 1)
	floats("scalar")
	g.Initializer = append(g.Initializer, onnxtest.Floats32("nan", nil, float32(math.NaN())), onnxtest.Int64s("same", []int64{2}, -1, 4),
		onnxtest.Int64s("half", []int64{2}, -1, 2), onnxtest.Bools("train", nil, 1))
	return onnxtest.Model(g)
}

// first and second are the layers, second from value h.
func first(more ...*pb.NodeProto) []*pb.NodeProto {
	return append([]*pb.NodeProto{op("MatMul", "x, v -> p"), op("Add", "p, b -> q"), op("Relu", "q -> h")}, more...)
}

func second(from string) *pb.NodeProto { return op("Gemm", from+", w, c -> y") }

func needFMA(t *testing.T) {
	t.Helper()
	if !hasFMA() {
		t.Skip("no fused multiply-add")
	}
}

func TestUseKernelsForDenseLayers(t *testing.T) {
	needFMA(t)
	const two = `2 dense layers of "y" (3-4-2) run as one kernel of millrace's`
	constant := op("Constant", " -> w2")
	constant.Input = nil
	constant.Attribute = []*pb.AttributeProto{{Name: new("value"), Type: pb.AttributeProto_TENSOR.Enum(), T: onnxtest.Floats32("", []int64{4, 2}, make([]float32, 8)...)}}
	scaler := onnxtest.DomainNode("ai.onnx.ml", "Scaler", onnxtest.Names("x"), onnxtest.Names("s"), onnxtest.Floats("scale", 2), onnxtest.Floats("offset", 1))
	opset10 := layers(op("MatMul", "x, v -> h"), op("Clip", "h -> i", onnxtest.Float("min", 0), onnxtest.Float("max", 6)), second("i"))
	opset10.OpsetImport[0].Version = new(int64(10))
	for about, c := range map[string]struct {
		p    *pb.ModelProto
		want string
	}{
		"as scikit-learn has it":             {layers(first(op("MatMul", "h, w -> r"), op("Add", "r, c -> y"))...), two},
		"the bias first":                     {layers(op("MatMul", "x, v -> p"), op("Add", "b, p -> h"), second("h")), two},
		"no bias and no activation":          {layers(op("MatMul", "x, v -> h"), op("MatMul", "h, w -> y")), two},
		"as PyTorch has it":                  {layers(first(op("Gemm", "h, wT, c -> y", onnxtest.Int("transB", 1), onnxtest.Float("alpha", 1), onnxtest.Float("beta", 1)))...), two},
		"a Gemm of two inputs":               {layers(first(op("Gemm", "h, w -> y"))...), two},
		"weights by a Constant":              {layers(first(constant, op("MatMul", "h, w2 -> y"))...), two},
		"LeakyRelu":                          {layers(op("MatMul", "x, v -> h"), op("LeakyRelu", "h -> i", onnxtest.Float("alpha", 0.2)), second("i")), two},
		"Clip":                               {layers(op("MatMul", "x, v -> h"), op("Clip", "h, scalar -> i"), second("i")), two},
		"Clip by attributes":                 {opset10, two},
		"Identity between":                   {layers(first(op("Identity", "h -> i"), second("i"))...), two},
		"a Cast to what it is":               {layers(first(op("Cast", "h -> i", onnxtest.Int("to", 1)), second("i"))...), two},
		"Dropout when not training":          {layers(first(op("Dropout", "h, scalar -> i, mask"), second("i"))...), two},
		"Flatten of a matrix":                {layers(first(op("Flatten", "h -> i"), second("i"))...), two},
		"Reshape to what it is":              {layers(first(op("Reshape", "h, same -> i"), second("i"))...), two},
		"an activation behind":               {layers(first(op("Gemm", "h, w, c -> z"), op("Sigmoid", "z -> y"))...), strings.Replace(two, `"y"`, `"z"`, 1)},
		"a result that two nodes take":       {layers(first(op("Gemm", "h, w, c -> z"), op("Relu", "z -> i"), op("Mul", "z, i -> y"))...), strings.Replace(two, `"y"`, `"z"`, 1)},
		"a Scaler before":                    {layers(scaler, op("MatMul", "s, v -> h"), second("h")), `Scaler of "s" runs on millrace's kernel; ` + strings.Replace(two, " run", ", and what is before them, run", 1)},
		"a Scaler before that another takes": {layers(scaler, op("MatMul", "s, v -> h"), op("Gemm", "h, w, c -> z"), op("ReduceSum", "s -> i"), op("Mul", "z, i -> y")), `Scaler of "s" runs on millrace's kernel; ` + strings.Replace(two, `"y"`, `"z"`, 1)},
		"a Reshape to another shape behind":  {layers(first(op("Gemm", "h, w, c -> z"), op("Reshape", "z, half -> i"), op("Reshape", "i, same -> j"), op("Relu", "j -> y"))...), strings.Replace(two, `"y"`, `"z"`, 1)},
		"three layers":                       {layers(first(op("Gemm", "h, square -> i"), second("i"))...), `3 dense layers of "y" (3-4-4-2) run as one kernel of millrace's`},
		"two chains, one after the other":    {layers(first(op("Gemm", "h, square -> i"), op("Tanh", "i -> j"), op("Gemm", "j, square -> k"), second("k"))...), `2 dense layers of "i" (3-4-4) run as one kernel of millrace's; 2 dense layers of "y" (4-4-2) run as one kernel of millrace's`},
	} {
		k, changed := use(t, c.p)
		if !changed || strings.Join(k.Rewrites, "; ") != c.want {
			t.Errorf("%s: rewrites = %q; want %q", about, k.Rewrites, c.want)
		}
	}
}

func TestUseKernelsLeavesDenseLayers(t *testing.T) {
	needFMA(t)
	doubles := layers(first(second("h"))...)
	for _, c := range doubles.Graph.Initializer {
		if c.GetDataType() == int32(pb.TensorProto_FLOAT) {
			c.DataType, c.DoubleData, c.FloatData = proto.Int32(int32(pb.TensorProto_DOUBLE)), make([]float64, len(c.FloatData)), nil
		}
	}
	doubles.Graph.Input[0].Type.GetTensorType().ElemType = new(int32(pb.TensorProto_DOUBLE))
	input := layers(first(second("h"))...)
	input.Graph.Input = append(input.Graph.Input, onnxtest.Tensor("w", pb.TensorProto_FLOAT, 4, 2))
	cube := layers(op("MatMul", "x, v -> h"), op("MatMul", "h, w -> y"))
	cube.Graph.Input[0] = onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 2, 3)
	shown := layers(first(second("h"))...)
	shown.Graph.Output = append(shown.Graph.Output, onnxtest.Tensor("h", pb.TensorProto_FLOAT))
	old := layers(op("MatMul", "x, v -> h"), op("MatMul", "h, w -> y"))
	old.OpsetImport[0].Version = new(int64(6))
	inner := layers(first(second("h"))...)
	then := onnxtest.Graph(nil, onnxtest.Values(onnxtest.Tensor("t", pb.TensorProto_FLOAT)), op("Identity", "h -> t"))
	inner.Graph.Node = append(inner.Graph.Node, op("If", "train -> z", onnxtest.SubGraph("then_branch", then), onnxtest.SubGraph("else_branch", then)))
	crossed := layers(op("MatMul", "x, v -> h"), op("Clip", "h -> i", onnxtest.Float("min", 1), onnxtest.Float("max", -1)), second("i"))
	crossed.OpsetImport[0].Version = new(int64(10))
	nowhere := layers(first(op("Identity", "h -> i"), second("j"), op("Identity", "x -> j"))...)
	nowhere.Graph.Node[3].Output = nil
	for about, p := range map[string]*pb.ModelProto{
		"a value between that goes nowhere":   nowhere,
		"bounds that ONNX Runtime refuses":    crossed,
		"one layer":                           layers(op("Gemm", "x, v, b -> y")),
		"float64":                             doubles,
		"weights that a caller may give":      input,
		"three dimensions":                    cube,
		"a value between that is an output":   shown,
		"a value between that two take":       layers(first(op("Gemm", "h, square -> i"), op("Add", "h, i -> y"))...),
		"a value between of an inner graph":   inner,
		"another version of the operators":    old,
		"products of what is computed":        layers(op("MatMul", "x, v -> h"), op("Transpose", "h -> i"), op("MatMul", "h, i -> y")),
		"weights before":                      layers(op("MatMul", "x, v -> h"), op("MatMul", "wT, h -> y")),
		"a Sigmoid between":                   layers(op("MatMul", "x, v -> h"), op("Sigmoid", "h -> i"), second("i")),
		"a bias that is a column":             layers(op("MatMul", "x, v -> h"), op("Add", "h, column -> i"), second("i")),
		"a bias that is one number":           layers(op("MatMul", "x, v -> h"), op("Add", "h, one -> i"), second("i")),
		"a second bias":                       layers(op("Gemm", "x, v, b -> h"), op("Add", "h, b -> i"), second("i")),
		"a bias behind the activation":        layers(op("MatMul", "x, v -> h"), op("Relu", "h -> i"), op("Add", "i, b -> j"), second("j")),
		"alpha":                               layers(first(op("Gemm", "h, w, c -> y", onnxtest.Float("alpha", 2)))...),
		"beta":                                layers(first(op("Gemm", "h, w, c -> y", onnxtest.Float("beta", 2)))...),
		"transA":                              layers(first(op("Gemm", "h, w, c -> y", onnxtest.Int("transA", 1)))...),
		"an attribute that nobody knows":      layers(first(op("Gemm", "h, w, c -> y", onnxtest.Int("newer", 1)))...),
		"weights that do not fit":             layers(first(op("Gemm", "h, wT -> y"))...),
		"a bound that is NaN":                 layers(op("MatMul", "x, v -> h"), op("Clip", "h, nan -> i"), second("i")),
		"a bound that is computed":            layers(op("MatMul", "x, v -> h"), op("ReduceMin", "h -> m", onnxtest.Int("keepdims", 0)), op("Clip", "h, m -> i"), second("i")),
		"a Dropout that may train":            layers(first(op("Dropout", "h, scalar, train -> i"), second("i"))...),
		"a Dropout whose mask is needed":      layers(first(op("Dropout", "h, scalar -> i, mask"), second("i"), op("Not", "mask -> z"))...),
		"a Reshape to another number of rows": layers(op("MatMul", "x, v -> h"), op("Reshape", "h, half -> i"), op("Gemm", "i, wT -> y")),
		"a Cast to another type":              layers(first(op("Cast", "h -> i", onnxtest.Int("to", 11)), op("Cast", "i -> j", onnxtest.Int("to", 1)), second("j"))...),
	} {
		if k, changed := use(t, p); changed {
			t.Errorf("%s: %q", about, k.Rewrites)
		}
	}
}

// PyTorch writes weights to a file beside the model. They make the same kernel; when
// the file is gone since, the layers are left for ONNX Runtime to say so.
func TestUseKernelsReadsExternalWeights(t *testing.T) {
	needFMA(t)
	p := layers(first(second("h"))...)
	node := func(m *Model) *pb.NodeProto {
		t.Helper()
		p := new(pb.ModelProto)
		if err := proto.Unmarshal(m.Data(), p); err != nil {
			t.Fatal(err)
		}
		return p.Graph.Node[0]
	}
	inside, _ := use(t, p)
	var file []byte
	for _, c := range p.Graph.Initializer {
		if len(c.GetFloatData()) < 2 {
			continue
		}
		c.DataLocation = pb.TensorProto_EXTERNAL.Enum()
		for key, value := range map[string]string{"location": "m.onnx.data", "offset": strconv.Itoa(len(file))} {
			c.ExternalData = append(c.ExternalData, &pb.StringStringEntryProto{Key: new(key), Value: new(value)})
		}
		for _, v := range c.FloatData {
			file = binary.LittleEndian.AppendUint32(file, math.Float32bits(v))
		}
		c.FloatData = nil
	}
	path := onnxtest.Write(t, p)
	data := filepath.Join(filepath.Dir(path), "m.onnx.data")
	if err := os.WriteFile(data, file, 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	outside, _, err := UseKernels(m)
	if err != nil || !proto.Equal(node(outside), node(inside)) {
		t.Errorf("UseKernels = %q, %v; want the node that it makes of weights in the model", outside.Rewrites, err)
	}
	if err := os.Remove(data); err != nil {
		t.Fatal(err)
	}
	if k, changed, err := UseKernels(m); err != nil || changed {
		t.Errorf("without the file: UseKernels = %q, %v; want the model as it is", k.Rewrites, err)
	}
}

// Constants go with the last node that takes them.
func TestUseKernelsDropsWeights(t *testing.T) {
	needFMA(t)
	p := layers(first(second("h"), op("Mul", "x, scalar -> z"), op("Add", "y, c -> u"))...)
	p.Graph.Output = append(p.Graph.Output, onnxtest.Tensor("u", pb.TensorProto_FLOAT), onnxtest.Tensor("z", pb.TensorProto_FLOAT))
	k, _ := use(t, p)
	got := new(pb.ModelProto)
	if err := proto.Unmarshal(k.Data(), got); err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(got.Graph.Initializer))
	for _, c := range got.Graph.Initializer {
		names = append(names, c.GetName())
	}
	if slices.Contains(names, "v") || slices.Contains(names, "w") || slices.Contains(names, "b") {
		t.Errorf("constants = %q; want none that only the layers took", names)
	}
	if !slices.Contains(names, "c") || !slices.Contains(names, "scalar") || len(got.Graph.Node) != 3 {
		t.Errorf("constants = %q, %d nodes; want those that others take, and three nodes", names, len(got.Graph.Node))
	}
}

// Large layers are ONNX Runtime's, and a graph whose many nodes share weights
// costs no more than one that has them.
func TestUseKernelsBoundsDenseLayers(t *testing.T) {
	needFMA(t)
	perceptron := func(inputs, hidden, outputs int64, nodes ...*pb.NodeProto) *pb.ModelProto {
		g := onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", int(inputs))), onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT)), nodes...)
		weights := func(name string, dims ...int64) {
			g.Initializer = append(g.Initializer, &pb.TensorProto{Name: new(name), DataType: proto.Int32(1), Dims: dims, RawData: make([]byte, 4*dims[0]*dims[1])})
		}
		weights("v", inputs, hidden)
		weights("w", hidden, outputs)
		return onnxtest.Model(g)
	}
	for _, c := range []struct {
		about                   string
		inputs, hidden, outputs int64
		want                    bool
	}{
		{"as many weights as may be", 1024, maxDenseSums / 2048, 1024, true},
		{"a row more", 1024, maxDenseSums/2048 + 1, 1024, false},
		{"as wide an input as may be", maxDenseWidth, 8, 1, true},
		{"a wider input", maxDenseWidth + 1, 8, 1, false},
		{"a wider layer", 8, maxDenseWidth + 1, 1, false},
		{"a wider output", 8, 8, maxDenseWidth + 1, false},
	} {
		if k, changed := use(t, perceptron(c.inputs, c.hidden, c.outputs, op("MatMul", "x, v -> h"), op("MatMul", "h, w -> y"))); changed != c.want {
			t.Errorf("%s: %q; want replaced: %t", c.about, k.Rewrites, c.want)
		}
	}
	many := make([]*pb.NodeProto, 0, 1000)
	last := "x"
	for i := range 1000 {
		next := fmt.Sprint("v", i)
		many = append(many, op("MatMul", last+", w -> "+next))
		last = next
	}
	k, _ := use(t, perceptron(512, 512, 512, append(many, op("Identity", last+" -> y"))...))
	if size, most := len(k.Data()), 4*maxDenseRead+8<<20; size > most {
		t.Errorf("1,000 nodes of the same weights: %d bytes; want %d at most", size, most)
	}
}

func TestFMAOn(t *testing.T) {
	for _, c := range []struct {
		arch string
		has  bool
		want bool
	}{{"amd64", true, true}, {"amd64", false, false}, {"arm64", false, true}, {"riscv64", true, false}} {
		if got := fmaOn(c.arch, c.has); got != c.want {
			t.Errorf("fmaOn(%s, %t) = %t; want %t", c.arch, c.has, got, c.want)
		}
	}
}

// Devices have no kernel for dense layers, and all others of ours.
func TestKernelsForDevices(t *testing.T) {
	for _, path := range []string{"reference/flights_mlp.onnx", "testdata/skl-mlp-words.onnx"} {
		m, err := OpenRewritten(path, Options{}, Rewrites{ZipMap: true, Kernels: true, Device: true})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, o := range m.Operators {
			names = append(names, o.Name)
		}
		if slices.Contains(names, "Dense") || !slices.Contains(names, "MatMul") {
			t.Errorf("%s: operators %q; want the layers left alone", path, names)
		}
		if path == "reference/flights_mlp.onnx" && !slices.Contains(names, "Affine") {
			t.Errorf("%s: operators %q; want an Affine", path, names)
		}
	}
}
