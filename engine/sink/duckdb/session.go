//go:build duckdb && duckdb_arrow

package duckdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	duckdb "github.com/duckdb/duckdb-go/v2"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/engine/sink/embedded"
	"github.com/millrace/millrace/engine/sink/table"
	files "github.com/millrace/millrace/io/duckdb"
	"github.com/millrace/millrace/io/query"
)

// session is a connection to a file.
type session struct {
	embedded.Statements
	connector *duckdb.Connector
	conn      *duckdb.Conn
	arrow     *duckdb.Arrow
}

// Another process that has the file open is waited for.
const (
	lockPatience = 10 * time.Second
	lockPause    = 200 * time.Millisecond
)

// Access modes of DuckDB's.
const (
	readWrite = "READ_WRITE"
	readOnly  = "READ_ONLY"
)

// open opens a file in an access mode.
func open(ctx context.Context, path, mode string) (*session, error) {
	if strings.ContainsRune(path, '?') {
		return nil, fmt.Errorf("%w: DuckDB takes no path with a question mark: %q", ledger.ErrOutput, path)
	}
	if vacant, err := isVacant(path); err != nil {
		return nil, err
	} else if vacant && mode == readWrite {
		if err := create(ctx, path); err != nil {
			return nil, err
		}
	} else if !vacant {
		if err := files.IsDatabase(path); err != nil {
			return nil, fmt.Errorf("%w: the file is there: %w", ledger.ErrOutput, err)
		}
	}
	for deadline := time.Now().Add(lockPatience); ; {
		s, err := connect(ctx, path, mode)
		if err == nil || !errors.Is(err, sink.ErrPasses) || time.Now().After(deadline) {
			return s, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(lockPause):
		}
	}
}

// isVacant says whether there is no file, or one with nothing in it, which DuckDB takes for no
// database.
func isVacant(path string) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return err == nil && info.Size() == 0, err
}

// create makes a database under another name first, in which no start can be mistaken: DuckDB
// writes the head of a file in three steps, and a file that has one or two of them, since the
// process was killed or the disk is full, is no database to it ever after.
func create(ctx context.Context, path string) (err error) {
	name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+newSuffix)
	remove := func() error {
		var errs []error
		for _, n := range []string{name, name + ".wal"} {
			if err := os.Remove(n); !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	}
	if err := remove(); err != nil { // of a start that was killed
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	s, err := connect(ctx, name, readWrite)
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil { // what it has is durable then
		return err
	}
	if vacant, err := isVacant(path); err != nil || !vacant { // another program was faster
		return err
	}
	return os.Rename(name, path)
}

// newSuffix ends the hidden name of a file that is being made.
const newSuffix = ".millrace-new"

func connect(ctx context.Context, path, mode string) (_ *session, err error) {
	s := &session{}
	defer func() {
		if err != nil {
			err = errors.Join(fault(err), s.Close())
		}
	}()
	settings := url.Values{"access_mode": {mode}, "enable_external_access": {"false"}, "autoinstall_known_extensions": {"false"}, "autoload_known_extensions": {"false"}}
	if s.connector, err = duckdb.NewConnector(path+"?"+settings.Encode(), nil); err != nil {
		return nil, err
	}
	conn, err := s.connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	s.conn = conn.(*duckdb.Conn)
	s.Statements = embedded.Statements{Conn: s.conn, Fault: fault}
	place, err := s.Query(ctx, "SELECT path FROM duckdb_databases() WHERE database_name = current_database()")
	if err == nil && (len(place) != 1 || place[0][0] == nil) {
		err = errors.New("DuckDB opened it in memory, where nothing would last; give the file another ending, such as .duckdb")
	}
	if err != nil {
		return nil, err
	}
	s.arrow, err = duckdb.NewArrowFromConn(conn)
	return s, err
}

// fault words an error of DuckDB's.
func fault(err error) error {
	if err == nil || errors.Is(err, ledger.ErrOutput) {
		return err
	}
	switch text := err.Error(); {
	case strings.Contains(text, "Could not set lock") && !files.IsOpenElsewhere(text):
		return fmt.Errorf("%w: its file system does not lock files, without which DuckDB writes none; write to another: %w", ledger.ErrOutput, err)
	case strings.Contains(text, "Could not set lock"):
		return fmt.Errorf("%w, %w: another process has the database open, which DuckDB lets be alone: %w", ledger.ErrOutput, sink.ErrPasses, err)
	case strings.Contains(text, "No space left on device"):
		return fmt.Errorf("%w: the disk is full; make room and run the same command again: %w", ledger.ErrOutput, err)
	case files.OtherVersion(text) != "":
		return fmt.Errorf("%w: %s", ledger.ErrOutput, files.OtherVersion(text))
	case strings.Contains(text, "Constraint Error"):
		return embedded.ConstraintError(err)
	case strings.Contains(text, "not a valid DuckDB database file"):
		return fmt.Errorf("%w: the file is there and is no DuckDB database: %w", ledger.ErrOutput, err)
	}
	return fmt.Errorf("%w: %w", ledger.ErrOutput, err)
}

// Close implements embedded.Session.
func (s *session) Close() error {
	var errs []error
	if s.conn != nil {
		errs = append(errs, s.conn.Close())
	}
	if s.connector != nil {
		errs = append(errs, s.connector.Close())
	}
	s.conn, s.connector = nil, nil
	return fault(errors.Join(errs...))
}

// Describe implements embedded.Session.
func (s *session) Describe(ctx context.Context, table embedded.Ref) (*embedded.Table, error) {
	found := &embedded.Table{}
	where := " WHERE database_name = current_database() AND lower(schema_name) = CASE WHEN ? = '' THEN current_schema() ELSE lower(?) END AND lower("
	views, err := s.Query(ctx, "SELECT 1 FROM duckdb_views()"+where+"view_name) = lower(?)", table.Schema, table.Schema, table.Table)
	if err != nil {
		return nil, err
	}
	if len(views) > 0 {
		found.There, found.Foreign = true, "the name of a view"
		return found, nil
	}
	columns, err := s.Query(ctx, "SELECT column_name, data_type, NOT is_nullable, column_default IS NOT NULL FROM duckdb_columns()"+where+"table_name) = lower(?) ORDER BY column_index", table.Schema, table.Schema, table.Table)
	if err != nil {
		return nil, err
	}
	for _, c := range columns {
		found.There = true
		column := embedded.Column{Name: c[0].(string), Type: c[1].(string), NotNull: c[2] == true, Filled: c[3] == true}
		column.Generated = column.Filled && s.isGenerated(ctx, table, column.Name)
		found.Columns = append(found.Columns, column)
	}
	return found, nil
}

// isGenerated says that nothing can be written to a column with a default. The catalog does not
// tell, and so a statement that would is planned.
func (s *session) isGenerated(ctx context.Context, table embedded.Ref, column string) bool {
	_, err := s.Query(ctx, "EXPLAIN INSERT INTO "+table.String()+" ("+query.QuoteName(column)+") SELECT NULL")
	return err != nil && strings.Contains(err.Error(), "generated column")
}

// Digest implements embedded.Session.
func (s *session) Digest(ctx context.Context, sql string, args ...any) (d table.Digest, err error) {
	rows, err := s.arrow.QueryContext(ctx, sql, args...)
	if err != nil {
		return 0, fault(err)
	}
	defer rows.Release()
	for rows.Next() {
		if err := d.AddRecord(rows.RecordBatch()); err != nil {
			return 0, err
		}
	}
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	return d, fault(rows.Err())
}

// viewName is that of a record while its rows are added.
const viewName = "millrace_record"

// Insert implements embedded.Session.
func (s *session) Insert(ctx context.Context, into, run string, schema *arrow.Schema) (embedded.Inserter, error) {
	columns := make([]string, schema.NumFields())
	for i, f := range schema.Fields() {
		columns[i] = query.QuoteName(f.Name)
	}
	return &inserter{session: s, ctx: ctx, sql: "INSERT INTO " + into + " SELECT ?, " + strings.Join(columns, ", ") + " FROM " + viewName, run: run}, nil
}

type inserter struct {
	session *session
	ctx     context.Context //nolint:containedctx // of the part that it is of
	sql     string
	run     string
	rows    int64 // written
	digest  table.Digest
}

// Write implements embedded.Inserter.
func (i *inserter) Write(record arrow.RecordBatch) (err error) {
	if err := checkTimes(record, i.rows); err != nil {
		return err
	}
	reader, err := array.NewRecordReader(record.Schema(), []arrow.RecordBatch{record})
	if err != nil {
		return err
	}
	defer reader.Release()
	release, err := i.session.arrow.RegisterView(reader, viewName)
	if err != nil {
		return fault(err)
	}
	defer release()
	n, err := i.session.Exec(i.ctx, i.sql, i.run)
	if err != nil {
		if bad := check(record, i.rows, badText); bad != nil { // DuckDB does not say which text it does not take
			return bad
		}
		return err
	}
	if n != record.NumRows() {
		return fmt.Errorf("%w: DuckDB took %d rows of %d", ledger.ErrAccounts, n, record.NumRows())
	}
	i.rows += n
	return i.digest.AddRecord(record)
}

// Digest implements embedded.Inserter. DuckDB's own hashes would be others in each version.
func (i *inserter) Digest() table.Digest { return i.digest }

// Close implements embedded.Inserter.
func (i *inserter) Close() error { return nil }
