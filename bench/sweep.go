package bench

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/internal/page"
)

// arm is one choice of settings on its way through a sweep.
type arm struct {
	Arm
	rates   []float64
	dropped bool
}

func (a *arm) median() float64 { return newEstimate(a.rates).Median }

// Bounds on arms that cannot win: the fastest of their repeats, of this many, is
// this far behind the median of the best, whose slowest is faster, too. Noise
// slows repeats down and hardly ever speeds them up.
const (
	hopelessShare = 0.7
	hopelessAfter = 2
)

// hopeless says how far an arm is behind the best; false when it may still win.
func (a *arm) hopeless(best *arm) (share float64, ok bool) {
	if len(a.rates) < hopelessAfter || len(best.rates) < hopelessAfter {
		return 0, false
	}
	fastest := slices.Max(a.rates)
	share = fastest / best.median()
	return share, share < hopelessShare && fastest < slices.Min(best.rates)
}

// sweep measures Run on tensors in memory, and returns the best settings.
func (m *measurement) sweep(ctx context.Context) (Arm, error) {
	if err := m.leaveOut(); err != nil {
		return Arm{}, err
	}
	arms := m.arms()
	rounds := m.opts.Repeats
	swept := len(m.opts.BatchRows) * len(m.opts.Workers) * len(m.opts.IntraOpThreads)
	m.steps.plan((len(arms)-swept)*(rounds+1), m.opts.Target) // some sizes are too large for the data
	for round := -1; round < rounds; round++ {                // the first warms up
		for _, a := range arms {
			if a.dropped {
				m.steps.skip(m.opts.Target)
				continue
			}
			rows := int64(a.BatchRows * a.Workers)
			if len(a.rates) > 0 {
				rows = max(int64(a.median()*m.opts.Target.Seconds()), 1)
			}
			r := Repeat{Stage: StageInfer, Arm: a.Arm, Index: max(round, 0), Warmup: round < 0}
			m.step(fmt.Sprintf("infer: batches of %d, %s", a.BatchRows, page.Number(a.Workers, "worker")), m.opts.Target)
			err := m.repeat(ctx, &r, func() (engine.Measure, error) {
				return m.rig.Infer(ctx, a.BatchRows, a.Workers, a.IntraOpThreads, rows)
			})
			if err != nil {
				return Arm{}, err
			}
			if round <= 0 { // the warm-up's rate only says how long the first is
				a.rates = a.rates[:0]
			}
			a.rates = append(a.rates, r.RowsPerSecond())
		}
		if round < 0 {
			m.expectWhole(slices.MaxFunc(arms, byMedian).median())
			continue
		}
		if err := m.drop(arms, StageInfer); err != nil {
			return Arm{}, err
		}
	}
	best := slices.MaxFunc(arms, byMedian).Arm
	if !m.opts.SweepOnly {
		m.steps.plan(m.wholeRuns(len(m.endToEndArms(best)))-m.wholeRuns(len(m.opts.BatchRows)), m.whole)
	}
	return best, nil
}

// sizes are the batch sizes to sweep, and why the others that were asked for are
// not.
func (m *measurement) sizes() (sizes []int, not map[int]string) {
	not = map[int]string{}
	most := min(m.rig.Rows(), m.rig.MostRows())
	for _, size := range m.opts.BatchRows {
		switch fixed := m.plan.Binding.FixedRows; {
		case fixed > 0 && size != fixed:
			not[size] = fmt.Sprintf("the model fixes batches of %d rows", fixed)
		case fixed == 0 && size > most: // there would be one short batch, in room for a whole one
			not[size] = fmt.Sprintf("there are %d rows to measure on", most)
		default:
			sizes = append(sizes, size)
		}
	}
	if len(sizes) == 0 {
		sizes = []int{cmp.Or(m.plan.Binding.FixedRows, most)}
	}
	return sizes, not
}

// arms lists the settings to sweep, those that share a session beside each
// other.
func (m *measurement) arms() []*arm {
	sizes, _ := m.sizes()
	arms := make([]*arm, 0, len(sizes)*len(m.opts.Workers)*len(m.opts.IntraOpThreads))
	for _, intra := range m.opts.IntraOpThreads {
		for _, size := range sizes {
			for _, workers := range m.opts.Workers {
				arms = append(arms, &arm{Arm: Arm{Provider: string(m.plan.Options.Provider), BatchRows: size, Workers: workers, IntraOpThreads: intra}})
			}
		}
	}
	return arms
}

func byMedian(a, b *arm) int {
	switch x, y := a.median(), b.median(); {
	case x < y:
		return -1
	case x > y:
		return 1
	default:
		return 0
	}
}

// leaveOut records the batch sizes that were asked for and are not measured.
func (m *measurement) leaveOut() error {
	if !m.opts.asked {
		return nil
	}
	_, not := m.sizes()
	for _, size := range slices.Sorted(maps.Keys(not)) {
		arm := Arm{Provider: string(m.plan.Options.Provider), BatchRows: size}
		if err := m.out.Stop(&Stop{Stage: StageInfer, Arm: arm, Reason: not[size]}); err != nil {
			return err
		}
	}
	return nil
}

// expectWhole takes a whole run to be as fast as inference, until one is measured.
func (m *measurement) expectWhole(rate float64) {
	if m.opts.SweepOnly || m.whole != m.opts.Target {
		return
	}
	whole := max(m.whole, time.Duration(float64(m.plan.Dataset.Rows())/rate*float64(time.Second)))
	m.steps.revise(len(m.opts.Providers)*m.wholeRuns(len(m.opts.BatchRows)), whole-m.whole)
	m.whole = whole
}

// drop gives up arms that are far behind.
func (m *measurement) drop(arms []*arm, stage Stage) error {
	best := slices.MaxFunc(arms, byMedian)
	for _, a := range arms {
		share, hopeless := a.hopeless(best)
		if a.dropped || !hopeless {
			continue
		}
		a.dropped = true
		err := m.out.Stop(&Stop{Stage: stage, Arm: a.Arm, After: len(a.rates), Reason: fmt.Sprintf("at most %.0f%% of the best", 100*share)})
		if err != nil {
			return err
		}
	}
	return nil
}
