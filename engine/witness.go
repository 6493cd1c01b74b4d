package engine

import (
	"context"
	"errors"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/io/dataset"
)

// witness is a row of the input that the models score. Where they fail for all rows of a
// batch it shows that they can work, and so that the rows are bad.
//
// Which row it is, and whether there is one, follows from the input alone. Batches that
// were scored before would show as much, but which these are depends on the workers, and so
// would how the run ends.
type witness struct {
	mu     sync.Mutex
	sought bool
	row    *batcher.Batch // nil where none of those tried is scored
	tried  int            // rows

	offered *batcher.Batch // rows to try; nil where the input can be read again
}

// What is tried to find a witness: the first rows of spans all over the input, and of a
// stream those of its first record batch that has any.
const (
	witnessRows    = 1024
	witnessSpans   = 32
	witnessOffered = 64
)

// offer has rows of a stream kept, to be tried: copies of the first ones that are offered,
// and of unions, which cannot be copied, the rows themselves.
func (t *witness) offer(record arrow.RecordBatch) {
	if t == nil || t.offered != nil || record.NumRows() == 0 {
		return
	}
	rows := min(record.NumRows(), witnessOffered)
	columns := make([]arrow.Array, 0, record.NumCols())
	defer func() { releaseAll(columns) }()
	for _, c := range record.Columns() {
		few := array.NewSlice(c, 0, rows)
		if copied, err := array.Concatenate([]arrow.Array{few}, memory.DefaultAllocator); err == nil {
			few.Release()
			few = copied
		}
		columns = append(columns, few)
	}
	kept := array.NewRecordBatch(record.Schema(), columns, rows)
	t.offered = &batcher.Batch{Rows: int(rows), Segments: []batcher.Segment{batcher.Whole(kept, batcher.Origin{})}}
}

// find gives the witness, as a batch that is borrowed, and how many rows were tried. It is
// looked for once, by the worker that first asks.
func (t *witness) find(ctx context.Context, w *worker) (row *batcher.Batch, tried int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.sought {
		if err := t.seek(ctx, w); err != nil {
			return nil, 0, err
		}
		t.sought = true
	}
	return t.row, t.tried, nil
}

func (t *witness) seek(ctx context.Context, w *worker) error {
	if t.offered != nil {
		return t.try(ctx, w, t.offered)
	}
	plan := w.scoring.plan
	var spans []dataset.SpanRef
	for _, part := range plan.Parts {
		for _, ref := range part.Spans {
			if plan.where.passingRows(ref) > 0 {
				spans = append(spans, ref)
			}
		}
	}
	count := min(len(spans), witnessSpans)
	for i := range count {
		if err := t.trySpan(ctx, w, spans[i*len(spans)/count], witnessRows/count); err != nil || t.row != nil {
			return err
		}
	}
	return nil
}

// trySpan tries the first rows of a span.
func (t *witness) trySpan(ctx context.Context, w *worker, ref dataset.SpanRef, rows int) error {
	s, most := &sample{}, mostRead(rows)
	defer func() { s.release() }()
	if err := w.scoring.plan.sampleSpan(ctx, s, ref, rows, &most); err != nil || s.rows == 0 {
		return err
	}
	all := s.batches(s.rows)
	defer releaseBatches(all)
	return t.try(ctx, w, all[0])
}

// try takes the first of some rows that is scored as the witness.
func (t *witness) try(ctx context.Context, w *worker, rows *batcher.Batch) error {
	h := &halving{worker: w, res: &result{batch: rows}}
	defer h.release()
	t.tried += rows.Rows
	for at := 0; at < rows.Rows; at += w.rows {
		row, err := h.scored(ctx, at, min(at+w.rows, rows.Rows))
		if err != nil {
			return err
		}
		if row >= 0 {
			t.row = someRows(rows, row, row+1)
			return nil
		}
	}
	return nil
}

// scored finds one of some rows that is scored; -1 where none is.
func (h *halving) scored(ctx context.Context, from, to int) (row int, err error) {
	row, err = h.run(ctx, from, to)
	if err == nil {
		return row, nil
	}
	if _, bad := errors.AsType[*batcher.RowError](err); !bad && !rowsFail(ctx, err) {
		return -1, err
	}
	if to-from == 1 {
		return -1, nil
	}
	middle := from + (to-from)/2
	if row, err = h.scored(ctx, from, middle); err != nil || row >= 0 {
		return row, err
	}
	return h.scored(ctx, middle, to)
}

func (t *witness) release() {
	for _, b := range []*batcher.Batch{t.row, t.offered} {
		if b != nil {
			b.Release()
		}
	}
}
