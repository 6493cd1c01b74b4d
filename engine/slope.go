package engine

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
)

// Bounds of a slope.
const (
	slopeLaps  = 3  // of each size: in the first ones ONNX Runtime plans its memory, and it is cold
	slopeFrom  = 64 // rows, or fewer, where fewer may be scored twice
	slopeStep  = 4  // from one size to the next
	slopeLeast = 2 * time.Millisecond
	slopeLap   = time.Millisecond // of several batches, at most about
	// slopeGain is by how much a size must beat the one before it for batches to cost something
	// by themselves: the few rows that may be scored twice tell no less from noise.
	slopeGain = 1.35
	// slopeWorth is the share of a row's time that twice as many rows a batch must save, as they
	// take twice the memory.
	slopeWorth = 0.01
	// rowShare of what a row takes in the fastest batches is its own at least.
	rowShare = 1.0 / 8
	// handedOn is what handing a batch on takes, in seconds, and columnCut what cutting one of
	// its columns takes.
	handedOn  = 15e-6
	columnCut = 100e-9
	// cacheBytes are what a batch may take of a core's cache, of 1 to 2 MiB on servers, and
	// spillCost about by how much each doubling beyond it slows what is computed, measured over
	// 19 models (docs/performance.md): from none, where nodes are many and each touches little,
	// to half as much again.
	cacheBytes = 1 << 20
	spillCost  = 0.08
)

// slopeSizes are those that are measured before the rounds of a trial, for which rows may be too
// few, or too dear: from small ones on, as long as larger ones are faster and may be scored.
// None where not even two may be.
//
// Where models take columns as they lie there are none: their kernels go by tiles, which fit
// into a cache whatever a batch has.
func (t *trial) slopeSizes() (sizes []int) {
	if columns := t.plan.columnar(); !t.cpu || columns != nil && !slices.Contains(columns, false) {
		return nil
	}
	rows := int(min(float64(t.plan.Dataset.Rows())*trialShare, trialBytes/float64(max(t.plan.ColumnBytes(), 1)), math.MaxInt32))
	rows /= slopeLaps * t.workers // of one lap of each size
	from := 1
	for from < slopeFrom && 2*(4*from*slopeStep) <= rows {
		from *= 2
	}
	// The first two have laps of as many rows, of the second, and may have them twice.
	for size, sum := from*slopeStep, 4*from*slopeStep; size <= t.base && sum <= rows; sum += size {
		sizes = append(sizes, size)
		size *= slopeStep
	}
	if len(sizes) > 0 {
		sizes = t.worthwhile(slices.Insert(sizes, 0, from))
	}
	if len(sizes) < 2 {
		return nil
	}
	return sizes
}

// measureSlope measures batches of growing sizes, from started on, as long as that is worth it.
func (t *trial) measureSlope(ctx context.Context, started time.Time) (err error) {
	if rows := t.slope[1] * t.workers; t.sample == nil || t.sample.rows < rows {
		if err := t.read(ctx, rows); err != nil {
			return err
		}
	}
	if err := t.probe(ctx, t.slope[0], (2*slopeLaps+1)*t.slope[1]); err != nil {
		return err
	}
	defer t.drop()
	first, second := t.arm(t.slope[0]), t.arm(t.slope[1])
	batch := second.batches[0]
	if t.row, err = t.scoring.weigh(batch.Rows, func() error { return second.workers[0].process(ctx, batch, t.plan) }); err != nil {
		return unscorable(err)
	}
	// In turn, and with as many rows, so that none finds a warmer cache than the other, but
	// where a batch takes long by itself; and again where the first may only have been disturbed.
	budget := math.Inf(1)
	for round := 0; round < slopeLaps || round < 2*slopeLaps && first.perRow > second.perRow*slopeGain && time.Since(started).Seconds() < budget; round++ {
		rows := second.rows
		if max(first.perRow, t.probed)*float64(rows) > slopeLap.Seconds() {
			rows = first.rows
		}
		if err := t.lap(ctx, first, rows*t.workers); err != nil {
			return unscorable(err)
		}
		if err := t.lap(ctx, second, second.rows*t.workers); err != nil {
			return unscorable(err)
		}
		budget = t.allowed(min(first.perRow, second.perRow)).Seconds()
	}
	if budget < slopeLeast.Seconds() && t.row*float64(t.base) <= cacheBytes {
		return t.tooSoon()
	}
	for before, last := first, second; len(t.arms) < len(t.slope) && before.perRow > last.perRow*slopeGain; {
		size := t.slope[len(t.arms)]
		if needs := float64(slopeLaps*size) * last.perRow; time.Since(started).Seconds()+needs > budget {
			break
		}
		if err := t.read(ctx, size*t.workers); err != nil {
			return err
		}
		before, last = last, t.arm(size)
		for range slopeLaps {
			if err := t.lap(ctx, last, size*t.workers); err != nil {
				return unscorable(err)
			}
		}
	}
	for _, a := range t.arms {
		t.small = append(t.small, &trialArm{rows: a.rows, laps: a.laps, perRow: a.perRow})
	}
	t.settle()
	return nil
}

// settle has rounds go around what the slope says, if that is below the default.
func (t *trial) settle() {
	t.goAround(batchOn(t.small, t.plan.Dataset.Rows(), t.workers, t.base, t.row))
}

// goAround has rounds go around a size, if it is another than they would.
func (t *trial) goAround(base int) {
	if base == t.base {
		return
	}
	if t.base = base; t.sizes != nil {
		t.sizes = nearSizes(base, t.first)
	}
}

// nearSizes are the batch sizes up to most that are worth a measurement where the best is about
// base: it is known better than the default is.
func nearSizes(base, most int) (sizes []int) {
	for size := max(base/4, 1); size <= most; size *= 2 {
		sizes = append(sizes, size)
	}
	return sizes
}

// batchOn is how many rows a batch should have, of powers of two up to most, by what a row took
// in batches of growing sizes, and the bytes that it takes meanwhile: those with which what a row
// costs beside itself is least. That is a share of what its batch costs by itself, and by handing
// it on; what it takes longer beyond the caches; and, as all batches are as long and the last
// ones leave half a batch of each worker's time unused in the mean, of that.
func batchOn(arms []*trialArm, rows int64, workers, most int, bytes float64) int {
	first, second := arms[0], arms[1]
	own := handedOn // seconds, of a batch
	row := slices.MinFunc(arms, byTime).perRow
	if first.perRow > second.perRow*slopeGain {
		measured := (first.perRow - second.perRow) / (1/float64(first.rows) - 1/float64(second.rows))
		own += measured
		least := row * rowShare // of what is mostly the batch's own, little is known of a row
		for _, a := range arms {
			row = min(row, a.perRow-measured/float64(a.rows))
		}
		row = max(row, least)
	}
	best, least := most, math.Inf(1)
	for size := 1; ; size *= 2 {
		size = min(size, most)
		n := float64(size)
		cost := own/row/n + n*float64(workers)/2/float64(rows) + spillCost*max(0, math.Log2(n*bytes/cacheBytes)) + slopeWorth*math.Log2(n)
		if cost < least {
			best, least = size, cost
		}
		if size == most {
			return best
		}
	}
}

// decideBySlope takes the size that a slope says.
func (t *trial) decideBySlope(c *Choice) {
	c.Tried = t.triedSmall()
	first, last := t.small[0], t.small[len(t.small)-1]
	c.Source = ChosenByTrial
	of := "rows"
	if t.sample == nil {
		of = "ones, as " + t.unable.Error()
	}
	measured := fmt.Sprintf("measured with batches of %s to %s %s", humanize.Comma(int64(first.rows)), humanize.Comma(int64(last.rows)), of)
	if t.base == t.first {
		c.Reason = "the default, as fewer rows a batch would not be faster; " + measured
		return
	}
	c.BatchRows, c.Reason = t.base, "more rows a batch would not be faster; "+measured
}

// triedSmall is what a slope measured.
func (t *trial) triedSmall() (tried []Tried) {
	for _, a := range t.small {
		tried = append(tried, Tried{BatchRows: a.rows, Laps: a.laps, RowsPerSecond: float64(t.workers) / a.perRow})
	}
	return tried
}
