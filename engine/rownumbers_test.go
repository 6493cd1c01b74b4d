package engine

import (
	"testing"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/io/dataset"
)

// Numbers of rows and where they lie, with files that have none between them.
func TestRowNumbers(t *testing.T) {
	numbers := numberRows([]dataset.FileInfo{{}, {Rows: 3}, {}, {}, {Rows: 1}, {Rows: 2}, {}})
	for number, want := range []batcher.Origin{{File: 1}, {File: 1, Row: 1}, {File: 1, Row: 2}, {File: 4}, {File: 5}, {File: 5, Row: 1}} {
		if got := numbers.origin(uint64(number)); got != want {
			t.Errorf("origin(%d) = %+v; want %+v", number, got, want)
		}
		if got := numbers.of(want); got != uint64(number) {
			t.Errorf("of(%+v) = %d; want %d", want, got, number)
		}
	}
}
