package engine

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
)

// A batch has as many rows as make its own cost small, and no more than let workers end
// together.
func TestBatchOn(t *testing.T) {
	type arms map[int]float64 // what a row takes, by batch size
	// growing is what a row takes where a batch takes a by itself and a row b.
	growing := func(a, b float64, sizes ...int) arms {
		all := arms{}
		for _, n := range sizes {
			all[n] = a/float64(n) + b
		}
		return all
	}
	for _, c := range []struct {
		about string
		arms  arms
		rows  int64
		want  int
	}{
		{"a cheap row: the default", growing(20e-6, 100e-9, 64, 256), 3_000_000, 4096},
		{"a row of 15 us: a batch of a millisecond", growing(0, 15e-6, 16, 64), 1_000_000, 64},
		{"the same, with what may be noise", arms{16: 18e-6, 64: 15e-6}, 1_000_000, 64},
		{"a batch that costs as much as 100 rows", growing(4e-3, 40e-6, 16, 64), 100_000_000, 4096},
		{"as much as 10", growing(385e-6, 40e-6, 4, 16), 10_000_000, 512},
		{"the same, and few rows: workers end together", growing(385e-6, 40e-6, 4, 16), 2000, 128},
		{"a row of 10 ms", growing(0, 10e-3, 1, 4), 5000, 1},
		{"larger is slower", arms{64: 10e-6, 256: 20e-6}, 1_000_000, 128},
		{"nothing but the batch's own", growing(1, 0, 64, 256), 1_000_000, 4096},
	} {
		var all []*trialArm
		for _, n := range slices.Sorted(maps.Keys(c.arms)) {
			all = append(all, &trialArm{rows: n, perRow: c.arms[n]})
		}
		if got := batchOn(all, c.rows, 2, 4096); got != c.want {
			t.Errorf("%s: %d rows; want %d", c.about, got, c.want)
		}
	}
}

// Rows that are too few, and models whose kernels go by tiles, are not measured so.
func TestSlopeSizes(t *testing.T) {
	for _, c := range []struct {
		kernels Kernels
		times   int
		want    []int
	}{
		{KernelsONNXRuntime, 40, []int{64, 256, 1024, 4096}}, // 40,000 of 2 million rows, and all have 36,864
		{KernelsONNXRuntime, 1, []int{8, 32}},                // 1,000 of 50,000, and both have 768
		{KernelsAuto, 40, nil},
	} {
		opts := sampleRun(t, "flights_mlp", c.times)
		opts.Kernels = c.kernels
		plan, err := NewPlan(context.Background(), opts)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&trial{plan: plan, workers: 2, base: 8192, cpu: true}).slopeSizes(); !slices.Equal(got, c.want) {
			t.Errorf("%v, %d rows: slopeSizes() = %d; want %d", c.kernels, plan.Dataset.Rows(), got, c.want)
		}
		if err := plan.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Sizes are measured on real rows, and nothing is left behind.
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
	trial := &trial{plan: plan, scoring: s, workers: 2, base: 4096, cpu: true, slope: []int{16, 64}}
	trial.most = time.Nanosecond // as if a row took minutes
	if err := trial.measureSlope(context.Background(), time.Now()); err == nil || !strings.Contains(err.Error(), "would have taken more than 1ns") || len(trial.arms) > 0 {
		t.Errorf("of rows that take too long: %v, with %d sizes; want that they do, and none", err, len(trial.arms))
	}
	trial.most = trialMost
	if err := trial.measureSlope(context.Background(), time.Now()); err != nil {
		t.Fatal(err)
	}
	choice := Choice{BatchRows: 4096}
	trial.decideBySlope(&choice)
	if len(choice.Tried) != 2 || choice.Tried[0].Laps%slopeLaps != 0 || choice.BatchRows < 16 || choice.BatchRows > 4096 || !strings.Contains(choice.Reason, "batches of 16 to 64 rows") {
		t.Errorf("decided %+v; want a size between 16 and 4,096, of two tried", choice)
	}
	endTrial(t, trial, live)
}
