package engine

import (
	"context"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/io/dataset"
)

// spanRead is one span being read: its record batches, in order. The reader
// closes chunks at the span's end.
type spanRead struct {
	ref    dataset.SpanRef
	part   int
	last   bool // of its part
	chunks chan arrow.RecordBatch
}

// chunkQueue bounds the decoded record batches of one span that wait to be cut.
const chunkQueue = 2

// feed queues every span for reading and, in the same order, for cutting. A
// part without spans is announced by a read without chunks.
func feed(ctx context.Context, parts []dataset.Part, live *liveSpans, reads, order chan<- *spanRead) error {
	defer close(reads)
	defer close(order)
	for _, part := range parts {
		spans := part.Spans
		for i, ref := range spans {
			s := &spanRead{ref: ref, part: part.Index, last: i == len(spans)-1, chunks: make(chan arrow.RecordBatch, chunkQueue)}
			live.add(s)
			for _, queue := range []chan<- *spanRead{order, reads} {
				select {
				case queue <- s:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
		}
		if len(spans) == 0 {
			s := &spanRead{part: part.Index, last: true, chunks: make(chan arrow.RecordBatch)}
			close(s.chunks)
			select {
			case order <- s:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// spanSource is what readers need of a dataset.
type spanSource interface {
	ReadSpan(ctx context.Context, ref dataset.SpanRef, columns []string, yield func(arrow.RecordBatch) error) error
}

// read decodes spans until reads is closed.
func read(ctx context.Context, source spanSource, columns []string, reads <-chan *spanRead, progress *Progress) error {
	for s := range reads {
		if err := readSpan(ctx, source, columns, s, progress); err != nil {
			return err
		}
	}
	return nil
}

func readSpan(ctx context.Context, source spanSource, columns []string, s *spanRead, progress *Progress) error {
	stop := stopwatch(&progress.read)
	err := source.ReadSpan(ctx, s.ref, columns, func(chunk arrow.RecordBatch) error {
		stop()
		chunk.Retain()
		progress.RowsRead.Add(chunk.NumRows())
		select {
		case s.chunks <- chunk:
		case <-ctx.Done():
			chunk.Release()
			return context.Cause(ctx)
		}
		stop = stopwatch(&progress.read)
		return nil
	})
	stop()
	// Closed on success alone: a span that ends early must not look whole.
	if err == nil {
		close(s.chunks)
	}
	return err
}

// cut takes the spans in order and sends their batches to the workers, and a
// slot for each to the collector.
func cut(ctx context.Context, p *Plan, progress *Progress, live *liveSpans, order <-chan *spanRead, jobs chan<- job, slots chan<- slot) error {
	defer close(jobs)
	defer close(slots)
	deal := &dealer{jobs: jobs, slots: slots, progress: progress, most: p.jobBatches()}
	defer deal.discard()
	cutter := batcher.NewCutter(p.Options.BatchRows, p.joining, func(batch *batcher.Batch) error { return deal.add(ctx, batch) })
	defer cutter.Discard()
	for s := range order {
		if err := cutSpan(ctx, cutter, deal, s); err != nil {
			return err
		}
		live.done(s)
		if !s.last {
			continue
		}
		if err := cutter.Flush(); err != nil {
			return err
		}
		if err := deal.flush(ctx); err != nil {
			return err
		}
		select {
		case slots <- slot{partEnd: true, part: s.part}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	// order is closed early when feed stops, and then ctx has ended.
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

func cutSpan(ctx context.Context, cutter *batcher.Cutter, deal *dealer, s *spanRead) error {
	if err := cutter.StartSpan(s.ref.Rows); err != nil {
		return err
	}
	row := s.ref.FirstRow
	for {
		if len(s.chunks) == 0 { // there may be nothing more for a while
			if err := deal.flush(ctx); err != nil {
				return err
			}
		}
		select {
		case chunk, ok := <-s.chunks:
			if !ok {
				return nil
			}
			err := cutter.Add(chunk, batcher.Origin{File: s.ref.File, Row: row})
			row += chunk.NumRows()
			chunk.Release()
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// slot is the place of one job's results in the order, or the end of a part.
type slot struct {
	results chan []*result
	partEnd bool
	part    int
}

// Bounds on a job. Handing one over wakes two other threads, which costs tens of
// microseconds each on a virtual machine; a job that is worth jobTime makes
// that nothing. Which batches share a job changes none of their edges.
const (
	jobTime = 5 * time.Millisecond
	jobRows = 1 << 15
)

// jobBatches is the most batches of one job.
func (p *Plan) jobBatches() int { return max(jobRows/p.Options.BatchRows, 1) }

// dealer gives batches to workers, several at a time where they are small, and
// for each job a slot to the collector.
type dealer struct {
	jobs     chan<- job
	slots    chan<- slot
	progress *Progress
	most     int // batches of one job

	pending []*batcher.Batch
}

// add takes a batch over.
func (d *dealer) add(ctx context.Context, batch *batcher.Batch) error {
	d.pending = append(d.pending, batch)
	if len(d.pending) >= d.size() || d.progress.idle.Load() > int64(len(d.jobs)) {
		return d.flush(ctx)
	}
	return nil
}

// size is how many batches are worth jobTime, by the time that they took so
// far.
func (d *dealer) size() int {
	batches := d.progress.batches.Load()
	if batches == 0 {
		return 1
	}
	each := (d.progress.assemble.Load() + d.progress.infer.Load()) / batches
	return min(int(int64(jobTime)/max(each, 1))+1, d.most)
}

// flush sends what is pending.
func (d *dealer) flush(ctx context.Context) error {
	if len(d.pending) == 0 {
		return nil
	}
	out := make(chan []*result, 1) // one, so that a worker never waits
	select {
	case d.slots <- slot{results: out}:
	case <-ctx.Done():
		return context.Cause(ctx) // discard releases
	}
	select {
	case d.jobs <- job{batches: d.pending, out: out}:
		d.pending = nil
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// discard releases what is pending.
func (d *dealer) discard() {
	for _, b := range d.pending {
		b.Release()
	}
	d.pending = nil
}
