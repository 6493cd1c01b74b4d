package models

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// The expected labels are the training libraries' own; see testdata/make.py.
func TestOutputLabelsOfExporters(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "labels.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]map[string][]any
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	for name, outputs := range want {
		t.Run(name, func(t *testing.T) {
			m, err := Open(filepath.Join("testdata", name+".onnx"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			stripped, changed, err := StripZipMap(m)
			if err != nil || changed != strings.HasSuffix(name, "-zipmap") {
				t.Fatalf("StripZipMap() changed = %v, %v", changed, err)
			}
			for _, m := range []*Model{m, stripped} {
				for i, v := range m.Outputs {
					labels, ok := m.OutputLabels(i)
					want, known := outputs[v.Name]
					if got := plain(labels); !known || got != fmt.Sprint(want) || ok != (want != nil) {
						t.Errorf("OutputLabels(%s) = %v, %v; want %v", v.Name, got, ok, want)
					}
				}
			}
			for i, v := range stripped.Outputs {
				if v.Kind != Tensor {
					t.Errorf("StripZipMap() left output %q of kind %d", v.Name, v.Kind)
				}
				if l, ok := stripped.OutputLabels(i); ok && (len(v.Shape) != 2 || v.Shape[1].Size != int64(l.Len())) {
					t.Errorf("output %q has the shape %v for %d labels", v.Name, v.Shape, l.Len())
				}
			}
		})
	}
}

func plain(l ClassLabels) string {
	if l.Strings != nil {
		return fmt.Sprint(l.Strings)
	}
	return fmt.Sprint(l.Ints)
}

// classifier is a TreeEnsembleClassifier of x with outputs label and raw.
func classifier(outputs []*pb.ValueInfoProto, nodes ...*pb.NodeProto) *pb.ModelProto {
	c := onnxtest.DomainNode("ai.onnx.ml", "TreeEnsembleClassifier", onnxtest.Names("x"), onnxtest.Names("label", "raw"),
		onnxtest.Ints("classlabels_int64s", 3, 1))
	return onnxtest.Model(onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 2)), outputs,
		append([]*pb.NodeProto{c}, nodes...)...))
}

func TestOutputLabelsInGraphs(t *testing.T) {
	float := func(name string, dims ...any) []*pb.ValueInfoProto {
		return onnxtest.Values(onnxtest.Tensor(name, pb.TensorProto_FLOAT, dims...))
	}
	cycle := classifier(float("y", "N", 2), onnxtest.Node("Identity", onnxtest.Names("z"), onnxtest.Names("y")),
		onnxtest.Node("Identity", onnxtest.Names("y"), onnxtest.Names("z")))
	for _, c := range []struct {
		name  string
		model *pb.ModelProto
		want  string
	}{
		{"the scores themselves", classifier(float("raw", "N", 2)), "[3 1]"},
		{"the predicted label", classifier(onnxtest.Values(onnxtest.Tensor("label", pb.TensorProto_INT64, "N"))), "[]"},
		{"one column for two classes", classifier(float("raw", "N", 1)), "[]"},
		{"no declared shape", classifier(float("raw")), "[3 1]"},
		{"scores normalised and cast", classifier(float("y", "N", 2),
			onnxtest.DomainNode("ai.onnx.ml", "Normalizer", onnxtest.Names("raw"), onnxtest.Names("n")),
			onnxtest.Node("Cast", onnxtest.Names("n"), onnxtest.Names("y"))), "[3 1]"},
		{"columns swapped", classifier(float("y", "N", 2),
			onnxtest.Node("Gather", onnxtest.Names("raw", "label"), onnxtest.Names("y"))), "[]"},
		{"a cycle ends", cycle, "[]"},
	} {
		m, _, err := openBytes("m.onnx", onnxtest.Bytes(t, c.model), Options{})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		got, ok := m.OutputLabels(0)
		if plain(got) != c.want || ok != (c.want != "[]") {
			t.Errorf("%s: OutputLabels(0) = %v, %v; want %s", c.name, plain(got), ok, c.want)
		}
	}
	if _, ok := (&Model{}).OutputLabels(-1); ok {
		t.Error("OutputLabels(-1) = true")
	}
}

func TestStripZipMapKeepsMapsInUse(t *testing.T) {
	zip := onnxtest.ZipMap("raw", "maps", onnxtest.Ints("classlabels_int64s", 3, 1))
	wide := onnxtest.ZipMap("x3", "maps", onnxtest.Ints("classlabels_int64s", 3, 1))
	identity := onnxtest.Node("Identity", onnxtest.Names("maps"), onnxtest.Names("p"))
	for _, c := range []struct {
		name    string
		outputs []*pb.ValueInfoProto
		nodes   []*pb.NodeProto
		want    []Kind
	}{
		{"by way of Identity", onnxtest.Values(onnxtest.Maps("p", pb.TensorProto_INT64)), []*pb.NodeProto{zip, identity}, []Kind{Tensor}},
		{
			"two outputs from one", onnxtest.Values(onnxtest.Maps("p", pb.TensorProto_INT64), onnxtest.Maps("maps", pb.TensorProto_INT64)),
			[]*pb.NodeProto{zip, identity},
			[]Kind{Tensor, Tensor},
		},
		{
			"scores of another width", append(onnxtest.Values(onnxtest.Maps("maps", pb.TensorProto_INT64)),
				onnxtest.Tensor("x3", pb.TensorProto_FLOAT, "N", 3)),
			[]*pb.NodeProto{onnxtest.Node("Identity", onnxtest.Names("raw"), onnxtest.Names("x3")), wide},
			[]Kind{SequenceOfMaps},
		},
		{
			"used by another node", onnxtest.Values(onnxtest.Maps("maps", pb.TensorProto_INT64)),
			[]*pb.NodeProto{zip, onnxtest.Node("SequenceLength", onnxtest.Names("maps"), onnxtest.Names("n"))},
			[]Kind{SequenceOfMaps},
		},
		{
			"used in an inner graph", onnxtest.Values(onnxtest.Maps("maps", pb.TensorProto_INT64)),
			[]*pb.NodeProto{zip, onnxtest.Node("If", onnxtest.Names("label"), onnxtest.Names("n"), onnxtest.SubGraph("then_branch",
				onnxtest.Graph(nil, onnxtest.Values(onnxtest.Maps("maps", pb.TensorProto_INT64)))))},
			[]Kind{SequenceOfMaps},
		},
	} {
		m, _, err := openBytes("m.onnx", onnxtest.Bytes(t, classifier(c.outputs, c.nodes...)), Options{})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		before := string(m.Data())
		got, changed, err := StripZipMap(m)
		if err != nil || changed != (c.want[0] == Tensor) || len(got.Rewrites) > 0 != changed {
			t.Errorf("%s: StripZipMap() = %v, %v, %v", c.name, got.Rewrites, changed, err)
			continue
		}
		for i, kind := range c.want {
			if got.Outputs[i].Kind != kind {
				t.Errorf("%s: output %d has kind %d; want %d", c.name, i, got.Outputs[i].Kind, kind)
			}
			if l, ok := got.OutputLabels(i); !ok || plain(l) != "[3 1]" {
				t.Errorf("%s: OutputLabels(%d) = %v", c.name, i, l)
			}
		}
		if string(m.Data()) != before || m.Outputs[0].Kind != SequenceOfMaps {
			t.Errorf("%s: StripZipMap changed the model it was given", c.name)
		}
	}
}

// Maps that are declared to hold doubles, as exporters of pipelines in double declare them,
// have scores of the type that the operators before give, which is float32 behind trees.
func TestStripZipMapTypes(t *testing.T) {
	doubles := onnxtest.Maps("maps", pb.TensorProto_INT64)
	doubles.Type.GetSequenceType().GetElemType().GetMapType().ValueType.GetTensorType().ElemType = new(int32(pb.TensorProto_DOUBLE))
	zip := func(scores string) *pb.NodeProto {
		return onnxtest.ZipMap(scores, "maps", onnxtest.Ints("classlabels_int64s", 3, 1))
	}
	for _, c := range []struct {
		name  string
		nodes []*pb.NodeProto
		want  ElementType
	}{
		{"of trees", []*pb.NodeProto{zip("raw")}, Float32},
		{"of the mean of trees", []*pb.NodeProto{onnxtest.Node("ReduceMean", onnxtest.Names("raw"), onnxtest.Names("mean")), zip("mean")}, Float32},
		{"of the sum of trees", []*pb.NodeProto{onnxtest.Node("Sum", onnxtest.Names("raw", "raw"), onnxtest.Names("sum")), zip("sum")}, Float32},
		{"made double", []*pb.NodeProto{onnxtest.Node("Cast", onnxtest.Names("raw"), onnxtest.Names("d"), onnxtest.Int("to", int64(Float64))), zip("d")}, Float64},
		{"of an operator that is not known", []*pb.NodeProto{onnxtest.Node("Det", onnxtest.Names("raw"), onnxtest.Names("e")), zip("e")}, Float64},
	} {
		m, _, err := openBytes("m.onnx", onnxtest.Bytes(t, classifier(onnxtest.Values(doubles), c.nodes...)), Options{})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		got, changed, err := StripZipMap(m)
		if err != nil || !changed || got.Outputs[0].Elem != c.want {
			t.Errorf("%s: StripZipMap() = output of %v, %v, %v; want %v", c.name, got.Outputs[0].Elem, changed, err, c.want)
		}
	}
}

// The reference models are made elsewhere in the repository.
func TestReferenceModels(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("reference", "*.onnx"))
	if err != nil || len(paths) == 0 {
		t.Skip("SKIPPED: no models in models/reference")
	}
	for _, path := range paths {
		m, err := Open(path, Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		s, _, err := StripZipMap(m)
		if err != nil {
			t.Error(err)
			continue
		}
		for i, v := range s.Outputs {
			labels, _ := s.OutputLabels(i)
			t.Logf("%s: %s %v %v labels %v", path, v.Name, v.Elem, v.Shape, plain(labels))
			if v.Kind != Tensor {
				t.Errorf("%s: output %q is no tensor after StripZipMap", path, v.Name)
			}
		}
	}
}
