package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	sqlite3 "github.com/mattn/go-sqlite3"

	"github.com/millrace/millrace/engine/sink/embedded"
	"github.com/millrace/millrace/engine/sink/table"
	"github.com/millrace/millrace/io/format"
)

// A statement inserts several rows, as many as have about maxValues values: each takes a
// crossing to C, and more parameters are bound more slowly.
const (
	maxRows   = 64
	maxValues = 512
)

// inserter adds rows by statements that are prepared once.
type inserter struct {
	session *session
	ctx     context.Context //nolint:containedctx // of the part that it is of
	sql     string          // but for the values
	row     string
	step    int                 // rows of many
	many    *sqlite3.SQLiteStmt // of step rows
	values  []driver.NamedValue
	rows    int64 // written
	digest  table.Digest
	encoded []byte // one encoded for the digest
}

// Insert implements embedded.Session.
func (s *session) Insert(ctx context.Context, into, run string, schema *arrow.Schema) (embedded.Inserter, error) {
	columns := schema.NumFields() + 1
	i := &inserter{session: s, ctx: ctx, step: max(min(maxRows, maxValues/columns), 1)}
	i.sql = "INSERT INTO " + into + " VALUES "
	i.row = "(" + strings.TrimSuffix(strings.Repeat("?,", columns), ",") + ")"
	stmt, err := i.prepare(i.step)
	if err != nil {
		return nil, err
	}
	i.many = stmt
	i.values = make([]driver.NamedValue, i.step*columns)
	for at := range i.values {
		i.values[at].Ordinal = at + 1
		if at%columns == 0 {
			i.values[at].Value = run
		}
	}
	return i, nil
}

func (i *inserter) prepare(rows int) (*sqlite3.SQLiteStmt, error) {
	stmt, err := i.session.conn.PrepareContext(i.ctx, i.sql+strings.TrimSuffix(strings.Repeat(i.row+",", rows), ","))
	if err != nil {
		return nil, fault(err)
	}
	return stmt.(*sqlite3.SQLiteStmt), nil
}

// Write implements embedded.Inserter.
func (i *inserter) Write(record arrow.RecordBatch) error {
	columns := int(record.NumCols()) + 1
	cells := make([]cell, record.NumCols())
	for c, column := range record.Columns() {
		var err error
		if cells[c], err = cellOf(column); err != nil {
			return fmt.Errorf("column %q: %w", record.ColumnName(c), err)
		}
	}
	for first, rows := 0, int(record.NumRows()); first < rows; first += i.step {
		n := min(i.step, rows-first)
		for c, column := range record.Columns() {
			for r := range n {
				value := &i.values[r*columns+c+1].Value
				if column.IsNull(first + r) {
					*value = nil
					continue
				}
				var err error
				if *value, err = cells[c](first + r); err != nil {
					return fmt.Errorf("column %q: %s: %w: %w", record.ColumnName(c), format.RowName(record, first+r, i.rows+int64(r)), errValue, err)
				}
			}
		}
		if err := i.exec(n, columns); err != nil {
			return err
		}
		for r := range n {
			i.encoded = i.encoded[:0]
			for _, v := range i.values[r*columns+1 : (r+1)*columns] {
				i.encoded = appendValue(i.encoded, v.Value)
			}
			i.digest.Add(i.encoded)
		}
		i.rows += int64(n)
	}
	return nil
}

func (i *inserter) exec(rows, columns int) (err error) {
	stmt := i.many
	if rows < i.step {
		if stmt, err = i.prepare(rows); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stmt.Close()) }()
	}
	_, err = stmt.ExecContext(i.ctx, i.values[:rows*columns])
	return fault(err)
}

// Digest implements embedded.Inserter.
func (i *inserter) Digest() table.Digest { return i.digest }

// Close implements embedded.Inserter.
func (i *inserter) Close() error { return fault(i.many.Close()) }
