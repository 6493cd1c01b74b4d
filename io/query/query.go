package query

import (
	"errors"
	"fmt"
	"strings"
)

// Sentinels; each stands in an error that says what to do.
var (
	// ErrStatement says that a text is no single statement that gives rows.
	ErrStatement = errors.New("query is not one statement that gives rows")
	// ErrQuery says that the database does not take a query, or has no such table.
	ErrQuery = errors.New("query cannot be run")
	// ErrOrder says that nothing tells in which order rows come.
	ErrOrder = errors.New("rows have no stable order")
	// ErrValue says that a value is not of its column's type.
	ErrValue = errors.New("value does not fit its column")
)

// Spec is what to read. Exactly one of Table and Text is given.
type Spec struct {
	// Table is a table's name; SCHEMA.TABLE where the database has schemas.
	Table string
	// Text is a statement that gives rows.
	Text string
	// Unordered lets rows come in no order that anything fixes.
	Unordered bool
}

// Statement checks Text, and gives it without what ends it. Its error wraps ErrStatement
// or ErrOrder.
func (s *Spec) Statement(d Dialect) (string, error) {
	text, ordered, err := scan(s.Text, d)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrStatement, err)
	case !ordered && !s.Unordered:
		return "", fmt.Errorf("%w: the query has no ORDER BY of its own; end it with one that no two rows tie in, such as ORDER BY id, or say --unordered and have a run that is continued refuse where rows come in another order", ErrOrder)
	}
	return text, nil
}

// NoKey is the error for a table that nothing orders.
func NoKey(table, why string) error {
	return fmt.Errorf("%w: table %q %s; read it by --query with an ORDER BY, or say --unordered", ErrOrder, table, why)
}

// QuoteName writes a name as SQL has it.
func QuoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Shorten cuts a value for a message.
func Shorten(value string) string {
	const most = 40
	if len(value) > most {
		return fmt.Sprintf("%.*q and %d bytes more", most, value, len(value)-most)
	}
	return fmt.Sprintf("%q", value)
}
