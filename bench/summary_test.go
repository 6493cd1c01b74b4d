package bench

import (
	"math"
	"slices"
	"testing"
)

// stageRepeats are repeats of one arm with so many rows a second and cores kept busy.
func stageRepeats(stage Stage, arm Arm, busy float64, rates ...float64) []Repeat {
	out := make([]Repeat, 0, len(rates))
	for i, rate := range rates {
		out = append(out, Repeat{Stage: stage, Arm: arm, Index: i, Rows: 1e6, Seconds: 1e6 / rate, CPUSeconds: busy * 1e6 / rate})
	}
	return out
}

func close6(got, want float64) bool { return math.Abs(got-want) <= 1e-6*math.Abs(want) }

// The numbers of this test are worked out by hand.
func TestCeiling(t *testing.T) {
	arm := Arm{Provider: "cpu", BatchRows: 4096, Workers: 2, IntraOpThreads: 1}
	stages := func(write float64, busyWriting float64) *Bench {
		return &Bench{Head: Head{Machine: Machine{Cores: 2}}, Repeats: slices.Concat(
			stageRepeats(StageRead, arm, 2, 10e6),                  // 0.2 µs of CPU a row
			stageRepeats(StageAssemble, arm, 2, 40e6),              // 0.05
			stageRepeats(StageInfer, arm, 2, 1e6),                  // 2
			stageRepeats(StageWrite, arm, busyWriting, write),      // busyWriting / write
			stageRepeats(StageEndToEnd, arm, 2, 0.8e6, 0.7e6, 1e6), // median 0.8e6
		)}
	}
	for _, c := range []struct {
		name          string
		write, busy   float64
		ceiling       float64
		binds         CeilingTerm
		slowest       Stage
		shared, ratio float64
	}{
		// 0.2 + 0.05 + 2 + 1/20 = 2.3 µs; 2 cores / 2.3 µs = 869,565 rows/s < 1e6.
		{"the cores bind where every stage keeps them busy", 20e6, 1, 869565.2173913, BySharedCores, StageInfer, 869565.2173913, 0.92},
		// The writer waits for a disk: 0.1 / 0.5e6 = 0.2 µs; 2 / 2.45 µs = 816,327 > 0.5e6.
		{"a slow disk binds", 0.5e6, 0.1, 0.5e6, BySlowestStage, StageWrite, 816326.5306122, 1.6},
	} {
		s := Summarize(stages(c.write, c.busy))
		got := s.Ceiling
		if got.Binds != c.binds || got.SlowestStage != c.slowest || !close6(got.RowsPerSecond.Median, c.ceiling) || !close6(got.SharedCores.Median, c.shared) {
			t.Errorf("%s: ceiling %+v; want %v, %v, slowest %v, shared %v", c.name, got, c.ceiling, c.binds, c.slowest, c.shared)
		}
		if !close6(s.OfCeiling.Median, c.ratio) {
			t.Errorf("%s: end to end / ceiling = %v; want %v", c.name, s.OfCeiling.Median, c.ratio)
		}
		if !close6(s.OfCeiling.Low, 0.7e6/c.ceiling) || !close6(s.OfCeiling.High, 1e6/c.ceiling) {
			t.Errorf("%s: end to end / ceiling in %v to %v; want the range of the repeats over the ceiling", c.name, s.OfCeiling.Low, s.OfCeiling.High)
		}
		if !close6(s.OfBareInference.Median, 0.8) || !close6(s.RowsPerSecondPerCore.Median, 0.4e6) {
			t.Errorf("%s: of bare inference %v, per core %v; want 0.8 and 400,000", c.name, s.OfBareInference.Median, s.RowsPerSecondPerCore.Median)
		}
	}
	// Without every stage's CPU time there is no sum of them.
	b := stages(20e6, 1)
	b.Repeats[0].CPUSeconds = 0
	if got := Summarize(b).Ceiling; got.SharedCores.known() || got.Binds != BySlowestStage {
		t.Errorf("ceiling without the reader's CPU time: %+v; want the slowest stage only", got)
	}
	b.Repeats = b.Repeats[1:]
	if got := Summarize(b).Ceiling; !slices.Equal(got.MissingStages, []Stage{StageRead}) {
		t.Errorf("missing stages %v; want read", got.MissingStages)
	}
}

// Go computes with two threads where a cgroup grants half a core, and the ceiling and what a core
// gives go by what is granted.
func TestCeilingOfAQuota(t *testing.T) {
	arm := Arm{Provider: "cpu", BatchRows: 4096, Workers: 2, IntraOpThreads: 1}
	b := &Bench{Head: Head{Machine: Machine{Cores: 2, CoresOnline: 8, CgroupCores: 0.5}}, Repeats: slices.Concat(
		stageRepeats(StageInfer, arm, 0.5, 1e6), // 0.5 µs of CPU a row
		stageRepeats(StageEndToEnd, arm, 0.5, 0.8e6),
	)}
	s := Summarize(b)
	if !close6(s.Ceiling.SharedCores.Median, 1e6) || !close6(s.OfCeiling.Median, 0.8) || !close6(s.RowsPerSecondPerCore.Median, 1.6e6) {
		t.Errorf("shared cores %v, of the ceiling %v, per core %v; want 1e6, 0.8 and 1.6e6", s.Ceiling.SharedCores.Median, s.OfCeiling.Median, s.RowsPerSecondPerCore.Median)
	}
	if got := machineKind(&b.Head.Machine); got != "0.5 cores of 8" {
		t.Errorf("the machine is %q; want 0.5 cores of 8", got)
	}
	b.Head.Machine.CgroupCores = 4 // affinity allows less
	if got := b.Head.Machine.Granted(); got != 2 {
		t.Errorf("%v cores of a quota of 4 and two processors; want 2", got)
	}
}

func TestSummarizeChoices(t *testing.T) {
	arm := func(provider string, rows, workers int) Arm { return Arm{provider, rows, workers, 1} }
	b := &Bench{Head: Head{Machine: Machine{Cores: 2}, PricePerHour: 0.5}}
	add := func(more func(r *Repeat), repeats []Repeat) {
		for i := range repeats {
			if more(&repeats[i]); repeats[i].Joules == 0 {
				repeats[i].Joules = 100
			}
		}
		b.Repeats = append(b.Repeats, repeats...)
	}
	none := func(*Repeat) {}
	add(none, stageRepeats(StageEndToEnd, arm("cpu", 1024, 1), 1, 50, 50, 50))
	add(none, stageRepeats(StageEndToEnd, arm("cpu", 1024, 2), 2, 90, 90, 90))
	add(none, stageRepeats(StageEndToEnd, arm("cpu", 8192, 2), 2, 100, 100, 100))
	add(none, stageRepeats(StageEndToEnd, arm("cpu", 16384, 2), 2, 900)) // given up: it failed
	b.Stops = append(b.Stops, Stop{Stage: StageEndToEnd, Arm: arm("cpu", 16384, 2), After: 1, Reason: "out of memory"})
	chosen := func(r *Repeat) { r.Chosen = true }
	add(func(r *Repeat) { r.Chosen, r.Warmup = true, true }, stageRepeats(StageEndToEnd, arm("cpu", 64, 2), 2, 1))
	add(chosen, stageRepeats(StageEndToEnd, arm("cpu", 4096, 2), 2, 99, 97))
	add(chosen, stageRepeats(StageEndToEnd, arm("cpu", 2048, 2), 2, 98))
	add(none, stageRepeats(StageInfer, arm("cpu", 8192, 2), 2, 200))
	add(none, stageRepeats(StageInfer, arm("cuda", 8192, 2), 2, 5000)) // not what end to end ran on
	s := Summarize(b)
	if s.Auto == nil || s.EndToEnd != s.Auto || !close6(s.Auto.RowsPerSecond.Median, 98) || s.Auto.BatchRows != 4096 || s.Auto.Choices != 2 {
		t.Errorf("auto = %+v; want a median of 98 of two choices, mostly 4096", s.Auto)
	}
	if s.BestFixed == nil || s.BestFixed.BatchRows != 8192 || !close6(s.AutoOfBestFixed.Median, 0.98) {
		t.Errorf("best fixed %+v, auto of it %v; want 8192 and 0.98", s.BestFixed, s.AutoOfBestFixed.Median)
	}
	if s.Fixed1024 == nil || s.Fixed1024.Workers != 2 || !close6(s.AutoOfFixed1024.Median, 98.0/90) {
		t.Errorf("fixed 1024 %+v, auto of it %v; want 2 workers and 1.089", s.Fixed1024, s.AutoOfFixed1024.Median)
	}
	if got := s.Best[StageInfer]; got == nil || got.Provider != "cpu" || !close6(s.OfBareInference.Median, 0.49) {
		t.Errorf("best inference %+v, end to end of it %v; want cpu's, 0.49", got, s.OfBareInference.Median)
	}
	if !close6(s.RowsPerUnit.Median, 98*3600/0.5) || !close6(s.RowsPerJoule.Median, 1e6/100) {
		t.Errorf("%v rows per unit, %v per joule; want %v and %v", s.RowsPerUnit.Median, s.RowsPerJoule.Median, 98*3600/0.5, 1e6/100)
	}
}

// A machine that becomes slower from round to round does not blur the ratio: it
// is the same in each.
func TestRounds(t *testing.T) {
	arm := Arm{Provider: "cpu", BatchRows: 4096, Workers: 2, IntraOpThreads: 1}
	lucky := Arm{Provider: "cpu", BatchRows: 1024, Workers: 2, IntraOpThreads: 1}
	b := &Bench{Head: Head{Machine: Machine{Cores: 2}}}
	add := func(index int, warmup bool, repeats []Repeat) {
		repeats[0].Index, repeats[0].Warmup = index, warmup
		repeats[0].Chosen = repeats[0].Stage == StageEndToEnd && repeats[0].BatchRows == arm.BatchRows
		b.Repeats = append(b.Repeats, repeats...)
	}
	for i := range 6 {
		add(i, false, stageRepeats(StageInfer, arm, 2, 1e6))
		add(i, false, stageRepeats(StageInfer, lucky, 2, 1.01e6))
	}
	for i := -1; i < 6; i++ {
		slow := math.Pow(0.8, float64(i))
		add(max(i, 0), i < 0, stageRepeats(StageRead, arm, 2, 4e6*slow))
		add(max(i, 0), i < 0, stageRepeats(StageInfer, arm, 2, 1e6*slow))
		add(max(i, 0), i < 0, stageRepeats(StageEndToEnd, arm, 2, 0.76e6*slow)) // the ceiling is 0.8e6
		if i >= 0 {
			add(i, false, stageRepeats(StageEndToEnd, lucky, 2, 0.8e6*slow))
		}
	}
	s := Summarize(b)
	for name, e := range map[string]struct {
		got  Estimate
		want float64
	}{"of the ceiling": {s.OfCeiling, 0.95}, "of inference": {s.OfBareInference, 0.76}, "of the best fixed": {s.AutoOfBestFixed, 0.95}} {
		if !close6(e.got.Low, e.want) || !close6(e.got.High, e.want) || e.got.Repeats != 6 {
			t.Errorf("%s: %+v; want %v in each of six rounds", name, e.got, e.want)
		}
	}
	if got := s.Best[StageInfer]; got.Arm != arm || got.RowsPerSecond.Repeats != 6 || got.RowsPerSecond.High != 1e6 {
		t.Errorf("best inference %+v; want the arm of the rounds, and what it did there", got)
	}
	// Repeats of other rounds are not paired.
	for i := range b.Repeats {
		if r := &b.Repeats[i]; r.Stage == StageEndToEnd && !r.Chosen {
			r.Index++
		}
	}
	if got := Summarize(b).AutoOfBestFixed; got.Low >= 0.9 || got.High <= 1 {
		t.Errorf("auto of the best fixed, of other rounds: %+v; want the wide interval of medians", got)
	}
	// A round that lacks a stage leaves medians only.
	for i := range b.Repeats {
		if r := &b.Repeats[i]; r.Stage == StageRead && r.Index == 3 {
			b.Repeats = slices.Delete(b.Repeats, i, i+1)
			break
		}
	}
	if got := Summarize(b).OfCeiling; got.Low >= 0.9 || got.High <= 1 {
		t.Errorf("with a stage missing in one round: %+v; want the wide interval of medians", got)
	}
}
