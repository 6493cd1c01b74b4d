package engine

import (
	"errors"
	"fmt"
	"sort"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/dataset"
)

// spanIndex numbers the spans of a dataset, file by file, and finds that of a row.
type spanIndex struct {
	first []int     // by file: the number of its first span; and of all spans at the end
	rows  [][]int64 // by file and span: its first row in the file
}

func newSpanIndex(data *dataset.Dataset) *spanIndex {
	x := &spanIndex{first: []int{0}}
	for file := range data.Files() {
		spans := data.Spans(file)
		rows, row := make([]int64, len(spans)), int64(0)
		for i, s := range spans {
			rows[i], row = row, row+s.Rows
		}
		x.rows = append(x.rows, rows)
		x.first = append(x.first, x.first[file]+len(spans))
	}
	return x
}

// spans is how many there are.
func (x *spanIndex) spans() int { return x.first[len(x.first)-1] }

// of is the number of the span that a row lies in, which is not empty.
func (x *spanIndex) of(o batcher.Origin) int {
	rows := x.rows[o.File]
	return x.first[o.File] + sort.Search(len(rows), func(i int) bool { return rows[i] > o.Row }) - 1
}

// ofFile are the accounts of a file's spans, of those of all spans.
func (x *spanIndex) ofFile(file int, accounts []ledger.Rows) []ledger.Rows {
	return accounts[x.first[file]:x.first[file+1]]
}

// reconcileSpans compares the rows that were read of each span with those that the
// file's own metadata announce.
func (c *collector) reconcileSpans() error {
	var problems []error
	for i, f := range c.plan.Dataset.Files() {
		announced := c.plan.Dataset.Spans(i)
		for k, got := range c.index.ofFile(i, c.spans) {
			if got.Read != announced[k].Rows {
				problems = append(problems, fmt.Errorf("%w: %s: span %d announces %d rows and %d were read", ledger.ErrAccounts, f.Path, k, announced[k].Rows, got.Read))
			}
		}
	}
	if len(problems) > 1 { // one tells as much as thousands
		problems = append(problems[:1], fmt.Errorf("and %d more spans", len(problems)-1))
	}
	return errors.Join(problems...)
}
