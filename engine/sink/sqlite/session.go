package sqlite

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	sqlite3 "github.com/mattn/go-sqlite3"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/engine/sink/embedded"
	files "github.com/millrace/millrace/io/sqlite"
)

// busyMillis is how long another process that writes is waited for.
const busyMillis = 30_000

// session is a connection to a file.
type session struct {
	embedded.Statements
	conn *sqlite3.SQLiteConn
	file *files.File // of a session that reads; else nil
}

// connect opens a file to write to it, by its name alone, which may have any character.
func connect(path string) (*session, error) {
	name := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"mode": {"rwc"}, "_busy_timeout": {strconv.Itoa(busyMillis)}}.Encode()}
	conn, err := (&sqlite3.SQLiteDriver{}).Open(name.String())
	if err != nil {
		return nil, fault(err)
	}
	lite := conn.(*sqlite3.SQLiteConn)
	return &session{Statements: embedded.Statements{Conn: lite, Fault: fault}, conn: lite}, nil
}

// openToRead opens a file that is there, and leaves it and its folder as they are.
func openToRead(path string) (*session, error) {
	file, err := files.OpenFile(path)
	if err != nil {
		return nil, err
	}
	return &session{Statements: embedded.Statements{Conn: file, Fault: readFault}, conn: file.SQLiteConn, file: file}, nil
}

// open opens a file to write to it.
func open(ctx context.Context, path string) (_ *session, err error) {
	s, err := connect(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	pages, err := s.Query(ctx, "PRAGMA page_count")
	if err != nil {
		return nil, err
	}
	if pages[0][0] == int64(0) { // the file is new
		if _, err := s.Query(ctx, "PRAGMA journal_mode = WAL"); err != nil {
			return nil, err
		}
	}
	for _, pragma := range []string{
		"PRAGMA synchronous = EXTRA", "PRAGMA trusted_schema = OFF", "PRAGMA cache_size = -32768", // KiB
		"PRAGMA legacy_alter_table = ON", // to rename a table must not fail for a view that is broken
	} {
		if _, err := s.Exec(ctx, pragma); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// fault words an error of SQLite's, whose texts have no values of rows.
func fault(err error) error {
	said, ok := errors.AsType[sqlite3.Error](err)
	if !ok || err == nil {
		return err
	}
	switch said.Code {
	case sqlite3.ErrBusy, sqlite3.ErrLocked:
		return fmt.Errorf("%w, %w: another process has the database locked, for %d s now: %w", ledger.ErrOutput, sink.ErrPasses, busyMillis/1000, err)
	case sqlite3.ErrFull:
		return fmt.Errorf("%w: the disk is full, or the database has its largest size; make room and run the same command again: %w", ledger.ErrOutput, err)
	case sqlite3.ErrNotADB:
		return fmt.Errorf("%w: the file is there and is no SQLite database: %w", ledger.ErrOutput, err)
	case sqlite3.ErrConstraint:
		return embedded.ConstraintError(err)
	case sqlite3.ErrReadonly, sqlite3.ErrPerm, sqlite3.ErrCantOpen:
		return fmt.Errorf("%w: the file and its folder have to be writable: %w", ledger.ErrOutput, err)
	}
	return fmt.Errorf("%w: %w", ledger.ErrOutput, err)
}

// readFault words an error of SQLite's of a file that is only read.
func readFault(err error) error {
	said, ok := errors.AsType[sqlite3.Error](err)
	if ok && (said.Code == sqlite3.ErrBusy || said.Code == sqlite3.ErrLocked) {
		return fmt.Errorf("%w: %w", sink.ErrPasses, files.Fault(err))
	}
	return files.Fault(err)
}

// Close implements embedded.Session. What was read of a file that changed meanwhile does not count.
func (s *session) Close() error {
	if s.file == nil {
		return fault(s.conn.Close())
	}
	return errors.Join(s.file.Unchanged(), readFault(s.conn.Close()))
}

// Describe implements embedded.Session.
func (s *session) Describe(ctx context.Context, table embedded.Ref) (*embedded.Table, error) {
	found := &embedded.Table{}
	kind, err := s.Query(ctx, "SELECT type FROM sqlite_schema WHERE name = ? COLLATE NOCASE AND type <> 'trigger'", table.Table)
	if err != nil || len(kind) == 0 {
		return found, err
	}
	found.There = true
	if kind[0][0] != "table" {
		found.Foreign = "the name of " + map[any]string{"view": "a view", "index": "an index"}[kind[0][0]]
		return found, nil
	}
	triggers, err := s.Query(ctx, "SELECT 1 FROM sqlite_schema WHERE tbl_name = ? COLLATE NOCASE AND type = 'trigger' LIMIT 1", table.Table)
	if err != nil {
		return nil, err
	}
	found.Triggers = len(triggers) > 0
	columns, err := s.Query(ctx, `SELECT name, type, "notnull", dflt_value IS NOT NULL, pk, hidden,
		(SELECT strict FROM pragma_table_list(?1) WHERE schema = 'main') FROM pragma_table_xinfo(?1)`, table.Table)
	if err != nil {
		return nil, err
	}
	var key []string
	for _, c := range columns {
		column := embedded.Column{Name: c[0].(string), Type: c[1].(string), NotNull: c[2] != int64(0), Filled: c[3] != int64(0), Generated: c[5] != int64(0), Strict: c[6] == int64(1)}
		if c[4] != int64(0) {
			key = append(key, column.Name)
		}
		found.Columns = append(found.Columns, column)
	}
	if len(key) == 1 { // an INTEGER PRIMARY KEY is filled with the next number, and has no index
		c := &found.Columns[indexOf(found.Columns, key[0])]
		c.Filled = c.Filled || strings.EqualFold(c.Type, "INTEGER")
		found.Unique = append(found.Unique, key)
	}
	indexes, err := s.Query(ctx, `SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial`, table.Table)
	if err != nil {
		return nil, err
	}
	for _, index := range indexes {
		names, err := s.Query(ctx, "SELECT name FROM pragma_index_info(?)", index[0])
		if err != nil {
			return nil, err
		}
		var unique []string
		for _, n := range names {
			name, _ := n[0].(string) // an expression has none
			unique = append(unique, name)
		}
		found.Unique = append(found.Unique, unique)
	}
	return found, nil
}

func indexOf(columns []embedded.Column, name string) int {
	for i := range columns {
		if columns[i].Name == name {
			return i
		}
	}
	return -1
}
