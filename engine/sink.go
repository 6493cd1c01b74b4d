package engine

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
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
	format.Parquet:   parquetfile.NewWriter,
	format.ArrowFile: arrowfile.NewWriter,
	format.CSV:       csvfile.NewWriter,
}

// extensions of part files by format.
var extensions = map[format.Name]string{format.Parquet: ".parquet", format.ArrowFile: ".arrow", format.CSV: ".csv"}

// checkTypes refuses, before anything is read or written, columns that the
// output's format cannot hold, and ids that the rejects file cannot. Its error
// wraps format.ErrColumnType and names column and type. Predictions whose shape
// only a Run tells are not among them.
func (p *Plan) checkTypes() error {
	fields := append(slices.Clone(p.Passed), p.knownFields()...)
	var problems []error
	if len(fields) > 0 {
		opts := format.WriteOptions{Compression: p.Options.Compression}
		if err := tryWriter(writers[p.Options.Format], arrow.NewSchema(fields, nil), opts); err != nil {
			if !errors.Is(err, format.ErrColumnType) {
				err = fmt.Errorf("%w: %w", ErrUsage, err) // a codec that the format does not have
			}
			problems = append(problems, fmt.Errorf("--output-format %s: %w", p.Options.Format, err))
		}
	}
	if p.canReject() {
		if err := tryWriter(writers[format.Parquet], rejectSchema(p.Passed[:p.ids]), format.WriteOptions{}); err != nil {
			problems = append(problems, fmt.Errorf("rejects are kept with their ids in rejects.parquet: %w", err))
		}
	}
	return errors.Join(problems...)
}

func tryWriter(open format.NewWriterFunc, schema *arrow.Schema, opts format.WriteOptions) error {
	w, err := open(io.Discard, schema, opts)
	if err != nil {
		return err
	}
	return w.Close()
}

// canReject says whether some null policy rejects rows.
func (p *Plan) canReject() bool {
	for i := range p.Binding.Bindings {
		for _, f := range p.Binding.Bindings[i].Features {
			if f.Nulls.Action == batcher.NullReject {
				return true
			}
		}
	}
	return false
}

// rejectWriter writes _millrace/<run>/rejects.parquet: file, row, column,
// stage, reason, and the row's ids. The file is made with the first reject.
type rejectWriter struct {
	staging *ledger.Staging
	ids     int // how many of the output's first columns are ids

	file   *ledger.PartFile
	writer format.Writer
	rows   int64
}

// rejectFields are the first columns of the rejects file.
var rejectFields = []arrow.Field{
	{Name: "file", Type: arrow.BinaryTypes.String},
	{Name: "row", Type: arrow.PrimitiveTypes.Int64}, // from 0, in the file
	{Name: "column", Type: arrow.BinaryTypes.String},
	{Name: "stage", Type: arrow.BinaryTypes.String},
	{Name: "reason", Type: arrow.BinaryTypes.String},
}

// record makes the rows of the file for rejected rows of one segment of a batch,
// which starts at row first of the batch; the caller releases it.
func (w *rejectWriter) record(file string, p *Plan, s *batcher.Segment, first int, rejected []batcher.Reject) (arrow.RecordBatch, error) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(rejectFields, nil))
	defer b.Release()
	runs := make([]rowRun, len(rejected))
	for i, r := range rejected {
		row := int64(r.Row - first)
		runs[i] = rowRun{row: int(row), rows: 1}
		b.Field(0).(*array.StringBuilder).Append(file)
		b.Field(1).(*array.Int64Builder).Append(s.Origin.Row + row)
		b.Field(2).(*array.StringBuilder).Append(r.Column)
		b.Field(3).(*array.StringBuilder).Append("assemble")
		b.Field(4).(*array.StringBuilder).Append(r.Reason)
	}
	reasons := b.NewRecordBatch()
	defer reasons.Release()
	columns := append([]arrow.Array{}, reasons.Columns()...)
	for i := range w.ids {
		id, err := gather([]arrow.Array{s.Record.Column(i)}, runs)
		if err != nil {
			return nil, fmt.Errorf("id %q of rejected rows: %w", p.Passed[i].Name, err)
		}
		defer id.Release()
		columns = append(columns, id)
	}
	return array.NewRecordBatch(rejectSchema(p.Passed[:w.ids]), columns, reasons.NumRows()), nil
}

// write appends such rows.
func (w *rejectWriter) write(p *Plan, rows arrow.RecordBatch) error {
	if w.writer == nil {
		if err := w.open(p); err != nil {
			return err
		}
	}
	if err := w.writer.Write(rows); err != nil {
		return fmt.Errorf("write rejects: %w", err)
	}
	w.rows += rows.NumRows()
	return nil
}

// rejectSchema is the schema of the rejects file: reasons, then ids.
func rejectSchema(ids []arrow.Field) *arrow.Schema {
	fields := append([]arrow.Field{}, rejectFields...)
	for _, f := range ids {
		for _, taken := range rejectFields {
			if f.Name == taken.Name {
				f.Name = "id_" + f.Name
			}
		}
		fields = append(fields, f)
	}
	return arrow.NewSchema(fields, nil)
}

func (w *rejectWriter) open(p *Plan) error {
	file, err := w.staging.Rejects()
	if err != nil {
		return err
	}
	writer, err := parquetfile.NewWriter(file, rejectSchema(p.Passed[:w.ids]), format.WriteOptions{})
	if err != nil {
		return errors.Join(err, file.Abort())
	}
	w.file, w.writer = file, writer
	return nil
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
