package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/models"
)

// sampleRun is a run of a reference model over the flights sample, repeated
// that many times.
func sampleRun(t *testing.T, model string, times int) Options {
	t.Helper()
	return Options{
		Model:  filepath.Join("..", "models", "reference", model+".onnx"),
		Inputs: slices.Repeat([]string{filepath.Join("..", "testdata", "flights-sample.parquet")}, times),
		Nulls:  batcher.NullPolicies{Default: batcher.NullPolicy{Action: batcher.NullNaN}},
		IDs:    []string{"id"}, MaxRejects: -1, Workers: 2, Output: filepath.Join(t.TempDir(), "out"),
	}
}

// chosen is the choice of a plan with these options, without the run.
func chosen(t *testing.T, lib *ort.Library, opts Options) *Choice {
	t.Helper()
	plan, err := NewPlan(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	s, err := plan.choose(context.Background(), lib, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if err := plan.Close(); err != nil {
		t.Error(err)
	}
	if c := plan.choice; plan.Options.BatchRows != c.BatchRows || plan.Options.Workers != c.Workers || plan.Options.IntraOpThreads != c.IntraOpThreads {
		t.Errorf("the plan's options are not the choice's: %+v, %+v", plan.Options, c)
	}
	return plan.choice
}

func TestChoice(t *testing.T) {
	lib := orttest.Library(t)
	base := sampleRun(t, "flights_linear", 1)
	plan, err := NewPlan(context.Background(), base)
	if err != nil {
		t.Fatal(err)
	}
	key := plan.ProfileKey(lib)
	if err := plan.Close(); err != nil {
		t.Fatal(err)
	}
	tuned := Profile{ProfileKey: key, BatchRows: 777, Workers: 3, IntraOpThreads: 2, Measured: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
	save := func(change func(*Profile)) string {
		dir, f := t.TempDir(), tuned
		change(&f)
		if _, err := f.Save(dir); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	asIs := save(func(*Profile) {})
	damaged := save(func(*Profile) {})
	if err := os.WriteFile(key.path(damaged), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	swapped := save(func(*Profile) {})
	other := key
	other.ModelSHA256 = strings.Repeat("0", 64)
	if err := os.Rename(key.path(swapped), other.path(swapped)); err != nil {
		t.Fatal(err)
	}

	cases := []struct {
		about  string
		set    func(*Options)
		source ChoiceSource
		rows   int
		work   int
		intra  int
		reason string
	}{
		{"nothing said, and a run too short to measure", func(*Options) {}, ChosenByDefault, 4096, 2, 1, "too few to measure"},
		{"a batch size asked for", func(o *Options) { o.BatchRows = 100; o.ProfileDir = asIs }, ChosenByUser, 100, 2, 1, "--batch-size"},
		{"a profile; workers asked for stay", func(o *Options) { o.ProfileDir = asIs }, ChosenByProfile, 777, 2, 2, "tuned on 2026-11-01"},
		{"a profile, and nothing asked for", func(o *Options) { o.ProfileDir = asIs; o.Workers = 0 }, ChosenByProfile, 777, 3, 2, "tuned on"},
		{"a profile of another ONNX Runtime", func(o *Options) {
			o.ProfileDir = save(func(f *Profile) { f.ORT = "1.0.0" })
		}, ChosenByDefault, 4096, 2, 1, "the default"},
		{"a profile of other hardware", func(o *Options) {
			o.ProfileDir = save(func(f *Profile) { f.Hardware = "abacus" })
		}, ChosenByDefault, 4096, 2, 1, "the default"},
		{"a damaged profile is no reason to fail, but is said", func(o *Options) { o.ProfileDir = damaged }, ChosenByDefault, 4096, 2, 1, "unexpected end"},
		{"a profile with batches that cannot be", func(o *Options) {
			o.ProfileDir = save(func(f *Profile) { f.BatchRows = -1 })
		}, ChosenByDefault, 4096, 2, 1, "cannot be"},
		{"a profile of more threads than a system can start", func(o *Options) {
			o.ProfileDir = save(func(f *Profile) { f.IntraOpThreads = MostThreads + 1 })
		}, ChosenByDefault, 4096, 2, 1, "cannot be"},
		{"a profile whose batches would not fit", func(o *Options) {
			o.ProfileDir = save(func(f *Profile) { f.BatchRows = 1 << 30 })
		}, ChosenByDefault, 4096, 2, 1, "more than 16 MiB"},
		{"a folder without profiles", func(o *Options) { o.ProfileDir = filepath.Join(t.TempDir(), "none") }, ChosenByDefault, 4096, 2, 1, "the default"},
	}
	for _, c := range cases {
		t.Run(c.about, func(t *testing.T) {
			opts := base
			c.set(&opts)
			got := chosen(t, lib, opts)
			if got.Source != c.source || got.BatchRows != c.rows || got.Workers != c.work || got.IntraOpThreads != c.intra || !strings.Contains(got.Reason, c.reason) {
				t.Errorf("chose %+v; want %d rows, %d workers, %d threads by %s, with a reason like %q", got, c.rows, c.work, c.intra, c.source, c.reason)
			}
		})
	}
	if _, _, err := LoadProfile(swapped, other); err == nil || !strings.Contains(err.Error(), "another model") {
		t.Errorf("LoadProfile of a renamed file = %v; want an error that says it is of another model", err)
	}
}

func TestTrialFits(t *testing.T) {
	cases := []struct {
		about string
		sizes []int
		rows  int
		want  []int
	}{
		{"all sizes, twice", trialSizes(4096, 1<<20), 2 * (3*8192 + 32768), []int{256, 1024, 4096, 16384}},
		{"one row less leaves out the largest", trialSizes(4096, 1<<20), 2*(3*8192+32768) - 1, []int{256, 1024, 4096}},
		{"then the smallest", trialSizes(4096, 1<<20), 2*3*8192 - 1, []int{1024, 4096}},
		{"too few rows to compare anything", trialSizes(4096, 1<<20), 2*2*8192 - 1, nil},
		{"memory bounds the largest", trialSizes(4096, 16383), 1 << 20, []int{256, 1024, 4096}},
		{"batches of a few rows", trialSizes(3, 3), 1 << 20, nil},
	}
	for _, c := range cases {
		trial := trial{workers: 2, base: 4096}
		if got := trial.fit(c.sizes, c.rows); !slices.Equal(got, c.want) {
			t.Errorf("%s: fit(%v, %d) = %v; want %v", c.about, c.sizes, c.rows, got, c.want)
		}
	}
}

func TestTrialDecides(t *testing.T) {
	cases := []struct {
		about   string
		seconds map[int]float64 // of a row, by batch size
		want    int
	}{
		{"the fastest wins", map[int]float64{256: 2, 1024: 1, 4096: 1.2}, 1024},
		{"but not by what could be noise", map[int]float64{256: 2, 1024: 1, 4096: 1.008}, 4096},
		{"the default is the fastest", map[int]float64{256: 2, 1024: 1.5, 4096: 1}, 4096},
	}
	for _, c := range cases {
		t.Run(c.about, func(t *testing.T) {
			trial := trial{workers: 2, base: 4096, sample: &sample{rows: 100}}
			for rows, seconds := range c.seconds {
				trial.arms = append(trial.arms, &trialArm{rows: rows, laps: 2, perRow: seconds})
			}
			trial.arms = append(trial.arms, &trialArm{rows: 16}) // warmed up, and left out
			choice := Choice{BatchRows: 4096}
			trial.decide(&choice)
			if choice.BatchRows != c.want || choice.Source != ChosenByTrial || len(choice.Tried) != len(c.seconds) {
				t.Errorf("decided %+v; want batches of %d rows of %d tried", choice, c.want, len(c.seconds))
			}
		})
	}
}

// Sizes are measured from the default on, towards the faster ones.
func TestTrialClimbs(t *testing.T) {
	arms := func(seconds ...float64) (all []*trialArm) {
		for i, s := range seconds {
			all = append(all, &trialArm{rows: 256 << (2 * i), perRow: s, laps: int(min(s, 1))})
		}
		return all
	}
	cases := []struct {
		about string
		arms  []*trialArm
		want  int // rows; 0: none
	}{
		{"smaller is faster", arms(0, 1, 2, 0), 256},
		{"smaller is slower", arms(0, 2, 1, 0), 16384},
		{"and slower still", arms(0, 3, 2, 1, 0), 65536},
		{"the fastest lies between", arms(0, 2, 1, 2, 0), 0},
		{"there is none smaller still", arms(1, 2, 0), 0},
		{"there is none larger", arms(0, 2, 1), 0},
		{"nor any smaller than the default", arms(2, 0), 1024},
	}
	for _, c := range cases {
		got := beyond(c.arms)
		if got == nil && c.want != 0 || got != nil && got.rows != c.want {
			t.Errorf("%s: next is %+v; want %d rows", c.about, got, c.want)
		}
	}
}

// A whole trial on real rows: what it chose is among what it tried, and nothing
// is left behind. What it chooses is the machine's business.
func TestTrial(t *testing.T) {
	lib := orttest.Library(t)
	opts := sampleRun(t, "flights_linear", 40)
	plan, err := NewPlan(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	live := ort.Live()
	s, err := plan.openScoring(lib, 1)
	if err != nil {
		t.Fatal(err)
	}
	// Without the time's bound, which depends on the machine.
	trial := trial{plan: plan, scoring: s, workers: 2, base: 512, cpu: true}
	if trial.sample, err = plan.readSample(context.Background(), 4096); err != nil {
		t.Fatal(err)
	}
	arms := []*trialArm{trial.arm(128), trial.arm(512)}
	if err := trial.rounds(context.Background(), arms, time.Now()); err != nil {
		t.Fatal(err)
	}
	choice := Choice{BatchRows: 512}
	trial.decide(&choice)
	for _, tried := range choice.Tried {
		if tried.Laps < trialRounds || tried.RowsPerSecond <= 0 {
			t.Errorf("tried %+v; want at least %d laps", tried, trialRounds)
		}
	}
	if len(choice.Tried) != 2 || choice.BatchRows != 128 && choice.BatchRows != 512 {
		t.Errorf("decided %+v; want one of the two sizes tried", choice)
	}
	endTrial(t, &trial, live)
}

// endTrial closes a trial and what it had, which leaves of ONNX Runtime what was live before.
func endTrial(t *testing.T, trial *trial, live ort.LiveCounts) {
	t.Helper()
	trial.close()
	if err := errors.Join(trial.scoring.close(), trial.plan.Close()); err != nil {
		t.Error(err)
	}
	if now := ort.Live(); now != live {
		t.Errorf("%+v of ONNX Runtime are live; were %+v", now, live)
	}
}

// A trial whose first rows cost what a whole row group does is none, unless row groups are a small
// share of the run.
func TestTrialOfRowsThatComeLate(t *testing.T) {
	for _, c := range []struct {
		about string
		held  int64
		times int
		none  bool
	}{
		{"streamed", 0, 1, false},
		{"laid aside, five row groups", 1, 1, true},
		{"laid aside, five hundred", 1, 100, false},
	} {
		opts := sampleRun(t, "flights_linear", c.times)
		data, err := dataset.Open(t.Context(), opts.Inputs, dataset.Options{Read: format.ReadOptions{HeldBytes: c.held}})
		if err != nil {
			t.Fatal(err)
		}
		plan := &Plan{Dataset: data, Parts: data.Parts(1), Columns: []string{"id", "month", "day"}}
		if got := (&trial{plan: plan}).upfront(t.Context()); (got != nil) != c.none || got != nil && !strings.Contains(got.Error(), "all 10,000 of their row group") {
			t.Errorf("%s: %v; want a reason: %v", c.about, got, c.none)
		}
		if err := data.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Rows that cannot be scored do not fail the trial: the run says it better.
func TestTrialOfBadRows(t *testing.T) {
	lib := orttest.Library(t)
	opts := sampleRun(t, "flights_linear", 800)
	plan, err := NewPlan(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plan.Close() }()
	// As if no statistics had said before that there are nulls.
	for i := range plan.Binding.Bindings[0].Features {
		plan.Binding.Bindings[0].Features[i].Nulls = batcher.NullPolicy{Action: batcher.NullError}
	}
	s, err := plan.choose(context.Background(), lib, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.close()
	if plan.choice.Source != ChosenByDefault || !strings.Contains(plan.choice.Reason, "could not be scored") {
		t.Errorf("chose %+v; want the default, because the rows cannot be scored", plan.choice)
	}
}

// Batches of hundreds of output columns are tried from a size on at which these are mostly values.
func TestTrialOfManyColumns(t *testing.T) {
	for _, c := range []struct {
		columns int64
		base    int
		want    []int
	}{
		{manyColumns, 512, []int{512, 2048}},
		{manyColumns, 64, []int{64, 256}},
		{manyColumns - 1, 512, []int{32, 128, 512, 2048}},
	} {
		plan := &Plan{outputs: []outputSpec{{value: models.Value{Name: "p", Elem: models.Float32}, layout: LayoutColumns, item: []int64{c.columns}}}}
		if got := (&trial{plan: plan, base: c.base}).worthwhile(trialSizes(c.base, 1<<20)); !slices.Equal(got, c.want) {
			t.Errorf("%d columns, %d rows by default: %v; want %v", c.columns, c.base, got, c.want)
		}
	}
}

// A trial without a limit tries no size above the default with which a run takes more than is usual.
func TestTrialKeepsWithinTheUsual(t *testing.T) {
	plan, err := NewPlan(t.Context(), sampleRun(t, "flights_linear", 40))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := plan.Close(); err != nil {
			t.Error(err)
		}
	}()
	plan.limit = 0
	const huge = 1 << 22
	for _, c := range []struct {
		base        int
		sizes, want []int
	}{
		{512, []int{128, 512, 2048}, []int{128, 512, 2048}},
		{512, []int{128, 512, huge}, []int{128, 512}},
		{huge, []int{512, huge}, []int{512, huge}}, // was asked for
	} {
		trial := &trial{plan: plan, workers: 2, base: c.base, cpu: true}
		if got, held := trial.fitSample(slices.Clone(c.sizes), huge); !slices.Equal(got, c.want) || held < c.want[len(c.want)-1] {
			t.Errorf("a default of %d: %v of %d rows; want %v", c.base, got, held, c.want)
		}
	}
}
