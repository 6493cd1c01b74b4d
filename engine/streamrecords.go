package engine

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/arrowfile"
)

// streamRecords are the rows of the output that a record batch becomes: one record, an
// empty one where no row is left; or, where a column's type lets rows not be joined, one
// for each run of rows that lie side by side. rows are those that were scored.
func streamRecords(schema *arrow.Schema, in *intake) (records []arrow.RecordBatch, rows int64, err error) {
	passed, predicted := in.runs()
	all, written, dropped := in.passed.NumRows(), int64(0), int64(0)
	for _, r := range passed {
		written += int64(r.rows)
	}
	rows = all
	for _, s := range in.slots {
		dropped += int64(len(s.result.dropped))
		rows -= int64(len(s.result.rejects))
	}
	if written != all-dropped {
		return nil, 0, fmt.Errorf("%w: record batch of %d rows without %d became %d rows", ledger.ErrAccounts, all, dropped, written)
	}
	record, err := streamRecord(schema, in, passed, predicted)
	if err == nil {
		return []arrow.RecordBatch{record}, rows, nil
	}
	for i := range predicted {
		record, err := streamRecord(schema, in, inFirst(predicted[i:i+1]), predicted[i:i+1])
		if err != nil {
			releaseRecords(records)
			return nil, 0, err
		}
		records = append(records, record)
	}
	return records, rows, nil
}

// runs are the rows that stay: where they lie in the record batch, and among the results
// of its batches.
func (in *intake) runs() (passed, predicted []rowRun) {
	first := 0
	for i, s := range in.slots {
		whole := &batcher.Batch{Segments: []batcher.Segment{{Rows: s.rows}}, Rows: s.rows}
		for _, r := range runsOf(whole, s.result.dropped) {
			predicted = append(predicted, rowRun{segment: i, row: r.row, batchRow: first + r.row, rows: r.rows})
		}
		first += s.rows
	}
	return inFirst(predicted), predicted
}

// inFirst are the same rows in the record batch, those that lie side by side as one run.
func inFirst(predicted []rowRun) (passed []rowRun) {
	for _, r := range predicted {
		if n := len(passed); n > 0 && passed[n-1].row+passed[n-1].rows == r.batchRow {
			passed[n-1].rows += r.rows
			continue
		}
		passed = append(passed, rowRun{row: r.batchRow, rows: r.rows})
	}
	return passed
}

// streamRecord is the one record that runs make; the caller releases it.
func streamRecord(schema *arrow.Schema, in *intake, passed, predicted []rowRun) (arrow.RecordBatch, error) {
	if len(passed) == 0 {
		return arrowfile.EmptyRecord(schema, memory.DefaultAllocator), nil
	}
	columns := make([]arrow.Array, 0, schema.NumFields())
	defer func() { releaseAll(columns) }()
	rows := 0
	for _, r := range passed {
		rows += r.rows
	}
	for i, c := range in.passed.Columns() {
		column, err := gather([]arrow.Array{c}, passed)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", schema.Field(i).Name, err)
		}
		columns = append(columns, column)
	}
	for k := len(columns); k < schema.NumFields(); k++ {
		segments := make([]arrow.Array, len(in.slots))
		for i, s := range in.slots {
			segments[i] = s.result.predictions[k-len(in.passed.Columns())]
		}
		column, err := gather(segments, predicted)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", schema.Field(k).Name, err)
		}
		columns = append(columns, column)
	}
	return array.NewRecordBatch(schema, columns, int64(rows)), nil
}
