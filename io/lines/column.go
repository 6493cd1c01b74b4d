package lines

import (
	"bytes"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// column makes one array of one field of many rows. Rows are null until a value is put.
type column interface {
	// begin makes room for rows.
	begin(rows int)
	// convert appends one field of all rows of a piece.
	convert(p *piece, field int)
	// finish gives the array of all rows appended, and forgets them.
	finish() arrow.Array
}

// piece is rows whose fields are known, with what their columns need to know.
type piece struct {
	*Fields

	tokens Tokenizer
	nulls  [][]byte // texts that stand for no value
	ascii  bool     // the text has no byte above 127
	// bad takes a row whose value in a field does not fit, with the value.
	bad     func(row, field int, value []byte, why string)
	scratch []byte
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

// bare is a field without quotes and spaces around it; why says why it has no value.
func (p *piece) bare(field []byte) (value []byte, why string) {
	if p.tokens.Special(field[0]) {
		if field, why = p.tokens.Value(p.scratch[:0], field); why != "" {
			return nil, why
		}
	}
	return bytes.Trim(field, " \t"), ""
}

// fixed is a column of values of one size, each read by itself.
type fixed[T any] struct {
	dataType arrow.DataType
	mem      memory.Allocator
	// parse reads the value that lies between two offsets; ok is false where that is
	// none of the type's.
	parse func(text []byte, from, to int) (v T, ok bool)
	// array makes the array's data of values.
	array func(mem memory.Allocator, values []T) *memory.Buffer
	// why says of a text without a value why; nil where its type says it all.
	why func(text []byte) string

	values []T
	valid  validity
}

func (c *fixed[T]) begin(rows int) {
	if cap(c.values) < rows {
		c.values = make([]T, 0, rows)
	}
	c.values = c.values[:0]
	c.valid.begin(rows)
}

func (c *fixed[T]) convert(p *piece, field int) {
	base := len(c.values)
	c.values = append(c.values, make([]T, p.Rows)...)
	values := c.values[base:]
	clear(values)
	at, stride := p.At[p.First[field]:], p.Stride
	checked := len(p.nulls) > 0
	for r := range values {
		k := r * stride
		from, to := int(at[k])+1, int(at[k+1])
		if to <= from {
			c.valid.null(base + r)
			continue
		}
		if checked && p.isNull(p.Text[from:to]) {
			c.valid.null(base + r)
			continue
		}
		v, ok := c.parse(p.Text, from, to)
		if !ok {
			v, ok = c.slow(p, r, field, p.Text[from:to])
		}
		if !ok {
			c.valid.null(base + r)
			continue
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
		p.scratch = append(append(append(p.scratch[:0], make([]byte, pad)...), value...), make([]byte, pad)...)
		from, to := pad, pad+len(value)
		if v, ok = c.parse(p.scratch, from, to); ok {
			return v, true
		}
		if text = p.scratch[from:to]; c.why != nil {
			why = c.why(text)
		}
	}
	p.bad(row, field, text, why)
	return v, false
}

func (c *fixed[T]) finish() arrow.Array {
	n := len(c.values)
	values := c.array(c.mem, c.values)
	defer values.Release()
	return c.valid.array(c.mem, c.dataType, n, values)
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
	ends  []int32
	text  []byte
	valid validity
}

func (c *texts) begin(rows int) {
	c.ends, c.text = append(c.ends[:0], 0), c.text[:0]
	c.valid.begin(rows)
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
		if value, why = p.tokens.Value(p.scratch[:0], value); why != "" {
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
	if !p.ascii && !utf8.Valid(value) {
		p.bad(row, field, value, "is no UTF-8; convert the file first, such as by iconv -f ISO-8859-1 -t UTF-8")
		c.valid.null(len(c.ends) - 1)
		return
	}
	c.text = append(c.text, value...)
}

func (c *texts) finish() arrow.Array {
	ends, text := filled(c.mem, arrow.Int32Traits.CastToBytes(c.ends)), filled(c.mem, c.text)
	defer ends.Release()
	defer text.Release()
	return c.valid.array(c.mem, arrow.BinaryTypes.String, len(c.ends)-1, ends, text)
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

// newColumn makes the column of a type that ParseType knows.
func newColumn(mem memory.Allocator, t arrow.DataType) column {
	switch t := t.(type) {
	case *arrow.Int64Type:
		return &fixed[int64]{dataType: t, mem: mem, parse: parseInt64, array: plainValues(arrow.Int64Traits.CastToBytes)}
	case *arrow.Int32Type:
		return &fixed[int32]{dataType: t, mem: mem, parse: smallInt[int32], array: plainValues(arrow.Int32Traits.CastToBytes)}
	case *arrow.Int16Type:
		return &fixed[int16]{dataType: t, mem: mem, parse: smallInt[int16], array: plainValues(arrow.Int16Traits.CastToBytes)}
	case *arrow.Int8Type:
		return &fixed[int8]{dataType: t, mem: mem, parse: smallInt[int8], array: plainValues(arrow.Int8Traits.CastToBytes)}
	case *arrow.Uint64Type:
		return &fixed[uint64]{dataType: t, mem: mem, parse: parseUint64, array: plainValues(arrow.Uint64Traits.CastToBytes)}
	case *arrow.Uint32Type:
		return &fixed[uint32]{dataType: t, mem: mem, parse: smallUint[uint32], array: plainValues(arrow.Uint32Traits.CastToBytes)}
	case *arrow.Uint16Type:
		return &fixed[uint16]{dataType: t, mem: mem, parse: smallUint[uint16], array: plainValues(arrow.Uint16Traits.CastToBytes)}
	case *arrow.Uint8Type:
		return &fixed[uint8]{dataType: t, mem: mem, parse: smallUint[uint8], array: plainValues(func(v []uint8) []byte { return v })}
	case *arrow.Float64Type:
		return &fixed[float64]{dataType: t, mem: mem, parse: parseFloat64, array: plainValues(arrow.Float64Traits.CastToBytes)}
	case *arrow.Float32Type:
		return &fixed[float32]{dataType: t, mem: mem, parse: parseFloat32, array: plainValues(arrow.Float32Traits.CastToBytes)}
	case *arrow.BooleanType:
		return &fixed[bool]{dataType: t, mem: mem, parse: parseBool, array: bitValues}
	case *arrow.Date32Type:
		return &fixed[arrow.Date32]{dataType: t, mem: mem, parse: parseDate, array: plainValues(arrow.Date32Traits.CastToBytes)}
	case *arrow.TimestampType:
		c := &fixed[arrow.Timestamp]{dataType: t, mem: mem, array: plainValues(arrow.TimestampTraits.CastToBytes)}
		c.parse = func(text []byte, from, to int) (arrow.Timestamp, bool) {
			m, ok := parseMoment(text[from:to])
			if !ok {
				return 0, false
			}
			v, why := m.ticks(t)
			return arrow.Timestamp(v), why == ""
		}
		c.why = func(text []byte) string {
			m, ok := parseMoment(text)
			if !ok {
				return ""
			}
			_, why := m.ticks(t)
			return why
		}
		return c
	case *arrow.Decimal128Type:
		return &fixed[decimal128.Num]{dataType: t, mem: mem, array: plainValues(arrow.Decimal128Traits.CastToBytes), parse: func(text []byte, from, to int) (decimal128.Num, bool) {
			return parseDecimal(text[from:to], t)
		}}
	case *arrow.StringType:
		return &texts{mem: mem}
	default:
		return &none{}
	}
}

// plainValues are values as they lie in memory.
func plainValues[T any](bytesOf func([]T) []byte) func(memory.Allocator, []T) *memory.Buffer {
	return func(mem memory.Allocator, values []T) *memory.Buffer { return filled(mem, bytesOf(values)) }
}

func bitValues(mem memory.Allocator, values []bool) *memory.Buffer {
	bits := make([]byte, bitutil.BytesForBits(int64(len(values))))
	for i, v := range values {
		if v {
			bitutil.SetBit(bits, i)
		}
	}
	return filled(mem, bits)
}

func parseDate(text []byte, from, to int) (arrow.Date32, bool) {
	days, ok := parseDay(text[from:to])
	return arrow.Date32(days), ok
}

// parseBool reads true and false in any case, and 1 and 0.
func parseBool(text []byte, from, to int) (v, ok bool) {
	switch value := text[from:to]; {
	case len(value) == 1 && value[0]|1 == '1':
		return value[0] == '1', true
	case bytes.EqualFold(value, []byte("true")):
		return true, true
	case bytes.EqualFold(value, []byte("false")):
		return false, true
	}
	return false, false
}
