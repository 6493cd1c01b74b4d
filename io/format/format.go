package format

import (
	"context"
	"errors"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Sentinels of what can be wrong with an input file. Readers wrap them with
// the file's name and, where there is one, the span and column.
var (
	// ErrDamaged says that the bytes of a file contradict its format.
	ErrDamaged = errors.New("file is damaged")
	// ErrUnsupported says that a file is well formed and uses an encoding,
	// codec or type that this reader does not have; the message names it.
	ErrUnsupported = errors.New("file uses an unsupported feature")
	// ErrChanged says that a file was truncated, extended or replaced while
	// it was being read.
	ErrChanged = errors.New("file changed while it was read")
	// ErrBudget says that reading would take more memory than allowed.
	ErrBudget = errors.New("file needs more memory than allowed")
	// ErrColumnType says that a writer's format cannot hold a column's type.
	ErrColumnType = errors.New("column type cannot be written in this format")
	// ErrValue says that a writer's format cannot hold a value.
	ErrValue = errors.New("value cannot be written in this format")
)

// Name is the name of a file format, as flags and manifests spell it.
type Name string

// The formats.
const (
	ArrowFile   Name = "arrow"        // Arrow IPC file, magic ARROW1
	ArrowStream Name = "arrow-stream" // Arrow IPC stream
	Parquet     Name = "parquet"
	CSV         Name = "csv"
	JSONLines   Name = "jsonl"
)

// Span is the smallest piece of a file that can be read alone: a Parquet row
// group or an Arrow record batch.
type Span struct {
	Rows  int64 // rows, as the file's own metadata says
	Bytes int64 // stored (encoded, compressed) bytes of all columns
}

// Range is a part of a file, in bytes.
type Range struct{ Offset, Length int64 }

// Source is a file that is read by ranges and lies where no path leads. All methods may
// be called concurrently.
type Source interface {
	// ReadAt fills p with the bytes from off on, or returns an error.
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
	// Size is the number of its bytes.
	Size() int64
}

// AheadSource is a Source that fetches what will be read before it is.
type AheadSource interface {
	Source

	// Ahead fetches ranges before they are read, in the order of calls. It returns when
	// all of them are on their way: it waits while as much as the store may hold has been
	// fetched and not read. Errors of fetching are those of whoever reads.
	Ahead(ctx context.Context, ranges []Range) error
	// Done says that nobody reads the ranges any more.
	Done(ranges []Range)
}

// RangeReader is a Reader that says what it reads.
type RangeReader interface {
	Reader

	// Ranges are the bytes that ReadSpan of the listed columns reads, in about that order.
	Ranges(span int, columns []int) []Range
}

// UpfrontReader is a Reader that may have to decode many rows of a span before it gives the
// first of them.
type UpfrontReader interface {
	Reader

	// UpfrontRows is how many rows ReadSpan of the listed columns decodes before it gives
	// the first; 0 where they are given as they are decoded. It may read a little of the file.
	UpfrontRows(ctx context.Context, span int, columns []int) int64
}

// Statistics are what a file says about the values of one column in one span.
type Statistics struct {
	Nulls int64 // -1 where it does not say
	// Min and Max bound the values that are neither null nor NaN: bool, int64, uint64,
	// float64, or string for text and bytes, in the order of their bytes; nil where
	// the file does not say, or not reliably. Dates, times and decimals are counts of
	// the column's own unit.
	Min, Max any
}

// Unknown are the statistics of a file that has none.
func Unknown() Statistics { return Statistics{Nulls: -1} }

// ReadOptions bound what a reader may take.
type ReadOptions struct {
	// ChunkRows is the most rows of one record batch given to a span's yield;
	// 0 means 8,192. An uncompressed Arrow span of at most HeldBytes is given as one
	// batch, since it is a view.
	ChunkRows int
	// ChunkBytes is about the most bytes of such a record batch, which has fewer
	// rows then; 0 means DefaultChunkBytes. A batch has a row in any case.
	ChunkBytes int64
	// HeldBytes is about the most that decoders of one span keep from one record
	// batch to the next; 0 means DefaultHeldBytes. Columns of a Parquet row group whose pages
	// are more are decoded one after the other, through a scratch file. Arrow record batches
	// that are more come in pieces of ChunkBytes.
	HeldBytes int64
	// LongPageBytes is the size from which a page of a Parquet column is decompressed into a
	// scratch file, a little at a time, and read from there; 0 means DefaultLongPageBytes.
	LongPageBytes int
	// Allocator provides decoded memory; nil means memory.DefaultAllocator.
	// Readers put a budget in front of it.
	Allocator memory.Allocator
	// BudgetBytes is the most memory that reading one span may hold at a
	// time; 0 means 1 GiB.
	BudgetBytes int64
	// Decoders holds a token for every goroutine that is at work, those of the
	// callers of ReadSpan among them; its capacity is how many there should be.
	// A ReadSpan that finds room in it decodes columns of one span
	// concurrently. nil means that every ReadSpan decodes alone.
	Decoders chan struct{}
	// Name stands for the file in errors; empty means its path.
	Name string
}

// Defaults of ReadOptions.
const (
	DefaultChunkBytes = 8 << 20
	DefaultHeldBytes  = 48 << 20
	// DefaultLongPageBytes is far more than most writers make pages of. But they look at a
	// page's size every so many rows: pyarrow's of texts of 100 KB have 100 MB, and so do
	// its dictionaries.
	DefaultLongPageBytes = 16 << 20
)

// EnsureDefaults fills zero fields.
func (o *ReadOptions) EnsureDefaults() {
	if o.ChunkRows == 0 {
		o.ChunkRows = 8192
	}
	if o.ChunkBytes == 0 {
		o.ChunkBytes = DefaultChunkBytes
	}
	if o.HeldBytes == 0 {
		o.HeldBytes = DefaultHeldBytes
	}
	if o.LongPageBytes == 0 {
		o.LongPageBytes = DefaultLongPageBytes
	}
	if o.Allocator == nil {
		o.Allocator = memory.DefaultAllocator
	}
	if o.BudgetBytes == 0 {
		o.BudgetBytes = 1 << 30
	}
}

// Reader gives the rows of one open file. All methods may be called
// concurrently, except Close.
type Reader interface {
	// Format is the format found in the file.
	Format() Name
	// Schema is the file's schema. Dictionary, extension and nested types
	// stand in it as the file stores them.
	Schema() *arrow.Schema
	// Spans lists the file's spans in order.
	Spans() []Span
	// ReadSpan gives the rows of one span, in order, as record batches of the
	// top-level columns whose indexes into Schema().Fields() are listed, in
	// the listed order; an empty list gives batches without columns that
	// still count rows. It returns an error unless exactly Spans()[span].Rows
	// rows were given. yield borrows the batch: it retains what it keeps.
	ReadSpan(ctx context.Context, span int, columns []int, yield func(arrow.RecordBatch) error) error
	// NullCount is the number of nulls in a top-level column, from the file's
	// own statistics; ok is false where the file does not say.
	NullCount(column int) (nulls int64, ok bool)
	// Statistics are the file's own of a top-level column in a span.
	Statistics(span, column int) Statistics
	// Changed returns an error that wraps ErrChanged when the file is no
	// longer the one that was opened, by size, modification time or inode, or
	// when a read of its mapping faulted.
	Changed() error
	// Close releases the reader; batches already given out stay valid.
	Close() error
}

// WriteOptions say how a writer encodes.
type WriteOptions struct {
	// Compression is a codec's name: zstd, snappy, gzip, lz4 or none. The
	// empty string means the format's default: zstd for Parquet, none for
	// the others. CSV and JSON Lines have gzip and zstd, of the whole file.
	Compression string
	// Delimiter separates the fields of CSV: , ; | or a tab; 0 means a comma.
	Delimiter byte
	// SpreadsheetSafe has texts in CSV that a spreadsheet would take for formulas begin
	// with an apostrophe.
	SpreadsheetSafe bool
	// Headless leaves out what stands once at the start of a text file, so that it can be
	// appended to another.
	Headless bool
	// RowGroupRows is the most rows of one Parquet row group; 0 means
	// 1,048,576. Other formats write one span per Write.
	RowGroupRows int
	// Encoders is to writers what ReadOptions.Decoders is to readers, and may be the same:
	// a Write that finds room in it encodes columns of text concurrently.
	Encoders chan struct{}
	// Allocator provides encoding buffers; nil means memory.DefaultAllocator.
	Allocator memory.Allocator
}

// Writer encodes record batches of one schema into a stream of bytes.
type Writer interface {
	// Write appends the rows of a batch, which it borrows.
	Write(batch arrow.RecordBatch) error
	// Close writes what the format needs at its end. It does not close or
	// sync the underlying writer.
	Close() error
}

// NewWriterFunc makes a Writer. It returns an error that wraps ErrColumnType
// and names column and type when the format cannot hold the schema.
type NewWriterFunc func(w io.Writer, schema *arrow.Schema, opts WriteOptions) (Writer, error)
