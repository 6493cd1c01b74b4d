package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
)

// readRows bounds the rows of one repeat of reading.
const readRows = 4 << 20

// wholeRuns are the whole runs of all rounds with so many fixed sizes, and of the
// warm-up.
func (m *measurement) wholeRuns(fixed int) int {
	if m.opts.AutoOnly {
		fixed = 0
	}
	return m.opts.Repeats*(1+fixed) + 1
}

// ceilings measures, in each round, every stage alone with the sweep's best
// settings, then the whole run with what it would choose itself and with each
// fixed batch size. Within a round they lie seconds apart, so that a ratio of
// two of them is of one state of the machine.
func (m *measurement) ceilings(ctx context.Context, best Arm) error {
	fixed := m.endToEndArms(best)
	rates := map[Stage]float64{}
	expected := m.whole
	m.steps.plan(m.exportedRounds(), m.opts.Target)
	if m.rig.OnDevice() {
		m.steps.plan((m.opts.Repeats+1)*len(DeviceStages), m.opts.Target)
	}
	for round := -1; round < m.opts.Repeats; round++ {
		if err := m.openRig(ctx); err != nil {
			return err
		}
		for _, stage := range Stages {
			rows := int64(best.BatchRows * best.Workers)
			if rate := rates[stage]; rate > 0 {
				rows = max(int64(rate*m.opts.Target.Seconds()), 1)
			}
			a := best
			if stage != StageInfer {
				// Runs may be fastest with fewer workers; the other stages alone have
				// all cores.
				a.Workers = max(a.Workers, runtime.GOMAXPROCS(0))
			}
			r := Repeat{Stage: stage, Arm: a, Index: max(round, 0), Warmup: round < 0}
			m.step(string(stage)+" alone", m.opts.Target)
			if err := m.repeat(ctx, &r, func() (engine.Measure, error) { return m.alone(ctx, stage, a, rows) }); err != nil {
				return err
			}
			rates[stage] = r.RowsPerSecond()
		}
		if err := m.device(ctx, best, round, rates); err != nil {
			return err
		}
		if m.exportedIn(round) {
			if err := m.exported(ctx, best, round, rates); err != nil {
				return err
			}
		}
		if err := m.closeRig(); err != nil {
			return err
		}
		auto := Repeat{Stage: StageEndToEnd, Arm: Arm{Provider: best.Provider}, Chosen: true, Index: max(round, 0), Warmup: round < 0}
		m.step("end to end, batches chosen by itself", expected)
		if err := m.endToEnd(ctx, &auto); err != nil {
			return err
		}
		if round < 0 {
			// How long a run takes is known now.
			took := time.Duration(auto.Seconds * float64(time.Second))
			m.steps.revise(m.opts.Repeats*(len(fixed)+1), took-expected)
			m.whole, expected = took, took
			continue // the fixed ones are warm by it, too
		}
		for _, a := range fixed {
			if a.dropped {
				m.steps.skip(expected)
				continue
			}
			r := Repeat{Stage: StageEndToEnd, Arm: a.Arm, Index: round}
			m.step(fmt.Sprintf("end to end, batches of %d", a.BatchRows), expected)
			if err := m.endToEnd(ctx, &r); err != nil {
				return err
			}
			a.rates = append(a.rates, r.RowsPerSecond())
		}
		if len(fixed) == 0 {
			continue
		}
		if err := m.drop(fixed, StageEndToEnd); err != nil {
			return err
		}
	}
	return nil
}

// exportedRepeats bounds the repeats of the model as exported: enough for a
// number to hold against, which is all that it is.
const exportedRepeats = 3

// exportedIn says whether a round measures the model as exported, too: the
// warm-up, the first, and others as far apart as can be.
func (m *measurement) exportedIn(round int) bool {
	every := (m.opts.Repeats + exportedRepeats - 1) / exportedRepeats
	return m.plan.OwnKernels && (round < 0 || round%every == 0)
}

// exportedRounds is how many rounds do, the warm-up among them.
func (m *measurement) exportedRounds() (n int) {
	for round := -1; round < m.opts.Repeats; round++ {
		if m.exportedIn(round) {
			n++
		}
	}
	return n
}

// exported measures ONNX Runtime's own kernels at the settings of inference
// alone. They may need many times as long for a batch, so that few fit into a
// repeat: those that do are as many for each worker.
func (m *measurement) exported(ctx context.Context, best Arm, round int, rates map[Stage]float64) error {
	turn := int64(best.BatchRows * best.Workers)
	turns := max(int64(math.Round(rates[StageInferExported]*m.opts.Target.Seconds()/float64(turn))), 1)
	r := Repeat{Stage: StageInferExported, Arm: best, Index: max(round, 0), Warmup: round < 0}
	m.step("infer alone, as exported", m.opts.Target)
	err := m.repeat(ctx, &r, func() (engine.Measure, error) {
		return m.rig.InferExported(ctx, best.BatchRows, best.Workers, best.IntraOpThreads, turns*turn)
	})
	rates[StageInferExported] = r.RowsPerSecond()
	return err
}

// device measures what inference consists of on a device, each alone.
func (m *measurement) device(ctx context.Context, best Arm, round int, rates map[Stage]float64) error {
	if !m.rig.OnDevice() {
		return nil
	}
	for _, stage := range DeviceStages {
		rows := max(int64(rates[stage]*m.opts.Target.Seconds()), int64(best.BatchRows*best.Workers))
		r := Repeat{Stage: stage, Arm: best, Index: max(round, 0), Warmup: round < 0}
		m.step(stageName(stage)+" alone", m.opts.Target)
		err := m.repeat(ctx, &r, func() (engine.Measure, error) {
			do := map[Stage]func(ctx context.Context, batchRows, streams, intraOpThreads int, rows int64) (engine.Measure, error){
				StageCopyIn: m.rig.CopyIn, StageCompute: m.rig.Compute, StageCopyOut: m.rig.CopyOut,
			}[stage]
			return do(ctx, best.BatchRows, best.Workers, best.IntraOpThreads, rows)
		})
		if err != nil {
			return err
		}
		rates[stage] = r.RowsPerSecond()
	}
	return nil
}

// endToEndArms are the fixed batch sizes to run end to end, at the best's
// workers and threads.
func (m *measurement) endToEndArms(best Arm) []*arm {
	var arms []*arm
	if m.opts.AutoOnly {
		return nil
	}
	for _, a := range m.arms() {
		if a.Workers == best.Workers && a.IntraOpThreads == best.IntraOpThreads {
			arms = append(arms, a)
		}
	}
	return arms
}

// alone measures one stage.
func (m *measurement) alone(ctx context.Context, stage Stage, a Arm, rows int64) (engine.Measure, error) {
	switch stage {
	case StageRead:
		return m.rig.Read(ctx, a.Workers, min(m.plan.Dataset.Rows(), readRows))
	case StageAssemble:
		return m.rig.Assemble(a.BatchRows, a.Workers, rows)
	case StageInfer:
		return m.rig.Infer(ctx, a.BatchRows, a.Workers, a.IntraOpThreads, rows)
	case StageWrite:
		return m.rig.Write(ctx, m.dir, a.BatchRows, rows)
	default:
		return engine.Measure{}, fmt.Errorf("no stage %q", stage)
	}
}

// endToEnd carries out one whole run, from planning to publishing, and removes
// what it published. The repeat gets the settings that the run had.
func (m *measurement) endToEnd(ctx context.Context, r *Repeat) error {
	opts := m.run
	opts.Output = filepath.Join(m.dir, "out")
	if !r.Chosen {
		opts.BatchRows, opts.Workers, opts.IntraOpThreads = r.BatchRows, r.Workers, r.IntraOpThreads
		opts.Readers = r.Workers
	}
	if opts.Provider != ort.CPU { // see provide
		opts.Streams, opts.Workers, opts.Readers = r.Workers, 0, 0
	}
	resetPeak()
	err := m.repeat(ctx, r, func() (_ engine.Measure, err error) {
		before, started := engine.ProcessTime(), time.Now()
		plan, err := engine.NewPlan(ctx, opts)
		if err != nil {
			return engine.Measure{}, err
		}
		defer func() { err = errors.Join(err, plan.Close()) }()
		summary, err := plan.Run(ctx, m.lib, plan.NewProgress())
		if err != nil {
			return engine.Measure{}, err
		}
		r.BatchRows, r.IntraOpThreads = summary.BatchRows, summary.Choice.IntraOpThreads
		if r.Workers = summary.Workers; opts.Provider != ort.CPU {
			r.Workers = plan.Options.Streams
		}
		r.PeakMemoryBytes = engine.PeakMemory()
		r.StageSeconds = map[Stage]float64{}
		for _, s := range Stages {
			r.StageSeconds[s] = summary.Stages[string(s)]
		}
		for _, o := range summary.Outputs {
			r.BytesWritten += o.Bytes
		}
		return engine.Measure{
			Rows: summary.Rows.Read, Elapsed: time.Since(started), CPU: engine.ProcessTime() - before,
			BytesCopied: summary.BytesCopied, BytesViewed: summary.BytesViewed,
		}, nil
	})
	return errors.Join(err, os.RemoveAll(opts.Output))
}

// Best is the fixed settings with the best median end to end; false when none
// was measured.
func Best(b *Bench) (best Arm, rowsPerSecond float64, ok bool) {
	arms := map[Arm]*arm{}
	for _, r := range b.Repeats {
		if r.Stage != StageEndToEnd || r.Warmup || r.Chosen {
			continue
		}
		if arms[r.Arm] == nil {
			arms[r.Arm] = &arm{Arm: r.Arm}
		}
		arms[r.Arm].rates = append(arms[r.Arm].rates, r.RowsPerSecond())
	}
	most := 0
	for _, a := range arms {
		most = max(most, len(a.rates))
	}
	var all []*arm
	for _, a := range arms {
		if len(a.rates) == most { // one given up has fewer
			all = append(all, a)
		}
	}
	if len(all) == 0 {
		return Arm{}, 0, false
	}
	slices.SortFunc(all, func(a, b *arm) int { return a.BatchRows - b.BatchRows }) // ties: the smaller
	top := slices.MaxFunc(all, byMedian)
	return top.Arm, top.median(), true
}

// SaveProfile keeps the best settings for runs to come on this machine, and
// returns the file's path.
func SaveProfile(b *Bench, dir string) (string, error) {
	best, rate, ok := Best(b)
	if !ok {
		return "", fmt.Errorf("%w: nothing was measured end to end, so there is no best to save", engine.ErrUsage)
	}
	if best.BatchRows < 1 || best.Workers < 1 || best.IntraOpThreads < 1 {
		return "", fmt.Errorf("%w: measurement %s has no settings that a run could take", ErrRecords, b.ID)
	}
	profile := engine.NewProfile(b.Head.Model.SHA256, best.Provider, b.Head.Versions.ORT)
	profile.BatchRows, profile.Workers, profile.IntraOpThreads = best.BatchRows, best.Workers, best.IntraOpThreads
	profile.RowsPerSecond, profile.Bench, profile.Measured = rate, b.ID, b.Head.Started
	path, err := profile.Save(dir)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ledger.ErrOutput, err)
	}
	return path, nil
}
