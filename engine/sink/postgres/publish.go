package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink/table"
	"github.com/millrace/millrace/io/postgres"
)

// Publish implements table.Database: one transaction, in which
//
//	holder's row is taken, so that no part and no other run commits meanwhile
//	staged rows are counted: they are as many as the journal's parts had
//	they become the table's, see rows
//	the run's row says that it is published, and has the manifest
//	rows of rejects, and views
//
// If its COMMIT's answer is lost, the run's row tells whether it happened.
func (db *database) Publish(ctx context.Context, p *table.Publication) error {
	err := db.inTx(ctx, func(tx pgx.Tx) error { return db.publish(ctx, tx, p) })
	if _, ok := errors.AsType[*commitError](err); ok && errors.Is(err, postgres.ErrLost) {
		if there, asked := db.isPublished(ctx, p.Run); asked == nil && there {
			return nil
		}
	}
	return err
}

// askFor is how long a server is asked whether a COMMIT happened: one that crashed needs a
// moment to come back.
const (
	askFor   = 20 * time.Second
	askPause = 250 * time.Millisecond
)

// isPublished asks whether a run's row says so.
func (db *database) isPublished(ctx context.Context, run string) (there bool, err error) {
	for deadline := time.Now().Add(askFor); ; time.Sleep(askPause) {
		err = db.inTx(ctx, func(tx pgx.Tx) error {
			if err := db.fence(ctx, tx, alone); err != nil { // waits for the transaction in doubt
				return err
			}
			return tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+db.own("run")+" WHERE run = $1 AND state = $2)", run, table.Published).Scan(&there)
		})
		if err == nil || errors.Is(err, ledger.ErrHeld) || ctx.Err() != nil || time.Now().After(deadline) {
			return there, err
		}
	}
}

func (db *database) publish(ctx context.Context, tx pgx.Tx, p *table.Publication) error {
	if err := db.fence(ctx, tx, alone); err != nil {
		return err
	}
	if err := db.count(ctx, tx, p); err != nil {
		return err
	}
	if err := db.rows(ctx, tx, p); err != nil {
		return err
	}
	if err := db.addRejects(ctx, tx, p); err != nil {
		return err
	}
	if err := db.record(ctx, tx, p); err != nil {
		return err
	}
	for _, name := range []string{"journal", "rejects"} {
		if _, err := tx.Exec(ctx, "DELETE FROM "+db.own(name)+" WHERE run = $1", p.Run); err != nil {
			return err
		}
	}
	return db.makeViews(ctx, tx)
}

// count compares the staged rows with the manifest's account.
func (db *database) count(ctx context.Context, tx pgx.Tx, p *table.Publication) error {
	got, err := db.stagedRows(ctx, tx, p.Run)
	if err != nil {
		return err
	}
	var parts int64
	if err := tx.QueryRow(ctx, "SELECT count(part) FROM "+db.own("journal")+" WHERE run = $1", p.Run).Scan(&parts); err != nil {
		return err
	}
	if want := p.Manifest.Ledger.Written(); got != want || parts != int64(len(p.Manifest.Parts)) {
		return fmt.Errorf("%w: %d rows of %d parts are staged, and %d of %d were written: somebody else wrote to schema %q", ledger.ErrAccounts, got, parts, want, len(p.Manifest.Parts), db.target.Ledger)
	}
	return nil
}

// rows makes the staged rows the table's: by their own columns, since every part may be of
// an earlier start.
func (db *database) rows(ctx context.Context, tx pgx.Tx, p *table.Publication) error {
	rows, err := db.target.Describe(ctx, tx, db.target.Ledger, stagedName(p.Run))
	if err != nil {
		return err
	}
	rows.Columns = slices.DeleteFunc(rows.Columns, func(c postgres.Column) bool { return c.Name == db.target.RunColumn })
	now, err := db.target.Describe(ctx, tx, db.target.Schema, db.target.Table)
	if err != nil {
		return err
	}
	if now.Layout != postgres.Absent {
		if err := errors.Join(db.stillFits(now, rows), db.checkRights(ctx, tx, now)); err != nil {
			return err
		}
	}
	if now.Layout != postgres.Absent && db.ifExists == ledger.IfExistsError {
		var some bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+db.target.Name()+")").Scan(&some); err != nil {
			return err
		}
		if some {
			return fmt.Errorf("%w: %s got rows while this run was working", ledger.ErrExists, db.target.Address())
		}
	}
	copies, err := db.copies(ctx, tx, now)
	if err != nil {
		return err
	}
	if !copies {
		if err := db.unpack(ctx, tx, p.Run, rows); err != nil {
			return err
		}
	}
	name := db.own(stagedName(p.Run))
	if db.ifExists == ledger.IfExistsUpsert {
		if err := db.checkIDs(ctx, tx, name); err != nil {
			return err
		}
	}
	if db.ifExists != ledger.IfExistsAppend && db.ifExists != ledger.IfExistsUpsert || now.Layout == postgres.Absent {
		if _, err := tx.Exec(ctx, "UPDATE "+db.own("run")+" SET live = false WHERE live"); err != nil {
			return err
		}
	}
	switch {
	case now.Layout == postgres.Absent && db.ifExists == ledger.IfExistsUpsert:
		return run(ctx, tx,
			"ALTER TABLE "+name+" ALTER "+db.runColumn()+" DROP DEFAULT",
			"ALTER TABLE "+name+" SET SCHEMA "+pgx.Identifier{db.target.Schema}.Sanitize(),
			"ALTER TABLE "+pgx.Identifier{db.target.Schema, stagedName(p.Run)}.Sanitize()+" RENAME TO "+pgx.Identifier{db.target.Table}.Sanitize(),
			"CREATE UNIQUE INDEX ON "+db.target.Name()+" ("+quoted(db.ids)+")")
	case now.Layout == postgres.Absent:
		err := run(ctx, tx, "CREATE TABLE "+db.target.Name()+" "+db.target.Definition(rows.Columns)+" PARTITION BY LIST ("+db.runColumn()+")")
		if err != nil {
			return err
		}
		return db.attach(ctx, tx, p.Run)
	case now.Layout == postgres.ByRun:
		if db.ifExists == ledger.IfExistsReplace {
			if err := db.dropPartitions(ctx, tx, now.OID); err != nil {
				return err
			}
		}
		return db.attach(ctx, tx, p.Run)
	}
	move := db.insert
	if copies {
		move = db.copyOver
	}
	if err := db.move(ctx, tx, p, func() (int64, error) { return move(ctx, tx, p.Run, rows) }); err != nil {
		return err
	}
	return db.asWritten(ctx, tx, p, now)
}

// stillFits compares the table, which may have been altered while the run was working, with
// the rows that were staged for it.
func (db *database) stillFits(now, rows *postgres.Table) error {
	var problems []error
	for _, c := range rows.Columns {
		found, there := now.Column(c.Name)
		switch {
		case now.Layout == postgres.Foreign:
			return fmt.Errorf("%w: %s is %s now", ledger.ErrExists, db.target.Address(), now.Kind)
		case !there:
			problems = append(problems, fmt.Errorf("it has no column %q any more", c.Name))
		case found.Type != c.Type:
			problems = append(problems, fmt.Errorf("column %q is %s now, and was %s when rows were staged for it", c.Name, found.Written, c.Written))
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("%s: %w: %w; alter it back, and the same command publishes, or start over with --restart", db.target.Address(), postgres.ErrTable, errors.Join(problems...))
	}
	return nil
}

func run(ctx context.Context, tx pgx.Tx, statements ...string) error {
	for _, sql := range statements {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// attach makes the staged rows a partition: nobody copies them.
func (db *database) attach(ctx context.Context, tx pgx.Tx, id string) error {
	rows := db.own(stagedName(id))
	return run(ctx, tx,
		"ALTER TABLE "+db.target.Name()+" ATTACH PARTITION "+rows+" FOR VALUES IN ("+literal(id)+")",
		"ALTER TABLE "+rows+" DROP CONSTRAINT IF EXISTS "+ofRun) // the partition's own says the same
}

func (db *database) dropPartitions(ctx context.Context, tx pgx.Tx, table uint32) error {
	rows, err := tx.Query(ctx, "SELECT n.nspname::text, c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE i.inhparent = $1", table)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (pgx.Identifier, error) {
		name := make(pgx.Identifier, 2)
		return name, row.Scan(&name[0], &name[1])
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := run(ctx, tx, "DROP TABLE "+name.Sanitize()); err != nil {
			return err
		}
	}
	return nil
}

// record writes the run's row.
func (db *database) record(ctx context.Context, tx pgx.Tx, p *table.Publication) error {
	m, shown := p.Manifest, table.ShownOf(p.Manifest)
	var parent *string
	if m.Parent != nil {
		parent = &shown.Parent
	}
	tag, err := tx.Exec(ctx, "UPDATE "+db.own("run")+` SET state = $2, live = true, parent = $3, mode = $4, started = $5, finished = $6, published = clock_timestamp(),
		model = $7, model_sha256 = $8, rows_read = $9, rows_scored = $10, rows_rejected = $11, rows_filtered = $12, rows_written = $13, manifest = $14, manifest_sha256 = $15
		WHERE run = $1 AND state = $16`,
		p.Run, string(table.Published), parent, string(shown.Mode), m.Started, m.Finished, shown.Model, shown.ModelSHA256,
		shown.Read, shown.Scored, shown.Rejected, shown.Filtered, shown.Written, string(p.Encoded), p.SHA256, string(table.Staged))
	if err == nil && tag.RowsAffected() != 1 {
		err = fmt.Errorf("%w: the run's row is gone", ledger.ErrAccounts)
	}
	return err
}
