package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/io/dataset"
)

// sample is the first rows of the input, decoded and held, to measure with.
type sample struct {
	chunks []chunk
	rows   int
}

// errEnough stops a read; it never leaves this package.
var errEnough = errors.New("enough rows")

// sampleShare is how many rows are read at most for each that a sample wants: where a
// filter leaves fewer, so does the sample.
const sampleShare = 32

// readSample reads the first rows of the input that pass the filter; the caller
// releases them.
func (p *Plan) readSample(ctx context.Context, rows int) (*sample, error) {
	s := &sample{}
	most := mostRead(rows)
	for _, part := range p.Parts {
		for _, ref := range part.Spans {
			if most <= 0 || s.rows >= rows {
				return s, nil
			}
			if err := p.sampleSpan(ctx, s, ref, rows, &most); err != nil {
				s.release()
				return nil, err
			}
		}
	}
	return s, nil
}

// mostRead is how many rows are read for a sample at most.
func mostRead(rows int) int64 { return int64(max(rows, leastPulled)) * sampleShare }

// sampleSpan adds the first rows of a span that pass the filter, until the sample has
// rows or no more than most were read, of which it takes them.
func (p *Plan) sampleSpan(ctx context.Context, s *sample, ref dataset.SpanRef, rows int, most *int64) error {
	if p.where.passingRows(ref) == 0 {
		return nil
	}
	sieve := p.where.newSieve(ref)
	defer sieve.close()
	err := p.Dataset.ReadSpan(ctx, ref, p.Columns, func(r arrow.RecordBatch) error {
		c, err := sieve.sift(r)
		if err != nil {
			return err
		}
		s.add(c, rows)
		if *most -= r.NumRows(); s.rows >= rows || *most <= 0 {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// add takes a chunk's rows over, up to so many of the sample's.
func (s *sample) add(c chunk, rows int) {
	if c.record == nil {
		return
	}
	if n := int64(rows - s.rows); n < c.rows() {
		few := c.record.NewSlice(0, n)
		c.record.Release()
		c.record = few
		if c.numbers != nil {
			c.numbers = c.numbers[:n]
		}
	}
	s.chunks = append(s.chunks, c)
	s.rows += int(c.rows())
}

func (s *sample) release() {
	releaseChunks(s.chunks)
	s.chunks = nil
}

// first is the first rows of a sample, which must outlive it.
func (s *sample) first(rows int) *sample {
	out := &sample{}
	for _, c := range s.chunks {
		if out.rows >= rows {
			break
		}
		out.chunks = append(out.chunks, c)
		out.rows += int(c.record.NumRows())
	}
	return out
}

// batches cuts the sample into batches of rows rows, without the rest at its
// end; the caller releases them. A sample of fewer rows is one batch.
func (s *sample) batches(rows int) []*batcher.Batch {
	var all []*batcher.Batch
	cutter := batcher.NewCutter(rows, batcher.JoinSpans, func(b *batcher.Batch) error {
		all = append(all, b)
		return nil
	})
	for i := range s.chunks {
		_ = cutter.Add(s.chunks[i].segment()) // emit has no errors
	}
	if len(all) == 0 {
		_ = cutter.Flush()
	}
	cutter.Discard()
	return all
}

func releaseBatches(batches []*batcher.Batch) {
	for _, b := range batches {
		b.Release()
	}
}

// lap does each(i, w) for i in [0,n) on as many goroutines as there are workers,
// each taking the next i when it is done with its last, until all are done. After
// an error no more are begun.
func lap(n, workers int, each func(i, worker int) error) error {
	var next atomic.Int64
	errs := make([]error, workers)
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			errs[w] = guarded(func() error {
				for {
					i := int(next.Add(1)) - 1
					if i >= n {
						return nil
					}
					if err := each(i, w); err != nil {
						next.Store(int64(n))
						return err
					}
				}
			})
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}
