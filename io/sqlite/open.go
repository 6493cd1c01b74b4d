package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	sqlite3 "github.com/mattn/go-sqlite3"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/spool"
)

// busyMillis is how long SQLite waits for another process that writes.
const busyMillis = 10_000

// openReader connects to a file that is there, and to nothing else.
func openReader(ctx context.Context, path string) (*File, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	file, err := OpenFile(path)
	if err != nil {
		return nil, err
	}
	// What a schema says may come from anyone.
	for _, pragma := range []string{"PRAGMA trusted_schema = OFF", "PRAGMA cell_size_check = ON", "PRAGMA mmap_size = 0"} {
		if _, err := file.ExecContext(ctx, pragma, nil); err != nil {
			return nil, errors.Join(Fault(err), file.Close())
		}
	}
	return file, nil
}

// connect opens a file by its name alone: a path may have any character.
func connect(path string, values url.Values) (*sqlite3.SQLiteConn, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	values.Set("_busy_timeout", strconv.Itoa(busyMillis))
	name := url.URL{Scheme: "file", Path: path, RawQuery: values.Encode()}
	conn, err := (&sqlite3.SQLiteDriver{}).Open(name.String())
	if err != nil {
		return nil, Fault(err)
	}
	return conn.(*sqlite3.SQLiteConn), nil
}

// Fault marks what SQLite says of a file that is no database or a broken one.
func Fault(err error) error {
	said, ok := errors.AsType[sqlite3.Error](err)
	if !ok {
		return err
	}
	switch said.Code {
	case sqlite3.ErrNotADB, sqlite3.ErrCorrupt:
		return fmt.Errorf("%w: %w", format.ErrDamaged, err)
	case sqlite3.ErrReadonly, sqlite3.ErrCantOpen: // to write is not needed, unless something was left to do
		if said.ExtendedCode == sqlite3.ErrReadonlyRollback {
			return fmt.Errorf("who wrote it was stopped within a transaction, which must be rolled back first: open it once with rights to write, such as by sqlite3 FILE .schema: %w", err)
		}
		return fmt.Errorf("what was written to it last is in its log, the file -wal beside it, which cannot be read where the folder cannot be written: read it where that can be, or a copy of both: %w", err)
	case sqlite3.ErrFull: // of what is only read, a temporary file is
		return fmt.Errorf("%w: what the query sorts does not fit there: %w", spool.ErrSpool, err)
	case sqlite3.ErrBusy, sqlite3.ErrLocked:
		return fmt.Errorf("another process kept it locked for %d s: %w", busyMillis/1000, err)
	}
	return err
}

// texts gives the first column of what a query gives, as texts.
func texts(ctx context.Context, conn *sqlite3.SQLiteConn, query string, args ...string) (_ []string, err error) {
	named := make([]driver.NamedValue, len(args))
	for i, a := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	rows, err := conn.QueryContext(ctx, query, named)
	if err != nil {
		return nil, Fault(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var found []string
	row := make([]driver.Value, len(rows.Columns()))
	for {
		switch err := rows.Next(row); {
		case errors.Is(err, io.EOF):
			return found, nil
		case err != nil:
			return nil, Fault(err)
		}
		found = append(found, fmt.Sprint(row[0]))
	}
}
