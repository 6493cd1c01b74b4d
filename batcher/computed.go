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
	if p.Asked {
		a.tensors.Rejects = append(a.tensors.Rejects, Reject{Row: a.first + row, Column: p.Feature, Reason: p.Reason, Asked: true, Computed: true})
		return nil
	}
	return a.badRow(row, RowError{Input: b.Input.Name, Feature: p.Feature, Reason: p.Reason, Advice: p.Advice})
}

// checkComputed counts the nulls that a feature ends in, and applies its policy.
func (a *Assembler) checkComputed(b *Binding, c computedRow, marks []feature.Mark) error {
	f, nulls := &b.Features[c.feature], int64(0)
	for _, m := range marks {
		if m == feature.NullMark {
			nulls++
		}
	}
	a.counts.Features[c.index][c.feature].Nulls += nulls
	if nulls == 0 || !f.Nulls.rejects() {
		return nil
	}
	advice := "give it a transform that fills (fill), or " + nullAdvice(f.Column, b.Input.Elem)
	for r, m := range marks {
		if m != feature.NullMark {
			continue
		}
		if err := a.nullRow(b, c.feature, c.at+r, advice); err != nil {
			return err
		}
	}
	return nil
}
