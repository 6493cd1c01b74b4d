package bench

import (
	"cmp"
	"maps"
	"slices"
)

// fixedRows is the batch size that auto is held against: what people choose who
// do not measure.
const fixedRows = 1024

// Summary is what the records of one measurement say, all of it derived from
// them. Numbers that they do not tell are zero, and pointers nil.
type Summary struct {
	ID   string `json:"id"`
	Head *Head  `json:"head"`
	// Arms are all that was measured, by stage in the data's order, then batch
	// rows, workers, intra-op threads and provider.
	Arms  []*ArmSummary `json:"arms"`
	Stops []Stop        `json:"stops,omitempty"`
	// Best is the fastest arm of each stage alone: the one that was measured in
	// rounds with EndToEnd, and only what it did there; or where there are none,
	// the one with the highest median, of the provider that EndToEnd ran on.
	Best map[Stage]*ArmSummary `json:"best"`

	// EndToEnd is the number to tell: Auto, or where auto was not measured
	// BestFixed.
	EndToEnd  *ArmSummary `json:"end_to_end,omitempty"`
	Auto      *ArmSummary `json:"auto,omitempty"`
	BestFixed *ArmSummary `json:"best_fixed,omitempty"`
	Fixed1024 *ArmSummary `json:"fixed_1024,omitempty"` // the fastest with 1024 rows a batch

	// Exported is inference alone of the model as it was exported, by ONNX
	// Runtime's own kernels; nil where the model is run so, and in records from
	// before millrace had kernels of its own.
	Exported *ArmSummary `json:"exported,omitempty"`

	Ceiling *Ceiling `json:"ceiling,omitempty"`
	// Ratios of rows/s: of end to end to the ceiling and to inference alone, as run
	// and as exported, and of auto to the fixed choices (1 is as fast; auto's regret is what lacks).
	// Where stages and whole were measured in rounds, a ratio is the median of
	// the rounds' ratios, and so not quite the ratio of the medians.
	OfCeiling       Estimate `json:"of_ceiling"`
	OfBareInference Estimate `json:"of_bare_inference"`
	OfExported      Estimate `json:"of_exported"` // by the rounds that have it
	AutoOfBestFixed Estimate `json:"auto_of_best_fixed"`
	AutoOfFixed1024 Estimate `json:"auto_of_fixed_1024"`

	// Brief says why none of them is told, and no cost.
	Brief *Brief `json:"brief,omitempty"`

	// End to end again, per core, per watt and per unit of money.
	RowsPerSecondPerCore Estimate `json:"rows_per_second_per_core"`
	RowsPerJoule         Estimate `json:"rows_per_joule"` // the same as rows/s per watt
	RowsPerUnit          Estimate `json:"rows_per_unit"`  // of the user's money, at price_per_hour

	swept *ArmSummary // the fastest inference alone of the sweep
}

// ArmSummary is one stage with one choice of settings. Medians are over the
// repeats that were not warm-up.
type ArmSummary struct {
	Stage Stage `json:"stage"`
	// Arm has the settings. Auto may choose anew at each repeat; then these are
	// the settings that it chose most often, and Choices says how many there
	// were.
	Arm
	Chosen  bool  `json:"chosen,omitempty"`
	Choices int   `json:"choices,omitempty"`
	Stopped *Stop `json:"stopped,omitempty"`

	RowsPerSecond    Estimate `json:"rows_per_second"`
	CPUSecondsPerRow Estimate `json:"cpu_seconds_per_row"` // stolen ones among them
	BytesPerSecond   Estimate `json:"bytes_per_second"`    // decoded, put into tensors or written, as the stage does
	RowsPerJoule     Estimate `json:"rows_per_joule"`

	BytesReadPerRow    float64 `json:"bytes_read_per_row"`
	BytesWrittenPerRow float64 `json:"bytes_written_per_row"`
	BytesCopiedPerRow  float64 `json:"bytes_copied_per_row"`
	BytesViewedPerRow  float64 `json:"bytes_viewed_per_row"`
	PeakMemoryBytes    int64   `json:"peak_memory_bytes"` // of all repeats
	// PeakDeviceMemoryBytes is that of the device; 0 on the CPU.
	PeakDeviceMemoryBytes int64 `json:"peak_device_memory_bytes,omitempty"`
	// StageSecondsPerRow are busy seconds by stage of an end-to-end arm.
	StageSecondsPerRow map[Stage]float64 `json:"stage_seconds_per_row,omitempty"`

	repeats []Repeat // with warm-up, in the order of the records
}

// Summarize derives what a measurement's records say. It borrows b: the summary
// points into it.
func Summarize(b *Bench) *Summary {
	s := &Summary{ID: b.ID, Head: &b.Head, Stops: b.Stops, Best: map[Stage]*ArmSummary{}}
	s.Arms = summarizeArms(b)
	for _, a := range s.Arms {
		if a.Stage != StageEndToEnd {
			continue
		}
		switch {
		case a.Chosen:
			s.Auto = faster(s.Auto, a)
		default:
			s.BestFixed = faster(s.BestFixed, a)
			if a.BatchRows == fixedRows {
				s.Fixed1024 = faster(s.Fixed1024, a)
			}
		}
	}
	if s.EndToEnd = s.Auto; s.EndToEnd == nil {
		s.EndToEnd = s.BestFixed
	}
	for _, a := range s.Arms {
		if s.EndToEnd != nil && a.Provider != s.EndToEnd.Provider && (a.Stage == StageInfer || a.Stage == StageInferExported) {
			continue
		}
		if a.Stage == StageInferExported {
			s.Exported = faster(s.Exported, a)
		}
		if stageOrder(a.Stage) == len(stagesInOrder) {
			continue
		}
		if best := faster(s.Best[a.Stage], a); best != nil {
			s.Best[a.Stage] = best
		}
	}
	s.swept = s.Best[StageInfer]
	rounds := rounds(b, s.EndToEnd)
	if len(rounds) > 0 {
		onDevice := s.Best
		s.Best = bestOfRounds(rounds)
		for _, stage := range DeviceStages {
			if best := onDevice[stage]; best != nil {
				s.Best[stage] = best
			}
		}
	}
	s.Ceiling = newCeiling(s.Best, b.Head.Machine.Granted())
	s.derive()
	s.deriveRounds(rounds)
	s.leaveBrief()
	return s
}

// derive computes the ratios.
func (s *Summary) derive() {
	if s.Auto != nil && s.BestFixed != nil {
		s.AutoOfBestFixed = s.Auto.over(s.BestFixed)
	}
	if s.Auto != nil && s.Fixed1024 != nil {
		s.AutoOfFixed1024 = s.Auto.over(s.Fixed1024)
	}
	if s.EndToEnd == nil {
		return
	}
	rate := s.EndToEnd.RowsPerSecond
	if s.Ceiling != nil {
		s.OfCeiling = rate.over(s.Ceiling.RowsPerSecond)
	}
	if infer := s.Best[StageInfer]; infer != nil {
		s.OfBareInference = rate.over(infer.RowsPerSecond)
	}
	if s.Exported != nil {
		s.OfExported = s.EndToEnd.during(s.Exported).over(s.Exported)
	}
	if cores := s.Head.Machine.Granted(); cores > 0 {
		s.RowsPerSecondPerCore = rate.times(1 / cores)
	}
	s.RowsPerJoule = s.EndToEnd.RowsPerJoule
	if price := s.Head.PricePerHour; price > 0 {
		s.RowsPerUnit = rate.times(3600 / price)
	}
}

// faster is the arm with the higher median. An arm that was given up is never
// the fastest: it may have been given up because it failed.
func faster(best, a *ArmSummary) *ArmSummary {
	if a.Stopped != nil || best != nil && best.RowsPerSecond.Median >= a.RowsPerSecond.Median {
		return best
	}
	return a
}

// armKey groups repeats. What auto chose is one arm for each provider, whatever
// it chose.
type armKey struct {
	stage  Stage
	arm    Arm
	chosen bool
}

func (r *Repeat) key() armKey {
	if r.Stage == StageEndToEnd && r.Chosen {
		return armKey{r.Stage, Arm{Provider: r.Provider}, true}
	}
	return armKey{stage: r.Stage, arm: r.Arm}
}

// summarizeArms groups the repeats. Arms that have only warm-up are left out.
func summarizeArms(b *Bench) []*ArmSummary {
	groups := map[armKey][]Repeat{}
	for i := range b.Repeats {
		key := b.Repeats[i].key()
		groups[key] = append(groups[key], b.Repeats[i])
	}
	var arms []*ArmSummary
	for key, repeats := range groups {
		a := &ArmSummary{Stage: key.stage, Arm: key.arm, Chosen: key.chosen, repeats: repeats}
		if a.summarize(); !a.RowsPerSecond.known() {
			continue
		}
		for i := range b.Stops {
			if stop := &b.Stops[i]; !a.Chosen && stop.Stage == a.Stage && stop.Arm == a.Arm {
				a.Stopped = stop
			}
		}
		arms = append(arms, a)
	}
	slices.SortFunc(arms, func(a, b *ArmSummary) int {
		chosen := func(a *ArmSummary) int {
			if a.Chosen {
				return 0
			}
			return 1
		}
		return cmp.Or(
			cmp.Compare(stageOrder(a.Stage), stageOrder(b.Stage)), cmp.Compare(a.Stage, b.Stage),
			cmp.Compare(chosen(a), chosen(b)),
			compareArms(a.Arm, b.Arm))
	})
	return arms
}

// compareArms orders settings from small to large.
func compareArms(a, b Arm) int {
	return cmp.Or(cmp.Compare(a.BatchRows, b.BatchRows), cmp.Compare(a.Workers, b.Workers),
		cmp.Compare(a.IntraOpThreads, b.IntraOpThreads), cmp.Compare(a.Provider, b.Provider))
}

// stagesInOrder are all stages alone, in the order of the data's way.
var stagesInOrder = []Stage{StageRead, StageAssemble, StageCopyIn, StageCompute, StageCopyOut, StageInfer, StageWrite}

// stageOrder puts stages in the data's order, end to end last.
func stageOrder(s Stage) int {
	if i := slices.Index(stagesInOrder, s); i >= 0 {
		return i
	}
	return len(stagesInOrder)
}

// summarize takes the medians of the repeats that count.
func (a *ArmSummary) summarize() {
	counted := a.counted()
	if len(counted) == 0 {
		return
	}
	perRow := func(of func(r *Repeat) float64) []float64 {
		return collect(counted, func(r *Repeat) float64 { return of(r) / float64(r.Rows) })
	}
	median := func(of func(r *Repeat) float64) float64 { return newEstimate(perRow(of)).Median }

	a.RowsPerSecond = newEstimate(a.rates())
	if all(counted, func(r *Repeat) bool { return r.CPUSeconds > 0 }) {
		a.CPUSecondsPerRow = newEstimate(perRow((*Repeat).CoreSeconds))
	}
	if all(counted, func(r *Repeat) bool { return r.Joules > 0 }) {
		a.RowsPerJoule = newEstimate(collect(counted, func(r *Repeat) float64 { return float64(r.Rows) / r.Joules }))
	}
	if all(counted, func(r *Repeat) bool { return r.moved() > 0 }) {
		a.BytesPerSecond = newEstimate(collect(counted, func(r *Repeat) float64 { return float64(r.moved()) / r.Seconds }))
	}
	a.BytesReadPerRow = median(func(r *Repeat) float64 { return float64(r.BytesRead) })
	a.BytesWrittenPerRow = median(func(r *Repeat) float64 { return float64(r.BytesWritten) })
	a.BytesCopiedPerRow = median(func(r *Repeat) float64 { return float64(r.BytesCopied) })
	a.BytesViewedPerRow = median(func(r *Repeat) float64 { return float64(r.BytesViewed) })
	for i := range counted {
		a.PeakMemoryBytes = max(a.PeakMemoryBytes, counted[i].PeakMemoryBytes)
		a.PeakDeviceMemoryBytes = max(a.PeakDeviceMemoryBytes, counted[i].PeakDeviceMemoryBytes)
	}
	for _, stage := range Stages {
		if seconds := median(func(r *Repeat) float64 { return r.StageSeconds[stage] }); seconds > 0 {
			if a.StageSecondsPerRow == nil {
				a.StageSecondsPerRow = map[Stage]float64{}
			}
			a.StageSecondsPerRow[stage] = seconds
		}
	}
	a.settle(counted)
}

// settle names the settings that auto chose most often; of equally many, the
// smallest.
func (a *ArmSummary) settle(counted []Repeat) {
	if !a.Chosen {
		return
	}
	times := map[Arm]int{}
	for i := range counted {
		times[counted[i].Arm]++
	}
	a.Choices = len(times)
	a.Arm = slices.MinFunc(slices.Collect(maps.Keys(times)), func(x, y Arm) int {
		return cmp.Or(cmp.Compare(times[y], times[x]), compareArms(x, y))
	})
}

// moved are the bytes that a repeat's throughput in bytes is about.
func (r *Repeat) moved() int64 {
	switch r.Stage {
	case StageAssemble, StageCopyIn, StageCopyOut:
		return r.BytesCopied + r.BytesViewed
	case StageWrite:
		return r.BytesWritten
	default:
		return r.BytesRead
	}
}

// counted are the repeats without warm-up.
func (a *ArmSummary) counted() []Repeat {
	return slices.DeleteFunc(slices.Clone(a.repeats), func(r Repeat) bool { return r.Warmup })
}

// rates are rows/s of the repeats that count.
func (a *ArmSummary) rates() []float64 {
	return collect(a.counted(), (*Repeat).RowsPerSecond)
}

func collect(repeats []Repeat, of func(r *Repeat) float64) []float64 {
	out := make([]float64, len(repeats))
	for i := range repeats {
		out[i] = of(&repeats[i])
	}
	return out
}

func all(repeats []Repeat, is func(r *Repeat) bool) bool {
	for i := range repeats {
		if !is(&repeats[i]) {
			return false
		}
	}
	return true
}
