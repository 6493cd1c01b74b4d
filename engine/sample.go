package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher"
)

// sample is the first rows of the input, decoded and held, to measure with.
type sample struct {
	chunks []chunk
	rows   int
}

type chunk struct {
	record arrow.RecordBatch
	origin batcher.Origin
}

// errEnough stops a read; it never leaves this package.
var errEnough = errors.New("enough rows")

// readSample reads the first rows of the input; the caller releases them.
func (p *Plan) readSample(ctx context.Context, rows int) (*sample, error) {
	s := &sample{}
	for _, part := range p.Parts {
		for _, ref := range part.Spans {
			row := ref.FirstRow
			err := p.Dataset.ReadSpan(ctx, ref, p.Columns, func(r arrow.RecordBatch) error {
				n := min(r.NumRows(), int64(rows-s.rows))
				s.chunks = append(s.chunks, chunk{record: r.NewSlice(0, n), origin: batcher.Origin{File: ref.File, Row: row}})
				s.rows += int(n)
				row += n
				if s.rows >= rows {
					return errEnough
				}
				return nil
			})
			if errors.Is(err, errEnough) {
				return s, nil
			}
			if err != nil {
				s.release()
				return nil, err
			}
		}
	}
	return s, nil
}

func (s *sample) release() {
	for _, c := range s.chunks {
		c.record.Release()
	}
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
	for _, c := range s.chunks {
		_ = cutter.Add(c.record, c.origin) // emit has no errors
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
