package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/millrace/millrace/batcher"
)

// Bounds of a trial.
const (
	trialShare = 0.02            // of the run
	trialMost  = 2 * time.Second // and never more
	// trialLeast is the least worth measuring with: in less, cold memory decides.
	// A run must last 2.5 s for it.
	trialLeast = 50 * time.Millisecond
	// trialGain is by how much another batch size must beat the default to be
	// taken instead: less could be noise, and costs nobody anything.
	trialGain = 1.01
	// trialDrop is how far behind the best a batch size is given up.
	trialDrop     = 1.10
	trialDropSure = 1.03 // after trialSure laps
	trialSure     = 4
	trialLaps     = 12       // of one batch size; more decide nothing
	trialBytes    = 64 << 20 // of rows that are held for it
)

// try measures batch sizes on the first rows of the input, for as long as the
// run's length justifies, and leaves the choice as it is where it cannot tell.
// What goes wrong with the first rows is no error: it will go wrong again in
// the run, which says it better.
func (t *trial) try(ctx context.Context, s *scoring, c *Choice) error {
	started := time.Now()
	t.scoring = s
	err := t.measure(ctx, started)
	_, none := errors.AsType[noRoundsError](err)
	switch {
	case errors.Is(err, ErrInternal):
		return err
	case none && len(t.small) > 0:
		t.decideBySlope(c)
	case err != nil:
		c.Reason += "; " + err.Error()
	default:
		t.decide(c)
	}
	if t.sample != nil || len(t.small) > 0 { // something was measured
		c.TrialSeconds = time.Since(started).Seconds()
	}
	return nil
}

// measure measures small batches, where models can be told by them, and then rounds of larger
// ones, around what those say, if the run is long enough.
func (t *trial) measure(ctx context.Context, started time.Time) error {
	t.reading.Wait()
	switch {
	case t.dear:
		if err := t.measureMade(ctx); err != nil {
			return err
		}
	case len(t.slope) > 0:
		if err := t.measureSlope(ctx, started); err != nil {
			return err
		}
	}
	return t.run(ctx, started)
}

// trial is a measurement of batch sizes in progress.
type trial struct {
	plan    *Plan
	scoring *scoring
	workers int
	base    int           // the default, or fewer rows if small batches say so
	first   int           // the default
	streams int           // that too; 0 on the CPU
	cpu     bool          // the processor's time counts
	sizes   []int         // that may be worth a measurement
	rows    int           // that may be scored twice
	held    int           // rows of the sample, once it is known that there is time for it
	most    time.Duration // that it may take, of a run of any length
	unable  error         // why there can be no trial, in words
	dear    bool          // it is what reading the first rows costs
	slope   []int         // sizes of a slope, which is measured first; none where there can be none
	probed  float64       // seconds of a row in batches of very few
	small   []*trialArm   // of the slope, measured, without what they worked with
	row     float64       // bytes that a row of a batch takes while it is scored; 0 where that is not known

	reading sync.WaitGroup // of sample, until it has it, or is unable
	sample  *sample
	arms    []*trialArm
	parts   []*partWriter // of each worker, which all arms write to: a row group may wait in each
}

// trialArm is one batch size in a trial, and on devices a number of streams.
type trialArm struct {
	rows    int
	streams int
	batches []*batcher.Batch
	workers []trialWorker
	memory  *hostMemories // of the workers' tensors; nil on the CPU
	shared  bool          // batches and workers are another arm's
	laps    int
	perRow  float64 // seconds of one worker in the best lap
}

// trialSizes are the batch sizes worth a measurement: steps of four around the
// default, which is cut to what memory allows already.
func trialSizes(base, most int) []int {
	var sizes []int
	for _, size := range []int{base / 16, base / 4, base, base * 4} {
		if size >= 1 && size <= most {
			sizes = append(sizes, size)
		}
	}
	return slices.Compact(sizes)
}

// leastColumnRows are the rows below which a batch's columns, where they are manyColumns, are more
// memory by what says what they are than by their values.
const leastColumnRows = 256

// worthwhile leaves out sizes that are too small for the columns of the output.
func (t *trial) worthwhile(sizes []int) []int {
	if len(t.plan.knownFields()) < manyColumns {
		return sizes
	}
	return slices.DeleteFunc(sizes, func(size int) bool { return size < min(leastColumnRows, t.base) })
}

// lapRows are the rows of one lap: as many for all sizes up to the default. On
// devices they are as many batches for all sizes.
func (t *trial) lapRows(size int) int {
	if t.streams > 0 {
		return t.lapBatches() * size
	}
	return max(size, t.base) * t.workers
}

// newTrial prepares a trial, and begins to read its rows; the caller closes it.
func (p *Plan) newTrial(ctx context.Context, c *Choice) *trial {
	t := &trial{plan: p, most: trialMost, workers: c.Workers, base: c.BatchRows, first: c.BatchRows, streams: c.Streams, cpu: c.IntraOpThreads == 1 && c.Streams == 0}
	if t.unable = t.upfront(ctx); t.unable != nil {
		t.dear = true
		return t
	}
	t.slope = t.slopeSizes()
	sizes := t.worthwhile(trialSizes(t.base, p.mostBatchRows()))
	if t.streams > 0 {
		sizes = p.deviceTrialSizes(t.base)
	}
	if len(sizes) < t.leastSizes() {
		t.unable = errors.New("rows are too large for another")
		return t
	}
	// At most one row in fifty is scored twice, whatever the time.
	t.rows = int(min(float64(p.Dataset.Rows())*trialShare, math.MaxInt32)) - 2*sizes[0]*t.workers
	if sizes = t.fit(sizes, t.rows); sizes == nil {
		t.unable = fmt.Errorf("%s rows are too few to measure on", humanize.Comma(p.Dataset.Rows()))
		t.readForSlope(ctx)
		return t
	}
	largest := sizes[len(sizes)-1]
	held := min(t.lapRows(largest), max(int(trialBytes/max(p.ColumnBytes(), 1)), largest))
	if sizes, held = t.fitSample(sizes, held); !slices.Contains(sizes, t.base) {
		t.unable = errors.New("the memory limit leaves no room for a measurement")
		return t
	}
	t.sizes, t.held = sizes, held
	if len(t.slope) > 0 {
		t.readForSlope(ctx)
	} else {
		t.reading.Go(func() { t.unable = t.read(ctx, 2*sizes[0]*t.workers) })
	}
	return t
}

func (t *trial) readForSlope(ctx context.Context) {
	if len(t.slope) > 0 { // its error comes again when it reads
		t.reading.Go(func() { _ = t.read(ctx, t.slope[1]*t.workers) })
	}
}

// sampleReads is how often a trial reads the first rows: a few, and then as many as there is
// time for.
const sampleReads = 2

// upfront says in words why reading the first rows would take more of the run than a trial may;
// nil where it would not. Where columns of a row group are laid aside, or a record batch is
// decompressed to a file, its first row costs what all of them do.
func (t *trial) upfront(ctx context.Context) error {
	p := t.plan
	if len(p.Parts) == 0 || len(p.Parts[0].Spans) == 0 {
		return nil
	}
	rows, err := p.Dataset.UpfrontRows(ctx, p.Parts[0].Spans[0], p.Columns)
	if err != nil || float64(sampleReads*rows) <= float64(p.Dataset.Rows())*trialShare {
		return nil //nolint:nilerr // the run has it again, and says it better
	}
	return fmt.Errorf("the first rows come when all %s of their row group or record batch are decoded, which would be done again", humanize.Comma(rows))
}

// read replaces the sample.
func (t *trial) read(ctx context.Context, rows int) error {
	if t.sample != nil {
		t.sample.release()
		t.sample = nil
	}
	err := guarded(func() (err error) {
		t.sample, err = t.plan.readSample(ctx, rows)
		return err
	})
	if err != nil && !errors.Is(err, ErrInternal) {
		return errors.New("the first rows could not be read")
	}
	if err == nil && t.plan.where != nil && t.sample.rows < rows {
		return errFiltered
	}
	return err
}

// noRoundsError says in words why there can be no rounds of a trial.
type noRoundsError struct{ error }

// Unwrap gives the reason, which may be a fault of ours.
func (n noRoundsError) Unwrap() error { return n.error }

func (t *trial) tooSoon() error {
	return fmt.Errorf("%s rows are done too soon to measure on", humanize.Comma(t.plan.Dataset.Rows()))
}

// run measures, from started on. Its error says in words why it could not.
func (t *trial) run(ctx context.Context, started time.Time) error {
	if t.unable != nil {
		return noRoundsError{t.unable}
	}
	sizes, rows := t.sizes, t.rows
	rate, err := t.rate(ctx)
	if err != nil {
		return err
	}
	budget := t.allowed(float64(t.workers) / rate)
	if budget < trialLeast {
		return noRoundsError{t.tooSoon()}
	}
	left := budget - time.Since(started)
	if sizes = t.fit(sizes, min(rows, int(left.Seconds()*rate))); sizes == nil {
		return noRoundsError{fmt.Errorf("a measurement would have taken more than %s", budget.Round(time.Millisecond))}
	}
	if err := t.read(ctx, t.held); err != nil {
		return err
	}
	arms := make([]*trialArm, 0, len(sizes))
	for _, size := range sizes {
		arms = append(arms, t.arm(size))
	}
	// The rate was of small batches, and of cold memory: a run is shorter.
	if err := t.lap(ctx, arms[slices.Index(sizes, t.base)], t.lapRows(t.base)); err != nil {
		return unscorable(err)
	}
	rate = max(rate, float64(t.workers)/arms[slices.Index(sizes, t.base)].perRow)
	budget = min(budget, t.allowed(float64(t.workers)/rate))
	if t.streams > 0 {
		return unscorable(t.onDevices(ctx, arms, started.Add(budget)))
	}
	return unscorable(t.rounds(ctx, arms, started.Add(budget)))
}

// allowed is how long a trial may take of a run in which a row takes a worker so many seconds.
func (t *trial) allowed(perRow float64) time.Duration {
	seconds := perRow * float64(t.plan.Dataset.Rows()) / float64(t.workers) * trialShare
	return time.Duration(min(seconds, t.most.Seconds()) * float64(time.Second))
}

// rate is about how many rows all workers score in a second, of small batches.
func (t *trial) rate(ctx context.Context) (float64, error) {
	if len(t.small) > 0 {
		return float64(t.workers) / slices.MinFunc(t.small, byTime).perRow, nil
	}
	warm := t.sizes[0]
	if err := t.probe(ctx, warm, 2*warm); err != nil {
		return 0, err
	}
	first := t.arm(warm)
	defer t.drop() // most runs are too short, and need no more rows than these
	for range 2 {  // shapes of outputs become known, and memory is there
		if err := t.lap(ctx, first, warm*t.workers); err != nil {
			return 0, unscorable(err)
		}
	}
	if math.IsInf(first.perRow, 1) {
		return 0, errors.New("small batches do not fit into the device's memory either")
	}
	return float64(t.workers) / first.perRow, nil
}

// probeShare is the part of a batch that a probe has.
const probeShare = 16

// probe scores a few rows before batches of size rows are, and says in words why not if so many
// rows of each worker, which are scored before it is looked at the clock again, would take longer
// than a trial may.
func (t *trial) probe(ctx context.Context, size, rows int) error {
	a := t.arm(max(size/probeShare, 1))
	defer t.drop()
	for range 2 { // the first has what opening a session has left to be done
		if err := t.lap(ctx, a, a.rows*t.workers); err != nil {
			return unscorable(err)
		}
	}
	t.probed = a.perRow
	if a.perRow*float64(rows) > t.most.Seconds() && !math.IsInf(a.perRow, 1) {
		return noRoundsError{fmt.Errorf("a measurement would have taken more than %s", t.most)}
	}
	return nil
}

// unscorable says in words that the trial's rows cannot be scored, but for a
// fault of ours, which nothing may hide.
func unscorable(err error) error {
	if err == nil || errors.Is(err, ErrInternal) {
		return err
	}
	return errors.New("the first rows could not be scored")
}

// trialRounds is how often each size is measured at least: the first lap of a
// size finds cold memory.
const trialRounds = 2

// fit drops sizes, those above the default and then the smallest, until the
// least rounds take no more than rows rows. It gives nil when that leaves
// nothing to compare the default with.
func (t *trial) fit(sizes []int, rows int) []int {
	for len(sizes) >= t.leastSizes() {
		round := 0
		if t.triesStreams() {
			round = t.lapRows(t.base)
		}
		for _, size := range sizes {
			round += t.lapRows(size)
		}
		if trialRounds*round <= rows {
			return sizes
		}
		if last := len(sizes) - 1; sizes[last] > t.base {
			sizes = sizes[:last]
		} else {
			sizes = sizes[1:]
		}
	}
	return nil
}

func (t *trial) arm(rows int) *trialArm {
	a := &trialArm{rows: rows, streams: t.streams, batches: t.sample.batches(rows)}
	if devices := t.scoring.devices; devices != nil {
		a.memory = &hostMemories{devices: devices}
		t.scoring.memory = a.memory.memory
		defer func() { t.scoring.memory = devices.host.memory }()
	}
	t.scoring.usePool(2 * t.workers) // of buffers of the arm's size
	for i := range t.workers {
		if i == len(t.parts) {
			t.parts = append(t.parts, t.plan.newCollector(nil, &Progress{}).begin(0))
		}
		a.workers = append(a.workers, trialWorker{worker: t.scoring.worker(rows, &Progress{}), part: t.parts[i]})
	}
	t.arms = append(t.arms, a)
	return a
}

// rounds measures arms, which stand in the order of their sizes, in turn, so that a
// disturbance hits all of them, until the time is over: the default and the next
// smaller size, then also the next ones in the direction of the faster of the two, while they
// are faster. What a batch costs falls with its size until it does not fit into a cache, so
// that beyond the slower of two nothing is to be found. Those that fall behind are
// left out.
func (t *trial) rounds(ctx context.Context, arms []*trialArm, deadline time.Time) error {
	base := slices.IndexFunc(arms, func(a *trialArm) bool { return a.rows == t.base })
	near := slices.Clone(arms[max(base-1, 0) : base+1])
	for range trialLaps {
		for _, a := range near {
			if a.laps >= trialRounds && time.Now().After(deadline) {
				return nil
			}
			if err := t.lap(ctx, a, t.lapRows(a.rows)); err != nil {
				return err
			}
		}
		if slices.ContainsFunc(near, func(a *trialArm) bool { return a.laps < trialRounds }) {
			continue
		}
		if next := beyond(arms); next != nil && time.Now().Before(deadline) {
			near = append(near, next)
			continue
		}
		best := slices.MinFunc(near, byTime)
		near = slices.DeleteFunc(near, func(a *trialArm) bool {
			return a.perRow > best.perRow*a.mayTrail() && a.rows != t.base
		})
		if len(near) == 1 {
			return nil
		}
	}
	return nil
}

// mayTrail is how far behind the best an arm may be and stay: less the more laps
// it has had, of which the best counts.
func (a *trialArm) mayTrail() float64 {
	switch {
	case a.laps < trialRounds:
		return math.Inf(1)
	case a.laps < trialSure:
		return trialDrop
	default:
		return trialDropSure
	}
}

// beyond is the arm that was not measured yet beside the fastest of those that were; nil where
// that lies between others, or is the last.
func beyond(arms []*trialArm) *trialArm {
	best := -1
	for i, a := range arms {
		if a.laps > 0 && (best < 0 || a.perRow < arms[best].perRow) {
			best = i
		}
	}
	for _, i := range []int{best - 1, best + 1} {
		if i >= 0 && i < len(arms) && arms[i].laps == 0 {
			return arms[i]
		}
	}
	return nil
}

func byTime(a, b *trialArm) int { return cmp.Compare(a.perRow, b.perRow) }

// decide takes the fastest size, if it beats the default by enough.
func (t *trial) decide(c *Choice) {
	slices.SortStableFunc(t.arms, func(a, b *trialArm) int { return a.rows - b.rows })
	var base *trialArm
	arms := slices.DeleteFunc(slices.Clone(t.arms), func(a *trialArm) bool { return a.laps == 0 }) // warmed up, and left out
	for _, a := range arms {
		c.Tried = append(c.Tried, Tried{BatchRows: a.rows, Streams: a.streams, Laps: a.laps, RowsPerSecond: float64(t.workers) / a.perRow})
		if a.rows == t.base && a.streams == t.streams {
			base = a
		}
	}
	c.Source = ChosenByTrial
	c.Tried = append(t.triedSmall(), c.Tried...)
	rows := humanize.Comma(int64(t.sample.rows))
	best := slices.MinFunc(arms, byTime)
	// With other streams, too, another size must be worth it.
	if usual := slices.MinFunc(slices.DeleteFunc(arms, func(a *trialArm) bool { return a.rows != t.base }), byTime); usual.perRow < best.perRow*trialGain {
		best = usual
	}
	usual, was, other := "the default", "the default of "+humanize.Comma(int64(t.base)), "size"
	if t.base != t.first {
		usual = humanize.Comma(int64(t.base)) + ", which small batches suggest,"
		was = usual
	}
	if t.streams > 0 {
		was += fmt.Sprintf(" and %d streams", t.streams)
		other += " or number of streams"
	}
	switch gain := base.perRow / best.perRow; {
	case math.IsInf(gain, 1):
		c.Reason = "batches of " + was + " do not fit into the device's memory"
	case gain >= trialGain:
		c.Reason = fmt.Sprintf("%.0f%% faster than %s on the first %s rows", 100*(gain-1), was, rows)
	default:
		best = base
		c.Reason = fmt.Sprintf("no other %s was %.0f%% faster than %s on the first %s rows", other, 100*(trialGain-1), usual, rows)
	}
	c.BatchRows = best.rows
	if best.streams != c.Streams {
		t.plan.useStreams(c, best.streams)
	}
}

func (t *trial) close() {
	t.reading.Wait()
	t.drop()
	if t.sample != nil {
		t.sample.release()
	}
}

// drop gives up the arms.
func (t *trial) drop() {
	for _, a := range t.arms {
		if a.shared {
			continue
		}
		releaseBatches(a.batches)
		for _, w := range a.workers {
			_ = w.close() // tensors over memory of ours: closing has no effect beyond it
		}
		if a.memory != nil {
			a.memory.free()
		}
	}
	for _, part := range t.parts {
		_ = part.abort() // of what went into nothing
	}
	t.arms, t.parts = nil, nil
}
