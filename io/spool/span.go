package spool

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// span gathers the rows of one.
type span struct {
	slices []arrow.RecordBatch
	rows   int64
	bytes  int64
}

// count adds rows to the span's size.
func (s *span) count(batch arrow.RecordBatch, from, rows int64) {
	s.rows += rows
	for _, c := range batch.Columns() {
		s.bytes += sizeOf(c, from, rows)
	}
}

// full says that the span ends here. It may only where a block does: how rows came in
// batches must not matter.
func (s *span) full() bool {
	return s.rows%blockRows == 0 && (s.rows >= SpanRows || s.bytes >= spanBytes)
}

// add keeps rows of a batch.
func (s *span) add(batch arrow.RecordBatch, from, to int64) {
	if from < to {
		s.slices = append(s.slices, batch.NewSlice(from, to))
	}
}

// joined gives the rows as one batch, and begins another span. The caller releases it.
func (s *span) joined(schema *arrow.Schema, mem memory.Allocator) (arrow.RecordBatch, error) {
	defer s.release()
	if len(s.slices) == 1 {
		whole := s.slices[0]
		whole.Retain()
		return whole, nil
	}
	columns := make([]arrow.Array, 0, schema.NumFields())
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	pieces := make([]arrow.Array, len(s.slices))
	for i, f := range schema.Fields() {
		for j, slice := range s.slices {
			pieces[j] = slice.Column(i)
		}
		column, err := array.Concatenate(pieces, mem)
		if err != nil {
			return nil, fmt.Errorf("column %q: join %d batches: %w", f.Name, len(pieces), err)
		}
		columns = append(columns, column)
	}
	return array.NewRecordBatch(schema, columns, s.rows), nil
}

func (s *span) release() {
	for _, slice := range s.slices {
		slice.Release()
	}
	*s = span{}
}

// sizeOf is about how many bytes rows of an array, one at least, take; it depends on their
// values alone.
func sizeOf(a arrow.Array, from, rows int64) int64 {
	switch a := a.(type) {
	case array.BinaryLike:
		last := int(from + rows - 1)
		return 8*rows + a.ValueOffset64(last) + int64(a.ValueLen(last)) - a.ValueOffset64(int(from))
	case array.ViewLike:
		size := 16 * rows
		for i := from; i < from+rows; i++ {
			if a.IsValid(int(i)) {
				size += int64(a.ValueHeader(int(i)).Len())
			}
		}
		return size
	case *array.Struct:
		size := rows / 8
		for i := range a.NumField() {
			size += sizeOf(a.Field(i), from, rows)
		}
		return size
	case array.ListLike:
		size := 8 * rows
		for i := from; i < from+rows; i++ {
			if start, end := a.ValueOffsets(int(i)); a.IsValid(int(i)) && end > start {
				size += sizeOf(a.ListValues(), start, end-start)
			}
		}
		return size
	case array.ExtensionArray:
		return sizeOf(a.Storage(), from, rows)
	}
	if t, ok := a.DataType().(arrow.FixedWidthDataType); ok {
		return (int64(t.BitWidth())*rows + 7) / 8
	}
	return 16 * rows // unions and run-ends
}
