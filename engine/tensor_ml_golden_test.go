package engine_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
)

// The reference models, rewritten to tensor operators and written to a file,
// give their training libraries' own predictions under the same column names.
func TestTensorsGiveGoldenPredictions(t *testing.T) {
	slow(t)
	lib := orttest.Library(t)
	rewritten := map[string]bool{}
	for _, ref := range references(t) {
		m, err := models.OpenRewritten("../"+ref.ONNX, models.Options{}, models.Rewrites{ZipMap: true})
		if err != nil {
			t.Fatal(err)
		}
		k, changed, _, err := models.MLToTensors(m, models.MLTensors{})
		if err != nil {
			t.Fatal(err)
		}
		if !changed {
			continue
		}
		rewritten[ref.Name] = true
		t.Run(ref.Name, func(t *testing.T) {
			if k, err = models.KeepLabels(k); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "tensors.onnx")
			if err := os.WriteFile(path, k.Data(), 0o600); err != nil {
				t.Fatal(err)
			}
			opts := engine.Options{
				Model: path, Inputs: []string{"../" + ref.SampleParquet}, Output: filepath.Join(t.TempDir(), "out"),
				IDs: []string{"id"}, Nulls: policies(ref), MaxRejects: -1, Workers: 1,
			}
			score(t, lib, opts)
			compareGolden(t, &ref, opts.Output)
		})
	}
	for _, name := range []string{"flights_linear", "flights_mlp", "nyc_pipeline"} {
		if !rewritten[name] {
			t.Errorf("%s was not rewritten", name)
		}
	}
}
