package postgres

import (
	"strings"

	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/engine/sink/table"
	"github.com/millrace/millrace/io/postgres"
	"github.com/millrace/millrace/io/query"
)

var _ sink.RowReader = Destination{}

// RowsOf implements sink.RowReader.
func (Destination) RowsOf(output string, q sink.RowQuery) (string, error) {
	t, err := postgres.ParseTarget(output)
	if err != nil {
		return "", err
	}
	return inputOf(t, table.RowsStatement(table.Shelf{Table: t.Name(), RunColumn: query.QuoteName(t.RunColumn), CastTexts: true}, q)), nil
}

// RejectsOf implements sink.RowReader.
func (Destination) RejectsOf(output, run string) (string, error) {
	t, err := postgres.ParseTarget(output)
	if err != nil {
		return "", err
	}
	return inputOf(t, table.RejectsStatement((&database{pool: &pool{target: t}}).own("reject"), run)), nil
}

// inputOf is a statement on a target's database as an input.
func inputOf(t *postgres.Target, statement string) string {
	scheme, _, _ := strings.Cut(t.Server(), "://")
	u := query.URI{Scheme: scheme, Place: t.Server(), Spec: query.Spec{Text: statement, Unordered: true}}
	return u.String()
}
