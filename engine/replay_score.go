package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// rescorer scores rows of one run again.
type rescorer struct {
	*replayer
	*replayed
	worker *worker
	form   *rejectForm
}

// score scores the batches of the rows to score again, and compares.
func (r *replayer) score(ctx context.Context, again *replayed, lib *ort.Library) (err error) {
	p, l, found := again.plan, again.layout, again.rows
	scoring, err := p.openScoring(lib, p.Options.IntraOpThreads)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scoring.close()) }()
	rows := int64(p.Binding.FixedRows)
	for _, f := range found {
		_, n := l.batchOf(p, f.part, f.place)
		rows = max(rows, n)
	}
	scoring.usePool(1)
	s := &rescorer{replayer: r, replayed: again, worker: scoring.worker(int(rows), &Progress{}), form: p.newRejectForm()}
	defer func() { err = errors.Join(err, s.worker.close()) }()
	if p.Options.rejectsDuplicates() && s.worker.onBadRow == BadFail {
		s.worker.onBadRow = BadReject // the run let no other rows be bad but duplicates, of which not all are known here
	}
	for len(found) > 0 {
		part := found[0].part
		first, n := l.batchOf(p, part, found[0].place)
		same := 1
		for same < len(found) && found[same].part == part && found[same].place < first+n {
			same++
		}
		if err := s.batch(ctx, first, n, found[:same]); err != nil {
			return err
		}
		found = found[same:]
	}
	return nil
}

// batch scores the batch of n rows of a part from its row first on, which holds the
// rows found.
func (s *rescorer) batch(ctx context.Context, first, n int64, found []*hit) error {
	batch, err := s.read(ctx, found[0].part, first, n)
	if err != nil {
		return err
	}
	rows := make([]batcher.Origin, len(found))
	for i, f := range found {
		rows[i] = originOf(batch, int(f.place-first))
	}
	if s.worker.duplicates, err = s.duplicatesAmong(ctx, s.plan, found[0].run.Manifest, rows); err != nil {
		batch.Release()
		return err
	}
	res, err := s.worker.score(ctx, batch)
	if err != nil {
		batch.Release()
		return err
	}
	defer res.release()
	if err := s.form.take(res); err != nil {
		return err
	}
	narrow(res.batch, s.plan.PassedAt, s.plan.passedSchema)
	for _, f := range found {
		row, err := s.compareRow(res, f, int(f.place-first))
		if f.like != nil {
			s.scored = append(s.scored, scored{candidate: f, row: row, err: err})
			continue
		}
		if err != nil {
			return err
		}
		s.count(row)
	}
	return nil
}

// count adds a row to the answer.
func (r *replayer) count(row *ReplayedRow) {
	switch row.Outcome {
	case OutcomeEqual:
		r.Equal++
	case OutcomeWithin:
		r.Within++
	default:
		r.Different++
	}
	r.Rows = append(r.Rows, *row)
}

// read reads n rows of a part from its row first on; the caller releases them.
func (s *rescorer) read(ctx context.Context, part int, first, n int64) (_ *batcher.Batch, err error) {
	batch := &batcher.Batch{}
	defer func() {
		if err != nil {
			batch.Release()
		}
	}()
	var at int64 // the place of the span's first row
	for _, span := range s.layout.parts[part].Spans {
		rows := s.layout.rowsOf(span)
		from, to := max(first-at, 0), min(first+n-at, rows) // of those of the span that pass
		at += rows
		file, opened := s.layout.opened[span.File]
		if from >= to || !opened {
			continue
		}
		span.File = file
		if err := s.readSpan(ctx, batch, span, from, to); err != nil {
			return nil, err
		}
	}
	if int64(batch.Rows) != n {
		return nil, fmt.Errorf("%w: part %d has %d rows from row %d on, and not %d", ErrInternal, part, batch.Rows, first, n)
	}
	return batch, nil
}

// readSpan adds rows of a span to a batch: of those that pass, from one to another.
func (s *rescorer) readSpan(ctx context.Context, batch *batcher.Batch, span dataset.SpanRef, from, to int64) error {
	var row int64
	err := s.plan.readPassing(ctx, span, s.plan.Columns, func(c *chunk) error {
		lo, hi := max(from-row, 0), min(to-row, c.rows())
		row += c.rows()
		if lo >= hi {
			return nil
		}
		c.record.Retain()
		segment := c.segment()
		segment.Origin, segment.From, segment.Rows = segment.At(int(lo)), int(lo), int(hi-lo)
		batch.Segments = append(batch.Segments, segment)
		batch.Rows += segment.Rows
		if row >= to {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// compareRow compares a row of the output with one of a scored batch.
func (s *rescorer) compareRow(res *result, f *hit, at int) (*ReplayedRow, error) {
	from := originOf(res.batch, at)
	row := &ReplayedRow{
		Run: f.run.Run, File: f.file, Row: f.row, Input: s.plan.Dataset.Files()[from.File].Path, InputRow: from.Row, Outcome: OutcomeEqual,
	}
	if err := row.addPassed(s.plan, res, f, at); err != nil {
		return nil, err
	}
	for _, reject := range res.dropped {
		if reject.Row == at {
			return nil, fmt.Errorf("%w: row %d of %q is in the output, and is rejected now: column %q: %s", format.ErrChanged, row.InputRow, row.Input, reject.Column, reject.Reason)
		}
	}
	for i, field := range res.fields {
		recorded := f.value(f.form.name(field.Name))
		if recorded == nil {
			return nil, fmt.Errorf("%w: %q has no column %q, which the model gives", ledger.ErrUnsound, f.file, field.Name)
		}
		v := f.form.compare(recorded, res.predictions[i], at, s.Tolerance)
		v.Column = field.Name
		row.Predictions = append(row.Predictions, v)
		row.Outcome = max(row.Outcome, v.Outcome)
	}
	return row, nil
}

// where is how messages call a row.
func (h *hit) where() string {
	if h.row == NoRow {
		return fmt.Sprintf("a row of %q", h.file)
	}
	return fmt.Sprintf("row %d of %q", h.row, h.file)
}

// value is a row's value in a column; nil where there is no such column.
func (h *hit) value(name string) arrow.Array {
	for i, f := range h.columns {
		if f.Name == name {
			return h.values[i]
		}
	}
	return nil
}

// addPassed lists the ids and kept columns of a row, which must be those of the
// input row.
func (row *ReplayedRow) addPassed(p *Plan, res *result, f *hit, at int) error {
	segment := 0
	for at >= res.batch.Segments[segment].Rows {
		at -= res.batch.Segments[segment].Rows
		segment++
	}
	record := res.batch.Segments[segment].Record
	for i, field := range p.Passed {
		recorded := f.value(f.form.name(field.Name))
		if recorded == nil {
			return fmt.Errorf("%w: %q has no column %q, which the run passed through", ledger.ErrUnsound, f.file, field.Name)
		}
		was, is := recorded.ValueStr(0), record.Column(i).ValueStr(at)
		if was != is && !f.form.keeps(recorded, 0, record.Column(i), at) && !sameFolder(p, field.Name, recorded, is) {
			return fmt.Errorf("%w: %s should be row %d of the input %q, and its column %q is %.80q there and %.80q in the output",
				format.ErrChanged, f.where(), row.InputRow, row.Input, field.Name, is, was)
		}
		row.Columns = append(row.Columns, ColumnValue{Column: field.Name, Value: strings.Clone(was)})
	}
	return nil
}
