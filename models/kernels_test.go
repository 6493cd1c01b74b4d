package models

import (
	"errors"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// stump is a tree of one split, with a second tree of one leaf.
func stump() *onnxtest.Trees {
	t := &onnxtest.Trees{}
	t.Node(0, 0, "BRANCH_LEQ", 1, 0.5, 1, 2)
	t.Node(0, 1, "LEAF", 0, 0, 0, 0)
	t.Node(0, 2, "LEAF", 0, 0, 0, 0)
	t.Node(1, 0, "LEAF", 0, 0, 0, 0)
	t.Weight(0, 1, 0, -1)
	t.Weight(0, 2, 0, 1)
	t.Weight(1, 0, 0, 2)
	return t
}

func use(t *testing.T, p *pb.ModelProto) (*Model, bool) {
	t.Helper()
	m, _, err := openBytes("m.onnx", onnxtest.Bytes(t, p), Options{})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	k, changed, err := UseKernels(m)
	if err != nil {
		t.Fatalf("UseKernels: %v", err)
	}
	if changed != k.OwnKernels() || changed == (k == m) || changed != (len(k.Rewrites) > 0) {
		t.Fatalf("UseKernels = %v, but OwnKernels is %v and Rewrites are %q", changed, k.OwnKernels(), k.Rewrites)
	}
	return k, changed
}

func TestUseKernels(t *testing.T) {
	k, changed := use(t, stump().Regressor(3, 1))
	if !changed || len(k.Custom) != 0 {
		t.Fatalf("changed = %v, custom operators %v", changed, k.Custom)
	}
	if got := k.Operators; len(got) != 1 || got[0] != (Operator{Domain: KernelDomain, Name: "TreesRegressor", Nodes: 1}) {
		t.Errorf("operators = %v", got)
	}
	want := `TreeEnsembleRegressor of "y" (2 trees, 3 leaves) runs on millrace's kernel`
	if len(k.Rewrites) != 1 || k.Rewrites[0] != want {
		t.Errorf("rewrites = %q; want %q", k.Rewrites, want)
	}
	if again, changed, err := UseKernels(k); changed || err != nil || again != k {
		t.Errorf("UseKernels again = %v, %v", changed, err)
	}
	if _, _, err := StripZipMap(k); err != nil {
		t.Errorf("StripZipMap of it: %v", err)
	}
}

// Trees behind what exporters make of scikit-learn's MinMaxScaler, SelectKBest, PCA and bags of features:
// of float32, though nothing declares it.
func TestUseKernelsBehindOtherOperators(t *testing.T) {
	for name, nodes := range map[string][]*pb.NodeProto{
		"scaled":              {onnxtest.Node("Mul", onnxtest.Names("x", "c"), onnxtest.Names("a")), onnxtest.Node("Add", onnxtest.Names("a", "c"), onnxtest.Names("z"))},
		"a constant first":    {onnxtest.Node("Sub", onnxtest.Names("c", "x"), onnxtest.Names("z"))},
		"columns by Gather":   {onnxtest.Node("Gather", onnxtest.Names("x", "i"), onnxtest.Names("z"), onnxtest.Int("axis", 1))},
		"columns by its name": {onnxtest.DomainNode("ai.onnx.ml", "ArrayFeatureExtractor", onnxtest.Names("x", "i"), onnxtest.Names("z"))},
		"what Where kept":     {onnxtest.Node("IsNaN", onnxtest.Names("x"), onnxtest.Names("n")), onnxtest.Node("Where", onnxtest.Names("n", "c", "x"), onnxtest.Names("z"))},
		"a second part":       {onnxtest.Node("Concat", onnxtest.Names("x", "x"), onnxtest.Names("w"), onnxtest.Int("axis", 1)), onnxtest.Node("Split", onnxtest.Names("w"), onnxtest.Names("a", "z"), onnxtest.Int("axis", 1))},
		"an activation":       {onnxtest.Node("Elu", onnxtest.Names("x"), onnxtest.Names("z"))},
		"a projection":        {onnxtest.Node("MatMul", onnxtest.Names("x", "p"), onnxtest.Names("z"))},
	} {
		for elem, want := range map[pb.TensorProto_DataType]bool{pb.TensorProto_FLOAT: true, pb.TensorProto_DOUBLE: false} {
			if elem == pb.TensorProto_DOUBLE && name == "a constant first" {
				continue // no model: its inputs are of two types
			}
			p := stump().Regressor(3, 1)
			trees := p.Graph.Node[0]
			p.Graph.Input[0] = onnxtest.Tensor("x", elem, "N", 3)
			trees.Input[0] = "z"
			p.Graph.Node = slices.Concat(nodes, []*pb.NodeProto{trees})
			p.Graph.Initializer = append(p.Graph.Initializer, onnxtest.Floats32("c", []int64{3}, 1, 2, 3), onnxtest.Int64s("i", []int64{3}, 2, 1, 0),
				onnxtest.Floats32("p", []int64{3, 3}, 1, 0, 0, 0, 1, 0, 0, 0, 1))
			if k, _ := use(t, p); strings.Contains(strings.Join(k.Rewrites, "\n"), "TreeEnsembleRegressor") != want {
				t.Errorf("%s, %v: rewrites = %q; want the trees among them: %v", name, elem, k.Rewrites, want)
			}
		}
	}
}

// An Imputer of a value a column uses them so where that many columns are known to come to it.
func TestUseKernelsCountsColumns(t *testing.T) {
	for name, c := range map[string]struct {
		before *pb.NodeProto
		want   bool
	}{
		"of an input of that many": {onnxtest.Node("Identity", onnxtest.Names("x"), onnxtest.Names("z")), true},
		"of columns put together":  {onnxtest.Node("Concat", onnxtest.Names("one", "two"), onnxtest.Names("z"), onnxtest.Int("axis", 1)), true},
		"of columns chosen":        {onnxtest.Node("Gather", onnxtest.Names("w", "i"), onnxtest.Names("z"), onnxtest.Int("axis", 1)), true},
		"of more":                  {onnxtest.Node("Identity", onnxtest.Names("w"), onnxtest.Names("z")), false},
		"of nobody knows how many": {onnxtest.Node("Identity", onnxtest.Names("open"), onnxtest.Names("z")), false},
	} {
		inputs := onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 3), onnxtest.Tensor("one", pb.TensorProto_FLOAT, "N", 1),
			onnxtest.Tensor("two", pb.TensorProto_FLOAT, "N", 2), onnxtest.Tensor("w", pb.TensorProto_FLOAT, "N", 5), onnxtest.Tensor("open", pb.TensorProto_FLOAT, "N", "C"))
		imputer := onnxtest.DomainNode("ai.onnx.ml", "Imputer", onnxtest.Names("z"), onnxtest.Names("y"),
			onnxtest.Floats("imputed_value_floats", 1, 2, 3), onnxtest.Float("replaced_value_float", float32(math.NaN())))
		p := onnxtest.Model(onnxtest.Graph(inputs, onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N", 3)), c.before, imputer))
		p.Graph.Initializer = append(p.Graph.Initializer, onnxtest.Int64s("i", []int64{3}, 2, 1, 0))
		if k, changed := use(t, p); changed != c.want {
			t.Errorf("%s: rewrites = %q; want any: %v", name, k.Rewrites, c.want)
		}
	}
}

// Only UseKernels makes the operators that engine/ort trusts.
func TestOpenRefusesKernelDomain(t *testing.T) {
	k, _ := use(t, stump().Regressor(3, 1))
	imported := onnxtest.Identity(pb.TensorProto_FLOAT, "N")
	imported.OpsetImport = append(imported.OpsetImport, &pb.OperatorSetIdProto{Domain: new(KernelDomain), Version: new(int64(1))})
	node := onnxtest.Identity(pb.TensorProto_FLOAT, "N")
	node.Graph.Node[0].Domain = new(KernelDomain)
	for name, data := range map[string][]byte{
		"what UseKernels wrote": k.Data(), "import alone": onnxtest.Bytes(t, imported), "node alone": onnxtest.Bytes(t, node),
	} {
		if _, _, err := openBytes("m.onnx", data, Options{}); !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), KernelDomain) {
			t.Errorf("%s: open = %v; want ErrUnsafe that names the domain", name, err)
		}
	}
}

// What is not understood in full stays as it is, for ONNX Runtime to run or to
// refuse.
func TestUseKernelsLeaves(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	trees := map[string]func(*onnxtest.Trees){
		"a node that is its own child": func(t *onnxtest.Trees) { t.OnTrue[0] = 0 },
		"a child that is not there":    func(t *onnxtest.Trees) { t.OnTrue[0] = 3 },
		"a child in another tree":      func(t *onnxtest.Trees) { t.TreeIDs[1] = 1; t.NodeIDs[1] = 1 },
		"a cycle of two": func(t *onnxtest.Trees) {
			t.Modes[2], t.OnTrue[2], t.OnFalse[2] = "BRANCH_LT", 0, 1
		},
		"a node that no row reaches":            func(t *onnxtest.Trees) { t.OnTrue[0] = 2 },
		"two nodes of one id":                   func(t *onnxtest.Trees) { t.NodeIDs[2] = 1 },
		"a tree in two places":                  func(t *onnxtest.Trees) { t.TreeIDs[2] = 5 },
		"an unknown mode":                       func(t *onnxtest.Trees) { t.Modes[0] = "BRANCH_MEMBER" },
		"a negative feature":                    func(t *onnxtest.Trees) { t.Features[0] = -1 },
		"a huge feature":                        func(t *onnxtest.Trees) { t.Features[0] = math.MaxInt64 },
		"a negative tree":                       func(t *onnxtest.Trees) { t.TreeIDs[3] = -1 },
		"lists of different lengths":            func(t *onnxtest.Trees) { t.Values = t.Values[:3] },
		"too few marks of missing values":       func(t *onnxtest.Trees) { t.Missing = []int64{1} },
		"a leaf without a value":                func(t *onnxtest.Trees) { t.WeightNodes[0] = 2 },
		"a value of a split":                    func(t *onnxtest.Trees) { t.Weight(0, 0, 0, 1) },
		"a value of a node that is not there":   func(t *onnxtest.Trees) { t.Weight(7, 0, 0, 1) },
		"a value of a target that is not there": func(t *onnxtest.Trees) { t.WeightTargets[0] = 1 },
		"a value that is NaN":                   func(t *onnxtest.Trees) { t.Weights[0] = nan },
		"values without nodes":                  func(t *onnxtest.Trees) { t.WeightNodes = t.WeightNodes[:2] },
		"no nodes at all":                       func(t *onnxtest.Trees) { *t = onnxtest.Trees{} },
	}
	for name, damage := range trees {
		x := stump()
		damage(x)
		if k, changed := use(t, x.Regressor(3, 1)); changed {
			t.Errorf("%s: %q", name, k.Rewrites)
		}
	}
	attributes := map[string]*pb.AttributeProto{
		"an unknown attribute":     onnxtest.Int("nodes_extra", 1),
		"an attribute twice":       onnxtest.Int("n_targets", 1),
		"an attribute's type":      onnxtest.Int("base_values", 1),
		"an unknown transform":     onnxtest.String("post_transform", "CLOGLOG"),
		"a transform":              onnxtest.String("post_transform", "LOGISTIC"),
		"an aggregate":             onnxtest.String("aggregate_function", "MIN"),
		"two base values":          onnxtest.Floats("base_values", 1, 2),
		"a base value that is NaN": onnxtest.Floats("base_values", nan),
		"values as a tensor":       {Name: new("nodes_values_as_tensor"), Type: pb.AttributeProto_TENSOR.Enum(), T: onnxtest.Floats32("v", []int64{1}, 1)},
	}
	for name, a := range attributes {
		if k, changed := use(t, stump().Regressor(3, 1, a)); changed {
			t.Errorf("%s: %q", name, k.Rewrites)
		}
	}
	labels := onnxtest.Ints("classlabels_int64s", 0, 1)
	for name, p := range map[string]*pb.ModelProto{
		"one class":                  stump().Classifier(3, onnxtest.Ints("classlabels_int64s", 0)),
		"labels of both kinds":       stump().Classifier(3, labels, onnxtest.Strings("classlabels_strings", "a", "b")),
		"base values of two classes": stump().Classifier(3, labels, onnxtest.Floats("base_values", 1, 2)),
		"a probit":                   stump().Classifier(3, labels, onnxtest.String("post_transform", "PROBIT")),
	} {
		if k, changed := use(t, p); changed {
			t.Errorf("%s: %q", name, k.Rewrites)
		}
	}
	doubles := stump().Regressor(3, 1)
	doubles.Graph.Input[0].Type.GetTensorType().ElemType = new(int32(pb.TensorProto_DOUBLE))
	function := stump().Regressor(3, 1)
	function.Functions = []*pb.FunctionProto{{Name: new("TreeEnsembleRegressor"), Domain: new("ai.onnx.ml")}}
	for name, p := range map[string]*pb.ModelProto{"float64": doubles, "a function of the operator's name": function} {
		if k, changed := use(t, p); changed {
			t.Errorf("%s: %q", name, k.Rewrites)
		}
	}
	for name, n := range map[string]*pb.NodeProto{
		"an Imputer without a missing value": chainNode("Imputer", onnxtest.Floats("imputed_value_floats", 1)),
		"an Imputer of integers":             chainNode("Imputer", onnxtest.Ints("imputed_value_int64s", 1), onnxtest.Int("replaced_value_int64", 1)),
		"an Imputer that uses one of many":   chainNode("Imputer", onnxtest.Floats("imputed_value_floats", 1, 2), onnxtest.Float("replaced_value_float", 0)),
		"a Scaler without offset":            chainNode("Scaler", onnxtest.Floats("scale", 1)),
		"a Scaler by NaN":                    chainNode("Scaler", onnxtest.Floats("scale", nan), onnxtest.Floats("offset", inf)),
	} {
		p := onnxtest.Model(onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 3)),
			onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N", 3)), n))
		if k, changed := use(t, p); changed {
			t.Errorf("%s: %q", name, k.Rewrites)
		}
	}
}

func chainNode(op string, attributes ...*pb.AttributeProto) *pb.NodeProto {
	return onnxtest.DomainNode("ai.onnx.ml", op, onnxtest.Names("x"), onnxtest.Names("y"), attributes...)
}

// A value that something else needs, too, ends a chain.
func TestUseKernelsKeepsWhatIsNeeded(t *testing.T) {
	scale := []*pb.AttributeProto{onnxtest.Floats("scale", 2), onnxtest.Floats("offset", 1)}
	scaler := func(in, out string) *pb.NodeProto {
		return onnxtest.DomainNode("ai.onnx.ml", "Scaler", onnxtest.Names(in), onnxtest.Names(out), scale...)
	}
	x := onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 3)
	out := func(names ...string) (all []*pb.ValueInfoProto) {
		for _, name := range names {
			all = append(all, onnxtest.Tensor(name, pb.TensorProto_FLOAT, "N", 3))
		}
		return all
	}
	then := onnxtest.Graph(nil, out("t"), onnxtest.Node("Identity", onnxtest.Names("a"), onnxtest.Names("t")))
	cases := map[string]struct {
		graph *pb.GraphProto
		want  []string
	}{
		"one user":       {onnxtest.Graph(onnxtest.Values(x), out("b"), scaler("x", "a"), scaler("a", "b")), []string{"b"}},
		"a graph output": {onnxtest.Graph(onnxtest.Values(x), out("a", "b"), scaler("x", "a"), scaler("a", "b")), []string{"a", "b"}},
		"two users":      {onnxtest.Graph(onnxtest.Values(x), out("b", "c"), scaler("x", "a"), scaler("a", "b"), scaler("a", "c")), []string{"a", "b", "c"}},
		"an inner graph's": {onnxtest.Graph(append(onnxtest.Values(x), onnxtest.Tensor("if", pb.TensorProto_BOOL)), out("b", "i"), scaler("x", "a"), scaler("a", "b"),
			onnxtest.Node("If", onnxtest.Names("if"), onnxtest.Names("i"), onnxtest.SubGraph("then_branch", then), onnxtest.SubGraph("else_branch", then))), []string{"a", "b"}},
	}
	for name, c := range cases {
		k, changed := use(t, onnxtest.Model(c.graph))
		if !changed || len(k.Rewrites) != len(c.want) {
			t.Errorf("%s: rewrites = %q; want the outputs %q", name, k.Rewrites, c.want)
			continue
		}
		for i, output := range c.want {
			if !strings.Contains(k.Rewrites[i], `"`+output+`"`) {
				t.Errorf("%s: rewrite %q; want of output %q", name, k.Rewrites[i], output)
			}
		}
	}
}

func TestUseKernelsOnReferenceModels(t *testing.T) {
	for name, want := range map[string]string{
		"flights_gbdt": `TreeEnsembleRegressor of "output" (200 trees, 12600 leaves) runs on millrace's kernel`,
		"flights_xgb":  `TreeEnsembleClassifier of "probabilities" (150 trees, 8952 leaves) runs on millrace's kernel`,
		"flights_mlp": `Imputer, Scaler of "variable1" run as one kernel of millrace's; ` +
			`3 dense layers of "add_result2" (32-128-64-1), and what is before them, run as one kernel of millrace's`,
		"flights_linear": `Imputer, Scaler, LinearRegressor of "variable" run as one kernel of millrace's`,
		"nyc_pipeline":   `Imputer, Scaler of "variable3" run as one kernel of millrace's`,
		"embed":          "",
	} {
		m, err := Open(filepath.Join("reference", name+".onnx"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !hasFMA() {
			want, _, _ = strings.Cut(want, "; 3 dense")
		}
		k, _, err := UseKernels(m)
		if err != nil || strings.Join(k.Rewrites, "; ") != want {
			t.Errorf("%s: rewrites = %q, %v; want %q", name, k.Rewrites, err, want)
		}
	}
}

// TestOpenRewritten: one parse gives the bytes that a parse for each rewrite does.
func TestOpenRewritten(t *testing.T) {
	paths, err := filepath.Glob("reference/*.onnx")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no reference models: %v", err)
	}
	more, err := filepath.Glob("testdata/*.onnx")
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for _, path := range append(paths, more...) {
		want, err := Open(path, Options{})
		if err != nil {
			if _, rewritten := OpenRewritten(path, Options{}, Rewrites{ZipMap: true, Kernels: true}); rewritten == nil || rewritten.Error() != err.Error() {
				t.Errorf("%s: OpenRewritten() = %v; want Open's %v", path, rewritten, err)
			}
			continue
		}
		for _, do := range []Rewrites{{}, {ZipMap: true}, {Kernels: true}, {ZipMap: true, Kernels: true}} {
			stepwise := want
			if do.ZipMap {
				if stepwise, _, err = StripZipMap(stepwise); err != nil {
					t.Fatalf("%s: %v", path, err)
				}
			}
			if do.Kernels {
				if stepwise, _, err = UseKernels(stepwise); err != nil {
					t.Fatalf("%s: %v", path, err)
				}
			}
			got, err := OpenRewritten(path, Options{}, do)
			if err != nil {
				t.Fatalf("%s: OpenRewritten(%+v): %v", path, do, err)
			}
			if !reflect.DeepEqual(got, stepwise) {
				t.Errorf("%s: OpenRewritten(%+v) is not what the steps give", path, do)
			}
			if len(got.Rewrites) > 0 {
				changed++
			}
		}
	}
	if changed == 0 {
		t.Error("no model was rewritten")
	}
}
