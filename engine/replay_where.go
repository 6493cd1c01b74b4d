package engine

import (
	"context"
	"slices"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/dataset"
)

// ranking says how many of a span's rows that pass the filter lie before one of them;
// passes is false where that one does not.
type ranking func(s dataset.SpanRef, row int64) (rank int64, passes bool, err error)

// plainRank is the ranking where every row passes.
func plainRank(s dataset.SpanRef, row int64) (int64, bool, error) { return row - s.FirstRow, true, nil }

// leavesOut says whether rows were rejected, and left out of the output, in the parts
// in which rows were found.
func leavesOut(m *ledger.Manifest, found []*hit) bool {
	return slices.ContainsFunc(found, func(f *hit) bool { return m.Parts[f.part].Rejected > m.Parts[f.part].Nulled })
}

// ranks reads the filter's columns of the spans that it is asked about, one at a time.
func (p *Plan) ranks(ctx context.Context, l *layout) ranking {
	if p.where == nil {
		return plainRank
	}
	var of dataset.SpanRef
	var numbers []int64 // of the rows of it that pass
	known := false
	return func(s dataset.SpanRef, row int64) (int64, bool, error) {
		if !known || s != of {
			of, known, numbers = s, true, nil
			s.File = l.opened[s.File]
			err := p.readPassing(ctx, s, nil, func(c *chunk) error {
				segment := c.segment()
				for r := range segment.Rows {
					numbers = append(numbers, segment.At(r).Row)
				}
				return nil
			})
			if err != nil {
				known = false
				return 0, false, err
			}
		}
		at, passes := slices.BinarySearch(numbers, row)
		return int64(at), passes, nil
	}
}
