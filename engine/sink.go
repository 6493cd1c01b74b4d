package engine

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/csvfile"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/parquetfile"
)

// writers make the writer of each output format.
var writers = map[format.Name]format.NewWriterFunc{
	format.Parquet: func(w io.Writer, s *arrow.Schema, o format.WriteOptions) (format.Writer, error) {
		return parquetfile.NewWriter(w, s, o)
	},
	format.ArrowFile: func(w io.Writer, s *arrow.Schema, o format.WriteOptions) (format.Writer, error) {
		return arrowfile.NewWriter(w, s, o)
	},
	format.CSV: func(w io.Writer, s *arrow.Schema, o format.WriteOptions) (format.Writer, error) {
		return csvfile.NewWriter(w, s, o)
	},
}

// extensions of part files by format.
var extensions = map[format.Name]string{format.Parquet: ".parquet", format.ArrowFile: ".arrow", format.CSV: ".csv"}

// sink writes parts, one at a time, in order.
type sink struct {
	staging *ledger.Staging
	format  format.Name
	options format.WriteOptions

	index  int
	file   *ledger.PartFile
	writer format.Writer
}

func (s *sink) open(schema *arrow.Schema) error {
	if s.writer != nil {
		return nil
	}
	file, err := s.staging.Part(s.index)
	if err != nil {
		return err
	}
	writer, err := writers[s.format](file, schema, s.options)
	if err != nil {
		return errors.Join(err, file.Abort())
	}
	s.file, s.writer = file, writer
	return nil
}

func (s *sink) write(schema *arrow.Schema, record arrow.RecordBatch) error {
	if err := s.open(schema); err != nil {
		return err
	}
	if err := s.writer.Write(record); err != nil {
		return fmt.Errorf("write part %d: %w", s.index, err)
	}
	return nil
}

// finish commits the current part.
func (s *sink) finish(schema *arrow.Schema, rows int64) (ledger.Output, error) {
	if err := s.open(schema); err != nil {
		return ledger.Output{}, err
	}
	if err := s.writer.Close(); err != nil {
		return ledger.Output{}, fmt.Errorf("write part %d: %w", s.index, err)
	}
	out, err := s.file.Commit(rows)
	if err != nil {
		return ledger.Output{}, err
	}
	s.file, s.writer = nil, nil
	s.index++
	return out, nil
}

func (s *sink) abort() error {
	if s.file == nil {
		return nil
	}
	// The writer holds memory that Close gives back; what it writes goes to a
	// file that is dropped.
	err := errors.Join(s.writer.Close(), s.file.Abort())
	s.file, s.writer = nil, nil
	return err
}

// rejectWriter writes _millrace/<run>/rejects.parquet: file, row, column,
// stage, reason, and the row's ids. The file is made with the first reject.
type rejectWriter struct {
	staging *ledger.Staging
	ids     int // how many of the output's first columns are ids

	file   *ledger.PartFile
	writer format.Writer
	schema *arrow.Schema
	rows   int64

	pending  []rejectRow
	lastFile string
	lastRow  int64
}

type rejectRow struct {
	file   string
	row    int64
	column string
	reason string
}

// rejectFields are the first columns of the rejects file.
var rejectFields = []arrow.Field{
	{Name: "file", Type: arrow.BinaryTypes.String},
	{Name: "row", Type: arrow.PrimitiveTypes.Int64}, // from 0, in the file
	{Name: "column", Type: arrow.BinaryTypes.String},
	{Name: "stage", Type: arrow.BinaryTypes.String},
	{Name: "reason", Type: arrow.BinaryTypes.String},
}

func (w *rejectWriter) add(file string, row int64, r batcher.Reject) {
	w.pending = append(w.pending, rejectRow{file: file, row: row, column: r.Column, reason: r.Reason})
	w.lastFile, w.lastRow = file, row
}

// flush writes the pending rows with their ids, which are the first columns of
// record at the rejected rows.
func (w *rejectWriter) flush(record arrow.RecordBatch, rejected []batcher.Reject) error {
	if w.writer == nil {
		if err := w.open(record.Schema()); err != nil {
			return err
		}
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(rejectFields, nil))
	defer b.Release()
	for _, r := range w.pending {
		b.Field(0).(*array.StringBuilder).Append(r.file)
		b.Field(1).(*array.Int64Builder).Append(r.row)
		b.Field(2).(*array.StringBuilder).Append(r.column)
		b.Field(3).(*array.StringBuilder).Append("assemble")
		b.Field(4).(*array.StringBuilder).Append(r.reason)
	}
	w.pending = w.pending[:0]
	reasons := b.NewRecordBatch()
	defer reasons.Release()
	ids, err := w.take(record, rejected)
	if err != nil {
		return err
	}
	columns := append(append([]arrow.Array{}, reasons.Columns()...), ids...)
	out := array.NewRecordBatch(w.schema, columns, reasons.NumRows())
	for _, a := range ids {
		a.Release()
	}
	defer out.Release()
	if err := w.writer.Write(out); err != nil {
		return fmt.Errorf("write rejects: %w", err)
	}
	w.rows += out.NumRows()
	return nil
}

func (w *rejectWriter) open(output *arrow.Schema) error {
	fields := append([]arrow.Field{}, rejectFields...)
	for _, f := range output.Fields()[:w.ids] {
		for _, taken := range rejectFields {
			if f.Name == taken.Name {
				f.Name = "id_" + f.Name
			}
		}
		fields = append(fields, f)
	}
	w.schema = arrow.NewSchema(fields, nil)
	file, err := w.staging.Rejects()
	if err != nil {
		return err
	}
	writer, err := parquetfile.NewWriter(file, w.schema, format.WriteOptions{})
	if err != nil {
		return errors.Join(err, file.Abort())
	}
	w.file, w.writer = file, writer
	return nil
}

func (w *rejectWriter) take(record arrow.RecordBatch, rejected []batcher.Reject) ([]arrow.Array, error) {
	b := array.NewInt64Builder(memory.DefaultAllocator)
	defer b.Release()
	for _, r := range rejected {
		b.Append(int64(r.Row))
	}
	rows := b.NewInt64Array()
	defer rows.Release()
	ids := make([]arrow.Array, 0, w.ids)
	for i := range w.ids {
		taken, err := compute.TakeArray(context.Background(), record.Column(i), rows)
		if err != nil {
			return nil, fmt.Errorf("ids of rejected rows: %w", err)
		}
		ids = append(ids, taken)
	}
	return ids, nil
}

// finish commits the rejects file, if there is one.
func (w *rejectWriter) finish() (*ledger.Output, error) {
	if w.writer == nil {
		return nil, nil
	}
	if err := w.writer.Close(); err != nil {
		return nil, fmt.Errorf("write rejects: %w", err)
	}
	out, err := w.file.Commit(w.rows)
	if err != nil {
		return nil, err
	}
	w.file, w.writer = nil, nil
	return &out, nil
}

func (w *rejectWriter) abort() error {
	if w.file == nil {
		return nil
	}
	err := errors.Join(w.writer.Close(), w.file.Abort())
	w.file, w.writer = nil, nil
	return err
}
