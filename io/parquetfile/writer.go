package parquetfile

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/millrace/millrace/io/format"
)

const (
	defaultRowGroupRows = 1 << 20
	// blockRows is the granularity at which a row group's bytes are looked at.
	blockRows = 4096
	// rowGroupBytes of Arrow data end a row group before it has all its rows.
	rowGroupBytes = 512 << 20
	// encodeRows are given to the encoder at a time: its levels, and what it
	// takes to join batches, are of this many rows.
	encodeRows = 4 * blockRows
	// pageBytes of values make a page, so that with its levels it is no more
	// than one zstd block of 128 KiB: the encoder then keeps no history, and
	// the buffers of arrow-go, which it makes anew for every column chunk, stay
	// small. It is a multiple of 1,024 values of 4 and of 8 bytes, which is how
	// many arrow-go looks at together.
	pageBytes = 120 << 10
	// keptBytes are held at most for the next pages and row groups.
	keptBytes = 32 << 20
	// zstdLevel 1 makes pages of float predictions no larger than level 3 does,
	// or 1.3% where they repeat; level 6 saves 7% of those and takes four times
	// as long.
	zstdLevel = 1
)

// codecs are the names that format.WriteOptions.Compression takes.
var codecs = map[string]compress.Compression{
	"":       compress.Codecs.Zstd,
	"zstd":   compress.Codecs.Zstd,
	"snappy": compress.Codecs.Snappy,
	"gzip":   compress.Codecs.Gzip,
	"lz4":    compress.Codecs.Lz4Raw,
	"none":   compress.Codecs.Uncompressed,
}

// Writer encodes record batches into one Parquet file. It implements
// format.Writer; it must not be used concurrently.
//
// The bytes are a function of the rows alone: batches are held until they make
// a row group, which ends after RowGroupRows rows or at the first multiple of
// blockRows rows with rowGroupBytes of data, and are then joined, so that
// neither row groups nor pages depend on how the batches were cut.
type Writer struct {
	schema  *arrow.Schema
	stored  []arrow.DataType // what each column is written as
	opts    format.WriteOptions
	mem     *budget
	kept    *recycler // what mem takes from
	file    *pqarrow.FileWriter
	pending []arrow.RecordBatch // retained rows of the next row group
	rows    int                 // in pending
	bytes   int64               // of data in pending
	block   int                 // rows of pending beyond its last whole block
	// groupBytes ends a row group; rowGroupBytes except in tests.
	groupBytes int64
	err        error // the first; the file is useless after it
	closed     bool
}

var (
	_ format.Writer        = (*Writer)(nil)
	_ format.NewWriterFunc = NewWriter
)

// NewWriter starts a Parquet file. The error wraps format.ErrColumnType, with
// column and type, where Parquet cannot hold the schema.
func NewWriter(w io.Writer, schema *arrow.Schema, opts format.WriteOptions) (out format.Writer, err error) {
	defer recoverEncoder(&err)
	if opts.RowGroupRows == 0 {
		opts.RowGroupRows = defaultRowGroupRows
	}
	if opts.RowGroupRows < 0 {
		return nil, fmt.Errorf("row group of %d rows; want at least 1", opts.RowGroupRows)
	}
	if opts.Allocator == nil {
		opts.Allocator = memory.DefaultAllocator
	}
	codec, ok := codecs[opts.Compression]
	if !ok {
		return nil, fmt.Errorf("unknown compression %q; want zstd, snappy, gzip, lz4 or none", opts.Compression)
	}
	if schema.NumFields() == 0 {
		return nil, fmt.Errorf("%w: there are no columns", format.ErrColumnType)
	}
	fields := make([]arrow.Field, schema.NumFields())
	stored := make([]arrow.DataType, schema.NumFields())
	for i, f := range schema.Fields() {
		t, err := storedType(f.Type, f.Nullable)
		if err != nil {
			return nil, fmt.Errorf("column %q of type %s: %w", f.Name, f.Type, err)
		}
		fields[i] = arrow.Field{Name: f.Name, Type: t, Nullable: f.Nullable, Metadata: f.Metadata}
		stored[i] = t
	}
	// Only counted, not limited: for what the encoder does not free after an
	// error.
	kept := newRecycler(opts.Allocator, keptBytes)
	mem := newBudget(kept, math.MaxInt64)
	defer func() {
		if err != nil {
			mem.freeRest()
			kept.close()
		}
	}()
	props := []parquet.WriterProperty{
		parquet.WithAllocator(zeroed{mem}),
		parquet.WithDataPageSize(pageBytes),
		parquet.WithVersion(parquet.V2_LATEST),
		parquet.WithMaxRowGroupLength(int64(opts.RowGroupRows)),
		parquet.WithCompression(codec),
		parquet.WithDictionaryDefault(false),
	}
	if codec == compress.Codecs.Zstd {
		props = append(props, parquet.WithCompressionLevel(zstdLevel))
	}
	arrowProps := pqarrow.NewArrowWriterProperties(pqarrow.WithAllocator(zeroed{mem}))
	md := withStoredSchema(schema, mem)
	writeSchema := arrow.NewSchema(fields, &md)
	coded, err := encodings(writeSchema, parquet.NewWriterProperties(props...), arrowProps)
	if err != nil {
		return nil, err
	}
	fw, err := pqarrow.NewFileWriter(writeSchema, keepOpen{w}, parquet.NewWriterProperties(append(props, coded...)...), arrowProps)
	if err != nil {
		return nil, fmt.Errorf("start Parquet file: %w", err)
	}
	return &Writer{schema: schema, stored: stored, opts: opts, mem: mem, kept: kept, file: fw, groupBytes: rowGroupBytes}, nil
}

// encodings chooses what a column's values are stored as before they are
// compressed: strings, which repeat, through a dictionary; integers, which are
// most often ids, as differences, which are small (for flights' ids writing took
// a third of the time, and a tenth of the bytes, of plain values); floats as
// they are.
func encodings(s *arrow.Schema, props *parquet.WriterProperties, arrowProps pqarrow.ArrowWriterProperties) ([]parquet.WriterProperty, error) {
	ps, err := pqarrow.ToParquet(s, props, arrowProps)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", format.ErrColumnType, err)
	}
	var out []parquet.WriterProperty
	for i := range ps.NumColumns() {
		switch c := ps.Column(i); c.PhysicalType() {
		case parquet.Types.ByteArray:
			out = append(out, parquet.WithDictionaryPath(c.ColumnPath(), true))
		case parquet.Types.Int32, parquet.Types.Int64:
			out = append(out, parquet.WithEncodingPath(c.ColumnPath(), parquet.Encodings.DeltaBinaryPacked))
		}
	}
	return out, nil
}

// withStoredSchema is the schema's metadata with the schema itself, as Arrow
// writers keep it for what Parquet's types do not say.
func withStoredSchema(s *arrow.Schema, mem memory.Allocator) arrow.Metadata {
	md := s.Metadata()
	keys, values := slices.Clone(md.Keys()), slices.Clone(md.Values())
	for i, key := range slices.Backward(keys) {
		if key == arrowSchemaKey {
			keys, values = slices.Delete(keys, i, i+1), slices.Delete(values, i, i+1)
		}
	}
	fields := make([]arrow.Field, s.NumFields())
	for i, f := range s.Fields() {
		fields[i] = keptField(f)
	}
	serialized := base64.StdEncoding.EncodeToString(flight.SerializeSchema(arrow.NewSchema(fields, &md), mem))
	return arrow.NewMetadata(append(keys, arrowSchemaKey), append(values, serialized))
}

// keepOpen hides the Close that pqarrow would call.
type keepOpen struct{ io.Writer }

// Write implements format.Writer. It retains the batch until its row group is
// written.
func (w *Writer) Write(batch arrow.RecordBatch) error {
	if w.closed {
		return errors.New("write after Close")
	}
	if w.err != nil {
		return w.err
	}
	if err := w.check(batch); err != nil {
		return err
	}
	for at := int64(0); at < batch.NumRows(); {
		// Up to the next place where a row group may end.
		n := min(batch.NumRows()-at, int64(blockRows-w.block), int64(w.opts.RowGroupRows-w.rows))
		piece := batch.NewSlice(at, at+n)
		w.pending = append(w.pending, piece)
		w.rows += int(n)
		w.block += int(n)
		for _, c := range piece.Columns() {
			w.bytes += dataBytes(c.Data())
		}
		at += n
		full := w.rows == w.opts.RowGroupRows
		if w.block == blockRows {
			w.block = 0
			full = full || w.bytes >= w.groupBytes
		}
		if full {
			if w.err = w.flush(); w.err != nil {
				return w.err
			}
		}
	}
	return nil
}

// check returns an error unless the batch has the writer's columns.
func (w *Writer) check(batch arrow.RecordBatch) error {
	if int(batch.NumCols()) != w.schema.NumFields() {
		return fmt.Errorf("batch has %d columns, the file %d", batch.NumCols(), w.schema.NumFields())
	}
	for i, f := range w.schema.Fields() {
		c := batch.Column(i)
		if !arrow.TypeEqual(c.DataType(), f.Type) {
			return fmt.Errorf("column %q is %s, the file's is %s", f.Name, c.DataType(), f.Type)
		}
		if !f.Nullable && c.NullN() > 0 {
			return fmt.Errorf("column %q is not nullable and has %d nulls", f.Name, c.NullN())
		}
	}
	return nil
}

// flush writes pending as one row group.
func (w *Writer) flush() (err error) {
	defer recoverEncoder(&err)
	defer w.drop()
	if err := w.file.NewRowGroupChecked(); err != nil {
		return fmt.Errorf("start row group: %w", err)
	}
	for i := range w.stored {
		if err := w.column(i); err != nil {
			return fmt.Errorf("write column %q: %w", w.schema.Field(i).Name, err)
		}
	}
	return nil
}

// column writes a column of pending in arrays of encodeRows rows. Pieces do not
// cross a multiple of blockRows, so the arrays do not depend on the batches.
func (w *Writer) column(i int) error {
	var pieces, blocks []arrow.Array
	drop := func(arrays []arrow.Array) {
		for _, a := range arrays {
			a.Release()
		}
	}
	defer func() { drop(pieces); drop(blocks) }()
	rows := 0
	for j, b := range w.pending {
		piece, err := toStored(b.Column(i), w.stored[i], zeroed{w.mem})
		if err != nil {
			return err
		}
		pieces = append(pieces, piece)
		if rows += piece.Len(); rows < encodeRows && j < len(w.pending)-1 {
			continue
		}
		// A single piece too: what it has beyond its rows (validity without
		// nulls, values before an offset) would show in the file.
		block, err := array.Concatenate(pieces, zeroed{w.mem})
		if err != nil {
			return err
		}
		blocks = append(blocks, block)
		drop(pieces)
		pieces, rows = pieces[:0], 0
	}
	column := arrow.NewChunked(w.stored[i], blocks)
	defer column.Release()
	return w.file.WriteColumnChunked(column, 0, int64(column.Len()))
}

func (w *Writer) drop() {
	for _, b := range w.pending {
		b.Release()
	}
	w.pending, w.rows, w.bytes, w.block = w.pending[:0], 0, 0, 0
}

// Close implements format.Writer. It is idempotent and releases everything,
// after an error too.
func (w *Writer) Close() (err error) {
	if w.closed {
		return w.err
	}
	w.closed = true
	defer w.kept.close()
	defer w.mem.freeRest()
	defer w.drop()
	defer func() { w.err = err }()
	defer recoverEncoder(&err)
	if w.err == nil && w.rows > 0 {
		w.err = w.flush()
	}
	// Also after an error, for its buffers.
	if closeErr := w.file.Close(); w.err == nil && closeErr != nil {
		return fmt.Errorf("end Parquet file: %w", closeErr)
	}
	return w.err
}

func recoverEncoder(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the Parquet encoder panicked: %v", p)
	}
}
