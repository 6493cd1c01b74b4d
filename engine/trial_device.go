package engine

import (
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/engine/ort"
)

// Bounds of a trial on devices.
const (
	// deviceLapBatches are the batches of each place in a lap, at least: of the first,
	// copies and arithmetic do not overlap yet.
	deviceLapBatches = 4
	deviceLaps       = 3 // of one arm, if there is time; the first takes memory
	// fewStreams are tried beside the default. A device that is busy with arithmetic
	// gains nothing by more Runs at a time, which only share its caches.
	fewStreams = 2

	leastDeviceRows = 1 << 10
	mostDeviceRows  = 1 << 20
	// deviceShare of a device's memory is what batches in flight may take in a trial.
	deviceShare = 4
)

// deviceTrialSizes are trialSizes on devices, which need larger batches: steps of
// four around the default, within what devices can count and hold.
func (p *Plan) deviceTrialSizes(base int) []int {
	most := min(p.mostBatchRows(), mostDeviceRows)
	row := p.rowBytes()
	if elements := p.rowElements(); elements > 0 {
		most = min(most, math.MaxInt32/elements)
		row += 4 * int64(elements)
	}
	if memory := p.deviceMemory(); memory > 0 {
		most = min(most, int(memory/deviceShare/int64(p.Options.Streams)/max(row, 1)))
	}
	var sizes []int
	for _, size := range []int{base / 4, base, base * 4, base * 16} {
		if size == base || size >= leastDeviceRows && size <= most {
			sizes = append(sizes, size)
		}
	}
	return sizes
}

// deviceMemory is what a run may take of the smallest device, in bytes; 0 where
// nobody says.
func (p *Plan) deviceMemory() int64 {
	least := p.Options.DeviceMemory
	devices, _, _ := ort.Devices() // without any there is no session either
	for _, d := range devices {
		if slices.Contains(p.Options.Devices, d.Number) && (least == 0 || d.Bytes < least) {
			least = d.Bytes
		}
	}
	return least
}

// triesStreams says whether another number of streams is tried.
func (t *trial) triesStreams() bool { return t.streams > fewStreams && !t.plan.asked.streams }

// leastSizes are the batch sizes without which there is nothing to compare.
func (t *trial) leastSizes() int {
	if t.triesStreams() {
		return 1
	}
	return 2
}

// onDevices measures arms, which stand in the order of their sizes, on devices, where
// what counts is how fast batches come out of all of it, on the wall clock: workers
// sleep while they wait for a device. First fewer streams against the default, and
// then, with the better of the two, the sizes beside the default; beyond the larger
// one only where that is the best.
func (t *trial) onDevices(ctx context.Context, arms []*trialArm, deadline time.Time) error {
	at := slices.IndexFunc(arms, func(a *trialArm) bool { return a.rows == t.base })
	near := arms[at : at+1 : at+1]
	if t.triesStreams() {
		near = append(near, t.beside(arms[at], fewStreams))
	}
	if err := t.inTurn(ctx, near, deadline); err != nil {
		return err
	}
	best := fastest(near)
	near = []*trialArm{best}
	for i, a := range arms {
		if i != at {
			a.streams = best.streams
		}
		if i == at-1 || i == at+1 {
			near = append(near, a)
		}
	}
	if err := t.inTurn(ctx, near, deadline); err != nil {
		return err
	}
	if best = fastest(near); at+2 >= len(arms) || best != arms[at+1] {
		return nil
	}
	return t.inTurn(ctx, []*trialArm{best, arms[at+2]}, deadline)
}

// fastest is the best of the arms that were measured.
func fastest(arms []*trialArm) *trialArm {
	return slices.MinFunc(slices.DeleteFunc(slices.Clone(arms), func(a *trialArm) bool { return a.laps == 0 }), byTime)
}

// beside is an arm that differs in the number of streams alone.
func (t *trial) beside(other *trialArm, streams int) *trialArm {
	a := &trialArm{rows: other.rows, streams: streams, batches: other.batches, workers: other.workers, shared: true}
	t.arms = append(t.arms, a)
	return a
}

// inTurn measures arms one after the other, again and again, until the time is over.
// One that was begun is measured as often as it must be, and the first in any case.
func (t *trial) inTurn(ctx context.Context, arms []*trialArm, deadline time.Time) error {
	for range deviceLaps {
		for i, a := range arms {
			enough := a.laps == 0 && i > 0 || a.laps >= trialRounds
			if math.IsInf(a.perRow, 1) || enough && time.Now().After(deadline) {
				continue
			}
			if err := t.lap(ctx, a, t.lapRows(a.rows)); err != nil {
				return err
			}
		}
	}
	return nil
}

// lapBatches are the batches of a lap on devices: one of each worker, and as many for
// every place, so that no arm has a longer end than others.
func (t *trial) lapBatches() int {
	places := t.streams * len(t.plan.Options.Devices)
	return (max(t.workers, deviceLapBatches*places) + places - 1) / places * places
}

// lapOnDevices is a lap with the arm's streams, of as many batches as have so many
// rows; workers take them in turn. An arm whose batches do not fit into a device's
// memory is out.
func (t *trial) lapOnDevices(ctx context.Context, a *trialArm, rows int) error {
	ds := t.scoring.devices
	ds.useStreams(a.streams)
	defer ds.useStreams(t.streams)
	var scored atomic.Int64
	n, started := max(rows/a.rows, 1), time.Now()
	err := lap(n, t.workers, func(i, w int) error {
		batch := a.batches[(a.laps*n+i)%len(a.batches)] // others in each lap, as on the CPU
		scored.Add(int64(batch.Rows))
		return a.workers[w].process(ctx, batch, t.plan)
	})
	took, lost := time.Since(started), ds.inPieces()
	if err != nil {
		return err
	}
	if a.took(took.Seconds() * float64(t.workers) / float64(scored.Load())); lost {
		a.perRow = math.Inf(1)
	}
	return nil
}
