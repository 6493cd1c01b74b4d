package engine

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
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
		bytes float64
		want  int
	}{
		{"a cheap row: the default", growing(20e-6, 100e-9, 64, 256), 3_000_000, 100, 4096},
		{"a row of 15 us: a batch of a millisecond", growing(0, 15e-6, 16, 64), 1_000_000, 100, 64},
		{"the same, with what may be noise", arms{16: 18e-6, 64: 15e-6}, 1_000_000, 100, 64},
		{"a batch that costs as much as 100 rows", growing(4e-3, 40e-6, 16, 64), 100_000_000, 100, 4096},
		{"as much as 10", growing(385e-6, 40e-6, 4, 16), 10_000_000, 100, 512},
		{"the same, and few rows: workers end together", growing(385e-6, 40e-6, 4, 16), 2000, 100, 128},
		{"a row of 10 ms", growing(0, 10e-3, 1, 4), 5000, 100, 1},
		{"larger is slower", arms{64: 10e-6, 256: 20e-6}, 1_000_000, 100, 128},
		{"nothing but the batch's own", growing(1, 0, 64, 256), 1_000_000, 100, 4096},
		// What follows was measured: attention, polynomials of 32 columns, their squares of 8, neighbours.
		{"wide between nodes, and a batch costs nothing", growing(0, 1.2e-6, 64, 256), 1_000_000, 6144, 128},
		{"wide, and a batch costs as much as 170 rows", growing(400e-6, 2.4e-6, 64, 256), 1_000_000, 4600, 1024},
		{"as much, and narrow", growing(33e-6, 200e-9, 64, 256), 10_000_000, 100, 4096},
		{"16 KiB a row", growing(2e-3, 36e-6, 64, 256), 1_000_000, 16384, 512},
		{"measured until they are no faster", arms{64: 7e-6, 256: 2.5e-6, 1024: 1.4e-6, 4096: 1.2e-6}, 10_000_000, 100, 4096},
		{"wide, and what a row takes is lost in the batch's own", arms{4: 1e-3, 16: 0.24e-3}, 1_000_000, 16384, 1024},
	} {
		var all []*trialArm
		for _, n := range slices.Sorted(maps.Keys(c.arms)) {
			all = append(all, &trialArm{rows: n, perRow: c.arms[n]})
		}
		if got := batchOn(all, c.rows, 2, 4096, c.bytes); got != c.want {
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
	trial := &trial{plan: plan, scoring: s, workers: 2, base: 4096, first: 4096, cpu: true, slope: []int{16, 64}}
	trial.most = time.Nanosecond // as if a row took minutes
	if err := trial.measureSlope(context.Background(), time.Now()); err == nil || !strings.Contains(err.Error(), "would have taken more than 1ns") || len(trial.arms) > 0 {
		t.Errorf("of rows that take too long: %v, with %d sizes; want that they do, and none", err, len(trial.arms))
	}
	trial.most = trialMost
	if err := trial.measureSlope(context.Background(), time.Now()); err != nil {
		t.Fatal(err)
	}
	// 4 bytes each of its columns, hidden layers and outputs.
	if trial.row < 4*(20+64+1) || trial.row > 4096 {
		t.Errorf("a row takes %.0f bytes; want its tensors and some layers", trial.row)
	}
	choice := Choice{BatchRows: 4096}
	trial.decideBySlope(&choice)
	if len(choice.Tried) != 2 || choice.Tried[0].Laps%slopeLaps != 0 || choice.BatchRows < 16 || choice.BatchRows > 4096 || !strings.Contains(choice.Reason, "batches of 16 to 64 rows") {
		t.Errorf("decided %+v; want a size between 16 and 4,096, of two tried", choice)
	}
	endTrial(t, trial, live)
}

// wideInside is a model of a column that holds 16 KiB of a row between its nodes.
func wideInside(t *testing.T) string {
	t.Helper()
	const wide = 4096
	g := onnxtest.Graph(
		onnxtest.Values(onnxtest.Tensor("distance", pb.TensorProto_FLOAT, "N", 1)),
		onnxtest.Values(onnxtest.Tensor("most", pb.TensorProto_FLOAT, "N", 1)),
		onnxtest.Node("Mul", onnxtest.Names("distance", "w"), onnxtest.Names("all")),
		onnxtest.Node("ReduceMax", onnxtest.Names("all"), onnxtest.Names("most"), onnxtest.Ints("axes", 1), onnxtest.Int("keepdims", 1)))
	g.Initializer = append(g.Initializer, onnxtest.Floats32("w", []int64{1, wide}, slices.Repeat([]float32{1}, wide)...))
	return onnxtest.Write(t, onnxtest.Model(g))
}

// A model that holds much of a row between its nodes gets batches that caches hold, however short
// the run, and whether its first rows are cheap to read or not.
func TestBatchesFitCaches(t *testing.T) {
	lib := orttest.Library(t)
	opts := sampleRun(t, "flights_linear", 40)
	opts.Model, opts.Kernels = wideInside(t), KernelsONNXRuntime
	plan, err := NewPlan(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	live := ort.Live()
	for _, c := range []struct {
		about  string
		slope  []int
		unable error
		want   string
	}{
		{"rows of the input", []int{16, 64}, nil, "measured with batches of 16 to 64 rows"},
		{"ones in their place", nil, errors.New("rows are dear"), "ones, as rows are dear"},
	} {
		s, err := plan.openScoring(lib, 1)
		if err != nil {
			t.Fatal(err)
		}
		trial := &trial{plan: plan, scoring: s, workers: 2, base: 4096, first: 4096, cpu: true, slope: c.slope, unable: c.unable, dear: c.unable != nil, most: trialMost}
		choice := Choice{BatchRows: 4096}
		if err := trial.try(t.Context(), s, &choice); err != nil {
			t.Fatal(err)
		}
		if trial.row < 4*4096 || trial.row > 4*4096+1024 {
			t.Errorf("%s: a row takes %.0f bytes; want 16 KiB and little more", c.about, trial.row)
		}
		if choice.BatchRows > 512 || choice.Source != ChosenByTrial || !strings.Contains(choice.Reason, c.want) {
			t.Errorf("%s: %+v; want at most 512 rows, %s", c.about, choice, c.want)
		}
		trial.close()
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}
	if err := plan.Close(); err != nil {
		t.Error(err)
	}
	if now := ort.Live(); now != live {
		t.Errorf("%+v are left open; want %+v", now, live)
	}
}

// Rows of texts are not made, and the default stays.
func TestNoMadeTexts(t *testing.T) {
	lib := orttest.Library(t)
	opts := sampleRun(t, "flights_linear", 1)
	opts.Kernels = KernelsONNXRuntime
	plan, err := NewPlan(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	s, err := plan.openScoring(lib, 1)
	if err != nil {
		t.Fatal(err)
	}
	plan.Binding.Bindings[0].Input.Elem = models.String
	trial := &trial{plan: plan, scoring: s, workers: 2, base: 4096, first: 4096, cpu: true, dear: true, unable: errors.New("rows are dear"), most: trialMost}
	choice := Choice{BatchRows: 4096, Reason: "the default"}
	if err := trial.try(t.Context(), s, &choice); err != nil || choice.BatchRows != 4096 || !strings.HasPrefix(choice.Reason, "the default; rows are dear") {
		t.Errorf("try() = %v, %+v; want the default", err, choice)
	}
	trial.close()
	if err := errors.Join(s.close(), plan.Close()); err != nil {
		t.Error(err)
	}
}

// A model that holds megabytes of a row gets no more rows a batch than memory is there for, of few
// rows, too, and what it holds counts as its memory. Such are encoders of words, whose inputs are small.
func TestBatchesAreBounded(t *testing.T) {
	const wide = 1 << 20
	g := onnxtest.Graph(
		onnxtest.Values(onnxtest.Tensor("month", pb.TensorProto_INT64, "N", 1)),
		onnxtest.Values(onnxtest.Tensor("most", pb.TensorProto_INT64, "N", 1)),
		onnxtest.Node("Mod", onnxtest.Names("w", "month"), onnxtest.Names("all")),
		onnxtest.Node("ReduceMax", onnxtest.Names("all"), onnxtest.Names("most"), onnxtest.Ints("axes", 1), onnxtest.Int("keepdims", 1)))
	g.Initializer = append(g.Initializer, onnxtest.Int64s("w", []int64{1, wide}, slices.Repeat([]int64{1}, wide)...))
	opts := sampleRun(t, "flights_linear", 1)
	opts.Model = onnxtest.Write(t, onnxtest.Model(g))
	lib := orttest.Library(t)
	plan, err := NewPlan(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if before := plan.footprint().estimate(plan.allotment()).Activations; before > 1<<20 {
		t.Errorf("before a session is open it is thought to hold %d bytes", before)
	}
	plan.loadDeaths = 1 // so that there is no trial
	s, err := plan.openScoring(lib, 1)
	if err != nil {
		t.Fatal(err)
	}
	memory := func(rows int) ExplainedMemory {
		a := plan.allotment()
		a.BatchRows = rows
		return plan.footprint().estimate(a)
	}
	for _, want := range []int{2, 1} {
		choice := Choice{BatchRows: 4096, Workers: 2, Reason: "the default"}
		plan.boundBatch(t.Context(), s, &choice)
		if choice.BatchRows != want || !strings.Contains(choice.Reason, "hold 8.0 MiB of a row") {
			t.Errorf("with a limit of %d: %+v; want %d rows", plan.limit, choice, want)
		}
		plan.limit = memory(1).Total
	}
	if held := memory(4).Activations; held < 2*4*8*wide {
		t.Errorf("it is thought to hold %d bytes; want 8 MiB of each row", held)
	}
	if err := errors.Join(s.close(), plan.Close()); err != nil {
		t.Error(err)
	}
}
