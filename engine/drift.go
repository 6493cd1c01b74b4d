package engine

import (
	"fmt"
	"slices"
)

// checkDrift refuses files that differ from the first in a column that the run needs:
// the model's, ids, kept ones, those of the filter and of rules, and those by which rows
// are to be unique. Others may differ, and the plan says so.
func (p *Plan) checkDrift() error {
	return p.Dataset.Differs(slices.Concat(p.Columns, p.Options.Unique.Columns))
}

// drifted lists how files differ from the first.
func (p *Plan) drifted() []string {
	if drift := p.Dataset.Drifted(); drift != nil {
		return drift.Lines()
	}
	return []string{}
}

// besideDrift adds to an error, of data that do not fit, that files differ: the first
// has its columns, and others may have those that are missed.
func (p *Plan) besideDrift(err error) error {
	if drift := p.Dataset.Drifted(); drift != nil {
		return fmt.Errorf("%w\nthe files differ, which may be why: %s", err, drift.Error())
	}
	return err
}
