package engine

import (
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/distribution"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// partWriter takes the results of one part in order, takes rejected rows out, and
// writes the part's file. It is for one goroutine at a time.
type partWriter struct {
	collector *collector
	number    int
	accounts  ledger.Rows
	spans     map[int]ledger.Rows // as collector.index numbers them
	features  featureCounts
	agree     *writerAgreement // nil before there is something to compare
	predicted []*distribution.Tally

	out     partOutput // nil before the first row
	rejects rejectFile
	unable  error // why the part cannot be written
}

// writers is how many parts are written at a time: a third of the workers keep
// themselves busy with it where the model costs nothing (bench/results/gpu-h200.jsonl:
// of 77 ns of processor time for a row of a model on a GPU, 23 are the writing).
func (p *Plan) writers() int {
	if traitsOf(p.Options.Output).OneWriter {
		return 1
	}
	return writersFor(p.Options.Workers, len(p.Parts))
}

func writersFor(workers, parts int) int { return max(min((workers+2)/3, parts), 1) }

// writeAll writes results in order and releases them.
func (w *partWriter) writeAll(results []*result) error {
	defer stopwatch(&w.collector.progress.write)()
	defer releaseResults(results)
	for _, res := range results {
		if err := w.write(res); err != nil {
			return err
		}
	}
	return nil
}

// write appends one result to the part. It borrows the result.
func (w *partWriter) write(res *result) error {
	schema, err := w.account(res)
	if err != nil {
		return err
	}
	rows := int64(res.batch.Rows)
	records, err := w.records(schema, res)
	if err != nil {
		return err
	}
	defer releaseRecords(records)
	scored, want, written := rows-int64(len(res.rejects)), rows-int64(len(res.dropped)), int64(0)
	for _, r := range records {
		written += r.NumRows()
	}
	if written != want {
		return fmt.Errorf("%w: batch of %d rows without %d became %d rows", ledger.ErrAccounts, rows, len(res.dropped), written)
	}
	w.accounts.Scored += scored
	w.summarise(records)
	if err := w.open(schema); err != nil {
		return err
	}
	for _, r := range records {
		if err := w.out.write(r); err != nil {
			return fmt.Errorf("write part %d: %w", w.number, err)
		}
	}
	w.collector.progress.RowsWritten.Add(scored)
	return nil
}

// account takes in what a result comes to, and its rejects, and gives the output's schema.
// Its rows are yet to be written, and counted as scored. It borrows the result.
func (w *partWriter) account(res *result) (*arrow.Schema, error) {
	schema, err := w.collector.fixSchema(res.fields)
	if err != nil {
		return nil, err
	}
	for _, s := range res.batch.Segments {
		w.count(s.Origin, ledger.Rows{Read: int64(s.Rows), Scored: int64(s.Rows)})
	}
	w.features.add(res.features)
	if err := w.compare(res); err != nil {
		return nil, err
	}
	w.accounts.Read += int64(res.batch.Rows)
	if len(res.rejects) > 0 {
		err = w.reject(res)
	}
	return schema, err
}

// count adds to the accounts of the span of a row.
func (w *partWriter) count(o batcher.Origin, rows ledger.Rows) {
	span := w.collector.index.of(o)
	w.spans[span] = w.spans[span].Add(rows)
}

// countFiltered adds rows that the filter took out, by span, to the accounts.
func (w *partWriter) countFiltered(spans map[dataset.SpanRef]int64) {
	for ref, n := range spans {
		w.countFilteredAt(batcher.Origin{File: ref.File, Row: ref.FirstRow}, n)
	}
}

// countFilteredAt adds rows that the filter took out, of the span of a row.
func (w *partWriter) countFilteredAt(o batcher.Origin, n int64) {
	rows := ledger.Rows{Read: n, Filtered: n}
	w.count(o, rows)
	w.accounts = w.accounts.Add(rows)
}

// open makes the part's file, unless it is there.
func (w *partWriter) open(schema *arrow.Schema) error {
	if w.out != nil || w.unable != nil {
		return w.unable
	}
	out, err := w.collector.newPartOutput(w.number, schema)
	if err == nil {
		w.out = out
	}
	return err
}

func (c *collector) writeOptions() format.WriteOptions {
	opts := c.plan.Options.writing()
	opts.Encoders = c.plan.cores
	return opts
}

// finish ends the part and begins to commit it; the collector's settle says how
// that went.
func (w *partWriter) finish() error {
	c := w.collector
	defer stopwatch(&c.progress.write)()
	schema, err := c.finalSchema()
	if err != nil {
		return err
	}
	if err := w.accounts.Check(); err != nil {
		return fmt.Errorf("part %d: %w", w.number, err)
	}
	if err := w.open(schema); err != nil {
		return err
	}
	detail, err := w.detail(ledger.Columns(schema))
	if err != nil {
		return err
	}
	out, rejects := w.out, w.rejects
	outcome := make(chan closed, 1) // one outcome, so that nobody waits to give it
	go func() {
		var got closed
		got.err = guarded(func() (err error) {
			// First, since a part whose file is there is finished.
			if got.rejects, err = rejects.commit(); err != nil {
				return errors.Join(err, out.abort())
			}
			if got.outputs, err = out.commit(w.accounts.Written()); err != nil {
				return err
			}
			if c.stream != nil { // nobody takes it over
				return nil
			}
			return c.staging.Record(ledger.PartRecord{Part: w.number, Outputs: got.outputs, Rejects: got.rejects, Rows: w.accounts, Detail: detail})
		})
		outcome <- got
	}()
	w.out, w.rejects = nil, rejectFile{}
	return c.ended(w, outcome)
}

// abort drops what the part has so far.
func (w *partWriter) abort() error {
	if w.out == nil {
		return nil
	}
	err := w.out.abort()
	w.out = nil
	return err
}

// records are the output's rows of a result: one record, which has the rows of
// all segments joined, without those rejected; or, where a column's type or
// size lets them not be joined, one record for each run of rows that lie side
// by side. Which of them it is depends on the batch alone.
func (w *partWriter) records(schema *arrow.Schema, res *result) ([]arrow.RecordBatch, error) {
	runs := runsOf(res.batch, res.dropped)
	if len(runs) == 0 {
		return nil, nil
	}
	if !w.piecewise(res, len(runs)) {
		record, err := w.record(schema, res, runs)
		if err == nil {
			return []arrow.RecordBatch{record}, nil
		}
	}
	records := make([]arrow.RecordBatch, 0, len(runs))
	for i := range runs {
		record, err := w.record(schema, res, runs[i:i+1])
		if err != nil {
			releaseRecords(records)
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

// leastRunRows are what runs have on average where joining them costs more than it saves.
const leastRunRows = 64

// piecewise says whether the runs of a result are to be written one by one, as views of
// what was read: by writers to whom it is all one how rows are cut.
func (w *partWriter) piecewise(res *result, runs int) bool {
	return w.collector.plan.Options.Format == format.Parquet && runs*leastRunRows <= res.batch.Rows
}

// record is the one record that runs make; the caller releases it.
func (w *partWriter) record(schema *arrow.Schema, res *result, runs []rowRun) (arrow.RecordBatch, error) {
	columns := make([]arrow.Array, 0, schema.NumFields())
	defer func() { releaseAll(columns) }()
	rows := 0
	for _, r := range runs {
		rows += r.rows
	}
	segments := make([]arrow.Array, len(res.batch.Segments))
	for i := range w.collector.plan.Passed {
		for j, s := range res.batch.Segments {
			segments[j] = s.Record.Column(i)
		}
		column, err := gather(segments, runs)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", w.collector.plan.Passed[i].Name, err)
		}
		columns = append(columns, plainText(column, schema.Field(i).Type))
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
	return array.NewRecordBatch(schema, columns, int64(rows)), nil
}

// reject writes a result's rejected rows and counts them.
func (w *partWriter) reject(res *result) error {
	n := int64(len(res.rejects))
	w.accounts.Rejected += n
	w.accounts.Nulled += n - int64(len(res.dropped))
	if err := w.keepRejects(res.rejected); err != nil {
		return err
	}
	for _, r := range res.rejects {
		rows := ledger.Rows{Scored: -1, Rejected: 1}
		if w.collector.form.nulls && !r.Asked {
			rows.Nulled = 1
		}
		w.count(originOf(res.batch, r.Row), rows)
	}
	if err := w.collector.plan.checkBadSoFar(w.collector.progress.RowsRejected.Add(n)); err != nil {
		last := res.rejects[n-1]
		o, column := originOf(res.batch, last.Row), ""
		if last.Column != "" {
			column = fmt.Sprintf(", column %q", last.Column)
		}
		return fmt.Errorf("%w; the last: %s row %d%s: %s", err, w.collector.form.files[o.File], o.Row, column, last.Reason)
	}
	return nil
}

// keepRejects writes rows of the table of rejects.
func (w *partWriter) keepRejects(rows []arrow.RecordBatch) error {
	if c := w.collector; c.stream != nil {
		return c.streamRejects.write(rows)
	}
	return w.rejects.write(w.collector.staging, w.number, rows)
}

// rowRun is rows of a batch that stay and lie side by side in one segment.
type rowRun struct {
	segment  int
	row      int // the first, in the segment
	batchRow int // the first, in the batch
	rows     int
}

// runsOf lists the rows of a batch that are not dropped.
func runsOf(batch *batcher.Batch, dropped []reject) []rowRun {
	var runs []rowRun
	first := 0 // the segment's first row in the batch
	for i, s := range batch.Segments {
		end := first + s.Rows
		for at := first; at < end; {
			stop := end
			if len(dropped) > 0 && dropped[0].Row < end {
				stop = dropped[0].Row
				dropped = dropped[1:]
			}
			if stop > at {
				runs = append(runs, rowRun{segment: i, row: at - first, batchRow: at, rows: stop - at})
			}
			at = stop
			if stop < end {
				at++ // the dropped row
			}
		}
		first = end
	}
	return runs
}
