package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/engine/unique"
	"github.com/millrace/millrace/io/format"
)

// quick are settings of a measurement that is over soon and says nothing.
func quick(t *testing.T) Options {
	t.Helper()
	return Options{
		Engine: engine.Options{
			Model: reference("flights_linear"), Inputs: []string{filepath.Join("..", "testdata", "flights-sample.parquet")}, IDs: []string{"id"},
			Nulls: batcher.NullPolicies{Default: batcher.NullPolicy{Action: batcher.NullNaN}}, MaxRejects: -1,
		},
		BatchRows: []int{512, 2048}, Workers: []int{2}, Repeats: 2, Target: 2 * time.Millisecond, SampleRows: 8192, Dir: t.TempDir(),
	}
}

// measure runs a measurement and reads back its records.
func measured(ctx context.Context, t *testing.T, opts Options) (*Bench, error) {
	t.Helper()
	lib := orttest.Library(t)
	file, err := os.Create(filepath.Join(t.TempDir(), "results.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	failed := Run(ctx, opts, lib, NewID(), file)
	if left, err := os.ReadDir(opts.Dir); err == nil && len(left) > 0 {
		t.Errorf("left in the folder for outputs: %v", left)
	}
	if _, err := file.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	all, err := ReadRecords(file)
	if err != nil {
		return nil, failed
	}
	return all[0], failed
}

func TestMeasurement(t *testing.T) {
	opts := quick(t)
	var steps int
	opts.OnStep = func(what string, done float64, left time.Duration) {
		steps++
		if what == "" || done < 0 || done > 1 || left < 0 {
			t.Errorf("step %q: %v done, %v left", what, done, left)
		}
	}
	b, err := measured(t.Context(), t, opts)
	if err != nil {
		t.Fatal(err)
	}
	if b.Head.Data.Rows != 50_000 || b.Head.Data.Format != "parquet" || b.Head.Data.Source != "input" || b.Head.Model.Name != "flights_linear.onnx" || b.Head.Machine.Cores < 1 || b.Head.Versions.Kernels == "" {
		t.Errorf("head = %+v", b.Head)
	}
	type kind struct {
		stage  Stage
		chosen bool
		batch  int
	}
	counted, warm := map[kind]int{}, map[kind]int{}
	for _, r := range b.Repeats {
		k := kind{r.Stage, r.Chosen, r.BatchRows}
		if r.Stage != StageInfer && r.Stage != StageEndToEnd {
			k.batch = 0 // the sweep's best, either of the two
		}
		if r.Warmup {
			warm[k]++
			continue
		}
		counted[k]++
		if r.Stage == StageEndToEnd && (r.Rows != 50_000 || r.PeakMemoryBytes == 0 || r.BytesCopied+r.BytesViewed != 50_000*128 || r.StageSeconds[StageInfer] <= 0) {
			t.Errorf("end to end = %+v; want all rows, 128 bytes of each, and what the stages took", r)
		}
	}
	for _, stage := range []Stage{StageRead, StageAssemble, StageWrite} {
		if k := (kind{stage, false, 0}); counted[k] != 2 || warm[k] != 1 {
			t.Errorf("%s: %d repeats and %d warm-ups; want 2 and 1", stage, counted[k], warm[k])
		}
	}
	// Fixed sizes may be given up as hopeless after two, not before.
	for _, batch := range []int{512, 2048} {
		if n := counted[kind{StageEndToEnd, false, batch}]; n != 2 {
			t.Errorf("end to end in batches of %d: %d repeats; want 2", batch, n)
		}
		if n := counted[kind{StageInfer, false, batch}]; n < 2 {
			t.Errorf("inference in batches of %d: %d repeats; want 2 or more", batch, n)
		}
	}
	if n := counted[kind{StageEndToEnd, true, 4096}]; n != 2 { // 50,000 rows are too few to measure on
		t.Errorf("end to end as chosen: %d repeats in batches of 4096; want 2", n)
	}
	// The model has kernels of ours; so it is measured without, in both rounds.
	exported, wholes := map[Arm]int{}, 0
	for _, r := range b.Repeats {
		switch {
		case r.Stage == StageEndToEnd:
			wholes++
		case r.Stage == StageInferExported && wholes > 0 && !r.Warmup:
			exported[r.Arm]++
		}
	}
	if len(exported) != 1 || exported[Summarize(b).Best[StageInfer].Arm] != 2 {
		t.Errorf("as exported, by settings: %v; want two repeats, at those of inference alone", exported)
	}
	if got := b.Head.Rewrites; len(got) != 1 || !strings.Contains(got[0], "millrace's") {
		t.Errorf("rewrites = %q; want the one of the chain", got)
	}
	if steps < len(b.Repeats) {
		t.Errorf("%d steps for %d repeats", steps, len(b.Repeats))
	}
	lengthen(b)
	if s := Summarize(b); s.Exported == nil || s.OfExported.Median <= 0 || s.OfExported.Repeats != 2 {
		t.Errorf("summary: as exported %+v, end to end of it %+v; want both, by two rounds", s.Exported, s.OfExported)
	}
	if s := Summarize(b); s.Ceiling == nil || len(s.Ceiling.MissingStages) > 0 || s.OfCeiling.Median <= 0 || s.OfCeiling.Repeats != 2 {
		t.Errorf("summary: ceiling %+v, of it %+v; want both, by two rounds", s.Ceiling, s.OfCeiling)
	}

	// The best is kept, and a run takes it.
	dir := t.TempDir()
	if _, err := SaveProfile(b, dir); err != nil {
		t.Fatal(err)
	}
	best, _, _ := Best(b)
	run := opts.Engine
	run.ProfileDir, run.Output = dir, filepath.Join(t.TempDir(), "out")
	plan, err := engine.NewPlan(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plan.Close() }()
	summary, err := plan.Run(t.Context(), orttest.Library(t), plan.NewProgress())
	if err != nil {
		t.Fatal(err)
	}
	if c := summary.Choice; c.Source != engine.ChosenByProfile || c.BatchRows != best.BatchRows || c.Workers != best.Workers {
		t.Errorf("the run chose %+v; want the profile's %+v", c, best)
	}
}

func TestMeasurementOfMadeData(t *testing.T) {
	opts := quick(t)
	opts.Engine.Inputs, opts.Engine.IDs, opts.Engine.Nulls = nil, nil, batcher.NullPolicies{}
	opts.Made = &Made{Rows: 5000, NullShare: 0.05}
	opts.AutoOnly = true
	b, err := measured(t.Context(), t, opts)
	if err != nil {
		t.Fatal(err)
	}
	if b.Head.Data.Source != "made" || b.Head.Data.Rows != 5000 {
		t.Errorf("data = %+v; want 5000 made rows", b.Head.Data)
	}
	if _, err := SaveProfile(b, t.TempDir()); !errors.Is(err, engine.ErrUsage) {
		t.Errorf("SaveProfile without fixed whole runs = %v; want a usage error", err)
	}
	other := quick(t)
	other.Engine.Inputs, other.Engine.IDs, other.Engine.Nulls = nil, nil, batcher.NullPolicies{}
	other.Made, other.SweepOnly = &Made{Rows: 5000, NullShare: 0.05, Seed: 9}, true
	c, err := measured(t.Context(), t, other)
	if err != nil {
		t.Fatal(err)
	}
	if b.Head.Data.SHA256 == c.Head.Data.SHA256 {
		t.Error("data of another seed count as the same")
	}
	for _, r := range c.Repeats {
		if r.Stage != StageInfer {
			t.Errorf("a sweep alone measured %s", r.Stage)
		}
	}
}

// A measurement that is stopped keeps what it has, whole.
// Every setting that makes a run do more is told by a comparison, and none of an ordinary run.
func TestRunSettings(t *testing.T) {
	var opts engine.Options
	opts.EnsureDefaults()
	opts.Format = format.Parquet
	if got := runSettings(&opts); len(got) != 0 {
		t.Errorf("settings of a run by default: %v; want none", got)
	}
	opts.Where, opts.PartitionBy, opts.TargetFileBytes = "distance > 0", []string{"day"}, 1<<20
	opts.OnBadRow, opts.RefuseNaN, opts.Digest = engine.BadReject, true, engine.DigestSHA256
	opts.Finite.All = true
	opts.Unique = unique.Spec{Columns: []string{"id", "day"}, Mode: unique.Exact}
	opts.JobFile.SHA256 = "0123456789abcdef"
	got := runSettings(&opts)
	for flag, want := range map[string]string{
		"where": "distance > 0", "partition-by": "day", "target-file-size": "1048576", "on-bad-row": "reject", "refuse-nan-output": "true",
		"digest": "sha256", "finite": "all", "unique": "id,day", "unique-mode": "exact", "job": "0123456789ab",
	} {
		if !strings.Contains(got[flag], want) {
			t.Errorf("--%s is recorded as %q; want %q", flag, got[flag], want)
		}
	}
}

func TestMeasurementStopped(t *testing.T) {
	opts := quick(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	steps := 0
	opts.OnStep = func(string, float64, time.Duration) {
		if steps++; steps == 5 {
			cancel(engine.ErrInterrupted)
		}
	}
	b, err := measured(ctx, t, opts)
	if !errors.Is(err, engine.ErrInterrupted) {
		t.Fatalf("Run = %v; want the context's cause", err)
	}
	if b == nil || len(b.Repeats) != 4 {
		t.Errorf("kept %+v; want the 4 repeats before", b)
	}
}

func TestMeasurementRefuses(t *testing.T) {
	cases := []struct {
		about string
		set   func(*Options)
		want  []string
	}{
		{"every problem at once", func(o *Options) { o.BatchRows, o.Repeats, o.PricePerHour = []int{0}, -1, -2 }, []string{"--batch-sizes (0)", "--repeats (-1)", "--price-per-hour (-2)"}},
		{"a price and a share that are no numbers", func(o *Options) {
			o.Engine.Inputs, o.PricePerHour, o.Made = nil, math.NaN(), &Made{Rows: 5, NullShare: math.NaN()}
		}, []string{"--price-per-hour (NaN)", "--null-share (NaN)"}},
		{"threads that no machine could start", func(o *Options) { o.Workers, o.IntraOpThreads = []int{1, 1025}, []int{100000} }, []string{"--workers (1025)", "--intra-op-threads (100000)", "from 1 to 1024"}},
		{"no data", func(o *Options) { o.Engine.Inputs = nil }, []string{"--input", "--rows"}},
		{"a folder that is not there", func(o *Options) { o.Dir = filepath.Join(o.Dir, "none") }, []string{"folder for outputs"}},
		{"nulls that cannot be", func(o *Options) { o.Engine.Inputs, o.Made = nil, &Made{Rows: 5, NullShare: 2} }, []string{"--null-share"}},
	}
	for _, c := range cases {
		t.Run(c.about, func(t *testing.T) {
			opts := quick(t)
			c.set(&opts)
			b, err := measured(t.Context(), t, opts)
			if !errors.Is(err, engine.ErrUsage) || b != nil {
				t.Fatalf("Run = %v with records %v; want a usage error and none", err, b)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

// A repeat of the best that was fast by chance gives nobody up.
func TestHopelessByChance(t *testing.T) {
	best := &arm{rates: []float64{80, 200}}
	if _, ok := (&arm{rates: []float64{81, 79}}).hopeless(best); ok {
		t.Error("an arm whose fastest repeat is faster than the best's slowest is given up")
	}
	if share, ok := (&arm{rates: []float64{40, 42}}).hopeless(best); !ok || share != 0.3 {
		t.Errorf("an arm at 0.3 of the best: %v, given up: %t; want it to be", share, ok)
	}
}

// A provider that is not there is recorded, and the others are measured.
func TestMeasurementOfProviders(t *testing.T) {
	opts := quick(t)
	opts.Providers, opts.SweepOnly, opts.BatchRows = []ort.Provider{"cpu", "abacus", "cpu"}, true, []int{512, 512}
	b, err := measured(t.Context(), t, opts)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Repeats) != 3 { // a warm-up and two, of one arm: what is listed twice is measured once
		t.Errorf("%d repeats; want 3", len(b.Repeats))
	}
	if len(b.Stops) != 1 || b.Stops[0].Provider != "abacus" || b.Stops[0].After != 0 || !strings.Contains(b.Stops[0].Reason, "not available") {
		t.Errorf("stops = %+v; want abacus, not available", b.Stops)
	}
	var table strings.Builder
	if err := WriteTable(&table, []*Bench{b}); err != nil || !strings.Contains(table.String(), "Not measured: abacus") {
		t.Errorf("the table does not say that abacus was not measured (%v):\n%s", err, table.String())
	}
	opts = quick(t)
	opts.Providers = []ort.Provider{"abacus"}
	b, err = measured(t.Context(), t, opts)
	if !errors.Is(err, ort.ErrProvider) || !strings.Contains(err.Error(), "abacus") || b == nil || len(b.Stops) != 1 {
		t.Errorf("a provider that is not there alone: %v with records %+v; want its error, and a stop", err, b)
	}
}

// Where the system tells power, every repeat has joules, and rows/s per watt
// follow.
func TestMeasurementOfPower(t *testing.T) {
	opts := quick(t)
	opts.AutoOnly, opts.BatchRows, opts.PricePerHour = true, []int{2048}, 0.5
	opts.powercap = rapl(t, map[string]map[string]string{
		"intel-rapl:0": {"name": "package-0", "energy_uj": "0", "max_energy_range_uj": "1000000000000"},
	})
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // a millijoule at a time, whole at any moment
		defer close(stopped)
		counter, next := filepath.Join(opts.powercap, "intel-rapl:0", "energy_uj"), filepath.Join(opts.powercap, "next")
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := errors.Join(os.WriteFile(next, fmt.Appendf(nil, "%d\n", 1000*n), 0o600), os.Rename(next, counter)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	b, err := measured(t.Context(), t, opts)
	close(stop)
	<-stopped
	if err != nil {
		t.Fatal(err)
	}
	if m := b.Head.Machine; m.PowerSource != "rapl" || m.NoPower != "" {
		t.Errorf("the machine has power by %q, and none because of %q; want rapl", m.PowerSource, m.NoPower)
	}
	for _, r := range b.Repeats {
		if r.Stage == StageEndToEnd && r.Joules <= 0 {
			t.Errorf("%+v has no joules", r)
		}
	}
	lengthen(b)
	var table strings.Builder
	if err := WriteTable(&table, []*Bench{b}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"rows/s per core", "rows/s per watt", "million rows per unit of money"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table does not tell %s:\n%s", want, table.String())
		}
	}
}

// What was asked for and is not measured is said.
func TestMeasurementOfSizesThatDoNotFit(t *testing.T) {
	opts := quick(t)
	opts.SweepOnly, opts.BatchRows = true, []int{65536, 512} // the sample has 8,192 rows
	b, err := measured(t.Context(), t, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range b.Repeats {
		if r.BatchRows != 512 {
			t.Errorf("batches of %d rows were measured on 8,192", r.BatchRows)
		}
	}
	if len(b.Stops) != 1 || b.Stops[0].BatchRows != 65536 || !strings.Contains(b.Stops[0].Reason, "8192 rows") {
		t.Errorf("stops = %+v; want one, of 65,536 rows and why", b.Stops)
	}
}

// Where no size fits, all rows there are make one batch: nothing is made room for that
// no row fills.
func TestMeasurementOfNoSizeThatFits(t *testing.T) {
	opts := quick(t)
	opts.SweepOnly, opts.BatchRows = true, []int{100_000_000_000}
	b, err := measured(t.Context(), t, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range b.Repeats {
		if r.BatchRows != opts.SampleRows {
			t.Errorf("batches of %d rows were measured; want of %d, which there are", r.BatchRows, opts.SampleRows)
		}
	}
	if len(b.Stops) != 1 || b.Stops[0].BatchRows != 100_000_000_000 {
		t.Errorf("stops = %+v; want one, of the size that was asked for", b.Stops)
	}
}

// What is shown as done only grows, whatever else comes to be planned.
func TestSteps(t *testing.T) {
	var s steps
	s.plan(2, time.Second)
	last := 0.0
	for i := range 12 {
		if i == 2 {
			s.plan(10, time.Second)
		}
		if i == 6 {
			s.skip(time.Second)
		}
		done, left := s.next(time.Second)
		if done < last || done > 1 || left < 0 {
			t.Errorf("step %d: %v done after %v, %v left", i, done, last, left)
		}
		last = done
	}
	if last < 0.9 {
		t.Errorf("%v done at the last of 12 steps", last)
	}
}

func TestHopelessArms(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "r.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	out, err := NewWriter(file, "b", &Head{})
	if err != nil {
		t.Fatal(err)
	}
	m := &measurement{out: out}
	arms := []*arm{
		{Arm: Arm{BatchRows: 1}, rates: []float64{100, 101}},
		{Arm: Arm{BatchRows: 2}, rates: []float64{60, 61}},
		{Arm: Arm{BatchRows: 3}, rates: []float64{10}}, // once is no evidence
		{Arm: Arm{BatchRows: 4}, rates: []float64{80, 75}},
		{Arm: Arm{BatchRows: 5}, rates: []float64{30, 99}}, // one of them was disturbed
		{Arm: Arm{BatchRows: 6}},                           // not yet measured
	}
	if err := m.drop(arms, StageInfer); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true, false, false, false, false} {
		if arms[i].dropped != want {
			t.Errorf("arm %d with rates %v dropped: %t; want %t", i, arms[i].rates, arms[i].dropped, want)
		}
	}
	if _, err := file.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	all, err := ReadRecords(file)
	if err != nil || len(all[0].Stops) != 1 || all[0].Stops[0].BatchRows != 2 || all[0].Stops[0].After != 2 {
		t.Errorf("records %+v, %v; want one stop, of batches of 2 after 2", all, err)
	}
}

// The model as exported is measured in the warm-up and in three rounds at most,
// from the first on; never where it is what runs.
func TestExportedRounds(t *testing.T) {
	for _, c := range []struct {
		repeats int
		own     bool
		want    []int
	}{
		{1, true, []int{-1, 0}},
		{2, true, []int{-1, 0, 1}},
		{3, true, []int{-1, 0, 1, 2}},
		{4, true, []int{-1, 0, 2}},
		{10, true, []int{-1, 0, 4, 8}},
		{30, true, []int{-1, 0, 10, 20}},
		{10, false, nil},
	} {
		m := &measurement{opts: &Options{Repeats: c.repeats}, plan: &engine.Plan{OwnKernels: c.own}}
		var got []int
		for round := -1; round < c.repeats; round++ {
			if m.exportedIn(round) {
				got = append(got, round)
			}
		}
		if !slices.Equal(got, c.want) || m.exportedRounds() != len(c.want) {
			t.Errorf("%d repeats, kernels of ours: %t: in rounds %v; want %v", c.repeats, c.own, got, c.want)
		}
	}
}

// With ONNX Runtime's kernels asked for there is nothing to measure beside
// inference alone, and the records say what was asked for.
func TestMeasurementOfItsOwnKernels(t *testing.T) {
	opts := quick(t)
	opts.Engine.Kernels, opts.AutoOnly, opts.BatchRows, opts.Repeats = engine.KernelsONNXRuntime, true, []int{2048}, 1
	b, err := measured(t.Context(), t, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range b.Repeats {
		if r.Stage == StageInferExported {
			t.Fatalf("%+v was measured; it is what infer is", r)
		}
	}
	if len(b.Head.Rewrites) > 0 || b.Head.Settings["kernels"] != "onnxruntime" {
		t.Errorf("rewrites %q, settings %v; want none, and the kernels that were asked for", b.Head.Rewrites, b.Head.Settings)
	}
}

// lengthen has whole runs be as if of a thousand times the rows: brief ones tell no ratios.
func lengthen(b *Bench) {
	for i := range b.Repeats {
		if r := &b.Repeats[i]; r.Stage == StageEndToEnd {
			r.Rows, r.Seconds, r.CPUSeconds, r.Joules = r.Rows*1000, r.Seconds*1000, r.CPUSeconds*1000, r.Joules*1000
		}
	}
}
