package models

import (
	"path/filepath"
	"strings"
	"testing"

	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

func TestHostNodes(t *testing.T) {
	text := from(onnxtest.Tensor("x", pb.TensorProto_STRING, "N", 1), pb.TensorProto_INT64,
		onnxtest.Node("Identity", onnxtest.Names("x"), onnxtest.Names("same")),
		onnxtest.Node("Cast", onnxtest.Names("same"), onnxtest.Names("number"), onnxtest.Int("to", int64(pb.TensorProto_INT64))),
		onnxtest.Node("Neg", onnxtest.Names("number"), onnxtest.Names("y")))
	words := stump().Classifier(3, onnxtest.Strings("classlabels_strings", "a", "b", "c"))
	inner := from(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 3), pb.TensorProto_FLOAT,
		onnxtest.Node("If", onnxtest.Names("on"), onnxtest.Names("y"), onnxtest.SubGraph("then_branch",
			onnxtest.Graph(nil, onnxtest.Values(onnxtest.Tensor("n", pb.TensorProto_FLOAT)),
				onnxtest.DomainNode("ai.onnx.ml", "Normalizer", onnxtest.Names("x"), onnxtest.Names("n"))))))
	inner.Graph.Initializer = []*pb.TensorProto{onnxtest.Bools("on", nil, 1)}
	kernels, _, err := UseKernels(must(t, words))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		m    *Model
		want string // operators, in order
	}{
		"nothing":            {must(t, from(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 3), pb.TensorProto_FLOAT, onnxtest.Node("Neg", onnxtest.Names("x"), onnxtest.Names("y")))), ""},
		"text":               {must(t, text), "Identity Cast"},
		"trees":              {must(t, stump().Regressor(3, 1)), "ai.onnx.ml.TreeEnsembleRegressor"},
		"labels of a kernel": {kernels, "millrace.TreesClassifierString"},
		"inside":             {must(t, inner), "ai.onnx.ml.Normalizer"},
	} {
		nodes, err := HostNodes(test.m)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, n := range nodes {
			got = append(got, n.Operator.String())
			if n.Name == "" || n.Why == "" {
				t.Errorf("%s: %+v has no name or reason", name, n)
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: HostNodes() = %v; want %s", name, got, test.want)
		}
	}
}

// Rewritten for a device, only the reference model of text has nodes on the CPU.
func TestHostNodesOfReferenceModels(t *testing.T) {
	for name, want := range map[string]int{
		"flights_gbdt": 0, "flights_xgb": 0, "flights_mlp": 0, "flights_linear": 0, "embed": 0, "nyc_pipeline": 4, // one-hot encoders of text
	} {
		for _, kernels := range []bool{true, false} {
			m, err := OpenRewritten(filepath.Join("reference", name+".onnx"), Options{}, Rewrites{ZipMap: true, Kernels: kernels, Tensors: true})
			if err != nil {
				t.Fatal(err)
			}
			if nodes, err := HostNodes(m); err != nil || len(nodes) != want {
				t.Errorf("%s, kernels %v: HostNodes() = %v, %v; want %d", name, kernels, nodes, err, want)
			}
		}
	}
}
