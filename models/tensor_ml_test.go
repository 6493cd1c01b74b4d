package models

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

func toTensors(t *testing.T, p *pb.ModelProto) (m *Model, changed bool, left []string) {
	t.Helper()
	was, _, err := openBytes("m.onnx", onnxtest.Bytes(t, p), Options{})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	m, changed, left, err = MLToTensors(was, MLTensors{})
	if err != nil {
		t.Fatalf("MLToTensors: %v", err)
	}
	if changed == (m == was) || changed != (len(m.Rewrites) > 0) {
		t.Fatalf("MLToTensors = %v, but Rewrites are %q", changed, m.Rewrites)
	}
	return m, changed, left
}

// ml is an operator of ai.onnx.ml from x to y.
func ml(op string, attributes ...*pb.AttributeProto) *pb.NodeProto {
	return onnxtest.DomainNode("ai.onnx.ml", op, onnxtest.Names("x"), onnxtest.Names("y"), attributes...)
}

func from(x *pb.ValueInfoProto, out pb.TensorProto_DataType, nodes ...*pb.NodeProto) *pb.ModelProto {
	return onnxtest.Model(onnxtest.Graph(onnxtest.Values(x), onnxtest.Values(onnxtest.Tensor("y", out)), nodes...))
}

func TestMLToTensorsLeaves(t *testing.T) {
	float, ints, text := pb.TensorProto_FLOAT, pb.TensorProto_INT64, pb.TensorProto_STRING
	matrix := onnxtest.Tensor("x", float, "N", 3)
	scaler := ml("Scaler", onnxtest.Floats("scale", 1, 2, 3), onnxtest.Floats("offset", 0, 0, 0))
	rankless := onnxtest.Tensor("x", float)
	rankless.Type.GetTensorType().Shape = nil
	far := make([]int64, 2000)
	for i := range far {
		far[i] = int64(i) << 20
	}
	for _, test := range []struct {
		why  string
		p    *pb.ModelProto
		want string
	}{
		{"strings are for the CPU", from(onnxtest.Tensor("x", text, "N", 1), float, ml("OneHotEncoder", onnxtest.Strings("cats_strings", "a"))), "it takes strings, which no device holds"},
		{"labels from strings, too", from(onnxtest.Tensor("x", text, "N", 1), ints, ml("LabelEncoder", onnxtest.Strings("keys_strings", "a"), onnxtest.Ints("values_int64s", 1))), "it takes strings"},
		{"labels to strings", from(onnxtest.Tensor("x", ints, "N", 1), text, ml("LabelEncoder", onnxtest.Ints("keys_int64s", 1), onnxtest.Strings("values_strings", "a"))), "it takes strings"},
		{"a support vector machine", from(matrix, float, ml("SVMRegressor")), "there are no tensor operators for it"},
		{"an attribute that nobody knows", from(matrix, float, ml("Scaler", onnxtest.Floats("scale", 1), onnxtest.Floats("offset", 0), onnxtest.Int("newer", 1))), "its attributes are not those of the operator"},
		{"parameters of another length", from(matrix, float, ml("Scaler", onnxtest.Floats("scale", 1, 2), onnxtest.Floats("offset", 0, 0))), "it is for another number of columns"},
		{"a width that is not known", from(onnxtest.Tensor("x", float, "N", nil), float, scaler), "the number of its columns is not known"},
		{"a rank that is not known", from(rankless, float, scaler), "one or two dimensions"},
		{"three dimensions", from(onnxtest.Tensor("x", float, "N", 3, 2), float, scaler), "one or two dimensions"},
		{"a type without a kernel", from(onnxtest.Tensor("x", pb.TensorProto_FLOAT16, "N", 3), float, scaler), "it takes float16"},
		{"an imputer of doubles, which ONNX Runtime has not either", from(onnxtest.Tensor("x", pb.TensorProto_DOUBLE, "N", 3), float,
			ml("Imputer", onnxtest.Floats("imputed_value_floats", 1), onnxtest.Float("replaced_value_float", 0))), "it takes float64"},
		{"a category twice", from(onnxtest.Tensor("x", ints, "N", 1), float, ml("OneHotEncoder", onnxtest.Ints("cats_int64s", 4, 4))), "it lists a category twice"},
		{"keys far apart, and many", from(onnxtest.Tensor("x", ints, "N", 1), ints, ml("LabelEncoder", onnxtest.Ints("keys_int64s", far...), onnxtest.Ints("values_int64s", far...))), "too many keys that lie apart"},
		{"coefficients that are no matrix", from(matrix, float, ml("LinearRegressor", onnxtest.Floats("coefficients", 1, 2))), "it has not a coefficient for every column"},
		{"an unknown post-transform", from(matrix, float, ml("LinearRegressor", onnxtest.Floats("coefficients", 1, 2, 3, 4, 5, 6), onnxtest.Int("targets", 2), onnxtest.String("post_transform", "CUBE"))), "its post-transform is CUBE"},
		{"features cut short", from(matrix, float, ml("FeatureVectorizer", onnxtest.Ints("inputdimensions", 2))), "it pads or cuts its inputs"},
	} {
		m, changed, left := toTensors(t, test.p)
		if changed || len(left) != 1 || !strings.Contains(left[0], test.want) || !strings.Contains(left[0], `of "y"`) {
			t.Errorf("%s: MLToTensors = %v (%q), left %q; want %q", test.why, changed, m.Rewrites, left, test.want)
		}
	}
}

// A label that is a string is worked out by nobody once its output is gone, and
// its columns keep their names.
func TestMLToTensorsDropsLabels(t *testing.T) {
	m, err := Open(filepath.Join("testdata", "skl-logistic-words-zipmap.onnx"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m, _, err = StripZipMap(m); err != nil {
		t.Fatal(err)
	}
	_, _, left, err := MLToTensors(m, MLTensors{})
	if err != nil || len(left) != 1 || !strings.Contains(left[0], "LinearClassifier") || !strings.Contains(left[0], "its labels are strings") {
		t.Errorf("MLToTensors leaves %q, %v; want the classifier of strings", left, err)
	}
	k, changed, left, err := MLToTensors(m, MLTensors{DropLabels: true})
	if err != nil || !changed || len(left) > 0 {
		t.Fatalf("MLToTensors with DropLabels = %v, left %q, %v", changed, left, err)
	}
	labels, _ := m.OutputLabels(1)
	if l, ok := k.OutputLabels(0); len(k.Outputs) != 1 || k.Outputs[0].Name != m.Outputs[1].Name || !ok || !l.Equal(labels) || len(m.Outputs) != 2 {
		t.Errorf("outputs are %v with labels %v; want the scores alone, of %v", k.Outputs, l, labels)
	}
	for _, o := range k.Operators {
		if o.Domain != "" {
			t.Errorf("%v is still there", o)
		}
	}
}

// The last output stays, whatever it is.
func TestMLToTensorsKeepsAnOutput(t *testing.T) {
	p := from(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 1), pb.TensorProto_STRING,
		onnxtest.DomainNode("ai.onnx.ml", "LinearClassifier", onnxtest.Names("x"), onnxtest.Names("y", "scores"),
			onnxtest.Floats("coefficients", 1, 2), onnxtest.Floats("intercepts", 0, 0), onnxtest.Strings("classlabels_strings", "a", "b")))
	was, _, err := openBytes("m.onnx", onnxtest.Bytes(t, p), Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, changed, left, err := MLToTensors(was, MLTensors{DropLabels: true})
	if err != nil || changed || len(left) != 1 || len(m.Outputs) != 1 {
		t.Errorf("MLToTensors = %v, left %q, outputs %v, %v; want the label left", changed, left, m.Outputs, err)
	}
}

// Shapes are followed from the inputs on, to know how many columns there are.
func TestMLToTensorsFollowsShapes(t *testing.T) {
	scaler := onnxtest.DomainNode("ai.onnx.ml", "Scaler", onnxtest.Names("v"), onnxtest.Names("y"), onnxtest.Floats("scale", 1, 2, 3), onnxtest.Floats("offset", 0, 0, 0))
	v := onnxtest.Names("v")
	for _, test := range []struct {
		why   string
		input *pb.ValueInfoProto
		node  *pb.NodeProto
		want  bool
	}{
		{"a cast", onnxtest.Tensor("x", pb.TensorProto_INT64, "N", 3), onnxtest.Node("Cast", onnxtest.Names("x"), v, onnxtest.Int("to", 1)), true},
		{"a cast to strings", onnxtest.Tensor("x", pb.TensorProto_INT64, "N", 3), onnxtest.Node("Cast", onnxtest.Names("x"), v, onnxtest.Int("to", 8)), false},
		{"columns side by side", onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 1), onnxtest.Node("Concat", onnxtest.Names("x", "x", "x"), v, onnxtest.Int("axis", -1)), true},
		{"rows below each other", onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 3), onnxtest.Node("Concat", onnxtest.Names("x", "x"), v, onnxtest.Int("axis", 0)), true},
		{"an open width beside others", onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", nil), onnxtest.Node("Concat", onnxtest.Names("x", "three"), v, onnxtest.Int("axis", 1)), false},
		{"a sum with a row", onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 1), onnxtest.Node("Add", onnxtest.Names("x", "three"), v), true},
		{"a sum with a row before it", onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 1), onnxtest.Node("Add", onnxtest.Names("three", "x"), v), true},
		{"a sum that stays open", onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", nil), onnxtest.Node("Add", onnxtest.Names("x", "x"), v), false},
		{"another shape", onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N"), onnxtest.Node("Reshape", onnxtest.Names("x", "rows"), v), true},
		{"a product", onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 1), onnxtest.Node("MatMul", onnxtest.Names("x", "three"), v), true},
		{"categories", onnxtest.Tensor("x", pb.TensorProto_INT64, "N"), onnxtest.DomainNode("ai.onnx.ml", "OneHotEncoder", onnxtest.Names("x"), v, onnxtest.Ints("cats_int64s", 1, 2, 3)), true},
		{"what nobody knows", onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 3), onnxtest.Node("Transpose", onnxtest.Names("x"), v), false},
	} {
		p := from(test.input, pb.TensorProto_FLOAT, test.node, proto.CloneOf(scaler))
		p.Graph.Initializer = []*pb.TensorProto{onnxtest.Floats32("three", []int64{1, 3}, 1, 2, 3), onnxtest.Int64s("rows", []int64{2}, -1, 3)}
		_, _, left := toTensors(t, p)
		if got := len(left) == 0; got != test.want {
			t.Errorf("%s: left %q; want it rewritten: %v", test.why, left, test.want)
		}
	}
}

// What a replaced node gave is still known to be of its type, so that what comes
// behind it can be rewritten, too.
func TestMLToTensorsDeclaresTypes(t *testing.T) {
	p := stump().Regressor(3, 1)
	trees := p.Graph.Node[len(p.Graph.Node)-1]
	input := trees.Input[0]
	trees.Input = onnxtest.Names("encoded")
	p.Graph.Input[0].Type.GetTensorType().ElemType = new(int32(pb.TensorProto_INT64))
	p.Graph.Node = append([]*pb.NodeProto{onnxtest.DomainNode("ai.onnx.ml", "LabelEncoder", onnxtest.Names(input), onnxtest.Names("encoded"),
		onnxtest.Ints("keys_int64s", 1, 2), onnxtest.Floats("values_floats", 3, 4))}, p.Graph.Node...)
	m, changed, left := toTensors(t, p)
	if !changed || len(left) > 0 {
		t.Fatalf("MLToTensors = %v, left %q", changed, left)
	}
	if k, changed, err := UseKernels(m); err != nil || !changed {
		t.Errorf("UseKernels = %v (%q), %v; want the trees replaced", changed, k.Rewrites, err)
	}
}

// Labels of columns outlive a rewritten model's way through a file.
func TestKeepLabels(t *testing.T) {
	p := from(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 1), pb.TensorProto_FLOAT,
		onnxtest.DomainNode("ai.onnx.ml", "LinearClassifier", onnxtest.Names("x"), onnxtest.Names("label", "y"),
			onnxtest.Floats("coefficients", 1, 2, 3), onnxtest.Floats("intercepts", 0, 0, 0), onnxtest.Strings("classlabels_strings", "a", "b", "c")))
	k, _, _ := toTensors(t, p)
	kept, err := KeepLabels(k)
	if err != nil || kept == k {
		t.Fatalf("KeepLabels: %v, same model %v", err, kept == k)
	}
	again, _, err := openBytes("again.onnx", kept.Data(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if l, ok := again.OutputLabels(0); !ok || !slices.Equal(l.Strings, []string{"a", "b", "c"}) {
		t.Errorf("labels = %v, %v; want a, b, c", l, ok)
	}
	if twice, err := KeepLabels(again); err != nil || len(twice.Metadata) != 1 {
		t.Errorf("KeepLabels of a kept model: metadata %v, %v", twice.Metadata, err)
	}
	for _, bad := range []string{`{"y":["a","b"]}`, `{"y":[1.5,2,3]}`, `["y"]`, `{"y":`, `{"z":["a","b","c"]}`} {
		m := proto.CloneOf(p)
		m.Graph.Output[0] = onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N", 3)
		m.Graph.Node = []*pb.NodeProto{onnxtest.Node("Concat", onnxtest.Names("x", "x", "x"), onnxtest.Names("y"), onnxtest.Int("axis", 1))}
		m.MetadataProps = []*pb.StringStringEntryProto{{Key: new("millrace.output_labels"), Value: &bad}}
		got, _, err := openBytes("bad.onnx", onnxtest.Bytes(t, m), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if l, ok := got.OutputLabels(0); ok {
			t.Errorf("labels of %s = %v; want none", bad, l)
		}
	}
}

func TestMLToTensorsOpsets(t *testing.T) {
	imputer := ml("Imputer", onnxtest.Floats("imputed_value_floats", 1), onnxtest.Float("replaced_value_float", -999))
	imputer.Output = onnxtest.Names("i")
	for _, test := range []struct {
		why    string
		opset  int64 // 0: none is imported
		op     string
		want   int64 // 0: left
		wantML bool
	}{
		{"new enough", 17, "Identity", 17, false},
		{"raised over an operator that did not change", 8, "Identity", 11, false},
		{"not over one that did", 8, "Clip", 0, true},
		{"nor from before it stopped changing", 5, "Relu", 0, true},
		{"none imported, and none used", 0, "", 13, false},
	} {
		p := from(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 3), pb.TensorProto_FLOAT, proto.CloneOf(imputer))
		p.OpsetImport = p.OpsetImport[1:]
		if test.opset > 0 {
			p.OpsetImport = append(p.OpsetImport, &pb.OperatorSetIdProto{Domain: new("ai.onnx"), Version: &test.opset})
			p.Graph.Node = append(p.Graph.Node, onnxtest.Node(test.op, onnxtest.Names("i"), onnxtest.Names("y")))
		} else {
			p.Graph.Node[0].Output = onnxtest.Names("y")
		}
		m, changed, left := toTensors(t, p)
		got := map[string]int64{}
		for _, o := range m.Opsets {
			got[o.Domain] = o.Version
		}
		_, isML := got["ai.onnx.ml"]
		want := test.want
		if want == 0 {
			want = test.opset
		}
		if changed != (test.want > 0) || got[""] != want || isML != test.wantML || changed == (len(left) > 0) {
			t.Errorf("%s: MLToTensors = %v, opsets %v, left %q; want ai.onnx %d", test.why, changed, got, left, test.want)
		}
	}
}

// Names that are taken are not used, wherever they are taken.
func TestMLToTensorsNames(t *testing.T) {
	p := from(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 3), pb.TensorProto_FLOAT,
		ml("Scaler", onnxtest.Floats("scale", 2), onnxtest.Floats("offset", 1)),
		onnxtest.Node("Identity", onnxtest.Names("x"), onnxtest.Names("y_Sub")),
		onnxtest.Node("If", onnxtest.Names("y_constant"), onnxtest.Names("z"),
			onnxtest.SubGraph("then_branch", onnxtest.Graph(nil, onnxtest.Values(onnxtest.Tensor("y_Mul", pb.TensorProto_FLOAT)), onnxtest.Node("Identity", onnxtest.Names("x"), onnxtest.Names("y_Mul")))),
			onnxtest.SubGraph("else_branch", onnxtest.Graph(nil, onnxtest.Values(onnxtest.Tensor("e", pb.TensorProto_FLOAT)),
				onnxtest.DomainNode("ai.onnx.ml", "Scaler", onnxtest.Names("x"), onnxtest.Names("e"), onnxtest.Floats("scale", 2), onnxtest.Floats("offset", 1))))))
	p.Graph.Initializer = []*pb.TensorProto{onnxtest.Bools("y_constant", nil, 1)}
	m, changed, left := toTensors(t, p)
	if !changed || len(left) != 1 || !strings.Contains(left[0], `Scaler of "e": it stands in a graph inside If`) {
		t.Fatalf("MLToTensors = %v, left %q; want the inner Scaler left", changed, left)
	}
	if _, _, err := openBytes("again.onnx", m.Data(), Options{}); err != nil { // names twice are refused
		t.Error(err)
	}
}

// In the pipeline of reference, strings are what is left.
func TestMLToTensorsOnReferenceModels(t *testing.T) {
	for _, test := range []struct {
		name     string
		rewrites int
		left     int
	}{{"flights_linear", 3, 0}, {"flights_mlp", 2, 0}, {"nyc_pipeline", 4, 4}, {"flights_gbdt", 0, 0}, {"embed", 0, 0}} {
		m, err := Open(filepath.Join("reference", test.name+".onnx"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		m, _, err = StripZipMap(m)
		if err != nil {
			t.Fatal(err)
		}
		before := len(m.Rewrites)
		k, changed, left, err := MLToTensors(m, MLTensors{})
		if err != nil || changed != (test.rewrites > 0) || len(k.Rewrites)-before != test.rewrites || len(left) != test.left {
			t.Errorf("%s: MLToTensors = %v, rewrites %q, left %q, %v; want %d and %d", test.name, changed, k.Rewrites, left, err, test.rewrites, test.left)
		}
		for _, l := range left {
			if !strings.HasPrefix(l, "OneHotEncoder") || !strings.Contains(l, "strings") {
				t.Errorf("%s: left %q; want only one-hot strings", test.name, l)
			}
		}
		if string(m.Data()) == "" || m.Metadata["feature_names"] != k.Metadata["feature_names"] {
			t.Errorf("%s: the features' names are lost", test.name)
		}
	}
}
