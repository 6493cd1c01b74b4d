package spool

import (
	"fmt"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/arrowfile"
)

// span gathers the rows of one.
type span struct {
	slices []arrow.RecordBatch
	rows   int64
	bits   int64 // of its values; bits, so that how rows came in batches does not matter
}

// fill counts rows of a batch from one on, until there are no more or the span is full, and
// gives the row behind them.
func (s *span) fill(batch arrow.RecordBatch, from int64) (to int64) {
	for to = from; to < batch.NumRows() && !s.full(); {
		rows := min(blockRows-s.rows%blockRows, batch.NumRows()-to)
		size := bitsOf(batch, to, rows)
		if limit := s.most(); s.bits+size >= limit {
			rows = 1 + int64(sort.Search(int(rows-1), func(i int) bool { return s.bits+bitsOf(batch, to, int64(i)+1) >= limit }))
			size = bitsOf(batch, to, rows)
		}
		s.rows, s.bits, to = s.rows+rows, s.bits+size, to+rows
	}
	return to
}

// most is how large the span may become in the block that it is in.
func (s *span) most() int64 {
	if s.rows < blockRows {
		return 8 * spanBytes
	}
	return 8 * mostBytes
}

// full says that the span ends here.
func (s *span) full() bool {
	switch {
	case s.rows < blockRows:
		return s.bits >= 8*spanBytes
	case s.rows%blockRows == 0:
		return s.rows >= SpanRows || s.bits >= 8*spanBytes
	}
	return s.bits >= 8*mostBytes
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
	whole, err := join(schema, s.slices, mem)
	if err == nil {
		return whole, nil
	}
	// It may be for dictionaries that differ, which can be made one.
	alike, err := arrowfile.UnderOneDictionary(s.slices, mem)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, b := range alike {
			b.Release()
		}
	}()
	return join(schema, alike, mem)
}

// join makes one batch of several.
func join(schema *arrow.Schema, batches []arrow.RecordBatch, mem memory.Allocator) (arrow.RecordBatch, error) {
	columns, rows := make([]arrow.Array, 0, schema.NumFields()), int64(0)
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for _, b := range batches {
		rows += b.NumRows()
	}
	pieces := make([]arrow.Array, len(batches))
	for i, f := range schema.Fields() {
		for j, b := range batches {
			pieces[j] = b.Column(i)
		}
		column, err := array.Concatenate(pieces, mem)
		if err != nil {
			return nil, fmt.Errorf("column %q: %d record batches cannot be joined: %w; leave the column out, or have the rows in a file", f.Name, len(pieces), err)
		}
		columns = append(columns, column)
	}
	return array.NewRecordBatch(schema, columns, rows), nil
}

func (s *span) release() {
	for _, slice := range s.slices {
		slice.Release()
	}
	*s = span{}
}

// bitsOf is about how many bits rows of a batch, one at least, take: those of their values
// alone, so that rows have as many together as each by itself.
func bitsOf(batch arrow.RecordBatch, from, rows int64) (bits int64) {
	for _, c := range batch.Columns() {
		bits += bitsOfColumn(c, from, rows)
	}
	return bits
}

// bitsOfColumn depends on the values alone, so that rows have as many together as each by itself.
func bitsOfColumn(a arrow.Array, from, rows int64) int64 {
	const word = 64
	switch a := a.(type) {
	case array.BinaryLike:
		last := int(from + rows - 1)
		return word*rows + 8*(a.ValueOffset64(last)+int64(a.ValueLen(last))-a.ValueOffset64(int(from)))
	case array.ViewLike:
		size := 2 * word * rows
		for i := from; i < from+rows; i++ {
			if a.IsValid(int(i)) {
				size += 8 * int64(a.ValueHeader(int(i)).Len())
			}
		}
		return size
	case *array.Struct:
		size := rows
		for i := range a.NumField() {
			size += bitsOfColumn(a.Field(i), from, rows)
		}
		return size
	case array.ListLike:
		size := word * rows
		for i := from; i < from+rows; i++ {
			if start, end := a.ValueOffsets(int(i)); a.IsValid(int(i)) && end > start {
				size += bitsOfColumn(a.ListValues(), start, end-start)
			}
		}
		return size
	case array.ExtensionArray:
		return bitsOfColumn(a.Storage(), from, rows)
	}
	if t, ok := a.DataType().(arrow.FixedWidthDataType); ok {
		return int64(t.BitWidth()) * rows
	}
	return 2 * word * rows // unions and run-ends
}
