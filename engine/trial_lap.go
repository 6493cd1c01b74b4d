package engine

import (
	"context"
	"runtime"
	"time"

	"github.com/millrace/millrace/batcher"
)

// trialWorker is one goroutine of a trial: what a worker does, and its share of
// what is done for each batch elsewhere in the pipeline.
type trialWorker struct {
	*worker
	part *partWriter
}

// lap has every worker score its share of the rows, at the same time as the
// others, and takes the mean of what a row took them.
//
// On the CPU that is processor time of the worker's thread: whatever else the
// machine does meanwhile does not count, and neither does waiting for the last
// worker, which no run does between batches.
func (t *trial) lap(ctx context.Context, a *trialArm, rows int) error {
	if t.streams > 0 {
		return t.lapOnDevices(ctx, a, rows)
	}
	each := max(rows/a.rows/t.workers, 1)
	perRow := make([]float64, t.workers)
	err := lap(t.workers, t.workers, func(share, w int) error {
		runtime.LockOSThread() // its clock is read, and its calls into C stay on it
		defer runtime.UnlockOSThread()
		started, scored := t.clock(), 0
		for i := range each {
			// Other rows in each lap: a run's are not in cache either.
			batch := a.batches[((a.laps*t.workers+share)*each+i)%len(a.batches)]
			if err := a.workers[w].process(ctx, batch, t.plan); err != nil {
				return err
			}
			scored += batch.Rows
		}
		perRow[share] = (t.clock() - started).Seconds() / float64(scored)
		return nil
	})
	if err != nil {
		return err
	}
	mean := 0.0
	for _, s := range perRow {
		mean += s / float64(t.workers)
	}
	a.took(mean)
	return nil
}

// took counts a lap, of which the best counts.
func (a *trialArm) took(perRow float64) {
	if a.laps == 0 || perRow < a.perRow {
		a.perRow = perRow
	}
	a.laps++
}

// process takes a batch all the way but for reading it and for what is written
// to a disk: a smaller batch has more of the work that each batch needs once.
func (w *trialWorker) process(ctx context.Context, batch *batcher.Batch, p *Plan) error {
	own := &batcher.Batch{Rows: batch.Rows}
	for _, s := range batch.Segments {
		s.Record.Retain()
		own.Segments = append(own.Segments, s)
	}
	res, err := w.score(ctx, own)
	if err != nil {
		own.Release()
		return err
	}
	defer res.release()
	narrow(own, p.PassedAt, p.passedSchema)
	res.rejects = nil // they go to a file
	return w.part.write(res)
}

// clock is the time that counts: of the calling thread, or on the wall where
// others work for it.
func (t *trial) clock() time.Duration {
	if t.cpu {
		return threadTime()
	}
	return time.Duration(time.Now().UnixNano())
}
