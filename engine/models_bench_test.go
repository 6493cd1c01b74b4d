package engine

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
)

// benchedFlights are 3 million flights four times where make data has been run, so that a run
// takes two seconds, of which starting and ending are a small part; else the sample of 50,000 twenty
// times.
func benchedFlights() []string {
	if _, err := os.Stat("../.data/flights-wide.parquet"); err == nil {
		return slices.Repeat([]string{"../.data/flights-wide.parquet"}, 4)
	}
	return slices.Repeat([]string{"../testdata/flights-sample.parquet"}, 20)
}

// twoModels measures what two models in one pass cost in processor time, and what the
// pass is made of.
type twoModels struct {
	b   *testing.B
	lib *ort.Library
}

// plan is a run of some of the models.
func (m *twoModels) plan(names ...string) *Plan {
	opts := Options{
		Inputs: benchedFlights(), IDs: []string{"id"}, MaxRejects: -1, Workers: 2, Output: filepath.Join(m.b.TempDir(), "out"),
		Nulls: batcher.NullPolicies{Default: batcher.NullPolicy{Action: batcher.NullNaN}}, Digest: DigestSizeMTime,
	}
	for _, name := range names {
		opts.Models = append(opts.Models, ModelOptions{Name: name, Model: filepath.Join("../models/reference", name+".onnx")})
	}
	p, err := NewPlan(m.b.Context(), opts)
	if err != nil {
		m.b.Fatal(err)
	}
	return p
}

// run is the processor time of a whole run, a row.
func (m *twoModels) run(names ...string) float64 {
	p := m.plan(names...)
	before := ProcessTime()
	if _, err := p.Run(m.b.Context(), m.lib, p.NewProgress()); err != nil {
		m.b.Fatal(err)
	}
	took := ProcessTime() - before
	if err := p.Close(); err != nil {
		m.b.Fatal(err)
	}
	return float64(took.Nanoseconds()) / float64(p.Dataset.Rows())
}

// stages are the processor time of reading the columns once and of bare inference by
// models, in turn, on tensors in memory, a row, in batches of the better size of both
// defaults.
func (m *twoModels) stages(names ...string) (read, infer float64) {
	p := m.plan(names...)
	rig, err := NewRig(m.b.Context(), p, m.lib, DefaultRigRows)
	if err != nil {
		m.b.Fatal(err)
	}
	perRow := func(r Measure, err error) float64 {
		if err != nil {
			m.b.Fatal(err)
		}
		return float64(r.CPU.Nanoseconds()) / float64(r.Rows)
	}
	read = perRow(rig.Read(m.b.Context(), 2, p.Dataset.Rows()))
	infer = math.Inf(1)
	for _, rows := range []int{DefaultBatchRows, DefaultColumnRows} {
		infer = min(infer, perRow(rig.Infer(m.b.Context(), rows, 2, 1, 1<<19)))
	}
	if err := rig.Close(); err != nil {
		m.b.Fatal(err)
	}
	if err := p.Close(); err != nil {
		m.b.Fatal(err)
	}
	return read, infer
}

// Two models in one pass beside the sum of their inference and one read, and beside two
// runs; arms in turn, the least of the rounds counts. What is in no sum (assembling,
// writing, the journal) is besides: of the pass, and of a run of one model, in the mean.
// in-turn is inference by both models, batch by batch in turn, as the pass does it: each
// finds the cache as the other left it.
//
//	go test ./engine -run '^$' -bench TwoModels -benchtime 5x
func BenchmarkTwoModels(b *testing.B) {
	for _, names := range [][]string{{"flights_gbdt", "flights_xgb"}, {"flights_gbdt", "flights_mlp"}, {"flights_mlp", "flights_linear"}} {
		b.Run("models="+names[0]+"+"+names[1], func(b *testing.B) {
			m := &twoModels{b: b, lib: orttest.Library(b)}
			least := slices.Repeat([]float64{math.Inf(1)}, 7)
			for b.Loop() {
				read, first := m.stages(names[0])
				_, second := m.stages(names[1])
				_, inTurn := m.stages(names...)
				for i, took := range []float64{read, first, second, m.run(names...), m.run(names[0]), m.run(names[1]), inTurn} {
					least[i] = min(least[i], took)
				}
			}
			parts := least[0] + least[1] + least[2]
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(least[0], "read-ns/row")
			b.ReportMetric(least[1]+least[2], "infer-ns/row")
			b.ReportMetric(least[6], "infer-in-turn-ns/row")
			b.ReportMetric(least[3], "one-pass-ns/row")
			b.ReportMetric(least[4]+least[5], "two-runs-ns/row")
			b.ReportMetric(least[3]/parts, "one-pass/parts")
			b.ReportMetric(least[3]-parts, "besides-ns/row")
			b.ReportMetric((least[4]+least[5]-parts-least[0])/2, "besides-of-one-ns/row")
		})
	}
}
