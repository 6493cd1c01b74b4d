package batcher

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/millrace/millrace/models"
)

// RejectBad has rows whose values cannot become part of a tensor rejected, where
// Assemble would fail otherwise: nulls where none are allowed, values that a cast
// does not allow or that are not finite, bytes that are not text and lists of another
// length. Such a row keeps its place in the tensors, where another row of the batch stands
// in for it, if all are not rejected. It is called before the first Assemble.
func (a *Assembler) RejectBad() { a.rejectBad = true }

// RowError says which row cannot become part of a tensor, and why.
type RowError struct {
	Input, Column string
	Feature       string // in Column's place, where it is computed
	Origin        Origin
	Reason        string
	Advice        string
}

// Error describes the row by its number; whoever knows the files' names adds
// them.
func (e *RowError) Error() string {
	column := ""
	switch {
	case e.Feature != "":
		column = fmt.Sprintf("feature %q, ", e.Feature)
	case e.Column != "":
		column = fmt.Sprintf("column %q, ", e.Column)
	}
	return fmt.Sprintf("%srow %d: %s; %s", column, e.Origin.Row, e.Reason, e.Advice)
}

// bad deals with a row of the current segment, of which a feature's value is bad.
func (a *Assembler) bad(b *Binding, feature, row int, reason, advice string) error {
	e := RowError{Input: b.Input.Name, Reason: reason, Advice: advice}
	if f := &b.Features[feature]; f.Program != nil {
		e.Feature = f.Column
	} else {
		e.Column = f.Column
	}
	return a.badRow(row, e)
}

// badRow deals with a row of the current segment that cannot become part of a tensor:
// it is rejected, or the error with its origin is returned.
func (a *Assembler) badRow(row int, e RowError) error {
	if !a.rejectBad {
		e.Origin = a.segment.At(row)
		return &e
	}
	a.tensors.Rejects = append(a.tensors.Rejects, Reject{
		Row: a.first + row, Column: cmp.Or(e.Feature, e.Column), Reason: e.Reason, Advice: e.Advice, Computed: e.Feature != "",
	})
	return nil
}

// rejected says whether the last reject is that of a row of the current segment and a
// feature: of a list, one bad value is enough.
func (a *Assembler) rejected(b *Binding, feature, row int) bool {
	n := len(a.tensors.Rejects)
	if n == 0 || !a.rejectBad {
		return false
	}
	last := &a.tensors.Rejects[n-1]
	return last.Row == a.first+row && last.Column == b.Features[feature].Column
}

// checkRows counts a feature's nulls in the current segment and applies its policy,
// after lists of another length are dealt with. Its error is a *RowError.
func (a *Assembler) checkRows(b *Binding, index, feature int, e *extent) error {
	for _, l := range e.wrong {
		if err := a.bad(b, feature, l.row, l.Error(), "correct the data, or write the column as a FixedSizeList"); err != nil {
			return err
		}
	}
	count := e.nullCount()
	if count == 0 {
		return nil
	}
	f := &b.Features[feature]
	a.counts.Features[index][feature].Nulls += count
	if !f.Nulls.rejects() {
		return nil
	}
	advice := nullAdvice(f.Column, b.Input.Elem)
	for r := range e.nullRows() {
		if err := a.nullRow(b, feature, r, advice); err != nil {
			return err
		}
	}
	return nil
}

// nullRow deals with a row of the current segment in which a feature is null, whose
// policy rejects.
func (a *Assembler) nullRow(b *Binding, feature, row int, advice string) error {
	f := &b.Features[feature]
	reject := Reject{Row: a.first + row, Column: f.Column, Reason: "null", Computed: f.Program != nil}
	switch {
	case f.Nulls.Action == NullReject:
		reject.Asked = true
	case a.rejectBad:
		reject.Advice = advice
	default:
		return a.bad(b, feature, row, "is null", advice)
	}
	a.tensors.Rejects = append(a.tensors.Rejects, reject)
	return nil
}

func nullAdvice(column string, elem models.ElementType) string {
	if elementNumbers[elem].class == classFloat {
		return fmt.Sprintf("say what a null becomes: --nulls %s=nan, %s=0 or %s=reject", column, column, column)
	}
	return fmt.Sprintf("say what a null becomes: --nulls %s=VALUE or %s=reject", column, column)
}

// locate puts the column, and the current segment's first row, on an error that does
// not have them.
func (a *Assembler) locate(err error, f *Feature) error {
	if _, ok := errors.AsType[*RowError](err); ok {
		return err
	}
	return fmt.Errorf("column %q, rows from %d: %w", f.Column, a.segment.Origin.Row, err)
}
