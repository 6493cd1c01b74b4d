package engine_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/distribution"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort/orttest"
)

// How predictions are distributed is what numpy says of the training library's own.
func TestPredictionsOfReferenceModel(t *testing.T) {
	text, err := os.ReadFile("distribution/testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Rows               int64
		Min, Max, Mean, SD float64
		Quantiles          map[string]float64
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	m := manifestOf(t, mustRun(t, engine.Options{
		Model: "../models/reference/flights_gbdt.onnx", Inputs: []string{"../testdata/flights-sample.parquet"}, IDs: []string{"id"}, Nulls: nanPolicy,
		Output: filepath.Join(t.TempDir(), "out"), PartRows: 10000,
	}))
	if len(m.Predictions) != 1 || m.Predictions[0].Column != "variable" || m.Predictions[0].Rows != want.Rows || m.Predictions[0].Nulls != 0 {
		t.Fatalf("predictions %+v; want those of one column, variable, of %d rows", m.Predictions, want.Rows)
	}
	s := m.Predictions[0]
	for what, pair := range map[string][2]float64{
		"min": {*s.Min, want.Min}, "max": {*s.Max, want.Max}, "mean": {*s.Mean, want.Mean}, "sd": {*s.SD, want.SD},
	} {
		if math.Abs(pair[0]-pair[1]) > 1e-4*max(1, math.Abs(pair[1])) {
			t.Errorf("%s = %v; want %v", what, pair[0], pair[1])
		}
	}
	for _, q := range s.Quantiles {
		name, _ := json.Marshal(q.Q)
		if v := want.Quantiles[string(name)]; math.Abs(q.Value-v) > distribution.RelativeError*math.Abs(v)+1e-4 {
			t.Errorf("quantile %v = %v; want %v", q.Q, q.Value, v)
		}
	}
}

// What the manifest says of predictions is the same to the last bit whatever the number
// of workers, and where the run was stopped and continued.
func TestPredictionsAreTheSameHoweverItRuns(t *testing.T) {
	lib := orttest.Library(t)
	var want []distribution.Summary
	for _, run := range []struct {
		name    string
		workers int
		output  string
		batch   int
		stop    func(*engine.Options)
	}{
		{"one worker", 1, "out", fewRows(), nil},
		{"five, and other batches", 5, "out.parquet", 700, nil},
		{"stopped and continued", 2, "out", fewRows(), func(o *engine.Options) { halfDone(t, lib, *o) }},
		{"a part scored apart", 2, "out", fewRows(), func(o *engine.Options) {
			killedIn(t, lib, *o, 2, 4)
			o.ScoreApart = apart(t, lib, *o)
		}},
	} {
		opts := manyParts(t)
		opts.Workers, opts.BatchRows, opts.Output = run.workers, run.batch, filepath.Join(t.TempDir(), run.output)
		if run.stop != nil {
			run.stop(&opts)
		}
		summary := mustRun(t, opts)
		m := manifestOf(t, summary)
		if want == nil {
			want = m.Predictions
			kinds := make([]distribution.Kind, 0, len(want))
			for _, p := range want {
				kinds = append(kinds, p.Kind)
				if p.Rows != m.Ledger.Written() {
					t.Errorf("%s: %d rows of %q; want the %d that were written", run.name, p.Rows, p.Column, m.Ledger.Written())
				}
			}
			if diff := cmp.Diff([]distribution.Kind{distribution.Number, distribution.Number, distribution.Label, distribution.List}, kinds); diff != "" {
				t.Errorf("kinds of columns:\n%s", diff)
			}
		}
		if diff := cmp.Diff(want, m.Predictions); diff != "" {
			t.Errorf("%s (-one worker +this):\n%s", run.name, diff)
		}
		checkWork(t, run.name, m, summary)
	}
}

// checkWork holds what a manifest says of how the run went to the run's own summary.
func checkWork(t *testing.T, name string, m *ledger.Manifest, summary *engine.Summary) {
	t.Helper()
	w := m.Work
	if w == nil || w.Rows != m.Ledger.Read-summary.RowsTaken || w.Seconds <= 0 || w.Seconds > summary.Seconds || w.Batches != summary.Batches {
		t.Errorf("%s: work %+v; want %d rows, %d batches and at most %v s", name, w, m.Ledger.Read-summary.RowsTaken, summary.Batches, summary.Seconds)
		return
	}
	var rows int64
	for _, s := range w.Starts {
		rows += s.Rows
	}
	if rows != m.Ledger.Read || len(w.Starts) != summary.Starts || w.Starts[len(w.Starts)-1].Run != m.Run {
		t.Errorf("%s: starts %+v; want %d of %d rows, the last of run %s", name, w.Starts, summary.Starts, m.Ledger.Read, m.Run)
	}
	if len(w.StageSeconds) != 4 || w.StageSeconds["infer"] <= 0 || w.StageSeconds["infer"] > summary.Stages["infer"] {
		t.Errorf("%s: busy seconds %v; want those of four stages, at most %v", name, w.StageSeconds, summary.Stages)
	}
}
