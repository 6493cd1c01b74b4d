package models

import (
	"math"
	"slices"
	"strings"
	"testing"

	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// treesToTensors rewrites a model, which must be consistent with what it says.
func treesToTensors(t *testing.T, p *pb.ModelProto, opts TensorTrees) (k *Model, left []string) {
	t.Helper()
	m, _, err := openBytes("m.onnx", onnxtest.Bytes(t, p), Options{})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	k, changed, left, err := TreesToTensors(m, opts)
	if err != nil {
		t.Fatalf("TreesToTensors: %v", err)
	}
	if changed == (k == m) || changed != (len(k.Rewrites) > 0) || changed != (k.RowElements() > 0) {
		t.Fatalf("TreesToTensors = %v, but Rewrites are %q and RowElements %d", changed, k.Rewrites, k.RowElements())
	}
	if _, _, err := openBytes("m.onnx", k.Data(), Options{}); err != nil {
		t.Fatalf("open what TreesToTensors wrote: %v", err)
	}
	return k, left
}

// onCUDA are operators that ONNX Runtime's CUDA provider has kernels for in the
// versions from 12 of ai.onnx on, for the types that are used here: float32 and
// float64, int32 for Add, Where and Gather
// (https://github.com/microsoft/onnxruntime/blob/main/docs/OperatorKernels.md).
var onCUDA = []string{
	"Abs", "Add", "Cast", "Concat", "Div", "Equal", "Exp", "Gather", "GatherElements", "Greater", "IsNaN", "Less", "LessOrEqual", "Log",
	"MatMul", "Max", "Min", "Mul", "Neg", "ReduceMax", "ReduceMin", "ReduceSum", "Reshape", "Sigmoid", "Softmax", "Sqrt", "Sub",
	"Transpose", "Where",
}

// stump5 is a TreeEnsemble of one split, with a test of membership below it.
func stump5() *pb.ModelProto {
	floats := func(name string, values ...float32) *pb.AttributeProto {
		return &pb.AttributeProto{Name: new(name), Type: pb.AttributeProto_TENSOR.Enum(), T: onnxtest.Floats32(name, []int64{int64(len(values))}, values...)}
	}
	modes := &pb.TensorProto{DataType: new(int32(pb.TensorProto_UINT8)), Dims: []int64{2}, RawData: []byte{0, 6}}
	p := onnxtest.Model(onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 3)),
		onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N", 1)),
		onnxtest.DomainNode("ai.onnx.ml", "TreeEnsemble", onnxtest.Names("x"), onnxtest.Names("y"),
			onnxtest.Ints("nodes_featureids", 0, 2), onnxtest.Ints("nodes_truenodeids", 1, 0), onnxtest.Ints("nodes_falsenodeids", 0, 1),
			onnxtest.Ints("nodes_trueleafs", 0, 1), onnxtest.Ints("nodes_falseleafs", 1, 1), onnxtest.Ints("tree_roots", 0),
			onnxtest.Ints("leaf_targetids", 0, 0), onnxtest.Int("n_targets", 1), floats("leaf_weights", 1, 2), floats("nodes_splits", 0.5, 0),
			floats("membership_values", 1, 4, float32(math.NaN())),
			&pb.AttributeProto{Name: new("nodes_modes"), Type: pb.AttributeProto_TENSOR.Enum(), T: modes})))
	p.OpsetImport[1].Version = new(int64(5))
	return p
}

// A TreeEnsemble is left when it is not what it should be, too.
func TestTreesToTensorsOfTreeEnsemble(t *testing.T) {
	if k, left := treesToTensors(t, stump5(), TensorTrees{}); len(left) > 0 || len(k.Rewrites) != 1 {
		t.Fatalf("left = %q, rewrites %q", left, k.Rewrites)
	}
	for name, test := range map[string]struct {
		attribute string
		ints      []int64
		want      string
	}{
		"a root taken for a leaf":   {"nodes_falsenodeids", []int64{1, 1}, "takes the root"},
		"a node that is not there":  {"nodes_truenodeids", []int64{2, 0}, "nodes are not understood"},
		"a cycle":                   {"nodes_trueleafs", []int64{0, 0}, "cycle"},
		"a root that is not there":  {"tree_roots", []int64{2}, "nodes are not understood"},
		"no roots":                  {"tree_roots", nil, "nodes are not understood"},
		"a target that is not one":  {"leaf_targetids", []int64{0, 1}, "leaves are not understood"},
		"a negative feature":        {"nodes_featureids", []int64{0, -1}, "nodes are not understood"},
		"a feature out of the data": {"nodes_featureids", []int64{0, 3}, "not known to have"},
	} {
		p := stump5()
		attribute(p.Graph.Node[0], test.attribute).Ints = test.ints
		if _, left := treesToTensors(t, p, TensorTrees{}); len(left) != 1 || !strings.Contains(left[0], test.want) {
			t.Errorf("%s: left = %q; want it to say %q", name, left, test.want)
		}
	}
	p := stump5()
	attribute(p.Graph.Node[0], "membership_values").T = nil // ONNX Runtime refuses it
	if _, left := treesToTensors(t, p, TensorTrees{}); len(left) != 1 {
		t.Errorf("left = %q; want a set without members left", left)
	}
}

// Nothing is written that would fall to the CPU.
func TestTreesToTensorsWritesWhatCUDAHas(t *testing.T) {
	labels := onnxtest.Ints("classlabels_int64s", 1, 2, 3)
	for _, transform := range []string{"NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"} {
		for _, form := range []TreeForm{"", FormGEMM, FormPerfect, FormTraversal} {
			for _, transposed := range []bool{false, true} {
				x := stump()
				x.Missing = []int64{1, 0, 0, 0}
				p := x.Classifier(3, labels, onnxtest.String("post_transform", transform))
				k, left := treesToTensors(t, p, TensorTrees{Form: form, Transposed: transposed})
				for _, o := range k.Operators {
					if o.Domain != "" || !slices.Contains(onCUDA, o.Name) {
						t.Errorf("%s %s: operator %s has no kernel on CUDA", transform, form, o)
					}
				}
				if len(left) > 0 {
					t.Errorf("%s %s: left %q", transform, form, left)
				}
			}
		}
	}
}

func TestTreesToTensorsSays(t *testing.T) {
	k, _ := treesToTensors(t, stump().Regressor(3, 1), TensorTrees{})
	want := `TreeEnsembleRegressor of "y" (2 trees) became tensor operators: 2 gemm of 1 splits`
	if len(k.Rewrites) != 1 || k.Rewrites[0] != want || k.RowElements() != 3 {
		t.Errorf("rewrites = %q, RowElements = %d; want %q and 3, the columns", k.Rewrites, k.RowElements(), want)
	}
	if again, changed, left, err := TreesToTensors(k, TensorTrees{}); changed || err != nil || again != k || left != nil {
		t.Errorf("TreesToTensors again = %v, %q, %v", changed, left, err)
	}
	if _, _, _, err := TreesToTensors(must(t, stump().Regressor(3, 1)), TensorTrees{Form: "oblique"}); err == nil {
		t.Error("TreesToTensors with an unknown form gives no error")
	}
}

func must(t *testing.T, p *pb.ModelProto) *Model {
	t.Helper()
	m, _, err := openBytes("m.onnx", onnxtest.Bytes(t, p), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func parsed(t *testing.T, k *Model) *pb.ModelProto {
	t.Helper()
	p, err := parse(k.Data(), Options{MaxBytes: DefaultMaxBytes, MaxParsedBytes: DefaultMaxParsedBytes})
	if err != nil {
		t.Fatal(err)
	}
	return p.ModelProto
}

// The one Transpose stands first, over the ensemble's input.
func TestTreesToTensorsTransposesFirst(t *testing.T) {
	for _, form := range []TreeForm{FormGEMM, FormPerfect, FormTraversal} {
		k, _ := treesToTensors(t, stump().Regressor(3, 1), TensorTrees{Form: form, Transposed: true})
		p := parsed(t, k)
		for i, n := range p.GetGraph().GetNode() {
			if takes, first := slices.Contains(n.GetInput(), "x"), i == 0; takes != first || first && n.GetOpType() != "Transpose" {
				t.Errorf("%s: node %d is %s of %q", form, i, n.GetOpType(), n.GetInput())
			}
		}
	}
}

// What is not understood in full stays, and is named.
func TestTreesToTensorsLeaves(t *testing.T) {
	trees := map[string]func(*onnxtest.Trees){
		"nodes are not understood":  func(t *onnxtest.Trees) { t.OnTrue[0] = 7 },
		"values are not understood": func(t *onnxtest.Trees) { t.WeightTargets[0] = 4 },
		"not one value":             func(t *onnxtest.Trees) { t.WeightNodes[0] = 2 },
		"is not known to have":      func(t *onnxtest.Trees) { t.Features[0] = 3 },
		"two values for one target": func(t *onnxtest.Trees) { t.Weight(0, 1, 1, 2); t.Weight(0, 1, 1, 3) },
		"some rows have a value":    func(t *onnxtest.Trees) { t.Weight(0, 1, 1, 2) },
		"has a cycle": func(t *onnxtest.Trees) {
			t.OnTrue[0], t.Modes[2], t.OnTrue[2], t.OnFalse[2] = 2, "BRANCH_LT", 0, 1
			t.WeightTrees, t.WeightNodes = append(t.WeightTrees[:1], t.WeightTrees[2:]...), append(t.WeightNodes[:1], t.WeightNodes[2:]...)
			t.WeightTargets, t.Weights = t.WeightTargets[:2], append(t.Weights[:1], t.Weights[2:]...)
		},
		"nodes are not understood ":  func(t *onnxtest.Trees) { t.Modes[0] = "BRANCH_NONE" },
		"values are not understood ": func(t *onnxtest.Trees) { t.Weight(9, 0, 0, 1) },
	}
	for want, damage := range trees {
		x := stump()
		damage(x)
		targets, more := 1, []*pb.AttributeProto(nil)
		if slices.Contains(x.WeightTargets, 1) {
			targets, more = 2, append(more, onnxtest.Floats("base_values", 1, 2))
		}
		if k, left := treesToTensors(t, x.Regressor(3, targets, more...), TensorTrees{}); len(left) != 1 || !strings.Contains(left[0], strings.TrimSpace(want)) {
			t.Errorf("left = %q, rewrites %q; want it to say %q", left, k.Rewrites, want)
		}
	}
	attributes := map[string]*pb.AttributeProto{
		"attribute that is not known":  onnxtest.Int("nodes_extra", 1),
		"attribute that is not known ": onnxtest.Int("n_targets", 1),
		"post_transform is not known":  onnxtest.String("post_transform", "CLOGLOG"),
		"aggregate_function is not":    onnxtest.String("aggregate_function", "MEDIAN"),
		"base values are not as many":  onnxtest.Floats("base_values", 1, 2),
		"base values are not understood": {Name: new("base_values_as_tensor"), Type: pb.AttributeProto_TENSOR.Enum(), T: &pb.TensorProto{
			DataType: new(int32(pb.TensorProto_DOUBLE)), Dims: []int64{1}, DoubleData: []float64{1},
		}},
	}
	for want, a := range attributes {
		if _, left := treesToTensors(t, stump().Regressor(3, 1, a), TensorTrees{}); len(left) != 1 || !strings.Contains(left[0], strings.TrimSpace(want)) {
			t.Errorf("left = %q; want it to say %q", left, want)
		}
	}
}

// Only inputs whose type and width are known are taken: a gather on a device does
// not look whether a column is there.
func TestTreesToTensorsWantsKnownInputs(t *testing.T) {
	model := func(elem pb.TensorProto_DataType, dims ...any) *pb.ModelProto {
		p := stump().Regressor(3, 1)
		p.Graph.Input[0] = onnxtest.Tensor("x", elem, dims...)
		return p
	}
	behind := func(op string, a ...*pb.AttributeProto) *pb.ModelProto {
		p := stump().Regressor(3, 1)
		p.Graph.Node = append([]*pb.NodeProto{onnxtest.DomainNode("", op, onnxtest.Names("x"), onnxtest.Names("made"), a...)}, p.Graph.Node...)
		p.Graph.Node[1].Input[0] = "made"
		return p
	}
	for name, test := range map[string]struct {
		p    *pb.ModelProto
		want string // in what is left; "" for nothing left
	}{
		"floats":       {model(pb.TensorProto_FLOAT, "N", 3), ""},
		"doubles":      {model(pb.TensorProto_DOUBLE, "N", 3), ""},
		"integers":     {model(pb.TensorProto_INT64, "N", 3), ""},
		"halves":       {model(pb.TensorProto_FLOAT16, "N", 3), "float16"},
		"narrow":       {model(pb.TensorProto_FLOAT, "N", 1), "not known to have"},
		"open":         {model(pb.TensorProto_FLOAT, "N", nil), "not known to have"},
		"one row":      {model(pb.TensorProto_FLOAT, 3), "not known to have"},
		"cast":         {behind("Cast", onnxtest.Int("to", int64(pb.TensorProto_FLOAT))), ""},
		"identity":     {behind("Identity"), ""},
		"concat":       {behind("Concat", onnxtest.Int("axis", 1)), ""},
		"concat below": {behind("Concat", onnxtest.Int("axis", 0)), ""},
		"unknown":      {behind("Det"), "its input is"},
	} {
		if _, left := treesToTensors(t, test.p, TensorTrees{}); (test.want == "") != (len(left) == 0) || test.want != "" && !strings.Contains(left[0], test.want) {
			t.Errorf("%s: left = %q; want %q", name, left, test.want)
		}
	}
}

// New names do not collide with the graph's, and existing ones stay.
func TestTreesToTensorsNames(t *testing.T) {
	p := stump().Regressor(3, 1)
	for _, name := range []string{"y_Gather", "y_Cast", "y_constant1"} {
		p.Graph.Node = append([]*pb.NodeProto{onnxtest.Node("Identity", onnxtest.Names("x"), onnxtest.Names(name))}, p.Graph.Node...)
	}
	p.Graph.Node = append(p.Graph.Node[1:3:3], append(p.Graph.Node[3:], p.Graph.Node[0])...)
	k, left := treesToTensors(t, p, TensorTrees{})
	if len(left) > 0 || len(k.Outputs) != 1 || k.Outputs[0].Name != "y" {
		t.Fatalf("left = %q, outputs %v", left, k.Outputs)
	}
}

func TestTreesToTensorsOpsets(t *testing.T) {
	for name, test := range map[string]struct {
		version int64 // imported; 0 for none
		op      string
		want    int64 // imported then; 0 for left
	}{
		"as it is":                 {12, "Softmax", 12},
		"newer":                    {21, "Identity", 21},
		"old, with what is stable": {8, "Identity", 17},
		"old, and nothing else":    {8, "", 17},
		"none":                     {0, "", 17},
		"old, with what changed":   {9, "Softmax", 0},
		"older still":              {6, "Add", 0},
	} {
		p := stump().Regressor(3, 1)
		p.IrVersion = new(int64(3)) // in which a constant must be an input, too
		p.Graph.Input = append(p.Graph.Input, onnxtest.Tensor("c", pb.TensorProto_FLOAT, 1))
		p.Graph.Initializer = append(p.Graph.Initializer, onnxtest.Floats32("c", []int64{1}, 1))
		p.OpsetImport = p.OpsetImport[1:2]
		if test.version > 0 { // twice, as skl2onnx writes it
			for _, domain := range []string{"", "ai.onnx"} {
				p.OpsetImport = append(p.OpsetImport, &pb.OperatorSetIdProto{Domain: new(domain), Version: new(test.version)})
			}
		}
		if test.op != "" {
			p.Graph.Node = append(p.Graph.Node, onnxtest.Node(test.op, onnxtest.Names("y"), onnxtest.Names("z")))
		}
		k, left := treesToTensors(t, p, TensorTrees{})
		if test.want == 0 {
			if len(left) != 1 || !strings.Contains(left[0], test.op) {
				t.Errorf("%s: left = %q; want it to name %s", name, left, test.op)
			}
			continue
		}
		imported := imports(t, k)
		if imported[""] != test.want || imported["ir"] < 4 {
			t.Errorf("%s: imports = %v; want version %d", name, imported, test.want)
		}
		if again := parsed(t, k); len(again.GetGraph().GetInput()) != 1 {
			t.Errorf("%s: inputs %v; want x alone", name, again.GetGraph().GetInput())
		}
	}
}

// imports gives the versions that a model imports.
func imports(t *testing.T, k *Model) map[string]int64 {
	t.Helper()
	m, _, err := openBytes("m.onnx", k.Data(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int64{"ir": m.IRVersion}
	for _, o := range m.Opsets {
		all[o.Domain] = o.Version
	}
	return all
}

// A label is worked out where something takes it, and then must be a number. Those
// of text come off where that is wanted; the scores keep theirs, in a file too.
func TestTreesToTensorsOfLabels(t *testing.T) {
	text, numbers := onnxtest.Strings("classlabels_strings", "a", "b", "c"), onnxtest.Ints("classlabels_int64s", 5, 6, 7)
	classifier := func(labels *pb.AttributeProto, nodes ...*pb.NodeProto) *pb.ModelProto {
		p := stump().Classifier(3, labels)
		p.Graph.Node = append(p.Graph.Node, nodes...)
		return p
	}
	copied := classifier(text, onnxtest.Node("Identity", onnxtest.Names("label"), onnxtest.Names("copy")))
	copied.Graph.Output[0].Name = new("copy")
	used := classifier(text, onnxtest.Node("Unsqueeze", onnxtest.Names("label"), onnxtest.Names("z")))
	for name, test := range map[string]struct {
		p    *pb.ModelProto
		drop bool
		want []string // outputs; nil when left
	}{
		"text":              {classifier(text), true, []string{"p"}},
		"text, kept":        {classifier(text), false, nil},
		"numbers":           {classifier(numbers), true, []string{"label", "p"}},
		"text of a copy":    {copied, true, []string{"p"}},
		"text that is used": {used, true, nil},
	} {
		m, _, _, err := MLToTensors(must(t, test.p), MLTensors{DropLabels: test.drop})
		if err != nil {
			t.Fatal(err)
		}
		k, _, left, err := TreesToTensors(m, TensorTrees{})
		if err != nil {
			t.Fatal(err)
		}
		if test.want == nil {
			if len(left) != 1 || !strings.Contains(left[0], "labels are strings") {
				t.Errorf("%s: left = %q", name, left)
			}
			continue
		}
		var names []string
		for _, v := range k.Outputs {
			names = append(names, v.Name)
		}
		if k, err = KeepLabels(k); err != nil {
			t.Fatal(err)
		}
		file := reopened(t, k)
		for _, m := range []*Model{k, file} {
			if labels, ok := m.OutputLabels(len(names) - 1); !ok || labels.Len() != 3 {
				t.Errorf("%s: labels = %v, %v; want 3", name, labels, ok)
			}
		}
		if !slices.Equal(names, test.want) || len(file.Outputs) != len(names) {
			t.Errorf("%s: outputs = %q; want %q", name, names, test.want)
		}
	}
}

func reopened(t *testing.T, k *Model) *Model {
	t.Helper()
	m, _, err := openBytes("m.onnx", k.Data(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// OpenRewritten does the same, and tells what stays.
func TestOpenRewrittenTrees(t *testing.T) {
	var left []string
	path := onnxtest.Write(t, stump().Regressor(3, 1))
	m, err := OpenRewritten(path, Options{}, Rewrites{Tensors: true, Left: &left})
	if err != nil || len(left) > 0 || m.OwnKernels() || m.RowElements() == 0 {
		t.Errorf("OpenRewritten = %v, %v; left %q, rewrites %q", m, err, left, m.Rewrites)
	}
	path = onnxtest.Write(t, stump().Regressor(3, 1, onnxtest.String("post_transform", "CLOGLOG")))
	if m, err = OpenRewritten(path, Options{}, Rewrites{Tensors: true, Left: &left}); err != nil || len(left) != 1 || len(m.Rewrites) > 0 {
		t.Errorf("OpenRewritten = %v; left %q, rewrites %q", err, left, m.Rewrites)
	}
}
