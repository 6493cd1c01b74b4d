package agree_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/agree"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// TestMain fails when a test leaves a session or tensor open.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := ort.Live(); !left.IsZero() {
		fmt.Fprintln(os.Stderr, "left open:", left)
		code = max(code, 1)
	}
	os.Exit(code) //nolint:forbidigo // TestMain has to
}

func open(t *testing.T, p *pb.ModelProto) *models.Model {
	t.Helper()
	m, err := models.Open(onnxtest.Write(t, p), models.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// affine is y = x * factor, of three columns, and z = x.
func affine(factor float32) *pb.ModelProto {
	g := onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 3)),
		onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N", 3), onnxtest.Tensor("z", pb.TensorProto_FLOAT, "N", 3)),
		onnxtest.Node("Mul", onnxtest.Names("x", "factor"), onnxtest.Names("y")), onnxtest.Node("Identity", onnxtest.Names("x"), onnxtest.Names("z")))
	g.Initializer = []*pb.TensorProto{onnxtest.Floats32("factor", []int64{1}, factor)}
	return onnxtest.Model(g)
}

func toText(op string, in pb.TensorProto_DataType, attributes ...*pb.AttributeProto) *pb.ModelProto {
	return onnxtest.Model(onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("x", in, "N", 1)), onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_STRING, "N", 1)),
		onnxtest.DomainNode("ai.onnx.ml", op, onnxtest.Names("x"), onnxtest.Names("y"), attributes...)))
}

func encoder(unknown string) *pb.ModelProto {
	return toText("LabelEncoder", pb.TensorProto_STRING, onnxtest.Strings("keys_strings", "w0"), onnxtest.Strings("values_strings", "none"), onnxtest.String("default_string", unknown))
}

func TestCompare(t *testing.T) {
	lib := orttest.Library(t)
	oneHot := func(op string) *pb.ModelProto {
		return onnxtest.Model(onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_INT64, "N", 1)), onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N", 1, 2)),
			onnxtest.DomainNode("ai.onnx.ml", op, onnxtest.Names("x"), onnxtest.Names("y"), onnxtest.Ints("cats_int64s", 0, 1), onnxtest.Int("zeros", 0))))
	}
	noZ := affine(2)
	noZ.Graph.Node, noZ.Graph.Output = noZ.Graph.Node[:1], noZ.Graph.Output[:1]
	for _, test := range []struct {
		why       string
		was, now  *pb.ModelProto
		largest   float64
		differing int
		outputs   int
	}{
		{"the same", affine(2), affine(2), 0, 0, 2},
		{"half as much", affine(2), affine(1), 0.5, 0, 2},
		{"infinite where it was not", affine(2), affine(float32(math.Inf(1))), math.Inf(1), 1, 2},
		{"an output less", affine(2), noZ, 0, 0, 1},
		{"strings", encoder("?"), encoder("?"), 0, 0, 1},
		{"other strings", encoder("?"), encoder("!"), 0, 1, 1},
		{"some rows refused", oneHot("OneHotEncoder"), oneHot("OneHotEncoder"), 0, 0, 1},
	} {
		was, now := open(t, test.was), open(t, test.now)
		rows, err := agree.Made(was, 200, 1)
		if err != nil {
			t.Fatal(err)
		}
		r, err := agree.Compare(t.Context(), lib, was, now, rows)
		if err != nil {
			t.Fatalf("%s: %v", test.why, err)
		}
		largest, _ := r.Largest()
		differing := 0
		for _, d := range r.Differences {
			differing += d.Differing
		}
		if math.Abs(largest-test.largest) > 1e-6 || (differing > 0) != (test.differing > 0) || len(r.Differences) != test.outputs || r.Rows+r.Refused != 200 || r.Rows == 0 {
			t.Errorf("%s: Compare = %+v; want a largest difference of %v, of %d outputs", test.why, r, test.largest, test.outputs)
		}
		if refuses := test.was.Graph.Node[0].GetOpType() == "OneHotEncoder"; refuses != (r.Refused > 0) {
			t.Errorf("%s: %d rows refused", test.why, r.Refused)
		}
	}
}

func TestCompareRefuses(t *testing.T) {
	lib := orttest.Library(t)
	wide, narrow := affine(1), affine(1)
	narrow.Graph.Node[1] = onnxtest.Node("ReduceSum", onnxtest.Names("x"), onnxtest.Names("z"))
	narrow.Graph.Output[1] = onnxtest.Tensor("z", pb.TensorProto_FLOAT, nil, nil)
	none := onnxtest.Model(onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_INT64, "N", 1)), onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N", 1, 1)),
		onnxtest.DomainNode("ai.onnx.ml", "OneHotEncoder", onnxtest.Names("x"), onnxtest.Names("y"), onnxtest.Ints("cats_int64s", -5), onnxtest.Int("zeros", 0))))
	for _, test := range []struct {
		why      string
		was, now *pb.ModelProto
		want     error
		text     string
	}{
		{"another shape", wide, narrow, models.ErrModel, `output "z" was float32 [20 3], and is float32 [1 1] as rewritten`},
		{"rows that it never takes", none, none, agree.ErrRefused, "Unknown Category"},
	} {
		was := open(t, test.was)
		rows, err := agree.Made(was, 20, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := agree.Compare(t.Context(), lib, was, open(t, test.now), rows); !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: Compare = %v; want %v with %q", test.why, err, test.want, test.text)
		}
	}
}

// A label may be another where the two best scores are equal but for rounding, as a
// forest's often are, and nowhere else.
func TestCompareOfTies(t *testing.T) {
	lib := orttest.Library(t)
	// The scores are s, s+gap and s-1, of which the first or the last of the best
	// gives the label.
	labelled := func(gap float32, last int64) *pb.ModelProto {
		g := onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 1)),
			onnxtest.Values(onnxtest.Tensor("label", pb.TensorProto_INT64, "N"), onnxtest.Tensor("scores", pb.TensorProto_FLOAT, "N", 3)),
			onnxtest.Node("Mul", onnxtest.Names("x", "none"), onnxtest.Names("zero")),
			onnxtest.Node("IsNaN", onnxtest.Names("x"), onnxtest.Names("missing")),
			onnxtest.Node("Where", onnxtest.Names("missing", "none", "zero"), onnxtest.Names("number")),
			onnxtest.Node("Add", onnxtest.Names("number", "three"), onnxtest.Names("scores")),
			onnxtest.Node("ArgMax", onnxtest.Names("scores"), onnxtest.Names("label"), onnxtest.Int("axis", 1), onnxtest.Int("keepdims", 0), onnxtest.Int("select_last_index", last)))
		g.Initializer = []*pb.TensorProto{onnxtest.Floats32("none", []int64{1}, 0), onnxtest.Floats32("three", []int64{3}, 0.5, 0.5+gap, -0.5)}
		return onnxtest.Model(g)
	}
	for _, test := range []struct {
		why             string
		was, now        *pb.ModelProto
		differing, tied int
	}{
		{"equal scores, the other label", labelled(0, 0), labelled(0, 1), 0, 200},
		{"equal but for rounding", labelled(1e-7, 0), labelled(-1e-7, 0), 0, 200},
		{"scores apart", labelled(1e-3, 0), labelled(-1e-3, 0), 200, 0},
		{"the same", labelled(0, 0), labelled(0, 0), 0, 0},
	} {
		was, now := open(t, test.was), open(t, test.now)
		rows, err := agree.Made(was, 200, 1)
		if err != nil {
			t.Fatal(err)
		}
		r, err := agree.Compare(t.Context(), lib, was, now, rows)
		if err != nil {
			t.Fatalf("%s: %v", test.why, err)
		}
		if d := r.Differences[0]; d.Differing != test.differing || d.Tied != test.tied || d.Values != 200 {
			t.Errorf("%s: Compare = %+v; want %d labels that differ and %d tied", test.why, d, test.differing, test.tied)
		}
	}
}

// ONNX Runtime says that 4.5 is in a set of three whole numbers with 4 among them, which no
// rewrite is held to: rows that are made for such a model have no fractions.
func TestCompareOfMembership(t *testing.T) {
	lib := orttest.Library(t)
	floats := func(name string, values ...float32) *pb.AttributeProto {
		return &pb.AttributeProto{Name: new(name), Type: pb.AttributeProto_TENSOR.Enum(), T: onnxtest.Floats32(name, []int64{int64(len(values))}, values...)}
	}
	member := &pb.TensorProto{DataType: new(int32(pb.TensorProto_UINT8)), Dims: []int64{1}, RawData: []byte{6}}
	p := onnxtest.Model(onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 2)), onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N", 1)),
		onnxtest.DomainNode("ai.onnx.ml", "TreeEnsemble", onnxtest.Names("x"), onnxtest.Names("y"),
			onnxtest.Ints("nodes_featureids", 1), onnxtest.Ints("nodes_truenodeids", 0), onnxtest.Ints("nodes_falsenodeids", 1),
			onnxtest.Ints("nodes_trueleafs", 1), onnxtest.Ints("nodes_falseleafs", 1), onnxtest.Ints("tree_roots", 0),
			onnxtest.Ints("leaf_targetids", 0, 0), onnxtest.Int("n_targets", 1), floats("leaf_weights", 1, 2), floats("nodes_splits", 0),
			floats("membership_values", 4, 2, 31, float32(math.NaN())),
			&pb.AttributeProto{Name: new("nodes_modes"), Type: pb.AttributeProto_TENSOR.Enum(), T: member})))
	p.OpsetImport[1].Version = new(int64(5))
	was := open(t, p)
	now, changed, left, err := models.TreesToTensors(was, models.TensorTrees{})
	if err != nil || !changed || len(left) > 0 {
		t.Fatalf("TreesToTensors = %v, %q, %v; want it changed", changed, left, err)
	}
	rows, err := agree.Made(was, 200, 1)
	if err != nil {
		t.Fatal(err)
	}
	r, err := agree.Compare(t.Context(), lib, was, now, rows)
	if err != nil {
		t.Fatal(err)
	}
	if largest, _ := r.Largest(); largest > 0 || r.Rows != 200 {
		t.Errorf("Compare = %+v; want no difference in 200 rows", r)
	}
}

func TestMadeRefuses(t *testing.T) {
	for _, test := range []struct {
		why  string
		x    *pb.ValueInfoProto
		is   error
		want string
	}{
		{"a width left open", onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", nil), agree.ErrNoRows, "leaves a dimension open"},
		{"a type that no column has", onnxtest.Tensor("x", pb.TensorProto_COMPLEX64, "N", 1), agree.ErrNoRows, "it is of complex64"},
		{"a scalar", onnxtest.Tensor("x", pb.TensorProto_FLOAT), agree.ErrNoRows, "no tensor with a dimension of rows"},
		{"rows of a gigabyte", onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 1<<20), agree.ErrTooManyRows, "1000 rows"},
		{"as many, which the model asks for", onnxtest.Tensor("x", pb.TensorProto_FLOAT, 1000, 1<<20), agree.ErrNoRows, "1000 rows"},
	} {
		m := open(t, onnxtest.Model(onnxtest.Graph(onnxtest.Values(test.x), onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT)),
			onnxtest.Node("Identity", onnxtest.Names("x"), onnxtest.Names("y")))))
		if _, err := agree.Made(m, 1000, 1); !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Made = %v; want %q", test.why, err, test.want)
		}
	}
}

// An interruption is none of the model's faults.
func TestCompareInterrupted(t *testing.T) {
	lib := orttest.Library(t)
	m := open(t, affine(1))
	rows, err := agree.Made(m, 20, 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := agree.Compare(ctx, lib, m, m, rows); !errors.Is(err, context.Canceled) || errors.Is(err, agree.ErrRefused) {
		t.Errorf("Compare = %v; want %v", err, context.Canceled)
	}
}
