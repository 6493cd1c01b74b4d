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
func FuzzOpen(f *testing.F) {
	for _, m := range []*pb.ModelProto{
		sample(), onnxtest.Endless(), onnxtest.Identity(pb.TensorProto_STRING, "N"),
		classifier(onnxtest.Values(onnxtest.Maps("p", pb.TensorProto_INT64)),
			onnxtest.ZipMap("raw", "p", onnxtest.Ints("classlabels_int64s", 3, 1))),
		stump().Regressor(3, 1), stump().Classifier(3, onnxtest.Strings("classlabels_strings", "a", "b")),
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
	})
}
