package batcher

import (
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/batcher/feature"
)

// newEvaluator makes the evaluator of programs, for record batches of some columns; nil
// where there are none.
func newEvaluator(programs []*feature.Program, columns []string) *feature.Evaluator {
	if len(programs) == 0 {
		return nil
	}
	return feature.NewEvaluator(programs, func(column string) int { return slices.Index(columns, column) })
}

// openComputed has an evaluator take up the current segment.
func (a *Assembler) openComputed(e *feature.Evaluator) error {
	if err := e.Open(a.segment.Record, a.segment.From, a.segment.Rows); err != nil {
		return a.wrapComputed(err)
	}
	return nil
}

// wrapComputed puts batcher's sentinel and the current segment's first row on an
// evaluator's error.
func (a *Assembler) wrapComputed(err error) error {
	sentinel := ErrDamaged
	if errors.Is(err, feature.ErrType) {
		sentinel = ErrBind
	}
	return fmt.Errorf("%w: rows from %d: %w", sentinel, a.segment.Origin.Row, err)
}

// computedRow is where a computed feature's tile begins.
type computedRow struct{ index, feature, at int }

// compute computes a feature of the evaluator's tile, counts its nulls, and deals with
// its bad rows. Its error is a *RowError, or wraps ErrDamaged.
func (a *Assembler) compute(e *feature.Evaluator, b *Binding, c computedRow) (*feature.Result, error) {
	res, err := e.Compute(b.Features[c.feature].Program)
	if err != nil {
		return nil, a.wrapComputed(err)
	}
	for i := range res.Problems {
		if err := a.problem(b, &res.Problems[i], c.at); err != nil {
			return nil, err
		}
	}
	return res, a.checkComputed(b, c, res.Marks)
}

// problem deals with a row that a feature, or one that it is made of, cannot be
// computed for.
func (a *Assembler) problem(b *Binding, p *feature.Problem, at int) error {
	row := at + p.Row
	switch {
	case p.Asked:
		a.tensors.Rejects = append(a.tensors.Rejects, Reject{Row: a.first + row, Column: p.Feature, Reason: p.Reason, Asked: true})
	case a.rejectBad:
		a.tensors.Rejects = append(a.tensors.Rejects, Reject{Row: a.first + row, Column: p.Feature, Reason: p.Reason, Advice: p.Advice})
	default:
		return &RowError{Input: b.Input.Name, Feature: p.Feature, Origin: a.segment.At(row), Reason: p.Reason, Advice: p.Advice}
	}
	return nil
}

// checkComputed counts the nulls that a feature ends in, and applies its policy.
func (a *Assembler) checkComputed(b *Binding, c computedRow, marks []feature.Mark) error {
	f := &b.Features[c.feature]
	asked := f.Nulls.Action == NullReject
	advice := "" // made for the first null
	for r, m := range marks {
		if m != feature.NullMark {
			continue
		}
		a.counts.Features[c.index][c.feature].Nulls++
		if advice == "" && f.Nulls.Action == NullError {
			advice = "give it a transform that fills (fill), or " + nullAdvice(f.Column, b.Input.Elem)
		}
		switch {
		case asked, f.Nulls.Action == NullError && a.rejectBad:
			a.tensors.Rejects = append(a.tensors.Rejects, Reject{Row: a.first + c.at + r, Column: f.Column, Reason: "null", Asked: asked, Advice: advice})
		case f.Nulls.Action == NullError:
			return a.bad(b, c.feature, c.at+r, "is null", advice)
		}
	}
	return nil
}
