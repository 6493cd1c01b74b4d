package filter

import (
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
)

// Evaluator evaluates a filter on record batches. It belongs to one goroutine; Close
// gives up the dictionaries that it has seen.
type Evaluator struct {
	filter *Filter
	tile   tile
	passed []uint64
	failed []uint64
}

// NewEvaluator makes an Evaluator.
func (f *Filter) NewEvaluator() *Evaluator {
	return &Evaluator{filter: f, tile: tile{tables: tables{}}}
}

// Close gives up what the evaluator holds.
func (e *Evaluator) Close() { e.tile.tables.release() }

// Selection is some rows of a record batch, one bit a row.
type Selection struct {
	words []uint64
	rows  int
}

// Eval says which of the rows of columns, which are those of Filter.Columns, pass, and
// which fail for certain: where the expression is unknown a row does neither. Both
// are valid until the next Eval. The columns are borrowed; they must be of the types
// of the schema that the filter was parsed with, and nobody else may use the same
// arrays meanwhile: arrays learn their nulls and dictionaries when first asked.
func (e *Evaluator) Eval(columns []arrow.Array, rows int) (passed, failed Selection) {
	n := wordsOf(rows)
	if cap(e.passed) < n {
		e.passed, e.failed = make([]uint64, n), make([]uint64, n)
	}
	e.passed, e.failed = e.passed[:n], e.failed[:n]
	t := &e.tile
	t.columns = columns
	for t.from = 0; t.from < rows; t.from += tileRows {
		t.rows = min(tileRows, rows-t.from)
		t.reset(mark{})
		got := e.filter.root.eval(t)
		copy(e.passed[t.from/64:], got.yes)
		copy(e.failed[t.from/64:], got.no)
	}
	t.columns = nil
	return Selection{e.passed, rows}, Selection{e.failed, rows}
}

// Select selects the rows that something holds for.
func Select(rows int, holds func(row int) bool) Selection {
	s := Selection{make([]uint64, wordsOf(rows)), rows}
	for row := range rows {
		if holds(row) {
			s.Add(row)
		}
	}
	return s
}

// Add selects a row.
func (s Selection) Add(row int) { s.words[row/64] |= 1 << (row % 64) }

// Count is how many rows are selected.
func (s Selection) Count() int { return count(s.words) }

// Rows calls yield for each row that is selected, in order, until it returns false.
func (s Selection) Rows(yield func(row int) bool) {
	for i, w := range s.words {
		for ; w != 0; w &= w - 1 {
			if !yield(i*64 + bits.TrailingZeros64(w)) {
				return
			}
		}
	}
}
