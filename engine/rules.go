package engine

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/batcher/filter"
)

// rules are a plan's rules on columns: a row that breaks one is bad, whether or not
// the model could score it.
type rules struct {
	compiled *filter.Rules
	at       []int // of their columns in Plan.Columns
}

// fitRules checks the rules against the data and has their columns read.
func (p *Plan) fitRules(schema *arrow.Schema) error {
	if len(p.Options.Rules) == 0 {
		return nil
	}
	compiled, err := filter.NewRules(p.Options.Rules, schema)
	if err != nil {
		return fmt.Errorf("%w: rules: %w", ErrUsage, err)
	}
	r := &rules{compiled: compiled}
	for _, name := range compiled.Columns() {
		r.at = append(r.at, p.addColumn(name))
	}
	p.rules = r
	return nil
}

// ruleChecker holds one worker's batches to the rules.
type ruleChecker struct {
	*rules

	checker *filter.Checker
}

// newChecker is one worker's; nil without rules.
func (r *rules) newChecker() *ruleChecker {
	if r == nil {
		return nil
	}
	return &ruleChecker{rules: r, checker: r.compiled.NewChecker()}
}

// broken lists the rows of a batch that break a rule: segment by segment, rule by
// rule.
func (c *ruleChecker) broken(batch *batcher.Batch) (all rejects) {
	first := 0 // the segment's first row in the batch
	for i := range batch.Segments {
		s := &batch.Segments[i]
		columns := make([]arrow.Array, len(c.at))
		for k, at := range c.at {
			columns[k] = s.Column(at)
		}
		for _, b := range c.checker.Check(columns, s.Rows) {
			all = append(all, reject{Reject: batcher.Reject{Row: first + b.Row, Column: b.Column, Reason: b.Reason, Advice: "correct the row"}, stage: stageRule})
		}
		releaseAll(columns)
		first += s.Rows
	}
	return all
}

// checkRules finds the rows of a batch that break a rule; where bad rows make the run
// fail, the first of them that is not left out anyway is the error.
func (w *worker) checkRules(batch *batcher.Batch, out rejects) (rejects, error) {
	if w.rules == nil {
		return nil, nil
	}
	broken := w.rules.broken(batch)
	if w.onBadRow != BadFail {
		return broken, nil
	}
	return nil, firstBad(batch, broken, out)
}
