package engine

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher"
)

// Rejected rows go the way of the predictions, in their order:
//
//	worker      takes the rows out of the batch, with their reasons, as soon as it is scored
//	partWriter  writes them to the part's own file, staged and committed with the part
//	collector   merges the parts' files, once all are there, into the one that is published
//
// So a finished part's rejects last as the part does, no part waits for another, and
// the one file has the input's order and the same bytes whoever wrote the parts.

// rejectForm is the table of rejected rows: why each was, and its ids.
type rejectForm struct {
	schema *arrow.Schema
	at     []int    // indexes into Plan.Columns of the columns after the reasons
	files  []string // paths of the dataset's files
}

// reasonFields are the first columns of the table.
var reasonFields = []arrow.Field{
	{Name: "file", Type: arrow.BinaryTypes.String},
	{Name: "row", Type: arrow.PrimitiveTypes.Int64}, // from 0, in the file
	{Name: "column", Type: arrow.BinaryTypes.String},
	{Name: "stage", Type: arrow.BinaryTypes.String},
	{Name: "reason", Type: arrow.BinaryTypes.String},
}

func (p *Plan) newRejectForm() *rejectForm {
	f := &rejectForm{at: p.PassedAt[:p.ids]}
	fields := slices.Clone(reasonFields)
	for _, id := range p.Passed[:p.ids] {
		if slices.ContainsFunc(reasonFields, func(r arrow.Field) bool { return r.Name == id.Name }) {
			id.Name = "id_" + id.Name
		}
		fields = append(fields, id)
	}
	f.schema = arrow.NewSchema(fields, nil)
	for _, file := range p.Dataset.Files() {
		f.files = append(f.files, file.Path)
	}
	return f
}

// take puts a result's rejects in order, one for each row, and takes their rows out
// of its batch, which has all columns still.
func (f *rejectForm) take(res *result) (err error) {
	if len(res.rejects) == 0 {
		return nil
	}
	res.rejects = firstPerRow(res.rejects)
	res.rejected, err = f.records(res.batch, res.rejects)
	return err
}

// firstPerRow sorts rejects by row and keeps the first reason of each.
func firstPerRow(rejects []batcher.Reject) []batcher.Reject {
	slices.SortStableFunc(rejects, func(a, b batcher.Reject) int { return a.Row - b.Row })
	return slices.CompactFunc(rejects, func(a, b batcher.Reject) bool { return a.Row == b.Row })
}

// records are the table's rows of a batch's rejects: one record, or, where a
// column's type or size lets rows not be joined, one for each run of rows that lie
// side by side. The caller releases them.
func (f *rejectForm) records(batch *batcher.Batch, rejects []batcher.Reject) ([]arrow.RecordBatch, error) {
	reasons, runs := f.reasons(batch, rejects)
	defer reasons.Release()
	if record, err := f.record(batch, reasons, runs); err == nil {
		return []arrow.RecordBatch{record}, nil
	}
	records := make([]arrow.RecordBatch, 0, len(runs))
	for i, r := range runs {
		piece := reasons.NewSlice(int64(r.batchRow), int64(r.batchRow+r.rows))
		record, err := f.record(batch, piece, runs[i:i+1])
		piece.Release()
		if err != nil {
			releaseRecords(records)
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

// reasons are the first columns of the table, and where the rows lie: a run's row is
// that of its segment's record, and its batchRow the row of the reasons.
func (f *rejectForm) reasons(batch *batcher.Batch, rejects []batcher.Reject) (arrow.RecordBatch, []rowRun) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(reasonFields, nil))
	defer b.Release()
	var runs []rowRun
	segment, first := 0, 0 // and the segment's first row in the batch
	for i, r := range rejects {
		for r.Row >= first+batch.Segments[segment].Rows {
			first += batch.Segments[segment].Rows
			segment++
		}
		s := &batch.Segments[segment]
		b.Field(0).(*array.StringBuilder).Append(f.files[s.Origin.File])
		b.Field(1).(*array.Int64Builder).Append(s.Origin.Row + int64(r.Row-first))
		b.Field(2).(*array.StringBuilder).Append(r.Column)
		b.Field(3).(*array.StringBuilder).Append("assemble")
		b.Field(4).(*array.StringBuilder).Append(r.Reason)
		row := s.From + r.Row - first
		if n := len(runs); n > 0 && runs[n-1].segment == segment && runs[n-1].row+runs[n-1].rows == row {
			runs[n-1].rows++
			continue
		}
		runs = append(runs, rowRun{segment: segment, row: row, batchRow: i, rows: 1})
	}
	return b.NewRecordBatch(), runs
}

// record is the one record that runs make with their reasons, which it borrows.
func (f *rejectForm) record(batch *batcher.Batch, reasons arrow.RecordBatch, runs []rowRun) (arrow.RecordBatch, error) {
	columns := make([]arrow.Array, 0, f.schema.NumFields())
	defer func() { releaseAll(columns) }()
	for _, c := range reasons.Columns() {
		c.Retain()
		columns = append(columns, c)
	}
	segments := make([]arrow.Array, len(batch.Segments))
	for i, at := range f.at {
		for j := range batch.Segments {
			segments[j] = batch.Segments[j].Record.Column(at)
		}
		column, err := gather(segments, runs)
		if err != nil {
			return nil, fmt.Errorf("column %q of rejected rows: %w", f.schema.Field(len(reasonFields)+i).Name, err)
		}
		columns = append(columns, column)
	}
	return array.NewRecordBatch(f.schema, columns, reasons.NumRows()), nil
}
