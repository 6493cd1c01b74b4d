package postgres

import (
	"strings"

	"github.com/millrace/millrace/engine/ledger"
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
	return inputOf(t, table.RowsStatement(table.Shelf{Table: t.Name(), RunColumn: query.QuoteName(t.RunColumn), Expression: asText}, q)), nil
}

// asText casts columns of texts, which may be of types that not every text is of, such as
// enumerations, with which the server compares no other, or have blanks behind them (char(n));
// and columns of nulls, which may be of types that are not read. Of durations it makes the text
// that CSV has of them, since intervals are not read, and floats of floats that stand in
// columns of numeric, whose NaN no decimal is.
func asText(c ledger.Column) string {
	name := query.QuoteName(c.Name)
	is, dictionary := strings.CutPrefix(c.Type, "dictionary<values=")
	if dictionary {
		is, _, _ = strings.Cut(is, ",")
	}
	switch is {
	case "utf8", "large_utf8", "string_view", "null":
		return "CAST(" + name + " AS text)"
	case "float16", "float32", "float64":
		return "CAST(" + name + " AS double precision)"
	}
	if strings.HasPrefix(is, "duration") {
		return "'PT' || rtrim(rtrim(CAST(CAST(extract(epoch FROM " + name + ") AS numeric(30,6)) AS text), '0'), '.') || 'S'"
	}
	return name
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
