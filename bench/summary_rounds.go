package bench

import "slices"

// round is one pass of a measurement over all stages and the whole: they lie
// seconds apart, so the machine was in one state, and a ratio of two of them
// knows nothing of how that state drifts over minutes.
type round struct {
	stages map[Stage]*Repeat
	whole  *Repeat
}

// rounds finds them in the order of the records: each repeat of the headline arm
// with the last repeat of each stage since the one before, of the same index. It
// is nil unless every repeat of the headline arm that counts has one, all with
// the same stages at the same settings: then ratios are made of medians.
func rounds(b *Bench, headline *ArmSummary) []round {
	if headline == nil {
		return nil
	}
	var out []round
	last := map[Stage]*Repeat{}
	for i := range b.Repeats {
		r := &b.Repeats[i]
		switch {
		case slices.Contains(Stages, r.Stage):
			last[r.Stage] = r
			continue
		case r.key() != headline.key():
			continue
		case !r.Warmup:
			for _, s := range last {
				if s.Warmup || s.Index != r.Index {
					return nil
				}
			}
			if len(last) == 0 || len(out) > 0 && !alike(out[0].stages, last) {
				return nil
			}
			out = append(out, round{last, r})
		}
		last = map[Stage]*Repeat{}
	}
	return out
}

// alike reports whether two rounds have the same stages at the same settings.
func alike(a, b map[Stage]*Repeat) bool {
	for stage, r := range a {
		if b[stage] == nil || b[stage].Arm != r.Arm {
			return false
		}
	}
	return len(a) == len(b)
}

// bestOfRounds are the stages' arms as the rounds measured them: the fastest was
// chosen by the sweep before, and the luck that it had there does not count.
func bestOfRounds(rounds []round) map[Stage]*ArmSummary {
	best := map[Stage]*ArmSummary{}
	for stage, first := range rounds[0].stages {
		a := &ArmSummary{Stage: stage, Arm: first.Arm}
		for _, r := range rounds {
			a.repeats = append(a.repeats, *r.stages[stage])
		}
		a.summarize()
		best[stage] = a
	}
	return best
}

// over divides the rates of two arms: repeat by repeat where both were
// measured in the same rounds, else medians.
func (a *ArmSummary) over(by *ArmSummary) Estimate {
	x, y := a.counted(), by.counted()
	if len(x) != len(y) {
		return a.RowsPerSecond.over(by.RowsPerSecond)
	}
	ratios := make([]float64, len(x))
	for i := range x {
		if x[i].Index != y[i].Index {
			return a.RowsPerSecond.over(by.RowsPerSecond)
		}
		ratios[i] = x[i].RowsPerSecond() / y[i].RowsPerSecond()
	}
	return newEstimate(ratios)
}

// during is the arm with only the repeats of rounds that another was measured in.
func (a *ArmSummary) during(other *ArmSummary) *ArmSummary {
	some := *a
	some.repeats = slices.DeleteFunc(a.counted(), func(r Repeat) bool {
		return !slices.ContainsFunc(other.counted(), func(o Repeat) bool { return o.Index == r.Index })
	})
	return &some
}

// deriveRounds replaces the ceiling and its ratios by what the rounds say, each
// for itself.
func (s *Summary) deriveRounds(rounds []round) {
	if len(rounds) == 0 || s.Ceiling == nil {
		return
	}
	c := s.Ceiling
	terms := map[string][]float64{}
	add := func(name string, v float64) { terms[name] = append(terms[name], v) }
	for _, r := range rounds {
		slowest, cpu := r.stages[c.SlowestStage].RowsPerSecond(), 0.0
		for _, stage := range r.stages {
			slowest = min(slowest, stage.RowsPerSecond())
			cpu += stage.CoreSeconds() / float64(stage.Rows)
		}
		ceiling := slowest
		if c.SharedCores.known() {
			shared := c.Cores / cpu
			add("cpu", cpu)
			add("shared", shared)
			ceiling = min(ceiling, shared)
		}
		add("slowest", r.stages[c.SlowestStage].RowsPerSecond())
		add("ceiling", ceiling)
		add("of ceiling", r.whole.RowsPerSecond()/ceiling)
		if infer := r.stages[StageInfer]; infer != nil {
			add("of inference", r.whole.RowsPerSecond()/infer.RowsPerSecond())
		}
	}
	c.RowsPerSecond, c.SlowestAlone = newEstimate(terms["ceiling"]), newEstimate(terms["slowest"])
	c.CPUSeconds, c.SharedCores = newEstimate(terms["cpu"]), newEstimate(terms["shared"])
	if c.Binds = BySlowestStage; c.SharedCores.known() && c.SharedCores.Median < c.SlowestAlone.Median {
		c.Binds = BySharedCores
	}
	s.OfCeiling, s.OfBareInference = newEstimate(terms["of ceiling"]), newEstimate(terms["of inference"])
}
