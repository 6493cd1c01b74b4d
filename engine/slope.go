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
	slopeLaps  = 3 // of each size at most, and 2 at least: the first finds cold memory
	slopeStep  = 4 // from one size to the other
	slopeLeast = 10 * time.Millisecond
	// slopeShare is what a run may lose to what its batches cost by themselves.
	slopeShare = 0.005
	// handedOn is what a batch costs a run beside what a lap measures, in seconds: it goes from
	// one goroutine to another, which on a busy machine wait to be woken.
	handedOn = 50e-6
)

// slope is the smaller of the two sizes that are measured where rows are too few, or too
// dear, for the rounds of a trial; 0 where they are too few for that as well. What a batch
// costs by itself and what each of its rows does follow from the two: batches of more rows
// than make the first small gain nothing, and what they compute may not fit into a cache.
//
// Where models take columns as they lie there is none: their kernels go by tiles, which fit,
// whatever a batch has.
func (t *trial) slope() (size int) {
	if columns := t.plan.columnar(); !t.cpu || columns != nil && !slices.Contains(columns, false) {
		return 0
	}
	rows := float64(t.plan.Dataset.Rows()) * trialShare
	for next := 1; next*slopeStep < t.base && float64(slopeLaps*(1+slopeStep)*next*t.workers) <= rows; next *= slopeStep {
		size = next
	}
	return size
}

// measureSlope measures batches of two sizes, from started on.
func (t *trial) measureSlope(ctx context.Context, started time.Time) error {
	if err := t.read(ctx, slopeStep*t.small*t.workers); err != nil {
		return err
	}
	arms := []*trialArm{t.arm(t.small), t.arm(slopeStep * t.small)}
	if err := t.lap(ctx, arms[0], 0); err != nil {
		return unscorable(err)
	}
	var deadline time.Time
	for round := range slopeLaps {
		for _, a := range arms {
			if err := t.lap(ctx, a, 0); err != nil {
				return unscorable(err)
			}
		}
		run := time.Duration(arms[1].perRow * float64(t.plan.Dataset.Rows()) / float64(t.workers) * float64(time.Second))
		budget := min(time.Duration(float64(run)*trialShare), trialMost)
		if budget < slopeLeast {
			return fmt.Errorf("%s rows are done too soon to measure on", humanize.Comma(t.plan.Dataset.Rows()))
		}
		if deadline = started.Add(budget); round+1 >= trialRounds && time.Now().After(deadline) {
			break
		}
	}
	t.sloped = true
	return nil
}

// batchOn is how many rows a batch should have, by what batches of two sizes took a row:
// as many as make what it costs by itself a small share of the rows', but not more than let
// workers end at about the same time, nor than most; and how many rows cost as much as it.
func batchOn(small, large *trialArm, rows int64, workers, most int) (batch int, alone float64) {
	a := max((small.perRow-large.perRow)/(1/float64(small.rows)-1/float64(large.rows)), 0) // a batch's own
	b := large.perRow - a/float64(large.rows)                                              // a row's
	if b <= 0 {
		return most, math.Inf(1)
	}
	alone = (a + handedOn) / b
	// Where all batches are as long, the last ones leave half a batch of each worker's time
	// unused in the mean: alone/n + n*workers/(2*rows) is least at this n.
	even := math.Sqrt(2 * alone * float64(rows) / float64(workers))
	if wanted := min(alone/slopeShare, even); wanted < float64(most) {
		batch = small.rows
		for float64(batch) < wanted && batch < most {
			batch *= 2
		}
		return min(batch, most), alone
	}
	return most, alone
}

// decideBySlope takes the size that a slope says, if it is below the default.
func (t *trial) decideBySlope(c *Choice) {
	small, large := t.arms[0], t.arms[1]
	for _, a := range t.arms {
		c.Tried = append(c.Tried, Tried{BatchRows: a.rows, Laps: a.laps, RowsPerSecond: float64(t.workers) / a.perRow})
	}
	batch, alone := batchOn(small, large, t.plan.Dataset.Rows(), t.workers, t.base)
	c.Source = ChosenByTrial
	on := fmt.Sprintf("measured with %d and %d rows a batch", small.rows, large.rows)
	if batch == t.base {
		c.Reason = fmt.Sprintf("the default, as a batch by itself costs about as much as %.2g of its rows; %s", alone, on)
		return
	}
	c.BatchRows = batch
	c.Reason = fmt.Sprintf("a batch by itself costs about as much as %.2g of its rows; %s", alone, on)
}
