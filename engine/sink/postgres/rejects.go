package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink/table"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/parquetfile"
)

// reasons is how many columns of a file of rejects say where a row is and why it was
// rejected: file, row, column, stage and reason.
const reasons = 5

// addRejects copies the rows of rejects to their table: what says why in columns, all
// others, which differ from run to run, as JSON.
func (db *database) addRejects(ctx context.Context, tx pgx.Tx, p *table.Publication) (err error) {
	if p.Rejects == "" {
		return nil
	}
	in, err := parquetfile.Open(p.Rejects, format.ReadOptions{}) //nolint:contextcheck // a file of this machine
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	columns := make([]int, in.Schema().NumFields())
	for i := range columns {
		columns[i] = i
	}
	for span := range in.Spans() {
		err := in.ReadSpan(ctx, span, columns, func(rows arrow.RecordBatch) error {
			from := rejectRows{run: p.Run, rows: rows, at: -1}
			_, err := tx.CopyFrom(ctx, pgx.Identifier{db.target.Ledger, "reject"}, []string{"run", "file", "row", "column", "stage", "reason", "values"}, &from)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rejectRows gives a batch's rows to the driver.
type rejectRows struct {
	run  string
	rows arrow.RecordBatch
	at   int
	err  error
}

func (r *rejectRows) Next() bool { r.at++; return r.at < int(r.rows.NumRows()) }
func (r *rejectRows) Err() error { return r.err }

func (r *rejectRows) Values() ([]any, error) {
	row := []any{r.run}
	for i := range reasons {
		column := r.rows.Column(i)
		switch v := column.GetOneForMarshal(r.at).(type) {
		case string:
			row = append(row, clean(v))
		default:
			row = append(row, v)
		}
	}
	values := make(map[string]any, int(r.rows.NumCols())-reasons)
	for i := reasons; i < int(r.rows.NumCols()); i++ {
		values[r.rows.ColumnName(i)] = r.rows.Column(i).GetOneForMarshal(r.at)
	}
	text, err := json.Marshal(values)
	if err != nil { // of a value that JSON has nothing for
		text, err = json.Marshal(map[string]string{"error": err.Error()})
	}
	return append(row, string(text)), err
}

// clean is a text as PostgreSQL holds it, of a row that may have been rejected for what it
// has in it.
func clean(text string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", "?"), "?")
}

// KeepRejects implements table.Database.
func (db *database) KeepRejects(ctx context.Context, p *table.Publication) (string, error) {
	err := db.fenced(ctx, func(tx pgx.Tx) error {
		if err := db.addRejects(ctx, tx, p); err != nil {
			return err
		}
		for _, name := range []string{"journal", "rejects"} {
			if _, err := tx.Exec(ctx, "DELETE FROM "+db.own(name)+" WHERE run = $1", p.Run); err != nil {
				return err
			}
		}
		tag, err := tx.Exec(ctx, "UPDATE "+db.own("run")+" SET state = $2 WHERE run = $1 AND state = $3", p.Run, string(table.Rejected), string(table.Staged))
		if err == nil && tag.RowsAffected() != 1 {
			err = fmt.Errorf("%w: the run's row is gone", ledger.ErrAccounts)
		}
		if err != nil {
			return err
		}
		return run(ctx, tx, "DROP TABLE IF EXISTS "+db.own(stagedName(p.Run))+", "+db.own(packedName(p.Run)))
	})
	return fmt.Sprintf("table %s, run %s", db.own("reject"), p.Run), err
}
