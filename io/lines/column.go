package lines

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/internal/numerals"
)

// column makes one array of one field of many rows. Rows are null until a value is put.
type column interface {
	// begin makes room for rows.
	begin(rows int)
	// convert appends one field of all rows of a piece.
	convert(p *piece, field int)
	// finish gives the array of all rows appended, and forgets them.
	finish() arrow.Array
	// drop forgets them.
	drop()
}

// piece is rows whose fields are known, with what their columns need to know.
type piece struct {
	*Fields

	tokens Tokenizer
	nulls  [][]byte // texts that stand for no value
	valid  bool     // all fields are UTF-8
	// bad takes a row whose value in a field does not fit, with the value.
	bad     func(row, field int, value []byte, why string)
	scratch []byte // of value
	padded  []byte // a value with pad bytes on both sides
}

// value is the text of a field that its first byte says is special; it may lie in scratch,
// which has room for all of it, since what it is made of is no shorter.
func (p *piece) value(field []byte) (value []byte, why string) {
	if cap(p.scratch) < len(field) {
		p.scratch = make([]byte, 2*len(field))
	}
	return p.tokens.Value(p.scratch[:0], field)
}

// cell is one field's place; it is empty where there is no value.
func (p *piece) cell(row, field int) (from, to int) {
	at := row*p.Stride + p.First[field]
	return int(p.At[at]) + 1, int(p.At[at+1])
}

// isNull says that a text stands for no value.
func (p *piece) isNull(value []byte) bool {
	for _, n := range p.nulls {
		if bytes.Equal(n, value) {
			return true
		}
	}
	return false
}

// blanks may stand around a value. Others, such as no-break spaces and line ends, make it a text.
const blanks = " \t"

// bare is a field without quotes and spaces around it; why says why it has no value.
func (p *piece) bare(field []byte) (value []byte, why string) {
	if p.tokens.Special(field[0]) {
		if field, why = p.value(field); why != "" {
			return nil, why
		}
	}
	return bytes.Trim(field, blanks), ""
}

// fixed is a column of values of one size, each read by itself.
type fixed[T any] struct {
	dataType arrow.DataType
	mem      memory.Allocator
	// parse reads the value that lies between two offsets; ok is false where that is
	// none of the type's.
	parse func(text []byte, from, to int) (v T, ok bool)
	// cast gives a buffer's bytes as values, of which each takes so many.
	cast  func([]byte) []T
	bytes int
	// why says of a text without a value why; nil where its type says it all.
	why func(text []byte) string

	buffer *memory.Buffer
	values []T // of the buffer
	n      int
	valid  validity
}

func (c *fixed[T]) begin(rows int) {
	c.buffer = memory.NewResizableBuffer(c.mem)
	c.buffer.Resize(rows * c.bytes)
	c.values, c.n = c.cast(c.buffer.Bytes()), 0
	c.valid.begin(rows)
}

func (c *fixed[T]) convert(p *piece, field int) {
	base := c.n
	c.n += p.Rows
	values := c.values[base:c.n]
	at, stride := p.At[p.First[field]:], p.Stride
	checked := len(p.nulls) > 0
	var zero T
	for r := range values {
		k := r * stride
		from, to := int(at[k])+1, int(at[k+1])
		if to <= from || checked && p.isNull(p.Text[from:to]) {
			values[r] = zero
			c.valid.null(base + r)
			continue
		}
		v, ok := c.parse(p.Text, from, to)
		if !ok {
			if v, ok = c.slow(p, r, field, p.Text[from:to]); !ok {
				v = zero
				c.valid.null(base + r)
			}
		}
		values[r] = v
	}
}

// slow reads a field that has quotes, or spaces around it, or no value.
func (c *fixed[T]) slow(p *piece, row, field int, text []byte) (v T, ok bool) {
	value, why := p.bare(text)
	if why == "" && (len(value) == 0 || p.isNull(value)) {
		return v, false
	}
	if why == "" {
		var from, to int
		p.padded, from, to = numerals.Surround(p.padded, value)
		if v, ok = c.parse(p.padded, from, to); ok {
			return v, true
		}
		if text = p.padded[from:to]; c.why != nil {
			why = c.why(text)
		}
	}
	p.bad(row, field, text, why)
	return v, false
}

func (c *fixed[T]) finish() arrow.Array {
	c.buffer.ResizeNoShrink(c.n * c.bytes)
	a := c.valid.array(c.mem, c.dataType, c.n, c.buffer)
	c.drop()
	return a
}

func (c *fixed[T]) drop() {
	if c.buffer != nil {
		c.buffer.Release()
		c.buffer, c.values = nil, nil
	}
}

// truths is a column of booleans, which take a bit each.
type truths struct {
	fixed[uint8] // 0 or 1

	all []uint8 // and eight more, since they become bits eight at a time
}

func (c *truths) begin(rows int) {
	if len(c.all) < rows+8 {
		c.all = make([]uint8, rows+8)
	}
	c.values, c.n = c.all[:rows], 0
	c.valid.begin(rows)
}

func (c *truths) finish() arrow.Array {
	bits := memory.NewResizableBuffer(c.mem)
	defer bits.Release()
	bits.Resize(int(bitutil.BytesForBits(int64(c.n))))
	all := c.all[:c.n+8]
	clear(all[c.n:])
	for i := range bits.Bytes() {
		// The product's top byte gathers a bit of each byte, of which no two meet.
		bits.Bytes()[i] = byte(binary.LittleEndian.Uint64(all[8*i:8*i+8]) * 0x0102040810204080 >> 56)
	}
	return c.valid.array(c.mem, c.dataType, c.n, bits)
}

// validity are the null rows of a column.
type validity struct {
	bits  []byte // of the rows up to the last null one at least; empty where none is
	nulls int
	rows  int // room
}

func (v *validity) begin(rows int) { v.bits, v.nulls, v.rows = v.bits[:0], 0, rows }

// null notes a row.
func (v *validity) null(row int) {
	if need := int(bitutil.BytesForBits(int64(max(v.rows, row+1)))); len(v.bits) < need {
		old := len(v.bits)
		v.bits = append(v.bits, make([]byte, need-old)...)
		for i := old; i < need; i++ {
			v.bits[i] = 0xff
		}
	}
	v.bits[row/8] &^= 1 << (row % 8)
	v.nulls++
}

// array makes an array of buffers, which it borrows.
func (v *validity) array(mem memory.Allocator, t arrow.DataType, n int, buffers ...*memory.Buffer) arrow.Array {
	var valid *memory.Buffer
	if v.nulls > 0 {
		valid = filled(mem, v.bits[:min(int(bitutil.BytesForBits(int64(n))), len(v.bits))])
		defer valid.Release()
	}
	data := array.NewData(t, n, append([]*memory.Buffer{valid}, buffers...), nil, v.nulls, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// filled is a buffer with a copy of bytes.
func filled(mem memory.Allocator, b []byte) *memory.Buffer {
	buffer := memory.NewResizableBuffer(mem)
	buffer.Resize(len(b))
	copy(buffer.Bytes(), b)
	return buffer
}

// texts is a column of text.
type texts struct {
	mem   memory.Allocator
	ends  []int32 // in places
	text  []byte  // in bytes
	valid validity

	places, bytes *memory.Buffer
	last          int // bytes of the last array
}

func (c *texts) begin(rows int) {
	c.places, c.bytes = memory.NewResizableBuffer(c.mem), memory.NewResizableBuffer(c.mem)
	c.places.Resize(arrow.Int32SizeBytes * (rows + 1))
	c.ends = arrow.Int32Traits.CastFromBytes(c.places.Bytes())[:1]
	c.ends[0] = 0
	c.text = nil
	c.grow(c.last + c.last/8 + textRoom)
	c.valid.begin(rows)
}

// textRoom is room beside texts, so that a short one can be copied in pieces of 8.
const textRoom = 16

// grow makes room for more bytes of text.
func (c *texts) grow(more int) {
	c.bytes.Resize(len(c.text) + max(more+textRoom, len(c.text)))
	room := c.bytes.Bytes()
	c.text = room[:len(c.text):len(room)] // what lies behind is not taken along when it grows
}

func (c *texts) convert(p *piece, field int) {
	at, stride := p.At[p.First[field]:], p.Stride
	base := len(c.ends) - 1
	for r := range p.Rows {
		k := r * stride
		from, to := int(at[k])+1, int(at[k+1])
		if to > from {
			c.put(p, r, field, p.Text[from:to])
		} else {
			c.valid.null(base + r)
		}
		c.ends = append(c.ends, int32(len(c.text)))
	}
}

// put appends a text, unless it is none.
func (c *texts) put(p *piece, row, field int, value []byte) {
	if p.tokens.Special(value[0]) {
		var why string
		if value, why = p.value(value); why != "" {
			from, to := p.cell(row, field)
			p.bad(row, field, p.Text[from:to], why)
			c.valid.null(len(c.ends) - 1)
			return
		}
	}
	if p.isNull(value) {
		c.valid.null(len(c.ends) - 1)
		return
	}
	if !p.valid && !utf8.Valid(value) {
		p.bad(row, field, value, "is no UTF-8; say what it is, such as by --encoding windows-1252 or latin-1")
		c.valid.null(len(c.ends) - 1)
		return
	}
	if cap(c.text)-len(c.text) < len(value)+textRoom {
		c.grow(len(value))
	}
	c.text = appendText(c.text, value)
}

// appendText appends a text where there is textRoom beside it, in two pieces of 8 where it is short and
// has room beside it, too, since most are.
func appendText(to, text []byte) []byte {
	n := len(to)
	if len(text) > textRoom || cap(text) < textRoom {
		return append(to, text...)
	}
	room, all := to[n:n+textRoom], text[:textRoom]
	binary.LittleEndian.PutUint64(room, binary.LittleEndian.Uint64(all))
	binary.LittleEndian.PutUint64(room[8:], binary.LittleEndian.Uint64(all[8:]))
	return to[:n+len(text)]
}

func (c *texts) finish() arrow.Array {
	c.last = len(c.text)
	if cap(c.text) > 2*len(c.text)+textRoom {
		short := filled(c.mem, c.text)
		c.bytes.Release()
		c.bytes = short
	}
	c.bytes.ResizeNoShrink(len(c.text))
	c.places.ResizeNoShrink(arrow.Int32SizeBytes * len(c.ends))
	a := c.valid.array(c.mem, arrow.BinaryTypes.String, len(c.ends)-1, c.places, c.bytes)
	c.drop()
	return a
}

func (c *texts) drop() {
	if c.bytes != nil {
		c.places.Release()
		c.bytes.Release()
		c.places, c.bytes, c.ends, c.text = nil, nil, nil, nil
	}
}

// none is a column whose rows are all null.
type none struct{ rows int }

func (c *none) begin(int) { c.rows = 0 }

func (c *none) convert(p *piece, field int) {
	c.rows += p.Rows
	for r := range p.Rows {
		if from, to := p.cell(r, field); to > from {
			value, why := p.bare(p.Text[from:to])
			if why != "" || len(value) > 0 && !p.isNull(value) {
				p.bad(r, field, p.Text[from:to], why)
			}
		}
	}
}

func (c *none) finish() arrow.Array { return array.NewNull(c.rows) }

func (c *none) drop() {}

// numbers is a column of values as they lie in memory.
func numbers[T any](mem memory.Allocator, t arrow.FixedWidthDataType, cast func([]byte) []T, f *forms, parse func(text []byte, from, to int) (T, bool)) *fixed[T] {
	if !f.plainNumerals {
		parse = reading(f.numeral, parse)
	}
	return moments(mem, t, cast, parse)
}

// moments is numbers of what is written in another way.
func moments[T any](mem memory.Allocator, t arrow.FixedWidthDataType, cast func([]byte) []T, parse func(text []byte, from, to int) (T, bool)) *fixed[T] {
	return &fixed[T]{dataType: t, mem: mem, parse: parse, cast: cast, bytes: t.BitWidth() / 8}
}

// newColumn makes the column of a type that ParseType knows, of values that are written
// as f says.
func newColumn(mem memory.Allocator, t arrow.DataType, f *forms) column {
	switch t := t.(type) {
	case *arrow.Int64Type:
		return numbers(mem, t, arrow.Int64Traits.CastFromBytes, f, numerals.Int64)
	case *arrow.Int32Type:
		return numbers(mem, t, arrow.Int32Traits.CastFromBytes, f, numerals.SmallInt[int32])
	case *arrow.Int16Type:
		return numbers(mem, t, arrow.Int16Traits.CastFromBytes, f, numerals.SmallInt[int16])
	case *arrow.Int8Type:
		return numbers(mem, t, arrow.Int8Traits.CastFromBytes, f, numerals.SmallInt[int8])
	case *arrow.Uint64Type:
		return numbers(mem, t, arrow.Uint64Traits.CastFromBytes, f, numerals.Uint64)
	case *arrow.Uint32Type:
		return numbers(mem, t, arrow.Uint32Traits.CastFromBytes, f, numerals.SmallUint[uint32])
	case *arrow.Uint16Type:
		return numbers(mem, t, arrow.Uint16Traits.CastFromBytes, f, numerals.SmallUint[uint16])
	case *arrow.Uint8Type:
		return numbers(mem, t, func(b []byte) []uint8 { return b }, f, numerals.SmallUint[uint8])
	case *arrow.Float64Type:
		return numbers(mem, t, arrow.Float64Traits.CastFromBytes, f, numerals.Powers().Float64)
	case *arrow.Float32Type:
		return numbers(mem, t, arrow.Float32Traits.CastFromBytes, f, numerals.Powers().Float32)
	case *arrow.BooleanType:
		return &truths{fixed: fixed[uint8]{dataType: t, mem: mem, parse: f.parseBit}}
	case *arrow.Date32Type:
		return moments(mem, t, arrow.Date32Traits.CastFromBytes, f.parseDate)
	case *arrow.TimestampType:
		return timestamps(mem, t, f)
	case *arrow.Decimal128Type:
		return numbers(mem, t, arrow.Decimal128Traits.CastFromBytes, f, func(text []byte, from, to int) (decimal128.Num, bool) {
			return parseDecimal(text[from:to], t)
		})
	case *arrow.StringType:
		return &texts{mem: mem}
	default:
		return &none{}
	}
}

func timestamps(mem memory.Allocator, t *arrow.TimestampType, f *forms) column {
	c := moments(mem, t, arrow.TimestampTraits.CastFromBytes, newClock(f, t).read)
	c.why = func(text []byte) string {
		m, ok := f.moment(text)
		if !ok {
			return ""
		}
		_, why := m.ticks(t)
		return why
	}
	return c
}

func (f *forms) parseDate(text []byte, from, to int) (arrow.Date32, bool) {
	days, ok := f.date(text[from:to])
	return arrow.Date32(days), ok
}

// parseBit is parseBool as 0 or 1.
func (f *forms) parseBit(text []byte, from, to int) (v uint8, ok bool) {
	const upper, true4, fals4 = 0x20202020, 0x65757274, 0x736c6166 // as they are loaded
	switch w := binary.LittleEndian.Uint32(text[from:from+4]) | upper; {
	case to-from == 4 && w == true4:
		return 1, true
	case to-from == 5 && w == fals4 && text[from+4]|0x20 == 'e':
		return 0, true
	}
	truth, ok := f.parseBool(text, from, to)
	if truth {
		v = 1
	}
	return v, ok
}

// parseBool reads true and false in any case, 1 and 0, and what is given.
func (f *forms) parseBool(text []byte, from, to int) (v, ok bool) {
	switch value := text[from:to]; {
	case len(value) == 1 && value[0]|1 == '1':
		return value[0] == '1', true
	case bytes.EqualFold(value, []byte("true")):
		return true, true
	case bytes.EqualFold(value, []byte("false")):
		return false, true
	default:
		return f.truth(value)
	}
}
