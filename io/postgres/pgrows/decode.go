package pgrows

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/query"
)

// copySignature begins the stream of COPY (FORMAT binary); after it come flags and the size
// of what extends the header.
const copySignature = "PGCOPY\n\377\r\n\000"

// decoder makes record batches of the stream of a COPY in binary, which it is written:
//
//	signature 11, flags i32, header extension: bytes i32, and those
//	row: columns i16, then for each: bytes i32, -1 for a null, and those
//	trailer: -1 i16
//
// (postgresql.org/docs, COPY, Binary Format). The server sends a row a message; here it may
// come cut anywhere.
type decoder struct {
	schema  *arrow.Schema
	builder *array.RecordBuilder
	values  []appender
	columns []column
	yield   func(arrow.RecordBatch) error

	left    []byte   // of a row that is not whole yet
	fields  [][]byte // of the row that is decoded; nil for a null
	begun   bool
	ended   bool
	rows    int64 // all
	pending int   // rows in the builder
	bytes   int   // of them
	err     error
}

func newDecoder(schema *arrow.Schema, columns []column, yield func(arrow.RecordBatch) error) *decoder {
	d := &decoder{schema: schema, columns: columns, yield: yield, builder: array.NewRecordBuilder(memory.DefaultAllocator, schema)}
	d.values, d.fields = make([]appender, len(columns)), make([][]byte, len(columns))
	for i, c := range columns {
		d.values[i] = c.kind.appender(d.builder.Field(i))
	}
	return d
}

func (d *decoder) release() { d.builder.Release() }

// Write takes what the server sends, which it borrows.
func (d *decoder) Write(data []byte) (int, error) {
	n := len(data)
	if len(d.left) > 0 {
		data = append(d.left, data...)
	}
	for d.err == nil {
		used, err := d.step(data)
		if d.err = err; err != nil || used == 0 {
			break
		}
		data = data[used:]
	}
	d.left = append(d.left[:0], data...)
	return n, d.err
}

// errCut says that a row is not there whole.
var errCut = errors.New("cut")

// step decodes the header or one row, and says how many bytes it was; 0 for none.
func (d *decoder) step(data []byte) (used int, err error) {
	if len(data) == 0 {
		return 0, nil
	}
	s := &stream{b: data}
	switch {
	case !d.begun:
		if err := d.header(s); errors.Is(err, errCut) {
			return 0, nil
		} else if err != nil {
			return 0, err
		}
		d.begun = true
		return s.at, nil
	case d.ended:
		return 0, fmt.Errorf("%w: the stream goes on after its end", format.ErrDamaged)
	}
	fields := s.i16()
	if s.short {
		return 0, nil
	}
	if fields == -1 {
		d.ended = true
		return s.at, nil
	}
	if int(fields) != len(d.columns) {
		return 0, fmt.Errorf("%w: row %d has %d columns of %d", format.ErrDamaged, d.rows+1, fields, len(d.columns))
	}
	for i := range d.fields { // all there before one is appended
		d.fields[i], _ = s.value()
	}
	if s.short {
		return 0, nil
	}
	if s.bad {
		return 0, fmt.Errorf("%w: row %d: a value has less than no bytes", format.ErrDamaged, d.rows+1)
	}
	return s.at, d.row(s.at)
}

func (d *decoder) header(s *stream) error {
	signature := s.take(len(copySignature))
	s.i32()
	extension := s.i32()
	s.take(int(extension))
	switch {
	case s.short:
		return errCut
	case s.bad || string(signature) != copySignature:
		return fmt.Errorf("%w: this is no binary COPY", format.ErrDamaged)
	}
	return nil
}

// row appends the one whose fields are known, of so many bytes.
func (d *decoder) row(bytes int) error {
	d.rows++
	for i, value := range d.fields {
		if value == nil {
			d.builder.Field(i).AppendNull()
			continue
		}
		if err := d.values[i](value); err != nil {
			return fmt.Errorf("row %d: column %q: %w: %w", d.rows, d.columns[i].name, query.ErrValue, err)
		}
	}
	d.pending++
	if d.bytes += bytes; d.pending == batchRows || d.bytes >= batchBytes {
		return d.give()
	}
	return nil
}

func (d *decoder) give() error {
	batch := d.builder.NewRecordBatch()
	defer batch.Release()
	d.builder.Reserve(d.pending) // the next is likely to be as large
	d.pending, d.bytes = 0, 0
	return d.yield(batch)
}

// finish gives the last rows, when the server has said that there are no more.
func (d *decoder) finish() error {
	if !d.ended || len(d.left) > 0 {
		return fmt.Errorf("%w: the stream ends after %d rows, within one", format.ErrDamaged, d.rows)
	}
	if d.pending == 0 {
		return nil
	}
	return d.give()
}

// stream reads big-endian numbers. After the first that is not there it is short.
type stream struct {
	b     []byte
	at    int
	short bool
	bad   bool // a size is below 0
}

func (s *stream) take(n int) []byte {
	switch {
	case n < 0:
		s.bad = true
		return nil
	case s.short || len(s.b)-s.at < n:
		s.short = true
		return nil
	}
	s.at += n
	return s.b[s.at-n : s.at]
}

func (s *stream) i16() int16 {
	if b := s.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (s *stream) i32() int32 {
	if b := s.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// value reads one of a row; that of a null is nil, and that of nothing is not.
func (s *stream) value() (value []byte, null bool) {
	n := s.i32()
	if n == -1 {
		return nil, true
	}
	return s.take(int(n)), false
}

// postgresSaid is the server's own error; what it says may quote a query, never a password.
func postgresSaid(err error) (*pgconn.PgError, bool) { return errors.AsType[*pgconn.PgError](err) }
