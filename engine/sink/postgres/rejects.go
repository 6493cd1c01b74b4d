package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink/table"
)

// addRejects copies the rows of rejects to their table.
func (db *database) addRejects(ctx context.Context, tx pgx.Tx, p *table.Publication) error {
	return p.EachReject(ctx, func(rows arrow.RecordBatch) error {
		from := rejectRows{run: p.Run, rows: rows, at: -1}
		_, err := tx.CopyFrom(ctx, pgx.Identifier{db.target.Ledger, "reject"}, []string{"run", "file", "row", "column", "stage", "reason", "values"}, &from)
		return err
	})
}

// rejectRows gives a batch's rows to the driver.
type rejectRows struct {
	run  string
	rows arrow.RecordBatch
	at   int
}

func (r *rejectRows) Next() bool { r.at++; return r.at < int(r.rows.NumRows()) }
func (r *rejectRows) Err() error { return nil }
func (r *rejectRows) Values() ([]any, error) {
	return table.RejectValues(r.run, r.rows, r.at, clean), nil
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
