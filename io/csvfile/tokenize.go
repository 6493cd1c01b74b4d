package csvfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/millrace/millrace/io/lines"
)

// tokenizer finds the fields of records: of a line without quotes eight bytes at a
// time, of others field by field.
type tokenizer struct {
	*syntax

	columns int
	wanted  []int
	most    int

	quote int      // the next quote of the text at or after where Next is
	at    []uint32 // of one record
}

// Tokenizer implements lines.Syntax.
func (s *syntax) Tokenizer(columns []string, wanted []int, most int) lines.Tokenizer {
	return &tokenizer{syntax: s, columns: len(columns), wanted: wanted, most: most}
}

// Special implements lines.Tokenizer.
func (*tokenizer) Special(first byte) bool { return first == '"' }

// Value implements lines.Tokenizer.
func (*tokenizer) Value(scratch, field []byte) (value []byte, why string) {
	field = field[1 : len(field)-1]
	at := bytes.IndexByte(field, '"')
	if at < 0 {
		return field, ""
	}
	scratch = scratch[:0]
	for at >= 0 { // each is doubled
		scratch = append(scratch, field[:at+1]...)
		field = field[min(at+2, len(field)):]
		at = bytes.IndexByte(field, '"')
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
	t.quote = -1
	for f.Rows < most && at < len(text) {
		end, whole := len(text), last
		if lf := bytes.IndexByte(text[at:], '\n'); lf >= 0 {
			end, whole = at+lf, true
		}
		if t.findQuote(text, at); t.quote < end {
			next, skip, whole = t.record(f, at, last)
		} else {
			next, skip, whole = t.line(f, at, end, whole)
		}
		if !whole {
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

// findQuote finds the next quote from at on.
func (t *tokenizer) findQuote(text []byte, at int) {
	if t.quote >= at {
		return
	}
	if t.quote = len(text); at < len(text) {
		if i := bytes.IndexByte(text[at:], '"'); i >= 0 {
			t.quote = at + i
		}
	}
}

// line splits a line without quotes, or what there is of it.
func (t *tokenizer) line(f *lines.Fields, at, end int, whole bool) (next int, skip, ok bool) {
	text := f.Text
	next = min(end+1, len(text))
	if next-at > t.most {
		t.bad(f, t.tooLong())
		return next, !whole, true
	}
	if !whole {
		return at, false, false
	}
	if end > at && text[end-1] == '\r' {
		end--
	}
	if end == at {
		return next, false, true
	}
	row := f.At[f.Rows*f.Stride:]
	n := t.split(text, at, end, row)
	if n != t.columns {
		t.bad(f, t.wrongFields(n))
		return next, false, true
	}
	row[0], row[n] = uint32(at-1), uint32(end)
	f.Rows++
	return next, false, true
}

// The bytes of a word with one value each.
const (
	ones   = 0x0101010101010101
	sevens = 0x7f7f7f7f7f7f7f7f
)

// split notes the delimiters of a line from row[1] on, as many as a row has and at most
// some more, and gives the number of fields.
func (t *tokenizer) split(text []byte, at, end int, row []uint32) int {
	pattern, n, columns := uint64(t.delimiter)*ones, 1, t.columns
	row = row[:columns+8]
	for ; at < end; at += 8 {
		w := binary.LittleEndian.Uint64(text[at:at+8]) ^ pattern
		found := ^((w&sevens + sevens) | w | sevens) // the top bit of each byte that is 0
		if rest := end - at; rest < 8 {
			found &= 1<<(8*rest) - 1
		}
		if found == 0 {
			continue
		}
		if n >= columns {
			return n + bytes.Count(text[at:end], []byte{t.delimiter})
		}
		for ; found != 0; found &= found - 1 {
			row[n] = uint32(at + bits.TrailingZeros64(found)/8)
			n++
		}
	}
	return n
}

func (t *tokenizer) wrongFields(n int) string {
	return fmt.Sprintf("has %d fields and not %d", n, t.columns)
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
		inQuotes := at < len(text) && text[at] == '"'
		if inQuotes {
			for stop++; ; stop++ { // to behind the closing quote
				q := bytes.IndexByte(text[stop:], '"')
				if q < 0 {
					return unknown(notClosed)
				}
				if stop += q + 1; stop == len(text) || text[stop] != '"' {
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
			return stop + 1, 0, "has text after a closing quote", true
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
