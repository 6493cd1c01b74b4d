package engine

import (
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ledger"
)

// collector takes results in order, takes rejected rows out, and writes and
// commits parts. It is for one goroutine at a time.
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
}

// writeAll writes results in order and releases them.
func (c *collector) writeAll(results []*result) error {
	defer stopwatch(&c.progress.write)()
	defer releaseResults(results)
	for _, res := range results {
		if err := c.write(res); err != nil {
			return err
		}
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
		c.files[s.Origin.File].Read += int64(s.Rows)
		c.files[s.Origin.File].Scored += int64(s.Rows)
	}
	rows := int64(res.batch.Rows)
	c.accounts.Read += rows
	if len(rejected) > 0 {
		if err := c.reject(res.batch, rejected); err != nil {
			return err
		}
	}
	records, err := c.records(res, rejected)
	if err != nil {
		return err
	}
	defer func() {
		for _, r := range records {
			r.Release()
		}
	}()
	scored, written := rows-int64(len(rejected)), int64(0)
	for _, r := range records {
		written += r.NumRows()
	}
	if written != scored {
		return fmt.Errorf("%w: batch of %d rows with %d rejected became %d rows", ledger.ErrAccounts, rows, len(rejected), written)
	}
	c.accounts.Scored += scored
	for _, r := range records {
		if err := c.sink.write(c.schema, r); err != nil {
			return err
		}
	}
	c.progress.RowsWritten.Add(scored)
	return nil
}

// discard writes a result as write does, to nothing.
func (c *collector) discard(res *result) error {
	if err := c.fixSchema(res.fields); err != nil {
		return err
	}
	if s := c.sink; s.writer == nil {
		var err error
		if s.writer, err = writers[s.format](io.Discard, c.schema, s.options); err != nil {
			return err
		}
	}
	return c.write(res)
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

// records are the output's rows of a result: one record, which has the rows of
// all segments joined, without those rejected; or, where a column's type or
// size lets them not be joined, one record for each run of rows that lie side
// by side. Which of them it is depends on the batch alone.
func (c *collector) records(res *result, rejected []batcher.Reject) ([]arrow.RecordBatch, error) {
	runs := runsOf(res.batch, rejected)
	if len(runs) == 0 {
		return nil, nil
	}
	record, err := c.record(res, runs)
	if err == nil {
		return []arrow.RecordBatch{record}, nil
	}
	records := make([]arrow.RecordBatch, 0, len(runs))
	for i := range runs {
		record, err := c.record(res, runs[i:i+1])
		if err != nil {
			for _, r := range records {
				r.Release()
			}
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

// record is the one record that runs make; the caller releases it.
func (c *collector) record(res *result, runs []rowRun) (arrow.RecordBatch, error) {
	columns := make([]arrow.Array, 0, c.schema.NumFields())
	defer func() { releaseAll(columns) }()
	rows := 0
	for _, r := range runs {
		rows += r.rows
	}
	segments := make([]arrow.Array, len(res.batch.Segments))
	for i := range c.plan.Passed {
		for j, s := range res.batch.Segments {
			segments[j] = s.Record.Column(i)
		}
		column, err := gather(segments, runs)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", c.plan.Passed[i].Name, err)
		}
		columns = append(columns, column)
	}
	inBatch := make([]rowRun, len(runs))
	for i, r := range runs {
		inBatch[i] = rowRun{row: r.batchRow, rows: r.rows}
	}
	if rows == res.batch.Rows {
		inBatch = []rowRun{{rows: rows}}
	}
	for i, a := range res.predictions {
		column, err := gather([]arrow.Array{a}, inBatch)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", res.fields[i].Name, err)
		}
		columns = append(columns, column)
	}
	return array.NewRecordBatch(c.schema, columns, int64(rows)), nil
}

// reject writes rejected rows to the rejects file and counts them.
func (c *collector) reject(batch *batcher.Batch, rejected []batcher.Reject) error {
	n := int64(len(rejected))
	c.accounts.Rejected += n
	var last string
	first := 0 // the segment's first row in the batch
	for _, s := range batch.Segments {
		end := first + s.Rows
		count := 0
		for count < len(rejected) && rejected[count].Row < end {
			count++
		}
		if count > 0 {
			file := s.Origin.File
			c.files[file].Scored -= int64(count)
			c.files[file].Rejected += int64(count)
			path := c.plan.Dataset.Files()[file].Path
			if err := c.rejects.write(path, c.plan, &s, first, rejected[:count]); err != nil {
				return err
			}
			r := rejected[count-1]
			last = fmt.Sprintf("%s row %d, column %q: %s", path, s.Origin.Row+int64(r.Row-first), r.Column, r.Reason)
		}
		rejected, first = rejected[count:], end
	}
	total := c.progress.RowsRejected.Add(n)
	if limit := c.plan.Options.MaxRejects; limit >= 0 && total > limit {
		return fmt.Errorf("%w: %d rows rejected so far, and --max-bad-rows allows %d; the last: %s", ErrBadRows, total, limit, last)
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
	if err := c.settle(); err != nil { // the part before
		return err
	}
	if err := c.sink.finish(c.schema, c.accounts.Scored); err != nil {
		return err
	}
	c.parts = append(c.parts, c.accounts)
	c.accounts = ledger.Rows{}
	return nil
}

// settle waits for the part that is being committed, if any.
func (c *collector) settle() error {
	out, ok, err := c.sink.settle()
	if err != nil || !ok {
		return err
	}
	c.outputs = append(c.outputs, out)
	c.progress.PartsDone.Add(1)
	return nil
}

// firstPerRow sorts rejects by row and keeps the first reason of each.
func firstPerRow(rejects []batcher.Reject) []batcher.Reject {
	slices.SortStableFunc(rejects, func(a, b batcher.Reject) int { return a.Row - b.Row })
	return slices.CompactFunc(rejects, func(a, b batcher.Reject) bool { return a.Row == b.Row })
}

// rowRun is rows of a batch that stay and lie side by side in one segment.
type rowRun struct {
	segment  int
	row      int // the first, in the segment
	batchRow int // the first, in the batch
	rows     int
}

// runsOf lists the rows of a batch that are not rejected.
func runsOf(batch *batcher.Batch, rejected []batcher.Reject) []rowRun {
	var runs []rowRun
	first := 0 // the segment's first row in the batch
	for i, s := range batch.Segments {
		end := first + s.Rows
		for at := first; at < end; {
			stop := end
			if len(rejected) > 0 && rejected[0].Row < end {
				stop = rejected[0].Row
				rejected = rejected[1:]
			}
			if stop > at {
				runs = append(runs, rowRun{segment: i, row: at - first, batchRow: at, rows: stop - at})
			}
			at = stop
			if stop < end {
				at++ // the rejected row
			}
		}
		first = end
	}
	return runs
}
