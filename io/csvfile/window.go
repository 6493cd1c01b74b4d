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

// cover marks the text from an offset on, unless it is marked already.
func (w *window) cover(text []byte, at int, delimiter byte) {
	if at >= w.from && at < w.to {
		return
	}
	w.from, w.to = at, min(at+windowBytes, len(text))
	kernel.Find(w.marks[:], text[w.from:w.to], delimiter)
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
	within := kernel.Within(m.Quote) ^ q.within
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
