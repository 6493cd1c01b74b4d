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

// sink writes parts, one at a time, in order. While one is being closed and
// synced, which waits for a disk, the next is written.
type sink struct {
	staging *ledger.Staging
	format  format.Name
	options format.WriteOptions

	index  int
	file   *ledger.PartFile
	writer format.Writer
	// closing is the part before, until settle has its outcome; nil if none.
	closing chan closed
}

// closed is what became of a part.
type closed struct {
	output ledger.Output
	err    error
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

// finish begins to commit the current part; settle, which must come before the
// next finish, says how that went.
func (s *sink) finish(schema *arrow.Schema, rows int64) error {
	if err := s.open(schema); err != nil {
		return err
	}
	file, writer, index := s.file, s.writer, s.index
	s.closing = make(chan closed, 1) // one outcome, so that nobody waits to give it
	go func() {
		var c closed
		c.err = guarded(func() (err error) {
			if err := writer.Close(); err != nil {
				return errors.Join(fmt.Errorf("write part %d: %w", index, err), file.Abort())
			}
			c.output, err = file.Commit(rows)
			return err
		})
		s.closing <- c
	}()
	s.file, s.writer = nil, nil
	s.index++
	return nil
}

// settle waits for the part that is being committed; ok is false when there is
// none.
func (s *sink) settle() (out ledger.Output, ok bool, err error) {
	if s.closing == nil {
		return ledger.Output{}, false, nil
	}
	c := <-s.closing
	s.closing = nil
	return c.output, true, c.err
}

func (s *sink) abort() error {
	_, _, err := s.settle()
	if s.file == nil {
		return err
	}
	// The writer holds memory that Close gives back; what it writes goes to a
	// file that is dropped.
	err = errors.Join(err, s.writer.Close(), s.file.Abort())
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
}

// rejectFields are the first columns of the rejects file.
var rejectFields = []arrow.Field{
	{Name: "file", Type: arrow.BinaryTypes.String},
	{Name: "row", Type: arrow.PrimitiveTypes.Int64}, // from 0, in the file
	{Name: "column", Type: arrow.BinaryTypes.String},
	{Name: "stage", Type: arrow.BinaryTypes.String},
	{Name: "reason", Type: arrow.BinaryTypes.String},
}

// write appends rejected rows of one segment of a batch, which starts at row
// first of the batch.
func (w *rejectWriter) write(file string, p *Plan, s *batcher.Segment, first int, rejected []batcher.Reject) error {
	if w.writer == nil {
		if err := w.open(p); err != nil {
			return err
		}
	}
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
			return fmt.Errorf("id %q of rejected rows: %w", p.Passed[i].Name, err)
		}
		defer id.Release()
		columns = append(columns, id)
	}
	out := array.NewRecordBatch(w.schema, columns, reasons.NumRows())
	defer out.Release()
	if err := w.writer.Write(out); err != nil {
		return fmt.Errorf("write rejects: %w", err)
	}
	w.rows += out.NumRows()
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
	w.schema = rejectSchema(p.Passed[:w.ids])
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
