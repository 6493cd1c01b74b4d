package csvfile

import (
	"math/bits"

	"github.com/millrace/millrace/io/csvfile/kernel"
)

// windowBytes are marked at a time: the marks stay in the first level of cache.
const windowBytes = 16 << 10

// window is a piece of text of which the bytes that matter are marked.
type window struct {
	from, to int // of the text
	marks    [windowBytes / kernel.Block]kernel.Marks
}

// begin marks the text from where a record begins, unless it is marked already, and gives
// the block to go on from, whose marks before the record are gone: whoever reads goes back
// to none. bit is the record's first byte in it.
func (w *window) begin(text []byte, record int, delimiter byte) (block int, bit uint64) {
	if record < w.from || record >= w.to {
		w.from, w.to = record, min(record+windowBytes, len(text))
		kernel.Find(w.marks[:], text[w.from:w.to], delimiter)
	}
	block = (record - w.from) / kernel.Block
	from := uint((record - w.from) % kernel.Block)
	w.marks[block] = w.marks[block].From(from)
	return block, 1 << from
}

// quoting follows quotes from block to block, from a record's beginning on: every quote
// opens or closes. That is how CSV is read if each that opens stands where a field begins
// or doubles the one before it, and each that closes where the field ends; where one does
// not, the record is odd.
type quoting struct {
	within uint64 // all ones in quotes
	begins uint64 // 1 where a quote may open at the next block's first byte
	closed uint64 // 1 where the block's last byte was a quote that closes
}

// outside gives the places of a block's delimiters and of its ends of lines that are not
// within quotes, up to the first byte that makes a record odd, which has a bit in odd.
func (q *quoting) outside(m *kernel.Marks, text []byte, at int) (delimiters, ends, odd uint64) {
	if m.Quote|q.within|q.closed == 0 {
		q.begins = (m.Delimiter | m.Feed) >> 63
		return m.Delimiter, m.Feed, 0
	}
	if m.Quote|q.closed == 0 { // all of it is within quotes
		q.begins = 0
		return 0, 0, 0
	}
	within := m.Within ^ q.within
	opens, closes := m.Quote&within, m.Quote&^within
	delimiters, ends = m.Delimiter&^within, m.Feed&^within
	places := delimiters | ends | closes
	odd = opens &^ (places<<1 | q.begins)
	after := (closes<<1 | q.closed) &^ (delimiters | ends | m.Quote)
	for ; after != 0; after &= after - 1 {
		i := at + bits.TrailingZeros64(after)
		if i+1 >= len(text) || text[i] != '\r' || text[i+1] != '\n' {
			odd |= after & -after
			break
		}
	}
	q.within, q.begins, q.closed = -(within >> 63), places>>63, closes>>63
	if odd != 0 {
		first := odd & -odd
		return delimiters & (first - 1), ends & (first - 1), first
	}
	return delimiters, ends, 0
}
