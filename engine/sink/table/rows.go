package table

import (
	"strconv"
	"strings"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/query"
)

// Shelf is where rows stand; names are quoted.
type Shelf struct {
	Table, RunColumn string
	// Expression gives a column's values, as they are read and compared.
	Expression func(c ledger.Column) string
}

// RowsStatement is the statement for sink.RowReader's RowsOf.
func RowsStatement(s Shelf, q sink.RowQuery) string {
	columns := make([]string, len(q.Columns))
	for i, c := range q.Columns {
		columns[i] = s.Expression(c) + " AS " + query.QuoteName(c.Name)
	}
	where := []string{s.RunColumn + " = " + quoteText(q.Run)}
	for _, w := range q.Where {
		if value := literalOf(w); value != "" {
			where = append(where, s.Expression(w.Column)+" = "+value)
		}
	}
	text := "SELECT " + strings.Join(columns, ", ") + " FROM " + s.Table + " WHERE " + strings.Join(where, " AND ")
	if q.Most > 0 {
		text += " LIMIT " + strconv.Itoa(q.Most)
	}
	return text
}

// RejectsStatement is the statement for sink.RowReader's RejectsOf, of the quoted name of
// the table of rejects.
func RejectsStatement(name, run string) string {
	return `SELECT file, "row", "column", stage, reason, CAST("values" AS TEXT) AS "values" FROM ` + name + " WHERE run = " + quoteText(run)
}

// literalOf is a value as a statement has it; empty for one that databases may compare in
// another way than text, or that they may not take.
func literalOf(w sink.ColumnValue) string {
	switch name := w.Column.Type; {
	case strings.HasPrefix(name, "int"):
		if n, err := strconv.ParseInt(w.Value, 10, 64); err == nil {
			return strconv.FormatInt(n, 10)
		}
	case strings.HasPrefix(name, "uint"):
		if n, err := strconv.ParseUint(w.Value, 10, 64); err == nil {
			return strconv.FormatUint(n, 10)
		}
	case name == "utf8" || name == "large_utf8" || name == "string_view":
		if !strings.ContainsRune(w.Value, 0) {
			return quoteText(strings.ToValidUTF8(w.Value, "\uFFFD"))
		}
	}
	return ""
}

// quoteText writes a text as SQL has it.
func quoteText(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
