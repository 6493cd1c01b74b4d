package engine

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/distribution"
)

// predicted is how a run's predictions are distributed. What a part has goes with the
// part, into the journal too, and is added up as parts end: all but moments, sums of
// floats, which are added in the order of the parts in the end.
type predicted struct {
	total   []*distribution.Tally    // by prediction column, the first of them
	moments [][]distribution.Moments // by part and column
}

// summarise takes in the predictions of records that the part's file gets.
func (w *partWriter) summarise(records []arrow.RecordBatch) {
	for _, r := range records {
		first := len(w.collector.plan.Passed)
		n := min(int(r.NumCols())-first, distribution.MostColumns)
		if w.predicted == nil {
			for i := range n {
				w.predicted = append(w.predicted, distribution.NewTally(r.Column(first+i).DataType()))
			}
		}
		for i := range n {
			w.predicted[i].Add(r.Column(first + i))
		}
	}
}

// takePredicted adds what a finished part has. The lock is held, or nobody else is at
// work.
func (c *collector) takePredicted(part int, met []*distribution.Tally) error {
	if met == nil {
		return nil
	}
	p := &c.predicted
	if p.total == nil {
		p.moments = make([][]distribution.Moments, len(c.plan.Parts))
		for _, t := range met {
			p.total = append(p.total, t.Empty())
		}
	}
	if len(met) != len(p.total) {
		return fmt.Errorf("%w: part %d counts the values of %d columns, and others of %d", ErrOutputShape, part, len(met), len(p.total))
	}
	p.moments[part] = make([]distribution.Moments, len(met))
	for i, t := range met {
		p.moments[part][i] = t.Moments()
		p.total[i].Merge(t)
	}
	return nil
}

// predictions sums up how predictions are distributed, once all parts are there; none
// where no row was written.
func (c *collector) predictions() ([]distribution.Summary, error) {
	p := &c.predicted
	columns := c.columns[min(len(c.plan.Passed), len(c.columns)):]
	all := make([]distribution.Summary, 0, len(p.total))
	for i, t := range p.total {
		if i >= len(columns) {
			return nil, fmt.Errorf("%w: the values of %d columns were counted, and there are %d", ErrInternal, len(p.total), len(columns))
		}
		var moments distribution.Moments
		for _, of := range p.moments {
			if of != nil {
				moments.Add(of[i])
			}
		}
		s, err := t.Summary(columns[i].Name, moments)
		if err != nil {
			return nil, fmt.Errorf("%w: values of column %q: %w", ErrInternal, columns[i].Name, err)
		}
		all = append(all, s)
	}
	return slices.Clip(all), nil
}
