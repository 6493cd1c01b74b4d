package engine_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

const sklearnFolder = "../testdata/features/"

// What came of a row in scikit-learn; see testdata/features/make.py.
const (
	sklearnValues = iota
	sklearnError
	sklearnInfinity
)

// fittedFeatures reads the features of a fitted file.
func fittedFeatures(t *testing.T, path string) []feature.Feature {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Features []feature.Feature `json:"features"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Features
}

// The features of every fitted transformer are scikit-learn's own values within one
// float32 step, for real and for awkward rows, and bad rows are those that it raises
// an error for, or has to make an infinity of. A model that gives its input back shows
// them.
func TestFeaturesOfSklearn(t *testing.T) {
	if testing.Short() {
		t.Skip("of numbers, which other tests race for")
	}
	lib := orttest.Library(t)
	paths, err := filepath.Glob(sklearnFolder + "fitted/*.json")
	if err != nil || len(paths) < 50 {
		t.Fatalf("%d fitted files (%v)", len(paths), err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		t.Run(name, func(t *testing.T) {
			expected := readColumns(t, sklearnFolder+"expected.parquet", []string{name, name + ".outcome"})
			want, outcomes := expected[name], expected[name+".outcome"]
			width := len(want) / len(outcomes)
			opts := engine.Options{
				Model: onnxtest.Write(t, onnxtest.Identity(onnxpb.TensorProto_FLOAT, "N", width)), Inputs: []string{sklearnFolder + "rows.parquet"},
				Output: filepath.Join(t.TempDir(), "out.parquet"), IDs: []string{"id"}, FeatureSpecs: fittedFeatures(t, path),
				OnBadRow: engine.BadReject, MaxRejects: -1, Layout: engine.LayoutList, Workers: 2, BatchRows: 500,
			}
			score(t, lib, opts)
			got := readColumns(t, opts.Output, []string{"id", "y"})
			compareSklearn(t, got, want, outcomes)
		})
	}
}

func compareSklearn(t *testing.T, got map[string][]float64, want, outcomes []float64) {
	t.Helper()
	width, at := len(want)/len(outcomes), 0
	for row, outcome := range outcomes {
		expected := want[row*width : (row+1)*width]
		scored := at < len(got["id"]) && got["id"][at] == float64(row)
		if outcome != sklearnInfinity && !slices.ContainsFunc(expected, infinite) && scored != (outcome == sklearnValues) {
			t.Errorf("row %d is scored: %v; sklearn's outcome is %v", row, scored, outcome)
		}
		if !scored {
			continue
		}
		for i, w := range expected {
			if g := got["y"][at*width+i]; outcome == sklearnValues && !withinOneStep(float32(g), float32(w)) {
				t.Errorf("row %d value %d = %v; want %v", row, i, g, w)
			}
		}
		at++
	}
	if at != len(got["id"]) {
		t.Errorf("%d rows are left over", len(got["id"])-at)
	}
}

// infinite says whether a number is an infinity as a float32.
func infinite(v float64) bool { return math.IsInf(float64(float32(v)), 0) }

// withinOneStep says whether two numbers are the same float32 or neighbours.
func withinOneStep(a, b float32) bool {
	if a != a || b != b {
		return a != a && b != b
	}
	return math.Nextafter32(a, b) == b
}

// The flights of 2013 from raw columns: what was fitted, as features, and the bare
// regression give the predictions of the whole pipeline, which are scikit-learn's own.
func TestFlightsFromRawColumns(t *testing.T) {
	lib := orttest.Library(t)
	refs := references(t)
	ref := refs[slices.IndexFunc(refs, func(r reference) bool { return r.Name == "nyc_pipeline" })]
	ref.Outputs = slices.Clone(ref.Outputs)
	ref.Outputs[0].ONNXOutput = "label"
	for class := range 2 {
		o := &ref.Outputs[class+1]
		o.ONNXOutput, o.MapKey, o.Index = "probabilities", nil, &class
	}
	noMaker := feature.TextOf("") // what the pipeline was fitted with
	specs := append([]feature.Feature{{
		Name: "manufacturer", Column: "manufacturer", Transforms: []feature.Step{{Fill: &noMaker}}, Hidden: true,
	}}, fittedFeatures(t, "../models/reference/nyc_bare.features.json")...)
	for _, run := range []struct {
		sample         string
		workers, batch int
	}{{ref.SampleParquet, 1, 0}, {ref.SampleParquet, 3, 777}, {ref.SampleArrow, 2, 1000}} {
		t.Run(fmt.Sprintf("%s/%d", filepath.Ext(run.sample)[1:], run.workers), func(t *testing.T) {
			opts := engine.Options{
				Model: "../models/reference/nyc_bare.onnx", Inputs: []string{"../" + run.sample}, Output: filepath.Join(t.TempDir(), "out"),
				IDs: []string{"id"}, FeatureSpecs: specs, Workers: run.workers, BatchRows: run.batch, PartRows: 20000,
			}
			score(t, lib, opts)
			compareGolden(t, &ref, opts.Output)
		})
	}
}
