package lines

import (
	"bytes"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/internal/numerals"
)

// kind is what the values of a column look like.
type kind uint8

const (
	nothing  kind = iota // all are null
	truth                // true, false
	whole                // integers of 64 bits
	positive             // integers, some beyond int64, none negative
	number               // others of float64
	day
	instant      // a time without an offset
	zonedInstant // with one
	textKind
)

// types are those that columns of a kind get.
var types = [...]arrow.DataType{
	nothing: arrow.Null, truth: arrow.FixedWidthTypes.Boolean, whole: arrow.PrimitiveTypes.Int64, positive: arrow.PrimitiveTypes.Uint64,
	number: arrow.PrimitiveTypes.Float64, day: arrow.FixedWidthTypes.Date32,
	instant: &arrow.TimestampType{Unit: arrow.Microsecond}, zonedInstant: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"},
	textKind: arrow.BinaryTypes.String,
}

// guess is what is known of a column by the values that were looked at.
type guess struct {
	kind     kind
	negative bool // some integer is
	nanos    bool // some time has more than six digits of a second's fraction
	far      bool // some time is beyond those that nanoseconds count
	rows     int64
	nulls    int64
	bytes    int64 // of all values as they are written
	// why is the first value that made the kind what it is.
	why string
}

// see takes a value into account. It has no quotes any more; quoted says that it had
// some, as text of JSON has.
func (g *guess) see(value []byte, f *forms, isText bool) {
	g.rows++
	var v guess
	switch {
	case value == nil:
		g.nulls++
		return
	case g.kind == textKind: // and stays it
		return
	case isText:
		v = f.ofText(value)
	default:
		v = f.ofValue(value)
	}
	if v.kind != g.kind {
		v.why = shortText(value)
	}
	g.join(&v)
}

// agrees says that a value, which lies in a text as Fields have it, is plainly of the
// guess's kind, and takes it into account then; most values are.
func (g *guess) agrees(text []byte, from, to int) bool {
	c, digits := text[from], to-from
	if c == '-' && g.kind == number && digits > 1 {
		c, digits = text[from+1], digits-1
	}
	if g.kind != textKind && (c-'0' > 9 || c == '0' && digits > 1 && text[to-digits+1] != '.') {
		return false
	}
	ok := false
	switch g.kind {
	case whole:
		if digits <= 18 {
			_, ok = numerals.Int64(text, from, to)
		}
	case number: // which fits: it has a point, or few digits, and is below 1e308
		var d numerals.Decimal
		d, ok = numerals.ScanDecimal(text, from, to)
		ok = ok && (digits <= 18 || d.Exponent < 0) && digits+d.Exponent <= 308
	case textKind:
		ok = true
	default:
	}
	if ok {
		g.rows++
	}
	return ok
}

// join makes one guess of two, of which the other saw later rows.
func (g *guess) join(o *guess) {
	g.negative, g.nanos, g.far = g.negative || o.negative, g.nanos || o.nanos, g.far || o.far
	g.rows, g.nulls, g.bytes = g.rows+o.rows, g.nulls+o.nulls, g.bytes+o.bytes
	was := g.kind
	a, b := min(g.kind, o.kind), max(g.kind, o.kind)
	switch {
	case a == b, a == nothing:
		g.kind = b
	case a == whole && (b == number || b == positive && !g.negative), a == positive && b == number,
		a == day && b == instant:
		g.kind = b
	default:
		g.kind = textKind
	}
	if g.kind == positive && g.negative {
		g.kind = textKind
	}
	if g.kind != was && o.why != "" {
		g.why = o.why
	}
}

// dataType is the type of a column like this.
func (g *guess) dataType() arrow.DataType {
	if t, ok := types[g.kind].(*arrow.TimestampType); ok && g.nanos {
		if g.far { // no unit has all of them
			return types[textKind]
		}
		return &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: t.TimeZone}
	}
	return types[g.kind]
}

// ofValue is the guess by one value.
func (f *forms) ofValue(value []byte) guess {
	trimmed := bytes.Trim(value, blanks)
	if len(trimmed) == 0 {
		return guess{kind: textKind}
	}
	if !f.plainNumerals {
		number, ok := f.numeral.plain(nil, trimmed)
		if !ok || len(number) == 0 {
			return f.ofText(value)
		}
		trimmed = number
	}
	var room [64]byte
	padded := room[:]
	if need := len(trimmed) + 2*pad; need > len(room) {
		padded = make([]byte, need)
	}
	copy(padded[pad:], trimmed)
	from, to := pad, pad+len(trimmed)
	switch c := trimmed[0]; {
	case leadingZero(trimmed):
		return f.ofText(value) // no number, but a code, such as of a place: 01234; or a date
	case c-'0' <= 9, c == '-', c == '+', c == '.':
		if _, ok := numerals.Int64(padded, from, to); ok {
			return guess{kind: whole, negative: c == '-'}
		}
		if _, ok := numerals.Uint64(padded, from, to); ok {
			return guess{kind: positive}
		}
		if _, ok := numerals.ScanDecimal(padded, from, to); ok && !isInteger(trimmed) {
			if _, ok := numerals.Powers().Float64(padded, from, to); ok {
				return guess{kind: number}
			}
		}
	case bytes.EqualFold(trimmed, []byte("true")), bytes.EqualFold(trimmed, []byte("false")):
		return guess{kind: truth}
	}
	if _, ok := numerals.NotFinite(trimmed); ok {
		return guess{kind: number}
	}
	return f.ofText(value)
}

// ofText is the guess by text that is no number whatever it looks like.
func (f *forms) ofText(value []byte) guess {
	trimmed := bytes.Trim(value, blanks)
	if _, is := f.truth(trimmed); is {
		return guess{kind: truth}
	}
	m, ok := f.moment(trimmed)
	v := guess{kind: instant, nanos: m.places > 6, far: m.beyond(arrow.Nanosecond)}
	switch {
	case !ok:
		return guess{kind: textKind}
	case m.dated:
		v.kind = day
	case m.zoned:
		v.kind = zonedInstant
	}
	return v
}

// leadingZero says that a number begins with a zero which a number would not keep.
func leadingZero(value []byte) bool {
	if value[0] == '-' || value[0] == '+' {
		value = value[1:]
	}
	return len(value) > 1 && value[0] == '0' && value[1]-'0' <= 9
}

// isInteger says that a number has digits alone: one beyond 64 bits would lose some as
// a float64.
func isInteger(value []byte) bool {
	return value[0] != '.' && bytes.IndexFunc(value[1:], func(r rune) bool { return r < '0' || r > '9' }) < 0
}

// shortText is a value for a message.
func shortText(value []byte) string {
	const most = 40
	if len(value) > most {
		return fmt.Sprintf("%q...", value[:most])
	}
	return fmt.Sprintf("%q", value)
}
