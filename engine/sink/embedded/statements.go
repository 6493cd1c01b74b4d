package embedded

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"github.com/millrace/millrace/engine/ledger"
)

// Conn is a driver's connection.
type Conn interface {
	driver.ExecerContext
	driver.QueryerContext
}

// Statements is the part of a Session that is alike for all drivers: statements and their few rows.
type Statements struct {
	Conn  Conn
	Fault func(error) error // words an error of the driver's
}

// Named gives arguments of a statement as drivers take them.
func Named(args []any) []driver.NamedValue {
	values := make([]driver.NamedValue, len(args))
	for i, a := range args {
		values[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	return values
}

// Exec implements Session.
func (s *Statements) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	result, err := s.Conn.ExecContext(ctx, sql, Named(args))
	if err != nil {
		return 0, s.Fault(err)
	}
	return result.RowsAffected()
}

// Query implements Session.
func (s *Statements) Query(ctx context.Context, sql string, args ...any) (all [][]any, err error) {
	rows, err := s.Conn.QueryContext(ctx, sql, Named(args))
	if err != nil {
		return nil, s.Fault(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	row := make([]driver.Value, len(rows.Columns()))
	for {
		switch err := rows.Next(row); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, s.Fault(err)
		}
		kept := make([]any, len(row))
		for i, v := range row {
			kept[i] = v
		}
		all = append(all, kept)
	}
}

// ConstraintError words what a database says where a constraint of the table refuses a row.
func ConstraintError(said error) error {
	return fmt.Errorf("%w: the table's own constraint refuses a row: leave such rows out by --where, replace those of the same ids by --if-exists upsert, or ALTER the table: %w", ledger.ErrOutput, said)
}
