package pgrows

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/io/postgres"
	"github.com/millrace/millrace/io/query"
)

// What reading bounds.
const (
	connectTimeout = 30 * time.Second // where the URI says none
	maxMessage     = 256 << 20        // bytes of a row
	batchRows      = 8 << 10
	batchBytes     = 16 << 20
)

// ErrServer says that the server could not be reached, or was lost.
var ErrServer = errors.New("PostgreSQL server cannot be reached")

// ErrPasses says that it was there, and went away or does not take a session now: to run
// again may do. It wraps ErrServer.
var ErrPasses = fmt.Errorf("%w for now", ErrServer)

// Rows are those of one table or query, of one snapshot of the database. Everything of it
// is for one goroutine.
type Rows struct {
	conn    *pgx.Conn
	text    string
	columns []column
	schema  *arrow.Schema
}

// Open begins to read a table or a query of the database that a URI names, in a
// transaction that cannot write. Errors wrap one of package query where that is to blame,
// and ErrServer; none has the password.
func Open(ctx context.Context, uri string, spec query.Spec) (_ *Rows, err error) {
	config, err := postgres.ParseConfig(uri)
	if err != nil {
		return nil, fmt.Errorf("%w; this one cannot be read: %w", query.ErrURI, err)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	config.RuntimeParams["client_encoding"] = "UTF8"
	config.RuntimeParams["standard_conforming_strings"] = "on" // which package query goes by
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "millrace"
	}
	r := &Rows{}
	if r.conn, err = pgx.ConnectConfig(ctx, config); err != nil {
		kind := ErrServer
		if postgres.Passes(err) {
			kind = ErrPasses
		}
		return nil, fmt.Errorf("%w: %w", kind, withHint(err))
	}
	defer func() { //nolint:contextcheck // what ends must end whatever is canceled
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	r.conn.PgConn().Frontend().SetMaxBodyLen(maxMessage)
	if _, err := r.conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		return nil, r.fault(err)
	}
	if r.text, err = r.statement(ctx, &spec); err != nil {
		return nil, err
	}
	if r.columns, err = r.describe(ctx, r.text); err != nil {
		return nil, err
	}
	fields := make([]arrow.Field, len(r.columns))
	for i, c := range r.columns {
		if c.kind == nil {
			return nil, fmt.Errorf("%w: column %q is of type %s, which is not read; cast it in the query, such as %s::text", query.ErrQuery, c.name, c.typeName, query.QuoteName(c.name))
		}
		fields[i] = arrow.Field{Name: c.name, Type: c.kind.arrow, Nullable: true}
	}
	r.schema = arrow.NewSchema(fields, nil)
	return r, nil
}

// fault tells what the database says of a query from what is wrong with the connection: a
// server that goes down says so too.
func (r *Rows) fault(err error) error {
	if postgres.Passes(err) {
		return fmt.Errorf("%w: %w", ErrPasses, err)
	}
	if said, ok := postgresSaid(err); ok && said.Code == "25006" { // read_only_sql_transaction
		return fmt.Errorf("%w: it would write, and queries of inputs run where nothing can be written: %w", query.ErrQuery, said)
	} else if ok && said.Code == "57014" { // query_canceled
		return fmt.Errorf("%w: %w", query.ErrQuery, withHint(said))
	} else if ok {
		return fmt.Errorf("%w: %w", query.ErrQuery, said)
	}
	if large, ok := errors.AsType[*pgproto3.ExceededMaxBodyLenErr](err); ok {
		return fmt.Errorf("%w: the next row has %d bytes, and at most %d MiB are read of one", query.ErrValue, large.ActualBodyLen, maxMessage>>20)
	}
	return fmt.Errorf("%w: %w", ErrServer, err)
}

// withHint adds what to do about an error of the driver's.
func withHint(err error) error {
	if hint := postgres.Hint(err); hint != "" {
		return fmt.Errorf("%w (%s)", err, hint)
	}
	return err
}

// statement is what to run for a table or a query.
func (r *Rows) statement(ctx context.Context, spec *query.Spec) (string, error) {
	if spec.Table == "" {
		return spec.Statement(query.PostgreSQL)
	}
	schema, table, err := r.find(ctx, spec.Table)
	if err != nil {
		return "", err
	}
	name := pgx.Identifier{schema, table}.Sanitize()
	columns, err := r.describe(ctx, "SELECT * FROM "+name)
	if err != nil {
		return "", err
	}
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = pgx.Identifier{c.name}.Sanitize()
		if c.kind == nil { // by what the type itself writes
			list[i] += "::text AS " + list[i]
		}
	}
	text := "SELECT " + strings.Join(list, ", ") + " FROM " + name
	if spec.Unordered {
		return text, nil
	}
	// Columns by number would be those of the list, and names could be of its casts.
	rows, err := r.conn.Query(ctx, `SELECT a.attname FROM pg_index i
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
		WHERE i.indrelid = $1::regclass AND i.indisprimary
		ORDER BY array_position(i.indkey::int2[], a.attnum)`, name)
	if err != nil {
		return "", r.fault(err)
	}
	key, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", r.fault(err)
	}
	if len(key) == 0 {
		return "", query.NoKey(spec.Table, "has no primary key")
	}
	for i := range key {
		key[i] = name + "." + pgx.Identifier{key[i]}.Sanitize()
	}
	return text + " ORDER BY " + strings.Join(key, ", "), nil
}

// find gives schema and name of a table that is named as it is or in double quotes, with its
// schema before a dot if need be.
func (r *Rows) find(ctx context.Context, table string) (schema, name string, err error) {
	const which = `FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND `
	err = r.conn.QueryRow(ctx, `SELECT n.nspname, c.relname `+which+
		`($1::text IN (c.relname::text, quote_ident(c.relname), `+quoted("c.relname")+`) AND pg_table_is_visible(c.oid) OR $1::text IN (n.nspname || '.' || c.relname, quote_ident(n.nspname) || '.' || quote_ident(c.relname), `+quoted("n.nspname")+` || '.' || `+quoted("c.relname")+`))
		ORDER BY c.relname = $1::text DESC, n.nspname, c.relname LIMIT 1`, table).Scan(&schema, &name)
	if !errors.Is(err, pgx.ErrNoRows) {
		if err != nil {
			err = r.fault(err)
		}
		return schema, name, err
	}
	rows, err := r.conn.Query(ctx, `SELECT CASE WHEN pg_table_is_visible(c.oid) THEN c.relname ELSE n.nspname || '.' || c.relname END `+which+
		`n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1 LIMIT 1000`)
	if err != nil {
		return "", "", r.fault(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", "", r.fault(err)
	}
	return "", "", fmt.Errorf("%w: no table %q%s", query.ErrQuery, table, nearest.DidYouMean(table, names))
}

// quoted is an expression of a name in double quotes, also where it needs none.
func quoted(name string) string { return `'"' || replace(` + name + `, '"', '""') || '"'` }

// describe asks the database which columns a statement gives, without running it.
func (r *Rows) describe(ctx context.Context, text string) ([]column, error) {
	described, err := r.conn.PgConn().Prepare(ctx, "", text, nil)
	switch {
	case err != nil:
		said, _ := postgresSaid(err)
		err = r.fault(err)
		if said != nil {
			if where := query.Place(text, int(said.Position)); where != "" {
				err = fmt.Errorf("%w, at %s", err, where)
			}
			if said.Hint != "" {
				err = fmt.Errorf("%w; %s", err, said.Hint)
			}
		}
		return nil, err
	case len(described.ParamOIDs) > 0:
		return nil, fmt.Errorf("%w: it has parameters ($1), which nothing fills", query.ErrQuery)
	case len(described.Fields) == 0:
		return nil, fmt.Errorf("%w: it gives no columns", query.ErrQuery)
	}
	columns := make([]column, len(described.Fields))
	oids := make([]uint32, len(columns))
	for i, f := range described.Fields {
		columns[i] = column{name: f.Name, oid: f.DataTypeOID, modifier: f.TypeModifier}
		oids[i] = f.DataTypeOID
	}
	types, err := r.types(ctx, oids)
	if err != nil {
		return nil, err
	}
	for i := range columns {
		columns[i].fit(types)
	}
	return columns, nil
}

// types looks up what the catalog says of types, and of elements of arrays.
func (r *Rows) types(ctx context.Context, oids []uint32) (map[uint32]catalogType, error) {
	rows, err := r.conn.Query(ctx, `SELECT t.oid, format_type(t.oid, NULL), t.typtype::text, t.typcategory::text, t.typelem, coalesce(e.typtype::text, ''), coalesce(e.typcategory::text, '')
		FROM pg_type t LEFT JOIN pg_type e ON e.oid = t.typelem WHERE t.oid = ANY ($1)`, oids)
	if err != nil {
		return nil, r.fault(err)
	}
	found := map[uint32]catalogType{}
	var oid uint32
	var t catalogType
	_, err = pgx.ForEachRow(rows, []any{&oid, &t.name, &t.kind, &t.category, &t.element, &t.elementKind, &t.elementCategory}, func() error {
		found[oid] = t
		return nil
	})
	if err != nil {
		return nil, r.fault(err)
	}
	return found, nil
}

// Schema is that of the rows. Every column may have nulls.
func (r *Rows) Schema() *arrow.Schema { return r.schema }

// Each gives all rows, in order, once. yield borrows the batch; its error ends the rows.
func (r *Rows) Each(ctx context.Context, yield func(arrow.RecordBatch) error) error {
	d := newDecoder(r.schema, r.columns, yield)
	defer d.release()
	// What ends the query may be a comment.
	_, err := r.conn.PgConn().CopyTo(ctx, d, "COPY ("+r.text+"\n) TO STDOUT (FORMAT binary)")
	switch {
	case d.err != nil: // which CopyTo gives too
		return d.err
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("after %d rows: %w", d.rows, r.fault(err))
	}
	return d.finish()
}

// Close ends the transaction and the connection. It is idempotent.
func (r *Rows) Close() error {
	if r.conn == nil || r.conn.IsClosed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return r.conn.Close(ctx)
}
