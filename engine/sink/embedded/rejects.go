package embedded

import (
	"context"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink/table"
)

// addRejects copies the rows of rejects to their table.
func (db *database) addRejects(ctx context.Context, p *table.Publication) error {
	clean := func(text string) string { return strings.ToValidUTF8(text, "?") }
	return p.EachReject(ctx, func(rows arrow.RecordBatch) error {
		for row := range int(rows.NumRows()) {
			if _, err := db.session.Exec(ctx, "INSERT INTO "+db.own("reject")+" VALUES (?, ?, ?, ?, ?, ?, ?)", table.RejectValues(p.Run, rows, row, clean)...); err != nil {
				return err
			}
		}
		return nil
	})
}

// KeepRejects implements table.Database.
func (db *database) KeepRejects(ctx context.Context, p *table.Publication) (string, error) {
	err := db.inTx(ctx, func() error {
		if err := db.addRejects(ctx, p); err != nil {
			return err
		}
		if err := db.forget(ctx, p.Run); err != nil {
			return err
		}
		n, err := db.session.Exec(ctx, "UPDATE "+db.own("run")+" SET state = ? WHERE run = ? AND state = ?", string(table.Rejected), p.Run, string(table.Staged))
		if err == nil && n != 1 {
			err = fmt.Errorf("%w: the run's row is gone", ledger.ErrAccounts)
		}
		if err != nil {
			return err
		}
		return db.exec(ctx, "DROP TABLE IF EXISTS "+db.staged(p.Run))
	})
	return fmt.Sprintf("table %s, run %s", db.own("reject"), p.Run), err
}
