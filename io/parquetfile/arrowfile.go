package parquetfile

import (
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/millrace/millrace/io/format"
)

// encodeRows are given to arrow-go's encoder at a time, or as many as come to encodeBytes: its
// levels, and what it takes to join batches, are of this many rows.
const (
	encodeRows  = 4 * blockRows
	encodeBytes = 4 << 20
)

// arrowFile is the groupEncoder of files with any columns: arrow-go's.
type arrowFile struct {
	schema  *arrow.Schema // as stored
	mem     *budget
	file    *pqarrow.FileWriter
	pending [][]arrow.Array // of each column, the row group so far
}

// keepOpen hides the Close that pqarrow would call.
type keepOpen struct{ io.Writer }

func newArrowFile(w io.Writer, s *arrow.Schema, props *parquet.WriterProperties, arrowProps pqarrow.ArrowWriterProperties, mem *budget) (*arrowFile, error) {
	file, err := pqarrow.NewFileWriter(s, keepOpen{w}, props, arrowProps)
	if err != nil {
		return nil, err
	}
	return &arrowFile{schema: s, mem: mem, file: file, pending: make([][]arrow.Array, s.NumFields())}, nil
}

// add implements groupEncoder. It retains the rows until the row group ends.
func (f *arrowFile) add(batch arrow.RecordBatch, at, n int) (bytes int64, err error) {
	for i, c := range batch.Columns() {
		piece := array.NewSlice(c, int64(at), int64(at+n))
		f.pending[i] = append(f.pending[i], piece)
		bytes += dataBytes(piece.Data())
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
		if err := f.column(i); err != nil {
			return fmt.Errorf("write column %q: %w", field.Name, err)
		}
	}
	return nil
}

// column writes a column in arrays of encodeRows rows, or of encodeBytes where that is fewer.
// Batches do not cross a multiple of blockRows, so the arrays do not depend on how rows were
// cut. What is pending is given back as it is copied.
func (f *arrowFile) column(i int) error {
	var blocks []arrow.Array
	defer func() { release(blocks) }()
	for len(f.pending[i]) > 0 {
		block, err := f.block(i)
		if err != nil {
			return err
		}
		blocks = append(blocks, block)
	}
	column := arrow.NewChunked(f.schema.Field(i).Type, blocks)
	defer column.Release()
	err := f.file.WriteColumnChunked(column, 0, int64(column.Len()))
	if errors.Is(err, arrow.ErrInvalid) { // seconds within a list or struct, too many to be milliseconds
		return fmt.Errorf("%w: %w", format.ErrValue, err)
	}
	return err
}

// block takes the next rows of a column that are encoded at a time, as they are stored.
func (f *arrowFile) block(i int) (arrow.Array, error) {
	stored := f.schema.Field(i).Type
	var pieces []arrow.Array
	defer func() { release(pieces) }()
	for rows, bytes := 0, int64(0); rows < encodeRows && bytes < encodeBytes && len(f.pending[i]) > 0; {
		next := f.pending[i][0]
		n := min(rowsTo(next.Data(), encodeBytes-bytes), encodeRows-rows)
		taken := array.NewSlice(next, 0, int64(n))
		piece, err := toStored(taken, stored, zeroed{f.mem})
		if err != nil {
			taken.Release()
			return nil, err
		}
		rows, bytes = rows+n, bytes+dataBytes(taken.Data())
		taken.Release()
		pieces = append(pieces, piece)
		if n < next.Len() {
			f.pending[i][0] = array.NewSlice(next, int64(n), int64(next.Len()))
		} else {
			f.pending[i][0] = nil
			f.pending[i] = f.pending[i][1:]
		}
		next.Release()
	}
	// A single piece too: what it has beyond its rows (validity without
	// nulls, values before an offset) would show in the file.
	return array.Concatenate(pieces, zeroed{f.mem})
}

// rowsTo is how many rows of an array come to so many bytes: all of them if they do not.
func rowsTo(data arrow.ArrayData, bytes int64) int {
	if dataBytes(data) <= bytes {
		return data.Len()
	}
	return 1 + sort.Search(data.Len()-1, func(k int) bool {
		cut := array.NewSliceData(data, 0, int64(k+1))
		defer cut.Release()
		return dataBytes(cut) >= bytes
	})
}

func release(arrays []arrow.Array) {
	for _, a := range arrays {
		a.Release()
	}
}

// close implements groupEncoder.
func (f *arrowFile) close() error {
	f.drop()
	return f.file.Close()
}

func (f *arrowFile) drop() {
	for i := range f.pending {
		release(f.pending[i])
		f.pending[i] = nil
	}
}
