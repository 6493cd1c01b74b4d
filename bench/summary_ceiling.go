package bench

import "math"

// Ceiling is the fastest that the whole can go on this machine.
//
// Stages overlap: while one batch is inferred, the next is read. So the whole
// cannot be faster than the slowest stage with all cores to itself. But the
// stages share the cores: each row needs the CPU time of every stage, and C
// cores give C seconds of it a second. With r the rows/s of a stage alone and c
// its CPU seconds per row, those that a hypervisor stole meanwhile among them,
// both of the stage's fastest arm,
//
//	ceiling = min( min over stages of r,  C / sum over stages of c )
//
// The second term is at most the first when every stage keeps all cores busy;
// the first binds where a stage waits for something else than a core: a disk, a
// GPU, or its own serial part.
type Ceiling struct {
	RowsPerSecond Estimate    `json:"rows_per_second"`
	Binds         CeilingTerm `json:"binds"`

	SlowestStage  Stage    `json:"slowest_stage"`
	SlowestAlone  Estimate `json:"slowest_alone"`            // its rows/s
	SharedCores   Estimate `json:"shared_cores"`             // rows/s; unknown without CPU times
	CPUSeconds    Estimate `json:"cpu_seconds"`              // a row, summed over the stages
	Cores         float64  `json:"cores"`                    // granted
	MissingStages []Stage  `json:"missing_stages,omitempty"` // not measured: the true ceiling may be lower
}

// CeilingTerm is one of the two bounds.
type CeilingTerm string

// The two bounds.
const (
	BySlowestStage CeilingTerm = "slowest stage alone"
	BySharedCores  CeilingTerm = "shared cores"
)

// newCeiling combines the fastest arms of the stages; nil of none. The interval's
// ends combine the ends of the stages' intervals, which is wider than need be.
func newCeiling(best map[Stage]*ArmSummary, cores float64) *Ceiling {
	c := &Ceiling{Cores: cores}
	sum, rate := Estimate{Confidence: 1, Repeats: math.MaxInt}, Estimate{}
	var sure []float64
	for _, stage := range Stages {
		a := best[stage]
		if a == nil {
			c.MissingStages = append(c.MissingStages, stage)
			continue
		}
		r, cpu := a.RowsPerSecond, a.CPUSecondsPerRow
		if !c.SlowestAlone.known() || r.Median < c.SlowestAlone.Median {
			c.SlowestStage, c.SlowestAlone = stage, r
		}
		rate = least(rate, r)
		sure = append(sure, r.Confidence)

		sum = sum.plus(cpu)
	}
	if !rate.known() {
		return nil
	}
	c.Binds = BySlowestStage
	if cores > 0 && sum.known() && sum.Low > 0 {
		c.CPUSeconds = sum
		c.SharedCores = Estimate{
			Median: cores / sum.Median, Low: cores / sum.High, High: cores / sum.Low,
			Confidence: sum.Confidence, Repeats: sum.Repeats,
		}
		if c.SharedCores.Median < rate.Median {
			c.Binds = BySharedCores
		}
		rate = least(rate, c.SharedCores)
		sure = append(sure, sum.Confidence)
	}
	rate.Confidence = jointly(sure...)
	c.RowsPerSecond = rate
	return c
}

// plus adds two estimates end by end; with an unknown one, which has no repeats,
// the sum is unknown.
func (e Estimate) plus(f Estimate) Estimate {
	return Estimate{
		Median: e.Median + f.Median, Low: e.Low + f.Low, High: e.High + f.High,
		Confidence: jointly(e.Confidence, f.Confidence), Repeats: min(e.Repeats, f.Repeats),
	}
}

// least is the smaller of two, end by end.
func least(a, b Estimate) Estimate {
	if !a.known() {
		return b
	}
	return Estimate{
		Median: min(a.Median, b.Median), Low: min(a.Low, b.Low), High: min(a.High, b.High),
		Repeats: min(a.Repeats, b.Repeats),
	}
}
