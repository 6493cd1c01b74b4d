//go:build duckdb && duckdb_arrow

package duckdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	bindings "github.com/duckdb/duckdb-go-bindings"

	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/io/query"
)

// Rows are those of one table or query. Everything of it is for one goroutine.
type Rows struct {
	conn      *connection
	statement bindings.PreparedStatement
	result    *result
	schema    *arrow.Schema
	rows      int64
}

// Open runs a query on a database file, which it cannot write. Errors wrap one of package
// query where that is to blame, and format.ErrDamaged where the file is no database.
func Open(ctx context.Context, path string, spec query.Spec) (_ *Rows, err error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if err := IsDatabase(path); err != nil {
		return nil, err
	}
	r := &Rows{}
	defer func() {
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			err = errors.Join(err, r.Close())
		}
	}()
	if r.conn, err = connect(path); err != nil {
		return nil, err
	}
	defer r.conn.interrupted(ctx)()
	text, err := r.text(&spec)
	if err != nil {
		return nil, err
	}
	if r.statement, err = r.conn.prepare(text); err != nil {
		return nil, err
	}
	if bindings.NParams(r.statement) > 0 {
		return nil, fmt.Errorf("%w: it has parameters (? or $1), which nothing fills", query.ErrQuery)
	}
	if err := allRead(columnsOf(r.statement)); err != nil {
		return nil, err
	}
	if r.result, err = run(r.statement); err != nil {
		return nil, err
	}
	r.schema = r.result.schema
	return r, nil
}

// mainSchema is where names without a schema are.
const mainSchema = "main"

// text is what to run for a table or a query.
func (r *Rows) text(spec *query.Spec) (string, error) {
	if spec.Table == "" {
		return spec.Statement(query.DuckDB)
	}
	schema, table := mainSchema, spec.Table
	if names, err := query.SplitName(spec.Table); err == nil {
		table = names[len(names)-1]
		if len(names) == 2 {
			schema = names[0]
		}
	}
	// The name as an output has it comes first; one with a dot may be meant as it is, too.
	const which = ` WHERE database_name = current_database() AND (lower(schema_name) = lower($1) AND lower(name) = lower($2) OR schema_name = current_schema() AND lower(name) = lower($3))
		ORDER BY lower(schema_name) = lower($1) AND lower(name) = lower($2) DESC`
	found, err := r.conn.texts(`SELECT database_name, schema_name, name, kind FROM (
		SELECT database_name, schema_name, table_name AS name, 'table' AS kind FROM duckdb_tables()
		UNION ALL SELECT database_name, schema_name, view_name, 'view' FROM duckdb_views() WHERE NOT internal)`+which, schema, table, spec.Table)
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		names, err := r.conn.texts(`SELECT CASE WHEN schema_name = current_schema() THEN table_name ELSE schema_name || '.' || table_name END FROM duckdb_tables() WHERE database_name = current_database() ORDER BY 1 LIMIT 1000`)
		if err != nil {
			return "", err
		}
		known := make([]string, len(names))
		for i := range names {
			known[i] = names[i][0]
		}
		return "", fmt.Errorf("%w: no table %q%s", query.ErrQuery, spec.Table, nearest.DidYouMean(spec.Table, known))
	}
	// By the database too: a schema that has its name would be ambiguous.
	name := query.QuoteName(found[0][0]) + "." + query.QuoteName(found[0][1]) + "." + query.QuoteName(found[0][2])
	text, err := r.list(name)
	if err != nil || spec.Unordered {
		return text, err
	}
	if found[0][3] == "view" {
		return "", query.NoKey(spec.Table, "is a view and has no key")
	}
	key, err := r.conn.texts(`SELECT unnest(constraint_column_names) FROM duckdb_constraints()
		WHERE constraint_type = 'PRIMARY KEY' AND database_name = current_database() AND schema_name = $1 AND table_name = $2`, found[0][1], found[0][2])
	if err != nil {
		return "", err
	}
	columns := make([]string, len(key))
	for i := range key { // by the table's name too, since a cast in the list has the same
		columns[i] = name + "." + query.QuoteName(key[i][0])
	}
	if len(columns) == 0 { // rows are numbered as they were inserted
		columns = []string{"rowid"}
	}
	return text + " ORDER BY " + strings.Join(columns, ", "), nil
}

// list selects all columns of a table, those of types that are not read as their texts.
func (r *Rows) list(name string) (string, error) {
	s, err := r.conn.prepare("SELECT * FROM " + name)
	if err != nil {
		return "", err
	}
	defer bindings.DestroyPrepare(&s)
	columns := columnsOf(s)
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = query.QuoteName(c.name)
		if c.unread != "" {
			list[i] += "::VARCHAR AS " + list[i]
		}
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM " + name, nil
}

// Schema is that of the rows.
func (r *Rows) Schema() *arrow.Schema { return r.schema }

// Each gives all rows, in order, once. yield borrows the batch; its error ends the rows.
func (r *Rows) Each(ctx context.Context, yield func(arrow.RecordBatch) error) error {
	defer r.conn.interrupted(ctx)()
	for {
		batch, err := r.result.next()
		switch {
		case ctx.Err() != nil:
			if batch != nil {
				batch.Release()
			}
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("after %d rows: %w", r.rows, r.cause(ctx, err))
		case batch == nil:
			return nil
		}
		err = r.give(batch, yield)
		batch.Release()
		if err != nil {
			return err
		}
	}
}

// cause is why a query broke off. Where one of its threads fails, DuckDB interrupts the others,
// and may say of that alone: then one thread says what it was.
func (r *Rows) cause(ctx context.Context, err error) error {
	if !strings.Contains(err.Error(), "INTERRUPT Error") {
		return err
	}
	r.result.Close()
	r.result = nil
	if _, err := r.conn.texts("SET threads = 1"); err != nil {
		return err
	}
	again, found := run(r.statement)
	if found != nil {
		return found
	}
	r.result = again
	for ctx.Err() == nil {
		batch, found := again.next()
		switch {
		case found != nil:
			return found
		case batch == nil: // this time it went well, but rows were given
			return err
		}
		batch.Release()
	}
	return context.Cause(ctx)
}

func (r *Rows) give(batch arrow.RecordBatch, yield func(arrow.RecordBatch) error) error {
	for i, column := range batch.Columns() {
		if row, err := checkValues(column); err != nil {
			return fmt.Errorf("row %d: column %q: %w: %w", r.rows+int64(row)+1, batch.ColumnName(i), query.ErrValue, err)
		}
	}
	r.rows += batch.NumRows()
	return yield(batch)
}

// Close gives the file up. It is idempotent.
func (r *Rows) Close() error {
	if r.result != nil {
		r.result.Close()
		r.result = nil
	}
	bindings.DestroyPrepare(&r.statement)
	if r.conn == nil {
		return nil
	}
	err := r.conn.Close()
	r.conn = nil
	return err
}
