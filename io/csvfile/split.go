package csvfile

import (
	"bytes"
	"math/bits"

	"github.com/millrace/millrace/io/csvfile/kernel"
	"github.com/millrace/millrace/io/lines"
)

// States of a record of CSV besides those of all syntaxes.
const (
	atReturn    = lines.OwnState + iota // after a CR with which the record begins
	atField                             // where a field begins, but the record's first
	inField                             // in a field without quotes
	inQuotes                            // in a field with quotes
	afterQuote                          // after a quote within such a field
	afterReturn                         // after a CR that follows the closing quote
)

// Guess implements lines.Syntax: a block begins within quotes or it does not, which most
// blocks show.
func (s *syntax) Guess(before byte, block []byte) []lines.State {
	outside := inField
	switch before {
	case '\n':
		outside = lines.AtRecord
	case s.delimiter:
		outside = atField
	}
	if s.quote == 0 {
		return []lines.State{outside}
	}
	switch opens, closes, quoted := s.sides(before, block); {
	case !quoted, opens > 0 && closes == 0:
		return []lines.State{outside}
	case closes > 0 && opens == 0:
		return []lines.State{inQuotes}
	default:
		return []lines.State{outside, inQuotes}
	}
}

// mostSides are enough quotes to see by them how a block begins.
const mostSides = 4

// sides counts, of the first quotes that show it by what they stand between, those that open or
// close a field if the block begins outside quotes, and those that do if it begins within. A
// field's text has quotes two by two, so that an odd number of them in a row is at its edge. quoted
// says whether there are quotes.
func (s *syntax) sides(before byte, block []byte) (outside, within int, quoted bool) {
	inside := 0 // 1 after an odd number of quotes
	for at := 0; outside+within < mostSides; {
		next := bytes.IndexByte(block[at:], s.quote)
		if next < 0 {
			break
		}
		quoted = true
		if next += at; next > 0 {
			before = block[next-1]
		}
		for at = next; at < len(block) && block[at] == s.quote; {
			at++
		}
		if at == len(block) {
			break
		}
		if (at-next)%2 == 0 {
			continue
		}
		begins := before == s.delimiter || before == '\n'
		ends := block[at] == s.delimiter || block[at] == '\n' || block[at] == '\r'
		if begins != ends {
			if begins == (inside == 0) {
				outside++
			} else {
				within++
			}
		}
		inside ^= 1
	}
	return outside, within, quoted
}

// Finish implements lines.Syntax.
func (s *syntax) Finish(at lines.State) (row, broken bool) {
	return at != atReturn && at != lines.Commenting, at == inQuotes
}

// splitter goes through one block.
type splitter struct {
	*syntax

	text   []byte
	most   int
	next   int // the next quote at or after at; len(text) where there is none
	at     int
	open   int
	state  lines.State
	out    lines.Split
	window window
}

// Split implements lines.Syntax.
func (s *syntax) Split(block []byte, from lines.State, most int) lines.Split {
	p := splitter{syntax: s, text: block, most: most, open: -1, state: from, next: -1}
	p.out.First = -1
	for p.at < len(p.text) {
		if p.state == lines.AtRecord && most >= kernel.Block && s.marked() && p.records() {
			continue
		}
		if !p.step() {
			p.out.Broken = true
			return p.out
		}
	}
	for p.open >= 0 && p.state != lines.Skipping && len(p.text)-p.open > most {
		p.resume()
		for p.at < len(p.text) {
			p.step()
		}
	}
	p.out.State, p.out.Open = p.state, p.open
	return p.out
}

// findQuote finds the next quote from at on.
func (p *splitter) findQuote() {
	if p.next >= p.at {
		return
	}
	if p.next = len(p.text); p.quote == 0 {
		return
	}
	if i := bytes.IndexByte(p.text[p.at:], p.quote); i >= 0 {
		p.next = p.at + i
	}
}

// end ends a record just before an offset.
func (p *splitter) end(at int, rows int64) {
	if p.out.First < 0 {
		p.out.First = at
	}
	p.out.Last, p.out.Rows = at, p.out.Rows+rows
	p.at, p.open, p.state = at, -1, lines.AtRecord
}

// endRecord ends one that has a row, unless it is too long.
func (p *splitter) endRecord(at int) bool {
	if p.open >= 0 && at-p.open > p.most {
		p.resume()
		return true
	}
	p.end(at, 1)
	return true
}

// resume takes the open record's first line for a row, and goes on behind it.
func (p *splitter) resume() {
	lf := bytes.IndexByte(p.text[p.open:], '\n')
	if lf < 0 {
		p.at, p.state = len(p.text), lines.Skipping
		return
	}
	p.end(p.open+lf+1, 1)
	p.next = -1
	p.findQuote()
}

// broken deals with a record that cannot go on as it does; false where it began before
// the block.
func (p *splitter) broken() bool {
	if p.open < 0 {
		return false
	}
	p.resume()
	return true
}

// step goes on to the next place that matters; false where the record that was open at
// the block's beginning is broken.
func (p *splitter) step() bool {
	c := p.text[p.at]
	switch p.state {
	case lines.AtRecord:
		switch {
		case c == '\n':
			p.end(p.at+1, 0)
		case p.comment != 0 && c == p.comment:
			p.open, p.state = -1, lines.Commenting
		case c == '\r':
			p.open, p.at, p.state = p.at, p.at+1, atReturn
		default:
			p.open, p.state = p.at, atField
		}
	case atReturn:
		if c == '\n' {
			p.end(p.at+1, 0)
			return true
		}
		p.state = inField
	case atField:
		if p.state = inField; p.opens(p.text, p.at) {
			p.at, p.state = p.at+1, inQuotes
		}
	case inField:
		return p.stepField()
	case inQuotes:
		p.findQuote()
		if p.at = p.next; p.at < len(p.text) {
			p.at, p.state = p.at+1, afterQuote
		}
	case afterQuote:
		switch c {
		case p.quote:
			p.at, p.state = p.at+1, inQuotes
		case p.delimiter:
			p.at, p.state = p.at+1, atField
		case '\r':
			p.at, p.state = p.at+1, afterReturn
		case '\n':
			return p.endRecord(p.at + 1)
		default:
			return p.broken()
		}
	case afterReturn:
		if c != '\n' {
			return p.broken()
		}
		return p.endRecord(p.at + 1)
	case lines.Skipping, lines.Commenting:
		lf := bytes.IndexByte(p.text[p.at:], '\n')
		rows := int64(1)
		if p.state == lines.Commenting {
			rows = 0
		}
		if lf < 0 {
			p.at = len(p.text)
			return true
		}
		p.end(p.at+lf+1, rows)
	}
	return true
}

// records goes to behind the last record that ends in the window where one begins, or
// before the first that is odd or too long; false where that is the first.
func (p *splitter) records() bool {
	w, start := &p.window, p.at
	block, feed := w.begin(p.text, start, p.delimiter)
	quotes, blank, open := quoting{begins: feed}, uint64(0), start
	for at := w.from + block*kernel.Block; at < w.to; at += kernel.Block {
		m := &w.marks[block]
		block++
		_, ends, odd := quotes.outside(m, p.text, at)
		// A line is blank if its end, or a CR before that, is where it begins.
		begin := ends<<1 | feed
		returns := m.Return & begin
		blanks := ends & (begin | returns<<1 | blank)
		feed, blank = ends>>63, returns>>63
		if ends != 0 {
			if at+bits.TrailingZeros64(ends)+1-open > p.most {
				break
			}
			if p.out.First < 0 {
				p.out.First = at + bits.TrailingZeros64(ends) + 1
			}
			p.out.Rows += int64(bits.OnesCount64(ends) - bits.OnesCount64(blanks))
			open = at + bits.Len64(ends)
		}
		if odd != 0 {
			break
		}
	}
	if open == start {
		return false
	}
	p.out.Last, p.at = open, open
	return true
}

// stepField goes to the end of the record, or to a field that begins with a quote.
func (p *splitter) stepField() bool {
	end := len(p.text)
	if lf := bytes.IndexByte(p.text[p.at:], '\n'); lf >= 0 {
		end = p.at + lf
	}
	for p.findQuote(); p.next < end; p.findQuote() {
		q := p.next
		if q > p.at && p.text[q-1] == p.delimiter {
			p.at, p.state = q+1, inQuotes
			return true
		}
		p.at = q + 1 // it is text
	}
	if end == len(p.text) {
		p.at = end
		// What follows a delimiter may be a quote.
		if p.text[end-1] == p.delimiter {
			p.state = atField
		}
		return true
	}
	return p.endRecord(end + 1)
}
