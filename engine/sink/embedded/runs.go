package embedded

import (
	"context"
	"fmt"
	"strings"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink/table"
)

// Runs implements table.Database.
func (db *database) Runs(ctx context.Context) (runs []table.Run, err error) {
	if db.absent {
		return nil, nil
	}
	runs, err = db.readRuns(ctx, "SELECT job, manifest_sha256, "+shownColumns+" FROM "+db.own("run")+" ORDER BY published IS NULL, published, begun")
	return table.InOrder(runs), err
}

// shownColumns are those of runs that the view has, too.
const shownColumns = "run, state, live, parent, mode, model, model_sha256, rows_read, rows_scored, rows_rejected, rows_filtered, rows_written, started, finished, published"

func (db *database) readRuns(ctx context.Context, sql string) (runs []table.Run, err error) {
	err = db.inTx(ctx, func() error {
		rows, err := db.session.Query(ctx, sql)
		for _, r := range rows {
			runs = append(runs, table.Run{
				Job: asText(r[0]), SHA256: asText(r[1]),
				ID: asText(r[2]), State: table.State(asText(r[3])), Live: asInt(r[4]) != 0 || r[4] == true, Published: asMicros(r[16]),
				Shown: table.Shown{
					Parent: asText(r[5]), Mode: ledger.Mode(asText(r[6])), Model: asText(r[7]), ModelSHA256: asText(r[8]),
					Read: asRows(r[9]), Scored: asRows(r[10]), Rejected: asRows(r[11]), Filtered: asRows(r[12]), Written: asRows(r[13]),
					Started: asMicros(r[14]), Finished: asMicros(r[15]),
				},
			})
		}
		return err
	})
	return runs, err
}

// Count implements table.Database.
func (db *database) Count(ctx context.Context, run string) (n int64, err error) {
	err = db.inTx(ctx, func() error {
		n, err = db.number(ctx, "SELECT count(*) FROM "+db.table()+" WHERE "+db.runColumn()+" = ?", run)
		return err
	})
	return n, err
}

// Manifest implements table.Database.
func (db *database) Manifest(ctx context.Context, run string) (data []byte, err error) {
	err = db.inTx(ctx, func() error {
		row, err := db.one(ctx, "SELECT manifest FROM "+db.own("run")+" WHERE run = ?", run)
		if err == nil && row != nil {
			data = []byte(asText(row[0]))
		}
		return err
	})
	return data, err
}

// Begin implements table.Database.
func (db *database) Begin(ctx context.Context, run, job string, lines []byte) error {
	return db.inTx(ctx, func() error {
		_, err := db.session.Exec(ctx, "INSERT INTO "+db.own("run")+" (run, state, live, job, begun) VALUES (?, ?, 0, ?, ?)", run, string(table.Staged), job, now())
		if err != nil {
			return err
		}
		return db.addLine(ctx, line{run: run, text: lines})
	})
}

// line is one of a journal.
type line struct {
	run  string
	part any // of a recorded part; nil
	text []byte
}

func (db *database) addLine(ctx context.Context, l line) error {
	_, err := db.session.Exec(ctx, "INSERT INTO "+db.own("journal")+` (run, line, part, "text") SELECT ?, coalesce(max(line), 0) + 1, ?, ? FROM `+db.own("journal"), l.run, l.part, string(l.text))
	return err
}

// Append implements table.Database.
func (db *database) Append(ctx context.Context, run string, text []byte, durable bool) error {
	db.mu.Lock()
	db.waiting = append(db.waiting, line{run: run, text: text})
	db.mu.Unlock()
	if !durable {
		return nil
	}
	return db.inTx(ctx, func() error { return nil })
}

// Journal implements table.Database.
func (db *database) Journal(ctx context.Context, run string) ([]byte, error) {
	var b strings.Builder
	err := db.inTx(ctx, func() error {
		rows, err := db.session.Query(ctx, `SELECT "text" FROM `+db.own("journal")+" WHERE run = ? ORDER BY line", run)
		for _, r := range rows {
			b.WriteString(asText(r[0]))
		}
		return err
	})
	return []byte(b.String()), err
}

// Staged implements table.Database.
func (db *database) Staged(ctx context.Context, run string) (n int64, err error) {
	err = db.inTx(ctx, func() error {
		n = -1
		found, err := db.session.Describe(ctx, db.stagedRef(run))
		if err != nil || !found.There {
			return err
		}
		n, err = db.number(ctx, "SELECT count(*) FROM "+db.staged(run))
		return err
	})
	return n, err
}

// Drop implements table.Database. A run that is published meanwhile is left alone.
func (db *database) Drop(ctx context.Context, run string) error {
	return db.inTx(ctx, func() error {
		n, err := db.session.Exec(ctx, "DELETE FROM "+db.own("run")+" WHERE run = ? AND state = ?", run, string(table.Staged))
		if err != nil || n == 0 {
			return err
		}
		if err := db.forget(ctx, run); err != nil {
			return err
		}
		return db.exec(ctx, "DROP TABLE IF EXISTS "+db.staged(run))
	})
}

// forget removes the journal of a run.
func (db *database) forget(ctx context.Context, run string) error {
	db.mu.Lock()
	db.waiting = nil
	db.mu.Unlock()
	for _, name := range []string{"journal", "rejects"} {
		if _, err := db.session.Exec(ctx, "DELETE FROM "+db.own(name)+" WHERE run = ?", run); err != nil {
			return err
		}
	}
	return nil
}

// RejectsName implements table.Database.
func (db *database) RejectsName() string { return db.own("reject") }

// Standing implements table.Database.
func (db *database) Standing(ctx context.Context) (standing table.Standing, err error) {
	err = db.inTx(ctx, func() error {
		found, err := db.session.Describe(ctx, db.target.table)
		switch {
		case err != nil || !found.There:
			return err
		case found.Foreign != "":
			return fmt.Errorf("%w: %q is %s, and rows are published to tables", ledger.ErrExists, db.target.name, found.Foreign)
		}
		standing.There = true
		row, err := db.one(ctx, "SELECT 1 FROM "+db.table()+" LIMIT 1")
		standing.Rows = row != nil
		return err
	})
	return standing, err
}
