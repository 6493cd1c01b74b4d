package engine_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
)

// The reference models with trees give their training libraries' own predictions
// when the trees are tensor operators, within the same tolerance as without, and
// labels exactly.
func TestReferenceTreesAsTensors(t *testing.T) {
	if testing.Short() {
		t.Skip("of numbers, which other tests race for")
	}
	lib := orttest.Library(t)
	layouts := map[string][]string{"flights_gbdt": {"columns"}, "flights_xgb": {"rows", "columns"}} // rows of the GBDT take 20 s of a core
	for _, ref := range references(t) {
		for _, layout := range layouts[ref.Name] {
			t.Run(filepath.Join(ref.Name, layout), func(t *testing.T) {
				m, err := models.Open("../"+ref.ONNX, models.Options{})
				if err != nil {
					t.Fatal(err)
				}
				m, changed, left, err := models.TreesToTensors(m, models.TensorTrees{Transposed: layout == "columns"})
				if err != nil || !changed || len(left) > 0 {
					t.Fatalf("TreesToTensors() = %v, %q, %v; want it changed", changed, left, err)
				}
				if m, err = models.KeepLabels(m); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(t.TempDir(), "model.onnx")
				if err := os.WriteFile(path, m.Data(), 0o600); err != nil {
					t.Fatal(err)
				}
				opts := engine.Options{
					Model: path, Inputs: []string{"../" + ref.SampleParquet}, Output: filepath.Join(t.TempDir(), "out.parquet"),
					IDs: []string{"id"}, Where: "id % 5 == 0", Nulls: policies(ref), MaxRejects: -1, Workers: 2, BatchRows: 5000,
				}
				score(t, lib, opts)
				compareGoldenOf(t, &ref, opts.Output, 5)
			})
		}
	}
}
