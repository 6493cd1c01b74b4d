package ort_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
)

// prediction is what the training library predicts; see
// models/testdata/make.py.
type prediction struct {
	Predict []any       `json:"predict"`
	Scores  [][]float64 `json:"scores"` // [rows][classes], in the order of labels.json
}

func readJSON(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "models", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// Exported models give the training libraries' own predictions, with a ZipMap
// decoded as well as taken off.
func TestPredictionsOfTrainingLibraries(t *testing.T) {
	lib := orttest.Library(t)
	var all map[string]json.RawMessage
	readJSON(t, "predictions.json", &all)
	var rows [][]float32
	if err := json.Unmarshal(all["x"], &rows); err != nil {
		t.Fatal(err)
	}
	delete(all, "x")
	shape := []int64{int64(len(rows)), int64(len(rows[0]))}
	x := tensor(t, models.Float32, shape, slices.Concat(rows...))
	defer closeAll(t, x)
	for name, raw := range all {
		t.Run(name, func(t *testing.T) {
			var want prediction
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
			m, err := models.Open(filepath.Join("..", "..", "models", "testdata", name+".onnx"), models.Options{})
			if err != nil {
				t.Fatal(err)
			}
			stripped, _, err := models.StripZipMap(m)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range []*models.Model{m, stripped} {
				s, err := ort.NewSession(lib, m, ort.SessionOptions{})
				if err != nil {
					t.Fatal(err)
				}
				outputs := make([]*ort.Tensor, len(s.Outputs()))
				if err := s.Run(t.Context(), []*ort.Tensor{x}, outputs); err != nil {
					t.Fatal(err)
				}
				if got := column(t, outputs[0]); !equal(got, want.Predict) {
					t.Errorf("%v %s = %v; want %v", m.Rewrites, s.Outputs()[0].Name, got, want.Predict)
				}
				if want.Scores != nil {
					compareScores(t, m, outputs[1], want.Scores)
				}
				closeAll(t, outputs...)
				closeAll(t, s)
			}
		})
	}
}

// column reads predicted labels or values.
func column(t *testing.T, x *ort.Tensor) (values []any) {
	t.Helper()
	switch x.Elem() {
	case models.String:
		for _, s := range read(t, x) {
			values = append(values, s)
		}
	case models.Int64:
		for _, v := range ort.View[int64](x) {
			values = append(values, float64(v))
		}
	case models.Float32:
		for _, v := range ort.View[float32](x) {
			values = append(values, float64(v))
		}
	default:
		t.Errorf("predictions of %v", x.Elem())
	}
	return values
}

func equal(got, want []any) bool {
	return slices.EqualFunc(got, want, func(a, b any) bool {
		x, isNumber := a.(float64)
		y, _ := b.(float64)
		if isNumber {
			return math.Abs(x-y) < 1e-5
		}
		return a == b
	})
}

func compareScores(t *testing.T, m *models.Model, x *ort.Tensor, want [][]float64) {
	t.Helper()
	scores := ort.View[float32](x)
	labels, _ := m.OutputLabels(1)
	if x.Kind() == models.Sequence {
		var decoded models.ClassLabels
		var err error
		if scores, decoded, err = ort.DecodeSequenceOfMaps(x); err != nil || !decoded.Equal(labels) {
			t.Fatalf("DecodeSequenceOfMaps() = %v, %v; want the labels %v", decoded, err, labels)
		}
	}
	flat := slices.Concat(want...)
	if !slices.EqualFunc(scores, flat, func(a float32, b float64) bool { return math.Abs(float64(a)-b) < 1e-5 }) {
		t.Errorf("%v scores = %v; want %v", m.Rewrites, fmt.Sprint(scores), flat)
	}
}
