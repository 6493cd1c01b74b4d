package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ledger"
)

// collector restores order: it takes results slot by slot, takes rejected rows
// out, and writes and commits parts.
type collector struct {
	plan     *Plan
	sink     *sink
	rejects  *rejectWriter
	progress *Progress

	schema   *arrow.Schema // of the output, known with the first result
	accounts ledger.Rows   // of the current part
	parts    []ledger.Rows
	files    []ledger.Rows // by input file
	outputs  []ledger.Output

	waiting *slot // the slot that it waits for
}

// collect takes slots until the channel is closed.
func (c *collector) collect(ctx context.Context, slots <-chan slot) error {
	for s := range slots {
		if s.partEnd {
			if err := c.finishPart(); err != nil {
				return err
			}
			continue
		}
		c.waiting = &s
		var res *result
		select {
		case res = <-s.result:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		c.waiting = nil
		stop := stopwatch(&c.progress.write)
		err := c.write(res)
		stop()
		res.release()
		if err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// write appends one result to the current part. It borrows the result.
func (c *collector) write(res *result) error {
	if err := c.fixSchema(res.fields); err != nil {
		return err
	}
	rejected := firstPerRow(res.rejects)
	for _, s := range res.batch.Segments {
		c.files[s.Origin.File].Read += s.Record.NumRows()
		c.files[s.Origin.File].Scored += s.Record.NumRows()
	}
	record, err := c.record(res)
	if err != nil {
		return err
	}
	defer func() { record.Release() }()
	rows := int64(res.batch.Rows)
	c.accounts.Read += rows
	if len(rejected) > 0 {
		if err := c.reject(res, rejected, record); err != nil {
			return err
		}
		kept, err := without(record, rejected)
		if err != nil {
			return err
		}
		record.Release()
		record = kept
	}
	scored := rows - int64(len(rejected))
	if record.NumRows() != scored {
		return fmt.Errorf("%w: batch of %d rows with %d rejected became %d rows", ledger.ErrAccounts, rows, len(rejected), record.NumRows())
	}
	c.accounts.Scored += scored
	if err := c.sink.write(c.schema, record); err != nil {
		return err
	}
	c.progress.RowsWritten.Add(scored)
	return nil
}

// fixSchema takes the output's schema from the first result and holds all
// others to it.
func (c *collector) fixSchema(predictions []arrow.Field) error {
	if c.schema == nil {
		if err := c.plan.checkNames(predictions); err != nil {
			return err
		}
		c.schema = arrow.NewSchema(append(slices.Clone(c.plan.Passed), predictions...), nil)
		return nil
	}
	for i, f := range predictions {
		want := c.schema.Field(len(c.plan.Passed) + i)
		if f.Name != want.Name || !arrow.TypeEqual(f.Type, want.Type) {
			return fmt.Errorf("%w: %q is %s now and was %q, %s, before", ErrOutputShape, f.Name, f.Type, want.Name, want.Type)
		}
	}
	return nil
}

// record joins passed columns and predictions to the output's rows.
func (c *collector) record(res *result) (arrow.RecordBatch, error) {
	columns := make([]arrow.Array, 0, c.schema.NumFields())
	var owned []arrow.Array
	defer func() {
		for _, a := range owned {
			a.Release()
		}
	}()
	for i, at := range c.plan.PassedAt {
		if len(res.batch.Segments) == 1 {
			columns = append(columns, res.batch.Segments[0].Record.Column(at))
			continue
		}
		pieces := make([]arrow.Array, len(res.batch.Segments))
		for j, s := range res.batch.Segments {
			pieces[j] = s.Record.Column(at)
		}
		joined, err := array.Concatenate(pieces, memory.DefaultAllocator)
		if err != nil {
			return nil, fmt.Errorf("column %q: join rows of several spans: %w", c.plan.Passed[i].Name, err)
		}
		owned = append(owned, joined)
		columns = append(columns, joined)
	}
	columns = append(columns, res.predictions...)
	return array.NewRecordBatch(c.schema, columns, int64(res.batch.Rows)), nil
}

// reject writes rejected rows to the rejects file and counts them.
func (c *collector) reject(res *result, rejected []batcher.Reject, record arrow.RecordBatch) error {
	n := int64(len(rejected))
	c.accounts.Rejected += n
	for _, r := range rejected {
		file, row := originOf(res.batch, r.Row)
		c.files[file].Scored--
		c.files[file].Rejected++
		c.rejects.add(c.plan.Dataset.Files()[file].Path, row, r)
	}
	if err := c.rejects.flush(record, rejected); err != nil {
		return err
	}
	total := c.progress.RowsRejected.Add(n)
	if limit := c.plan.Options.MaxRejects; limit >= 0 && total > limit {
		return fmt.Errorf("%w: %d rows rejected so far, and --max-bad-rows allows %d; the last: %s row %d, column %q: %s",
			ErrBadRows, total, limit, c.rejects.lastFile, c.rejects.lastRow, rejected[n-1].Column, rejected[n-1].Reason)
	}
	return nil
}

func (c *collector) finishPart() error {
	stop := stopwatch(&c.progress.write)
	defer stop()
	if c.schema == nil {
		if err := c.fixSchema(c.plan.emptyFields()); err != nil {
			return err
		}
	}
	if err := c.accounts.Check(); err != nil {
		return fmt.Errorf("part %d: %w", len(c.parts), err)
	}
	out, err := c.sink.finish(c.schema, c.accounts.Scored)
	if err != nil {
		return err
	}
	c.outputs = append(c.outputs, out)
	c.parts = append(c.parts, c.accounts)
	c.accounts = ledger.Rows{}
	c.progress.PartsDone.Add(1)
	return nil
}

// firstPerRow sorts rejects by row and keeps the first reason of each.
func firstPerRow(rejects []batcher.Reject) []batcher.Reject {
	slices.SortStableFunc(rejects, func(a, b batcher.Reject) int { return a.Row - b.Row })
	return slices.CompactFunc(rejects, func(a, b batcher.Reject) bool { return a.Row == b.Row })
}

// originOf finds the file and the row number in it of a batch's row.
func originOf(batch *batcher.Batch, row int) (file int, fileRow int64) {
	for _, s := range batch.Segments {
		n := int(s.Record.NumRows())
		if row < n {
			return s.Origin.File, s.Origin.Row + int64(row)
		}
		row -= n
	}
	return 0, -1
}

// without is the record without the rejected rows; the caller releases it.
func without(record arrow.RecordBatch, rejected []batcher.Reject) (arrow.RecordBatch, error) {
	b := array.NewBooleanBuilder(memory.DefaultAllocator)
	defer b.Release()
	keep := make([]bool, record.NumRows())
	for i := range keep {
		keep[i] = true
	}
	for _, r := range rejected {
		keep[r.Row] = false
	}
	b.AppendValues(keep, nil)
	mask := b.NewBooleanArray()
	defer mask.Release()
	kept, err := compute.FilterRecordBatch(context.Background(), record, mask, compute.DefaultFilterOptions())
	if err != nil {
		return nil, fmt.Errorf("take rejected rows out: %w", err)
	}
	return kept, nil
}
