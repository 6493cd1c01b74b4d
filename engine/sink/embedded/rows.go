package embedded

import (
	"strings"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/engine/sink/table"
	"github.com/millrace/millrace/io/query"
)

var _ sink.RowReader = Destination{}

// RowsOf implements sink.RowReader.
func (d Destination) RowsOf(output string, q sink.RowQuery) (string, error) {
	t, err := parse(d.Dialect, output)
	if err != nil {
		return "", err
	}
	shelf := table.Shelf{Table: t.table.String(), RunColumn: query.QuoteName(t.runColumn), Expression: asItIs}
	if d.Dialect.Scheme() == query.SchemeSQLite {
		// A name in quotes that is no column's is a text to SQLite, unless its table stands
		// before it: a column that is gone would have its name in each row.
		of := t.table.String() + "."
		shelf.RunColumn = of + shelf.RunColumn
		shelf.Expression = func(c ledger.Column) string { return timesAsText(c, of) }
	}
	return d.inputOf(t, table.RowsStatement(shelf, q)), nil
}

func asItIs(c ledger.Column) string { return query.QuoteName(c.Name) }

// timesAsText has times come as the text that they are in a database that has no type for them:
// they would be read as times of microseconds.
func timesAsText(c ledger.Column, of string) string {
	name := of + query.QuoteName(c.Name)
	if strings.HasPrefix(c.Type, "timestamp") {
		return "CAST(" + name + " AS TEXT)"
	}
	return name
}

// RejectsOf implements sink.RowReader.
func (d Destination) RejectsOf(output, run string) (string, error) {
	t, err := parse(d.Dialect, output)
	if err != nil {
		return "", err
	}
	return d.inputOf(t, table.RejectsStatement(t.own(d.Dialect, "reject").String(), run)), nil
}

// inputOf is a statement on a file as an input.
func (d Destination) inputOf(t *target, statement string) string {
	u := query.URI{Scheme: d.Dialect.Scheme(), Place: t.path, Spec: query.Spec{Text: statement, Unordered: true}}
	return u.String()
}
