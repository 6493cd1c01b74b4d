//go:build duckdb && duckdb_arrow

package duckdb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	duckdb "github.com/duckdb/duckdb-go/v2"

	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/query"
)

// Rows are those of one table or query. Everything of it is for one goroutine.
type Rows struct {
	connector *duckdb.Connector
	conn      *duckdb.Conn
	reader    array.RecordReader
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
			err = errors.Join(err, r.Close())
		}
	}()
	if err := r.connect(ctx, path); err != nil {
		return nil, err
	}
	text, err := r.statement(ctx, &spec)
	if err != nil {
		return nil, err
	}
	a, err := duckdb.NewArrowFromConn(r.conn)
	if err != nil {
		return nil, err
	}
	if r.reader, err = a.QueryContext(ctx, text); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("%w: %w", query.ErrQuery, err)
	}
	return r, r.fit()
}

// connect opens the file for reading, and nothing but it: a query reaches no other file, no
// network and no extension.
func (r *Rows) connect(ctx context.Context, path string) (err error) {
	if strings.ContainsRune(path, '?') {
		return fmt.Errorf("%w; DuckDB takes no path with a question mark: %q", query.ErrURI, path)
	}
	settings := url.Values{
		"access_mode": {"READ_ONLY"}, "enable_external_access": {"false"},
		"autoinstall_known_extensions": {"false"}, "autoload_known_extensions": {"false"},
	}
	if r.connector, err = duckdb.NewConnector(path+"?"+settings.Encode(), nil); err != nil {
		return fault(err)
	}
	conn, err := r.connector.Connect(ctx)
	if err != nil {
		return fault(err)
	}
	r.conn = conn.(*duckdb.Conn)
	return nil
}

// fault tells what is wrong with a file.
func fault(err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "not a valid DuckDB database file"), strings.Contains(text, "Corrupt database file"):
		return fmt.Errorf("%w: %w", format.ErrDamaged, err)
	case strings.Contains(text, "Could not set lock"):
		return fmt.Errorf("another process has it open for writing, which DuckDB lets be alone; try again when it has closed it: %w", err)
	}
	return err
}

// statement is what to run for a table or a query.
func (r *Rows) statement(ctx context.Context, spec *query.Spec) (string, error) {
	if spec.Table == "" {
		return spec.Statement(query.DuckDB)
	}
	found, err := r.texts(ctx, `SELECT schema_name, table_name, 'table' FROM duckdb_tables() WHERE database_name = current_database() AND (schema_name = current_schema() AND table_name = $1 OR schema_name || '.' || table_name = $1)
		UNION ALL SELECT schema_name, view_name, 'view' FROM duckdb_views() WHERE database_name = current_database() AND NOT internal AND (schema_name = current_schema() AND view_name = $1 OR schema_name || '.' || view_name = $1)`, spec.Table)
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		names, err := r.texts(ctx, `SELECT CASE WHEN schema_name = current_schema() THEN table_name ELSE schema_name || '.' || table_name END FROM duckdb_tables() WHERE database_name = current_database() ORDER BY 1 LIMIT 1000`)
		if err != nil {
			return "", err
		}
		known := make([]string, len(names))
		for i := range names {
			known[i] = names[i][0]
		}
		return "", fmt.Errorf("%w: no table %q%s", query.ErrQuery, spec.Table, nearest.DidYouMean(spec.Table, known))
	}
	name := query.QuoteName(found[0][0]) + "." + query.QuoteName(found[0][1])
	text := "SELECT * FROM " + name
	if spec.Unordered {
		return text, nil
	}
	if found[0][2] == "view" {
		return "", query.NoKey(spec.Table, "is a view and has no key")
	}
	key, err := r.texts(ctx, `SELECT unnest(constraint_column_names) FROM duckdb_constraints()
		WHERE constraint_type = 'PRIMARY KEY' AND database_name = current_database() AND schema_name = $1 AND table_name = $2`, found[0][0], found[0][1])
	if err != nil {
		return "", err
	}
	columns := make([]string, len(key))
	for i := range key {
		columns[i] = query.QuoteName(key[i][0])
	}
	if len(columns) == 0 { // rows are numbered as they were inserted
		columns = []string{"rowid"}
	}
	return text + " ORDER BY " + strings.Join(columns, ", "), nil
}

// texts gives the rows of a query of texts.
func (r *Rows) texts(ctx context.Context, text string, args ...string) (_ [][]string, err error) {
	named := make([]driver.NamedValue, len(args))
	for i, a := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	rows, err := r.conn.QueryContext(ctx, text, named)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var all [][]string
	values := make([]driver.Value, len(rows.Columns()))
	for {
		switch err := rows.Next(values); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		}
		row := make([]string, len(values))
		for i, v := range values {
			row[i], _ = v.(string)
		}
		all = append(all, row)
	}
}

// fit takes over the columns.
func (r *Rows) fit() error {
	fields := r.reader.Schema().Fields()
	if len(fields) == 0 {
		return fmt.Errorf("%w: it gives no columns", query.ErrQuery)
	}
	r.schema = arrow.NewSchema(fields, nil)
	return nil
}

// Schema is that of the rows.
func (r *Rows) Schema() *arrow.Schema { return r.schema }

// Each gives all rows, in order, once. yield borrows the batch; its error ends the rows.
func (r *Rows) Each(ctx context.Context, yield func(arrow.RecordBatch) error) error {
	for r.reader.Next() {
		batch := r.reader.RecordBatch()
		r.rows += batch.NumRows()
		if err := yield(batch); err != nil {
			return err
		}
	}
	switch err := r.reader.Err(); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("after %d rows: %w: %w", r.rows, query.ErrQuery, err)
	}
	return nil
}

// Close gives the file up. It is idempotent.
func (r *Rows) Close() error {
	var errs []error
	if r.reader != nil {
		r.reader.Release()
		r.reader = nil
	}
	if r.conn != nil {
		errs = append(errs, r.conn.Close())
		r.conn = nil
	}
	if r.connector != nil {
		errs = append(errs, r.connector.Close())
		r.connector = nil
	}
	return errors.Join(errs...)
}
