package engine

import (
	"github.com/millrace/millrace/batcher/filter"
	"github.com/millrace/millrace/io/dataset"
)

// ExplainedFilter is what --where leaves to read.
type ExplainedFilter struct {
	Expression string   `json:"expression"` // as it is understood
	Columns    []string `json:"columns"`
	// What is not read, since statistics and partition values show that no row of it
	// passes; its rows count as filtered.
	FilesSkipped int   `json:"files_skipped"`
	SpansSkipped int   `json:"spans_skipped"`
	RowsSkipped  int64 `json:"rows_skipped"`
	// Spans of which every row passes, for which nothing is evaluated.
	SpansWhole int   `json:"spans_whole"`
	RowsToRead int64 `json:"rows_to_read"`
}

// explainFilter describes the filter; nil where there is none.
func (p *Plan) explainFilter() *ExplainedFilter {
	if p.where == nil {
		return nil
	}
	e := &ExplainedFilter{Expression: p.where.filter.String(), Columns: append([]string{}, p.where.columnNames()...)}
	for file := range p.Dataset.Files() {
		spans, skipped := p.Dataset.Spans(file), 0
		for i, s := range spans {
			switch p.where.verdict(dataset.SpanRef{File: file, Span: i}) {
			case filter.None:
				skipped++
				e.RowsSkipped += s.Rows
			case filter.All:
				e.SpansWhole++
				e.RowsToRead += s.Rows
			case filter.Some:
				e.RowsToRead += s.Rows
			}
		}
		if skipped == len(spans) && skipped > 0 {
			e.FilesSkipped++
		}
		e.SpansSkipped += skipped
	}
	return e
}

// explainRules lists the conditions of the rules.
func (p *Plan) explainRules() []string {
	if p.rules == nil {
		return []string{}
	}
	return p.rules.compiled.Conditions()
}
