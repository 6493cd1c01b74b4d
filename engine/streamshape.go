package engine

import (
	"context"
	"errors"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher"
)

// learnShapes are the prediction columns before there is a row, so that a stream's schema
// can go out at once: those of a Run over one made row, of zeros and empty texts. Where
// the models do not take that, they are what the signatures say; nil where these leave a
// shape open, which only the first result tells then.
func (s *scoring) learnShapes(ctx context.Context) (fields []arrow.Field) {
	outputs := slices.Clone(s.outputs)
	err := guarded(func() (err error) {
		fields, err = s.runMadeRow(ctx)
		return err
	})
	if err == nil {
		return fields
	}
	s.outputs = outputs
	for i := range s.outputs {
		if s.outputs[i].item == nil {
			return nil
		}
	}
	return knownFieldsOf(s.outputs)
}

// runMadeRow scores one made row, and keeps what is learned of the outputs.
func (s *scoring) runMadeRow(ctx context.Context) (_ []arrow.Field, err error) {
	rows := 1
	if s.plan.padded() {
		rows = s.plan.Options.BatchRows
	}
	batch, err := s.plan.madeRow()
	if err != nil {
		return nil, err
	}
	defer batch.Release()
	w := s.worker(rows, &Progress{})
	defer func() { err = errors.Join(err, w.close()) }()
	tensors, err := w.assembler.Assemble(batch)
	if err == nil {
		err = w.makeInputs(tensors)
	}
	if err != nil {
		return nil, err
	}
	res := &result{batch: batch}
	if err := w.compute(ctx, res); err != nil {
		return nil, err
	}
	releaseAll(res.predictions)
	s.outputs = w.outputs
	return res.fields, nil
}

// madeRow is a batch of one row that has all columns.
func (p *Plan) madeRow() (*batcher.Batch, error) {
	schema := p.Dataset.Schema()
	columns := make([]arrow.Array, 0, len(p.Columns))
	defer func() { releaseAll(columns) }()
	fields := make([]arrow.Field, len(p.Columns))
	for i, name := range p.Columns {
		fields[i] = schema.Field(schema.FieldIndices(name)[0])
		b := array.NewBuilder(memory.DefaultAllocator, fields[i].Type)
		b.AppendEmptyValue()
		columns = append(columns, b.NewArray())
		b.Release()
		if columns[i].Len() != 1 {
			return nil, errors.ErrUnsupported
		}
	}
	record := array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, 1)
	return &batcher.Batch{Segments: []batcher.Segment{batcher.Whole(record, batcher.Origin{})}, Rows: 1}, nil
}
