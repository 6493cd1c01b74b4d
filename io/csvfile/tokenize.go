package csvfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/dustin/go-humanize/english"

	"github.com/millrace/millrace/io/csvfile/kernel"
	"github.com/millrace/millrace/io/lines"
)

// tokenizer finds the fields of records: of most by the marks of a window, of a line that
// has no end in it eight bytes at a time, and field by field where quotes are odd.
type tokenizer struct {
	*syntax

	special uint16 // the quote, or what no byte is
	columns int
	wanted  []int
	most    int

	at     []uint32 // of one record
	window window
}

// Tokenizer implements lines.Syntax.
func (s *syntax) Tokenizer(columns []string, wanted []int, most int) lines.Tokenizer {
	t := &tokenizer{syntax: s, special: uint16(s.quote), columns: len(columns), wanted: wanted, most: most}
	if s.quote == 0 {
		t.special = 1 << 8
	}
	return t
}

// Special implements lines.Tokenizer.
func (t *tokenizer) Special(first byte) bool { return uint16(first) == t.special }

// Value implements lines.Tokenizer.
func (t *tokenizer) Value(scratch, field []byte) (value []byte, why string) {
	field = field[1 : len(field)-1]
	if len(field) <= 8 && cap(field) >= 8 { // most are
		if quotes := kernel.Zeros(binary.LittleEndian.Uint64(field[:8]) ^ uint64(t.quote)*ones); quotes<<(64-8*len(field)) == 0 {
			return field, ""
		}
	}
	at := bytes.IndexByte(field, t.quote)
	if at < 0 {
		return field, ""
	}
	scratch = scratch[:0]
	for at >= 0 { // each is doubled
		scratch = append(scratch, field[:at+1]...)
		field = field[min(at+2, len(field)):]
		at = bytes.IndexByte(field, t.quote)
	}
	return append(scratch, field...), ""
}

// Next implements lines.Tokenizer.
func (t *tokenizer) Next(f *lines.Fields, text []byte, at, most int, last bool) (next int, skip bool) {
	f.Text, f.Rows, f.Stride, f.First, f.Bad = text, 0, t.columns+1, t.wanted, f.Bad[:0]
	if need := most*f.Stride + 8; cap(f.At) < need { // a word may have eight delimiters too many
		f.At = make([]uint32, need)
	}
	f.At, f.Starts = f.At[:cap(f.At)], append(f.Starts[:0], uint32(at))
	t.window.to = 0
	for f.Rows < most && at < len(text) {
		if t.marked() {
			if end := t.records(f, at, most); end > at {
				at = end
				continue
			}
		}
		end, whole := len(text), last
		if lf := bytes.IndexByte(text[at:], '\n'); lf >= 0 {
			end, whole = at+lf, true
		}
		if t.comment != 0 && text[at] == t.comment {
			if f.Rows > 0 { // whose last would end behind the comment
				break
			}
			next, skip = min(end+1, len(text)), !whole
		} else if next, skip, whole = t.line(f, at, end, last, whole); !whole {
			break
		}
		if at = next; len(f.Starts) == f.Rows {
			f.Starts = append(f.Starts, uint32(at))
		} else {
			f.Starts[f.Rows] = uint32(at) // after a blank line
		}
		if skip {
			return at, true
		}
	}
	return at, false
}

// records notes the records whose ends are in the window that an offset is in, up to the
// first that is no row, or odd, and gives where it begins.
func (t *tokenizer) records(f *lines.Fields, start, most int) (next int) {
	text, columns := f.Text, t.columns
	w := &t.window
	block, bit := w.begin(text, start, t.delimiter)
	quotes := quoting{begins: bit}
	row, n := f.At[f.Rows*f.Stride:], 1
	row[0] = uint32(start - 1)
	for at := w.from + block*kernel.Block; at < w.to; at += kernel.Block {
		m := &w.marks[block]
		block++
		delimiters, ends, odd := quotes.outside(m, text, at)
		for places := delimiters | ends; places != 0; places &= places - 1 {
			i := at + bits.TrailingZeros64(places)
			if ends&places&-places == 0 {
				if n < columns {
					row[n] = uint32(i)
				}
				n++
				continue
			}
			to := i
			if to > start && text[to-1] == '\r' {
				to--
			}
			switch {
			case i+1-start > t.most:
				return start
			case to == start:
			case n != columns:
				return start
			default:
				row[n] = uint32(to)
				f.Rows++
				row = f.At[f.Rows*f.Stride:]
			}
			start, n = i+1, 1
			if f.Starts = append(f.Starts[:f.Rows], uint32(start)); f.Rows == most {
				return start
			}
			row[0] = uint32(i)
		}
		if odd != 0 {
			break
		}
	}
	return start
}

// line splits the line from one offset to another, or the record that begins with it.
// Most records are a line, of which each field that has quotes has two, around it.
func (t *tokenizer) line(f *lines.Fields, at, end int, last, whole bool) (next int, skip, ok bool) {
	text := f.Text
	if !whole {
		return t.record(f, at, last)
	}
	next, to := min(end+1, len(text)), end
	if to > at && text[to-1] == '\r' {
		to--
	}
	if to == at && next-at <= t.most {
		return next, false, true
	}
	row := f.At[f.Rows*f.Stride:]
	n, quotes := t.split(text, at, to, row)
	if next-at > t.most || n != t.columns {
		if quotes > 0 {
			return t.record(f, at, last)
		}
		why := t.wrongFields(n)
		if next-at > t.most {
			why = t.tooLong()
		}
		t.bad(f, why)
		return next, false, true
	}
	row[0], row[n] = uint32(at-1), uint32(to)
	if quotes > 0 && quotes != t.around(text, row[:n+1]) {
		return t.record(f, at, last)
	}
	f.Rows++
	return next, false, true
}

// around counts the quotes that stand around fields.
func (t *tokenizer) around(text []byte, row []uint32) (quotes int) {
	for i, to := range row[1:] {
		if from := row[i] + 1; to > from+1 && t.opens(text, int(from)) && text[to-1] == t.quote {
			quotes += 2
		}
	}
	return quotes
}

// ones has the value 1 in each byte.
const ones = 0x0101010101010101

// split notes the delimiters of a line from row[1] on, as many as a row has and at most
// some more, and gives the number of fields, and of quotes.
func (t *tokenizer) split(text []byte, at, end int, row []uint32) (n, quotes int) {
	pattern, quoted, columns := uint64(t.delimiter)*ones, uint64(t.quote)*ones, t.columns
	row = row[:columns+8]
	for n = 1; at < end; at += 8 {
		w := binary.LittleEndian.Uint64(text[at : at+8])
		found, quote := kernel.Zeros(w^pattern), kernel.Zeros(w^quoted)
		if rest := end - at; rest < 8 {
			found &= 1<<(8*rest) - 1
			quote &= 1<<(8*rest) - 1
		}
		quotes += bits.OnesCount64(quote)
		if found == 0 {
			continue
		}
		if n >= columns {
			rest := text[at:end]
			return n + bytes.Count(rest, []byte{t.delimiter}), quotes + bytes.Count(rest, []byte{t.quote})
		}
		for ; found != 0; found &= found - 1 {
			row[n] = uint32(at + bits.TrailingZeros64(found)/8)
			n++
		}
	}
	return n, quotes
}

func (t *tokenizer) wrongFields(n int) string {
	return fmt.Sprintf("has %s and not %d", english.Plural(n, "field", ""), t.columns)
}

func (t *tokenizer) tooLong() string {
	return fmt.Sprintf("is longer than %d bytes", t.most)
}

// bad takes the next row for one that is none.
func (t *tokenizer) bad(f *lines.Fields, reason string) {
	clear(f.At[f.Rows*f.Stride : (f.Rows+1)*f.Stride])
	f.Bad = append(f.Bad, lines.BadRecord{Row: f.Rows, Reason: reason})
	f.Rows++
}

// record splits a record with quotes, or takes its first line for a row that is none.
func (t *tokenizer) record(f *lines.Fields, at int, last bool) (next int, skip, ok bool) {
	end, n, reason, ok := t.quoted(f.Text, at, last)
	if !ok {
		return at, false, false
	}
	switch {
	case reason != "":
		return t.firstLine(f, at, end, reason, last)
	case n != t.columns:
		t.bad(f, t.wrongFields(n))
		return end, false, true
	}
	copy(f.At[f.Rows*f.Stride:], t.at[:n+1])
	f.Rows++
	return end, false, true
}

const notClosed = "has a quote that is not closed"

// firstLine takes the first line of a record for a row that is none. What is said of it
// does not depend on what comes after that line, which another span may have.
func (t *tokenizer) firstLine(f *lines.Fields, at, broken int, reason string, last bool) (next int, skip, ok bool) {
	lf := bytes.IndexByte(f.Text[at:], '\n')
	next = at + lf + 1
	if lf < 0 {
		next = len(f.Text)
	}
	switch {
	case next-at > t.most:
		reason = t.tooLong()
	case lf >= 0 && next < broken:
		reason = notClosed
	}
	t.bad(f, reason)
	return next, lf < 0 && !last, true
}

// afterQuote says that something follows a quoted field, and what it may be: Spark's CSV, unless
// told otherwise, and that of databases has \" for a quote within a field.
func (t *tokenizer) afterQuote(text []byte, at int) string {
	what := "has text after a closing quote"
	switch after := text[at]; {
	case text[at-2] == '\\':
		what += fmt.Sprintf(", before which is a backslash; a quote within a field is to be written twice (%[1]c%[1]c), in Spark by option(\"escape\", \"\\\"\"), and not \\%[1]c", t.quote)
	case after == '\r':
		what += `: a CR alone; if lines end with it, they have to be converted first, such as by tr '\r' '\n'`
	case after == ';' || after == '|' || after == '\t' || after == ',':
		what += fmt.Sprintf(": %q; if it stands between fields, --delimiter says so", after)
	}
	return what
}

// quoted splits one record of text at an offset into t.at, as a row of Fields has it.
// Of a record that is broken it says why, and by what is before the end. ok is false
// where the text does not have all of it.
func (t *tokenizer) quoted(text []byte, at int, last bool) (end, fields int, reason string, ok bool) {
	start := at
	t.at = append(t.at[:0], uint32(at-1))
	unknown := func(broken string) (int, int, string, bool) { // the text ends
		if len(text)-start > t.most {
			return len(text) + 1, 0, t.tooLong(), true
		}
		return len(text) + 1, 0, broken, last
	}
	for {
		stop := at
		inQuotes := t.opens(text, at)
		if inQuotes {
			for stop++; ; stop++ { // to behind the closing quote
				q := bytes.IndexByte(text[stop:], t.quote)
				if q < 0 {
					return unknown(notClosed)
				}
				if stop += q + 1; stop == len(text) || text[stop] != t.quote {
					break
				}
			}
		} else {
			for stop < len(text) && text[stop] != t.delimiter && text[stop] != '\n' {
				stop++
			}
		}
		switch {
		case stop == len(text), text[stop] == '\r' && stop+1 == len(text):
			if !last {
				return unknown("")
			}
			end = len(text)
		case text[stop] == t.delimiter:
			t.at = append(t.at, uint32(stop))
			at = stop + 1
			continue
		case text[stop] == '\r' && text[stop+1] == '\n':
			end = stop + 2
		case text[stop] == '\n':
			end = stop + 1
		default:
			return stop + 1, 0, t.afterQuote(text, stop), true
		}
		if !inQuotes && stop > at && text[stop-1] == '\r' {
			stop--
		}
		if end-start > t.most {
			return end, 0, t.tooLong(), true
		}
		t.at = append(t.at, uint32(stop))
		return end, len(t.at) - 1, "", true
	}
}
