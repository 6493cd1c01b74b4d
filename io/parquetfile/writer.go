package parquetfile

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	pqschema "github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/millrace/millrace/internal/recycle"
	"github.com/millrace/millrace/io/format"
)

const (
	defaultRowGroupRows = 1 << 20
	// blockRows is the granularity at which a row group's bytes are looked at, and
	// wideBlockRows that of files with structs, maps and lists of lists, and of wideNumbers
	// and more.
	blockRows     = 4096
	wideBlockRows = 256
	wideNumbers   = 256
	// RowGroupBytes of Arrow data end a row group before it has all its rows: that
	// much waits for its end, encoded or not.
	RowGroupBytes = 64 << 20
	// wideGroupRows are too few for half of RowGroupBytes in a file with texts, structs, lists or long values, or
	// of wideNumbers: it then ends one. What waits is half as much where rows are long, and still many pages.
	wideGroupRows = 1 << 15
	// pageBytes of values make a page, so that with its levels it is no more
	// than one zstd block of 128 KiB: the encoder then keeps no history, and
	// the buffers of arrow-go, which it makes anew for every column chunk, stay
	// small. It is a multiple of stepRows values of 4 and of 8 bytes.
	pageBytes = 120 << 10
	// stepRows are encoded between looks at a page's size, by arrow-go too.
	stepRows = 1024
	// keptBytes are held at most for the next pages and row groups.
	keptBytes = 32 << 20
	// zstdLevel 1 makes pages of float predictions no larger than level 3 does,
	// or 1.3% where they repeat; level 6 saves 7% of those and takes four times
	// as long.
	zstdLevel = 1
)

// GroupBytes are what a row group has of Arrow data before it ends for that, in a file of
// these columns with rows of so many bytes on average.
func GroupBytes(row int64, fields []arrow.Field) int64 {
	if endByHalf(fields) && row*wideGroupRows > RowGroupBytes/2 {
		return RowGroupBytes / 2
	}
	return RowGroupBytes
}

// endByHalf says whether row groups of long rows end by half of RowGroupBytes.
func endByHalf(fields []arrow.Field) bool {
	return len(fields) >= wideNumbers || slices.ContainsFunc(fields, fieldVaries)
}

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
// The bytes are a function of the rows alone: a row group ends after RowGroupRows
// rows or when it has RowGroupBytes of data (files with texts, structs, lists or values of more than 8 bytes, or of wideNumbers: half
// of that, while rows are fewer than wideGroupRows; all but flat ones with texts, lists or long values: at the first multiple of
// blockRows or wideBlockRows rows thereafter), and is encoded as if it had come as one batch, so that neither row groups nor pages
// depend on how batches were cut.
type Writer struct {
	schema *arrow.Schema
	opts   format.WriteOptions
	mem    *budget
	kept   *recycle.Buffers // what mem takes from
	file   groupEncoder
	rows   int       // in the row group
	bytes  int64     // of data in the row group
	block  int       // rows of the row group beyond its last whole block
	flat   *flatFile // file, if it is one with texts, lists or long values
	halves bool      // half of groupBytes end a row group of long rows
	// groupBytes ends a row group; RowGroupBytes except in tests.
	groupBytes int64
	blockRows  int
	err        error // the first; the file is useless after it
	closed     bool
}

// groupEncoder encodes a file, one row group after the other.
type groupEncoder interface {
	// add takes the next n rows of a row group: those of a batch, which it borrows,
	// from row at on. They do not cross a multiple of blockRows. bytes is the size
	// of their data, the same for every way of cutting them.
	add(batch arrow.RecordBatch, at, n int) (bytes int64, err error)
	// endGroup ends and writes a row group of so many rows.
	endGroup(rows int) error
	// close writes the footer, or after an error frees what there is.
	close() error
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
	codec, ok := codecs[opts.Compression]
	if !ok {
		return nil, fmt.Errorf("unknown compression %q; want zstd, snappy, gzip, lz4 or none", opts.Compression)
	}
	if schema.NumFields() == 0 {
		return nil, fmt.Errorf("%w: there are no columns", format.ErrColumnType)
	}
	fields := make([]arrow.Field, schema.NumFields())
	for i, f := range schema.Fields() {
		t, err := storedType(f.Type, f.Nullable)
		if err != nil {
			return nil, fmt.Errorf("column %q of type %s: %w", f.Name, f.Type, err)
		}
		fields[i] = arrow.Field{Name: f.Name, Type: t, Nullable: f.Nullable, Metadata: f.Metadata}
	}
	// Only counted, not limited: for what the encoder does not free after an
	// error.
	kept := takeBuffers(opts.Allocator)
	mem := newBudget(kept, math.MaxInt64)
	defer func() {
		if err != nil {
			mem.freeRest()
			kept.Close()
		}
	}()
	props := []parquet.WriterProperty{
		parquet.WithAllocator(zeroed{mem}),
		parquet.WithDataPageSize(pageBytes),
		parquet.WithVersion(parquet.V2_LATEST),
		parquet.WithMaxRowGroupLength(int64(opts.RowGroupRows)),
		parquet.WithCompression(codec),
		parquet.WithDictionaryDefault(false),
		parquet.WithStoreDecimalAsInteger(true), // where they have 18 digits at most
	}
	if codec == compress.Codecs.Zstd {
		props = append(props, parquet.WithCompressionLevel(zstdLevel))
	}
	arrowProps := pqarrow.NewArrowWriterProperties(pqarrow.WithAllocator(zeroed{mem}))
	md := withStoredSchema(schema, mem)
	writeSchema := arrow.NewSchema(fields, &md)
	ps, err := pqarrow.ToParquet(writeSchema, parquet.NewWriterProperties(props...), arrowProps)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", format.ErrColumnType, err)
	}
	coded := func(own bool) *parquet.WriterProperties {
		return parquet.NewWriterProperties(slices.Concat(props, encodings(ps, own))...)
	}
	var file groupEncoder
	block := blockRows
	own := coded(true)
	var varying *flatFile
	if columns, ok := flatColumns(schema, ps, own); ok {
		var f *flatFile
		if f, err = newFlatFile(w, ps, md, own, columns, mem); err == nil {
			f.sparing, f.encoders = opts.Compression == "", opts.Encoders
			file = f
			if f.vary {
				varying = f
			}
			if len(fields) >= wideNumbers {
				block = wideBlockRows
			}
		}
	} else {
		// Of rows of structs and lists of lists a few may be much, and what waits is
		// there up to three times as they are encoded.
		block = wideBlockRows
		file, err = newArrowFile(w, writeSchema, coded(false), arrowProps, mem)
	}
	if err != nil {
		return nil, fmt.Errorf("start Parquet file: %w", err)
	}
	return &Writer{schema: schema, opts: opts, mem: mem, kept: kept, file: file, flat: varying, halves: endByHalf(schema.Fields()), groupBytes: RowGroupBytes, blockRows: block}, nil
}

// spareBuffers are those of writers that are closed, for the next ones: a part
// of an output needs the buffers that the part before had. Two garbage
// collections free what nobody takes.
var spareBuffers sync.Pool

// takeBuffers are a writer's buffers: spare ones, unless it is to take from an allocator.
func takeBuffers(mem memory.Allocator) *recycle.Buffers {
	if mem != nil {
		return recycle.New(mem, keptBytes)
	}
	if kept, ok := spareBuffers.Get().(*recycle.Buffers); ok {
		return kept
	}
	return recycle.New(memory.DefaultAllocator, keptBytes)
}

// leaveBuffers gives them up. After an error they are nobody's: the encoder
// may still know some.
func (w *Writer) leaveBuffers() {
	if w.opts.Allocator != nil || w.err != nil {
		w.kept.Close()
		return
	}
	spareBuffers.Put(w.kept)
}

// encodings chooses what a column's values are stored as before they are
// compressed: strings, which repeat, through a dictionary; integers, which are
// most often ids, as differences, which are small (for flights' ids writing took
// a third of the time, and a tenth of the bytes, of plain values); floats as
// they are. arrow-go, which encodes what is not our own, panics where a page of
// differences has nulls alone (18.8.0): there integers that may be null are plain. It
// also gives bounds to floats among which is a NaN, that readers go wrong by (see
// extent): there no floats have statistics.
func encodings(ps *pqschema.Schema, own bool) (out []parquet.WriterProperty) {
	for i := range ps.NumColumns() {
		switch c := ps.Column(i); c.PhysicalType() {
		case parquet.Types.ByteArray:
			out = append(out, parquet.WithDictionaryPath(c.ColumnPath(), true))
		case parquet.Types.Int32, parquet.Types.Int64:
			if own || c.MaxDefinitionLevel() == 0 {
				out = append(out, parquet.WithEncodingPath(c.ColumnPath(), parquet.Encodings.DeltaBinaryPacked))
			}
		case parquet.Types.Float, parquet.Types.Double, parquet.Types.FixedLenByteArray:
			_, half := c.LogicalType().(pqschema.Float16LogicalType)
			if !own && (half || c.PhysicalType() != parquet.Types.FixedLenByteArray) {
				out = append(out, parquet.WithStatsPath(c.ColumnPath(), false))
			}
		}
	}
	return out
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

// Write implements format.Writer. The batch, or what is left of it to encode, may
// be retained until its row group is written.
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
	w.err = w.add(batch)
	return w.err
}

func (w *Writer) add(batch arrow.RecordBatch) (err error) {
	defer recoverEncoder(&err)
	if f, ok := w.file.(*flatFile); ok {
		if batch, err = f.convert(batch); err != nil {
			return err
		}
		defer batch.Release()
	}
	for at, rows := 0, int(batch.NumRows()); at < rows; {
		n := min(rows-at, w.opts.RowGroupRows-w.rows)
		if n, err = w.toPlace(batch, at, n); err != nil {
			return err
		}
		bytes, err := w.file.add(batch, at, n)
		if err != nil {
			return err
		}
		w.rows += n
		w.bytes += bytes
		at += n
		full := w.rows == w.opts.RowGroupRows
		if w.mayEnd(n) {
			full = full || w.bytes >= w.groupBytes || w.halves && w.bytes >= w.groupBytes/2 && w.rows < wideGroupRows
		}
		if full {
			if err := w.endGroup(); err != nil {
				return err
			}
		}
	}
	return nil
}

// toPlace is how many of n rows there are to the next place where a row group may end.
func (w *Writer) toPlace(batch arrow.RecordBatch, at, n int) (int, error) {
	if w.flat != nil {
		bound := w.groupBytes
		if w.bytes < bound/2 {
			bound /= 2
		}
		return w.flat.until(batch, at, n, bound-w.bytes)
	}
	return min(n, w.blockRows-w.block), nil
}

// mayEnd says, after n more rows, whether the row group may end for its bytes.
func (w *Writer) mayEnd(n int) bool {
	if w.flat != nil {
		return true
	}
	w.block = (w.block + n) % w.blockRows
	return w.block == 0
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

func (w *Writer) endGroup() error {
	rows := w.rows
	w.rows, w.bytes, w.block = 0, 0, 0
	return w.file.endGroup(rows)
}

// Close implements format.Writer. It is idempotent and releases everything,
// after an error too.
func (w *Writer) Close() (err error) {
	if w.closed {
		return w.err
	}
	w.closed = true
	defer w.leaveBuffers()
	defer w.mem.freeRest()
	defer func() { w.err = err }()
	defer recoverEncoder(&err)
	if w.err == nil && w.rows > 0 {
		w.err = w.endGroup()
	}
	// Also after an error, for its buffers.
	if closeErr := w.file.close(); w.err == nil && closeErr != nil {
		return fmt.Errorf("end Parquet file: %w", closeErr)
	}
	return w.err
}

func recoverEncoder(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the Parquet encoder panicked: %v", p)
	}
}
