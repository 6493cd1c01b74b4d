package batcher

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Origin says where the rows of a segment lie in the input.
type Origin struct {
	File int   // index of the file in the dataset
	Row  int64 // row number in the file of the segment's first row
}

// Segment is consecutive rows of one record batch: Rows of them, from row From
// on. It owns a reference to Record. It is no slice of it, since slicing tens of
// columns for every batch costs as much as reading a mapped file does.
type Segment struct {
	Record     arrow.RecordBatch
	From, Rows int
	Origin     Origin // of row From
	// Numbers are the row numbers in the file of the record batch's rows, where some
	// of the file's were taken out; nil where they follow each other.
	Numbers []int64
}

// At is where the segment's r-th row lies.
func (s *Segment) At(r int) Origin {
	if s.Numbers != nil {
		return Origin{File: s.Origin.File, Row: s.Numbers[s.From+r]}
	}
	return Origin{File: s.Origin.File, Row: s.Origin.Row + int64(r)}
}

// Column is the segment's rows of a column, which the caller releases: an array of its
// own, since arrays know their nulls and dictionaries when they are first asked, and
// others may be at work on the same record.
func (s *Segment) Column(i int) arrow.Array {
	return array.NewSlice(s.Record.Column(i), int64(s.From), int64(s.From+s.Rows))
}

// Whole is the segment of all rows of a record batch, and takes it over.
func Whole(record arrow.RecordBatch, origin Origin) Segment {
	return Segment{Record: record, Rows: int(record.NumRows()), Origin: origin}
}

// Batch is the rows of one Run. It owns its segments; Release gives them up.
type Batch struct {
	Segments []Segment
	Rows     int
}

// Release gives up the batch's references to record batches.
func (b *Batch) Release() {
	for _, s := range b.Segments {
		s.Record.Release()
	}
	b.Segments = nil
}

// Cutter cuts the rows of a part into batches.
//
// Where batch edges fall depends on the spans' row counts, of them on those that pass
// a filter, and on the batch size alone, so that any number of workers, any resume and
// any sharding by parts give the same batches:
//
//	a span of at least Rows rows starts and ends on a batch edge: every batch
//	    within it holds Rows rows but its last. No batch then reaches over two
//	    record batches of a mapped file, and all of them can be views;
//	shorter spans that follow each other are joined up to Rows rows.
//
// Whether a span is a short one its announced rows say, whatever a filter leaves of them:
// only where all pass are they what is cut.
//
// A model with a fixed batch dimension wants as few short batches as possible,
// since each is padded: with JoinSpans spans are always joined.
type Cutter struct {
	rows int
	join Joining
	emit func(*Batch) error

	pending *Batch
	// long is true while the current span is one that starts and ends on
	// batch edges.
	long bool
}

// Joining says whether batches may always reach over spans.
type Joining int

// The answers.
const (
	JoinShortSpans Joining = iota
	JoinSpans
)

// NewCutter makes a Cutter that hands batches of at most rows rows, which is 1
// or more, to emit, which takes them over, on error too.
func NewCutter(rows int, join Joining, emit func(*Batch) error) *Cutter {
	if rows < 1 {
		panic(fmt.Sprintf("batcher: batches of %d rows", rows))
	}
	return &Cutter{rows: rows, join: join, emit: emit, pending: &Batch{}}
}

// StartSpan announces a span and the rows it holds, before any filter.
func (c *Cutter) StartSpan(rows int64) error {
	wasLong := c.long
	c.long = c.join == JoinShortSpans && rows >= int64(c.rows)
	if c.long || wasLong {
		return c.Flush()
	}
	return nil
}

// Add cuts rows of a record batch of the current span, which it borrows.
func (c *Cutter) Add(s Segment) error {
	for at := 0; at < s.Rows; {
		n := min(s.Rows-at, c.rows-c.pending.Rows)
		s.Record.Retain()
		c.pending.Segments = append(c.pending.Segments, Segment{Record: s.Record, From: s.From + at, Rows: n, Origin: s.At(at), Numbers: s.Numbers})
		c.pending.Rows += n
		at += n
		if c.pending.Rows == c.rows {
			if err := c.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Flush emits what is pending; call it at the end of a part.
func (c *Cutter) Flush() error {
	if c.pending.Rows == 0 {
		return nil
	}
	batch := c.pending
	c.pending = &Batch{}
	return c.emit(batch)
}

// Discard releases what is pending without emitting it.
func (c *Cutter) Discard() {
	c.pending.Release()
	c.pending = &Batch{}
}

// SpanRows are the rows that a span announces, and those of them that are cut: those
// that pass a filter.
type SpanRows struct{ Announced, Cut int64 }

// CountBatches is the number of batches that spans are cut into.
func CountBatches(spans []SpanRows, rows int, join Joining) int64 {
	var batches, pending int64
	size := int64(rows)
	long := false
	flush := func() {
		if pending > 0 {
			batches++
			pending = 0
		}
	}
	for _, s := range spans {
		wasLong := long
		long = join == JoinShortSpans && s.Announced >= size
		if long || wasLong {
			flush()
		}
		batches += (pending + s.Cut) / size
		pending = (pending + s.Cut) % size
	}
	flush()
	return batches
}

// BatchAround says where the batch begins that spans are cut into around a row, and
// how many rows it has. Rows count those that are cut, from the first span's first; at
// must be less than there are. It takes as long as there are spans.
func BatchAround(spans []SpanRows, rows int, join Joining, at int64) (first, n int64) {
	var start, pending int64 // of the batch that is being filled
	size := int64(rows)
	long := false
	for _, s := range spans {
		wasLong := long
		long = join == JoinShortSpans && s.Announced >= size
		if long || wasLong {
			if at < start+pending {
				return start, pending
			}
			start, pending = start+pending, 0
		}
		full := (pending + s.Cut) / size * size
		if at < start+full {
			return start + (at-start)/size*size, size
		}
		start, pending = start+full, pending+s.Cut-full
	}
	return start, pending
}
