package parquetfile

import (
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/millrace/millrace/io/format"
)

// encodeRows are given to arrow-go's encoder at a time: its levels, and what it
// takes to join batches, are of this many rows.
const encodeRows = 4 * blockRows

// arrowFile is the groupEncoder of files with any columns: arrow-go's.
type arrowFile struct {
	schema  *arrow.Schema // as stored
	mem     *budget
	file    *pqarrow.FileWriter
	pending []arrow.RecordBatch // the row group so far
}

// keepOpen hides the Close that pqarrow would call.
type keepOpen struct{ io.Writer }

func newArrowFile(w io.Writer, s *arrow.Schema, props *parquet.WriterProperties, arrowProps pqarrow.ArrowWriterProperties, mem *budget) (*arrowFile, error) {
	file, err := pqarrow.NewFileWriter(s, keepOpen{w}, props, arrowProps)
	if err != nil {
		return nil, err
	}
	return &arrowFile{schema: s, mem: mem, file: file}, nil
}

// add implements groupEncoder. It retains the rows until the row group ends.
func (f *arrowFile) add(batch arrow.RecordBatch, at, n int) (bytes int64, err error) {
	piece := batch.NewSlice(int64(at), int64(at+n))
	f.pending = append(f.pending, piece)
	for _, c := range piece.Columns() {
		bytes += dataBytes(c.Data())
	}
	return bytes, nil
}

// endGroup implements groupEncoder.
func (f *arrowFile) endGroup(int) error {
	defer f.drop()
	if err := f.file.NewRowGroupChecked(); err != nil {
		return fmt.Errorf("start row group: %w", err)
	}
	for i, field := range f.schema.Fields() {
		if err := f.column(i, f.pending); err != nil {
			return fmt.Errorf("write column %q: %w", field.Name, err)
		}
	}
	return nil
}

// column writes a column in arrays of encodeRows rows. Batches do not cross a
// multiple of blockRows, so the arrays do not depend on how rows were cut.
func (f *arrowFile) column(i int, batches []arrow.RecordBatch) error {
	stored := f.schema.Field(i).Type
	var pieces, blocks []arrow.Array
	drop := func(arrays []arrow.Array) {
		for _, a := range arrays {
			a.Release()
		}
	}
	defer func() { drop(pieces); drop(blocks) }()
	rows := 0
	for j, b := range batches {
		piece, err := toStored(b.Column(i), stored, zeroed{f.mem})
		if err != nil {
			return err
		}
		pieces = append(pieces, piece)
		if rows += piece.Len(); rows < encodeRows && j < len(batches)-1 {
			continue
		}
		// A single piece too: what it has beyond its rows (validity without
		// nulls, values before an offset) would show in the file.
		block, err := array.Concatenate(pieces, zeroed{f.mem})
		if err != nil {
			return err
		}
		blocks = append(blocks, block)
		drop(pieces)
		pieces, rows = pieces[:0], 0
	}
	column := arrow.NewChunked(stored, blocks)
	defer column.Release()
	err := f.file.WriteColumnChunked(column, 0, int64(column.Len()))
	if errors.Is(err, arrow.ErrInvalid) { // seconds within a list or struct, too many to be milliseconds
		return fmt.Errorf("%w: %w", format.ErrValue, err)
	}
	return err
}

// close implements groupEncoder.
func (f *arrowFile) close() error {
	f.drop()
	return f.file.Close()
}

func (f *arrowFile) drop() {
	for _, b := range f.pending {
		b.Release()
	}
	clear(f.pending)
	f.pending = f.pending[:0]
}
