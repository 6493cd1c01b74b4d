package sqlite

import (
	"context"
	"fmt"
	"slices"
	"strings"

	sqlite3 "github.com/mattn/go-sqlite3"

	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/io/query"
)

// statement is what to run for a table or a query.
func statement(ctx context.Context, conn *sqlite3.SQLiteConn, spec *query.Spec) (string, error) {
	if spec.Table == "" {
		return spec.Statement(query.SQLite)
	}
	kind, err := texts(ctx, conn, "SELECT type FROM sqlite_schema WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE", spec.Table)
	if err != nil {
		return "", err
	}
	if len(kind) == 0 {
		names, err := texts(ctx, conn, "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') ORDER BY name")
		if err != nil {
			return "", err
		}
		return "", fmt.Errorf("%w: no table %q%s", query.ErrQuery, spec.Table, nearest.DidYouMean(spec.Table, names))
	}
	all := "SELECT * FROM " + query.QuoteName(spec.Table)
	if spec.Unordered {
		return all, nil
	}
	if kind[0] == "view" {
		return "", query.NoKey(spec.Table, "is a view and has no key")
	}
	key, err := keyOf(ctx, conn, spec.Table)
	if err != nil {
		return "", err
	}
	if len(key) == 0 {
		return "", query.NoKey(spec.Table, "has no primary key, and columns that hide its rowid")
	}
	for i := range key {
		key[i] = query.QuoteName(key[i])
	}
	return all + " ORDER BY " + strings.Join(key, ", "), nil
}

// keyOf lists the columns of a table's primary key, or else the name by which its rows'
// numbers go, of those three that no column has.
func keyOf(ctx context.Context, conn *sqlite3.SQLiteConn, table string) ([]string, error) {
	// A column of a primary key may be null in SQLite, and nulls are not unique: then
	// the rowid, which every such table has, orders them.
	key, err := texts(ctx, conn, "SELECT name FROM pragma_table_xinfo(?) WHERE pk > 0 ORDER BY pk", table)
	if err != nil {
		return nil, err
	}
	columns, err := texts(ctx, conn, "SELECT lower(name) FROM pragma_table_xinfo(?)", table)
	if err != nil {
		return nil, err
	}
	without, err := texts(ctx, conn, "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ? COLLATE NOCASE", table)
	if err != nil || len(without) == 1 && without[0] == "1" {
		return key, err
	}
	for _, name := range []string{"rowid", "_rowid_", "oid"} {
		if !slices.Contains(columns, name) {
			return append(key, name), nil
		}
	}
	return key, nil
}
