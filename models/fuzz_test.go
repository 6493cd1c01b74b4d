package models

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// FuzzOpen: any bytes give an error or a model, never both, and a model can be
// rewritten.
//
//	go test ./models -run '^$' -fuzz FuzzOpen -fuzzminimizetime 1x
//
// Without the last flag Go tries for a minute to shorten each input that reaches new
// code, counts none of these runs, and so says 0 execs/sec most of the time.
func FuzzOpen(f *testing.F) {
	for _, m := range []*pb.ModelProto{
		sample(), onnxtest.Endless(), onnxtest.Identity(pb.TensorProto_STRING, "N"),
		classifier(onnxtest.Values(onnxtest.Maps("p", pb.TensorProto_INT64)),
			onnxtest.ZipMap("raw", "p", onnxtest.Ints("classlabels_int64s", 3, 1))),
		chainOfAll(), layers(first(second("h"))...), woods(9).Regressor(300, 1), stump().Regressor(3, 1), stump5(), stump().Classifier(3, onnxtest.Strings("classlabels_strings", "a", "b")),
	} {
		f.Add(onnxtest.Bytes(f, m))
	}
	paths, err := filepath.Glob(filepath.Join("testdata", "*.onnx"))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		began := time.Now()
		defer func() {
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%d bytes took %v", len(data), took)
			}
		}()
		m, _, err := openBytes(filepath.Join(dir, "m.onnx"), data, Options{MaxParsedBytes: 64 << 20})
		if (m == nil) == (err == nil) || err != nil && !errors.Is(err, ErrModel) {
			t.Fatalf("open = %v, %v", m, err)
		}
		if m == nil {
			return
		}
		m.FeatureNames()
		for i := range m.Outputs {
			m.OutputLabels(i)
		}
		s, changed, err := StripZipMap(m)
		if err != nil || (s == m) == changed {
			t.Fatalf("StripZipMap = %v, %v", changed, err)
		}
		if k, changed, err := UseKernels(s); err != nil || (k == s) == changed {
			t.Fatalf("UseKernels = %v, %v", changed, err)
		}
		k, changed, left, err := MLToTensors(s, MLTensors{DropLabels: true})
		if err != nil || (k == s) == changed {
			t.Fatalf("MLToTensors = %v, left %q, %v", changed, left, err)
		}
		if _, err := KeepLabels(k); err != nil {
			t.Fatalf("KeepLabels: %v", err)
		}
		if k, changed, _, err := TreesToTensors(s, TensorTrees{Transposed: true}); err != nil || (k == s) == changed {
			t.Fatalf("TreesToTensors = %v, %v", changed, err)
		}
	})
}

// chainOfAll is a graph of the operators that become tensors.
func chainOfAll() *pb.ModelProto {
	to := func(op, in, out string, attributes ...*pb.AttributeProto) *pb.NodeProto {
		return onnxtest.DomainNode("ai.onnx.ml", op, onnxtest.Names(in), onnxtest.Names(out), attributes...)
	}
	g := onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 2)),
		onnxtest.Values(onnxtest.Tensor("label", pb.TensorProto_STRING, "N"), onnxtest.Tensor("scores", pb.TensorProto_FLOAT, "N", 2)),
		to("LabelEncoder", "x", "l", onnxtest.Floats("keys_floats", 1, 2), onnxtest.Floats("values_floats", 3, 4)),
		to("Imputer", "l", "i", onnxtest.Floats("imputed_value_floats", 1, 2), onnxtest.Float("replaced_value_float", 7)),
		to("Binarizer", "i", "b"), to("Normalizer", "b", "n", onnxtest.String("norm", "L2")),
		to("FeatureVectorizer", "n", "v", onnxtest.Ints("inputdimensions", 2)),
		to("Scaler", "v", "s", onnxtest.Floats("scale", 1, 2), onnxtest.Floats("offset", 1, 2)),
		onnxtest.Node("Cast", onnxtest.Names("s"), onnxtest.Names("c"), onnxtest.Int("to", int64(pb.TensorProto_INT64))),
		to("OneHotEncoder", "c", "o", onnxtest.Ints("cats_int64s", 1, 2)),
		onnxtest.DomainNode("ai.onnx.ml", "LinearClassifier", onnxtest.Names("s"), onnxtest.Names("label", "scores"),
			onnxtest.Floats("coefficients", 1, 2, 3, 4), onnxtest.Floats("intercepts", 0, 0), onnxtest.Strings("classlabels_strings", "a", "b"), onnxtest.String("post_transform", "SOFTMAX")))
	return onnxtest.Model(g)
}
