package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

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
func (db *database) addRejects(ctx context.Context, p *table.Publication) (err error) {
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
			for row := range int(rows.NumRows()) {
				if _, err := db.session.Exec(ctx, "INSERT INTO "+db.own("reject")+" VALUES (?, ?, ?, ?, ?, ?, ?)", rejectOf(p.Run, rows, row)...); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func rejectOf(run string, rows arrow.RecordBatch, row int) []any {
	values := []any{run}
	for i := range reasons {
		switch v := rows.Column(i).GetOneForMarshal(row).(type) {
		case string:
			values = append(values, strings.ToValidUTF8(v, "?"))
		default:
			values = append(values, v)
		}
	}
	others := make(map[string]any, int(rows.NumCols())-reasons)
	for i := reasons; i < int(rows.NumCols()); i++ {
		others[rows.ColumnName(i)] = rows.Column(i).GetOneForMarshal(row)
	}
	text, err := json.Marshal(others)
	if err != nil { // of a value that JSON has nothing for
		text, _ = json.Marshal(map[string]string{"error": err.Error()})
	}
	return append(values, string(text))
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
