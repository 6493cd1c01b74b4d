package engine

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
)

// A batch has as many rows as make its own cost small, and no more than lets workers end
// together.
func TestBatchOn(t *testing.T) {
	// What a row takes in batches of n, where a batch takes a by itself and a row b.
	arm := func(n int, a, b float64) *trialArm { return &trialArm{rows: n, perRow: a/float64(n) + b} }
	for _, c := range []struct {
		about string
		a, b  float64 // seconds
		rows  int64
		want  int
	}{
		{"a cheap row: the default", 20e-6, 100e-9, 3_000_000, 4096},
		{"a row of 40 us: what is handed on counts", 0, 40e-6, 1_000_000, 256},
		{"the same, and few rows: workers end together", 0, 40e-6, 10_000, 128},
		{"a batch that costs much by itself", 950e-6, 40e-6, 100_000_000, 4096},
		{"a row of 10 ms", 0, 10e-3, 5000, 16},
		{"a size that is slower than the smaller one", -1e-6, 40e-6, 1_000_000, 256},
		{"nothing but the batch's own", 1, 0, 1_000_000, 4096},
	} {
		if got, alone := batchOn(arm(16, c.a, c.b), arm(64, c.a, c.b), c.rows, 2, 4096); got != c.want || alone < 0 {
			t.Errorf("%s: %d rows, and a batch costs %g; want %d", c.about, got, alone, c.want)
		}
	}
}

// Rows that are too few, and models whose kernels go by tiles, are not measured so.
func TestSlopeSizes(t *testing.T) {
	for _, c := range []struct {
		kernels Kernels
		times   int
		want    int
	}{
		{KernelsONNXRuntime, 40, 1024}, // 2 million rows, of which 2% are more than 3 laps of 5,120 rows of two workers
		{KernelsONNXRuntime, 1, 16},
		{KernelsAuto, 40, 0},
	} {
		opts := sampleRun(t, "flights_mlp", c.times)
		opts.Kernels = c.kernels
		plan, err := NewPlan(context.Background(), opts)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&trial{plan: plan, workers: 2, base: 8192, cpu: true}).slope(); got != c.want {
			t.Errorf("%v, %d rows: slope() = %d; want %d", c.kernels, plan.Dataset.Rows(), got, c.want)
		}
		if err := plan.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Two sizes are measured on real rows, and nothing is left behind.
func TestMeasureSlope(t *testing.T) {
	lib := orttest.Library(t)
	opts := sampleRun(t, "flights_mlp", 4000) // long enough to be worth it, on any machine
	opts.Kernels, opts.Nulls = KernelsONNXRuntime, batcher.NullPolicies{Default: batcher.NullPolicy{Action: batcher.NullNaN}}
	plan, err := NewPlan(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	live := ort.Live()
	s, err := plan.openScoring(lib, 1)
	if err != nil {
		t.Fatal(err)
	}
	trial := &trial{plan: plan, scoring: s, workers: 2, base: 4096, cpu: true, small: 16}
	if err := trial.measureSlope(context.Background(), time.Now()); err != nil {
		t.Fatal(err)
	}
	choice := Choice{BatchRows: 4096}
	trial.decideBySlope(&choice)
	if len(choice.Tried) != 2 || choice.Tried[0].Laps < trialRounds || choice.BatchRows < 16 || choice.BatchRows > 4096 || !strings.Contains(choice.Reason, "measured with 16 and 64 rows") {
		t.Errorf("decided %+v; want a size between 16 and 4,096, of two tried", choice)
	}
	trial.close()
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if err := plan.Close(); err != nil {
		t.Error(err)
	}
	if now := ort.Live(); now != live {
		t.Errorf("%+v of ONNX Runtime are live; were %+v", now, live)
	}
}
