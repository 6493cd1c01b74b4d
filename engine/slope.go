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
	// slopeGain is by how much a size must beat the one before it for batches to cost something
	// by themselves: the few rows that may be scored twice tell no less from noise.
	slopeGain = 1.35
	// slopeShare is what a run may lose to that.
	slopeShare = 0.02
	// batchSeconds is what a batch takes at least: beside it what handing it on takes is small.
	// More rows gain nothing else, and what a network computes of them leaves the caches.
	batchSeconds = 1e-3
	handedOn     = 15e-6
)

// slopeSizes are those that are measured where rows are too few, or too dear, for the rounds
// of a trial: from small ones on, as long as larger ones are faster and may be scored. None
// where not even two may be.
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
		sizes = slices.Insert(sizes, 0, from)
	}
	if len(sizes) < 2 {
		return nil
	}
	return sizes
}

// measureSlope measures batches of growing sizes, from started on, as long as that is worth it.
func (t *trial) measureSlope(ctx context.Context, started time.Time) error {
	if rows := t.slope[1] * t.workers; t.sample == nil || t.sample.rows < rows {
		if err := t.read(ctx, rows); err != nil {
			return err
		}
	}
	if err := t.probe(ctx, t.slope[0], 2*slopeLaps*t.slope[1]); err != nil {
		return err
	}
	first, second := t.arm(t.slope[0]), t.arm(t.slope[1])
	// In turn, and with as many rows, so that none finds a warmer cache than the other; and
	// again where the first may only have been disturbed.
	for round := 0; round < slopeLaps || round < 2*slopeLaps && first.perRow > second.perRow*slopeGain; round++ {
		for _, a := range []*trialArm{first, second} {
			if err := t.lap(ctx, a, second.rows*t.workers); err != nil {
				return unscorable(err)
			}
		}
	}
	run := min(first.perRow, second.perRow) * float64(t.plan.Dataset.Rows()) / float64(t.workers)
	budget := min(run*trialShare, t.most.Seconds())
	if budget < slopeLeast.Seconds() {
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
	t.sloped = true
	return nil
}

// batchOn is how many rows a batch should have, by what a row took in batches of growing
// sizes: as many as take batchSeconds, or, where the largest was still much faster, as make what
// a batch costs by itself a small share; but not more than let workers end at about the same
// time, nor than most.
func batchOn(arms []*trialArm, rows int64, workers, most int) int {
	before, last := arms[len(arms)-2], arms[len(arms)-1]
	own, row := handedOn, slices.MinFunc(arms, byTime).perRow // seconds, of a batch and of each of its rows
	wanted := batchSeconds / row
	if before.perRow > last.perRow*slopeGain {
		own += (before.perRow - last.perRow) / (1/float64(before.rows) - 1/float64(last.rows))
		row = last.perRow - (own-handedOn)/float64(last.rows)
		wanted = own / row / slopeShare
	}
	if row <= 0 || wanted >= float64(most) {
		return most
	}
	// All batches are as long, and so the last ones leave half a batch of each worker's time
	// unused in the mean: own/row/n + n*workers/(2*rows) is least at this n.
	wanted = min(wanted, math.Sqrt(2*own/row*float64(rows)/float64(workers)))
	batch := arms[0].rows
	for batch < most && float64(2*batch) <= wanted*math.Sqrt2 { // the nearer of two
		batch *= 2
	}
	return min(batch, most)
}

// decideBySlope takes the size that a slope says, if it is below the default.
func (t *trial) decideBySlope(c *Choice) {
	for _, a := range t.arms {
		c.Tried = append(c.Tried, Tried{BatchRows: a.rows, Laps: a.laps, RowsPerSecond: float64(t.workers) / a.perRow})
	}
	first, last := t.arms[0], t.arms[len(t.arms)-1]
	batch := batchOn(t.arms, t.plan.Dataset.Rows(), t.workers, t.base)
	c.Source = ChosenByTrial
	measured := fmt.Sprintf("measured with batches of %s to %s rows", humanize.Comma(int64(first.rows)), humanize.Comma(int64(last.rows)))
	if batch == t.base {
		c.Reason = "the default, as fewer rows a batch would not be faster; " + measured
		return
	}
	c.BatchRows, c.Reason = batch, "more rows a batch would not be faster; "+measured
}
