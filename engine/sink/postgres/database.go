package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink/table"
	"github.com/millrace/millrace/io/postgres"
)

// database implements table.Database.
type database struct {
	*pool

	ctx      context.Context //nolint:containedctx // for the goodbye to the server
	ifExists ledger.IfExists
	ids      []string
	epoch    int64 // of holder, once it is ours
	absent   bool  // the run's own tables are not there yet
	made     bool  // and this run has made them
	room     bool  // and the schema for them

	mu      sync.Mutex
	control *pgx.Conn // has the advisory lock; nil before and after

	staged struct {
		sync.Mutex

		rows *staged // nil before there are some
	}
}

var _ table.Database = (*database)(nil)

// open connects.
func open(ctx context.Context, uri string, ifExists ledger.IfExists, ids []string) (*database, error) {
	target, err := postgres.ParseTarget(uri)
	if err != nil {
		return nil, err
	}
	db := &database{pool: &pool{target: target}, ctx: ctx, ifExists: ifExists, ids: ids}
	db.control, err = db.connect(ctx)
	return db, db.failed(err)
}

// own is the quoted name of one of the run's own tables.
func (db *database) own(name string) string {
	return pgx.Identifier{db.target.Ledger, name}.Sanitize()
}

// stagedName is the table of a run's staged rows.
func stagedName(run string) string { return "rows_" + run }

// A lock that is taken is tried again for a while: a process that was killed has it until
// its server notices.
const (
	lockPatience = 3 * time.Second
	lockPause    = 100 * time.Millisecond
)

// Hold implements table.Database.
func (db *database) Hold(ctx context.Context, holder ledger.Holder) error {
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(lockPause) {
		var got bool
		// Locks are of the database, and the table may not be there yet.
		err := db.control.QueryRow(ctx, "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended($1, 0))", "millrace "+db.target.Ledger).Scan(&got)
		if err != nil {
			return db.failed(err)
		}
		if got {
			break
		}
		if time.Now().After(deadline) {
			return db.heldError(ctx)
		}
	}
	if err := db.checkOwn(ctx); err != nil || db.absent {
		return err
	}
	// At once: what a run that had the table before still does could keep this one waiting.
	return db.Claim(ctx, holder)
}

// Claim implements table.Database. Where the run's own tables are there Hold has done it.
func (db *database) Claim(ctx context.Context, holder ledger.Holder) error {
	if db.epoch != 0 {
		return nil
	}
	note, err := json.Marshal(holder)
	if err != nil {
		return err
	}
	if db.absent {
		if err := db.failed(onConn(ctx, db.control, func(tx pgx.Tx) error { return db.makeOwn(ctx, tx) })); err != nil {
			return err
		}
		db.absent, db.made = false, true
	}
	db.endOthers(ctx)
	// Waits for transactions of a run that had the table before, see lock_timeout.
	err = db.control.QueryRow(ctx, "UPDATE "+db.own("holder")+" SET epoch = epoch + 1, holder = $1 RETURNING epoch", string(note)).Scan(&db.epoch)
	return db.failed(err)
}

// endOthers ends what connections of a run that lost its lock still do to staged rows. One
// that is stalled would block this one until its server gave up on it; that it may not be
// ended by this user is no error, since it can commit nothing.
func (db *database) endOthers(ctx context.Context) {
	_, _ = db.control.Exec(ctx, `SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND l.mode = 'RowExclusiveLock' AND l.pid <> pg_backend_pid() AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND c.oid = ANY (SELECT to_regclass(format('%I.%I', $1::text, kind || run)) FROM (VALUES ('rows_'), ('packed_')) kinds(kind), `+db.own("run")+` WHERE state = $2)`, db.target.Ledger, string(table.Staged))
}

// heldError says who has the table, as far as that can be read.
func (db *database) heldError(ctx context.Context) error {
	held := &ledger.HeldError{Output: db.target.String()}
	var note *string
	if err := db.control.QueryRow(ctx, "SELECT holder::text FROM "+db.own("holder")).Scan(&note); err == nil && note != nil {
		_ = json.Unmarshal([]byte(*note), &held.Holder) // one that cannot be read leaves it unnamed
	}
	return held
}

// version is that of the run's own tables.
const version = 1

// undefinedColumn is the SQLSTATE for a column that is not there.
const undefinedColumn = "42703"

// checkOwn looks for the run's own tables, and refuses those of another table.
func (db *database) checkOwn(ctx context.Context) error {
	return db.failed(onConn(ctx, db.control, func(tx pgx.Tx) error {
		var there bool
		err := tx.QueryRow(ctx, "SELECT pg_catalog.to_regclass($1) IS NOT NULL", db.own("holder")).Scan(&there)
		if err != nil {
			return err
		}
		if db.absent = !there; db.absent {
			return nil
		}
		name := db.ofTable()
		var found int
		var of string
		err = tx.QueryRow(ctx, "SELECT version, of_table FROM "+db.own("holder")).Scan(&found, &of)
		pg, refused := errors.AsType[*pgconn.PgError](err)
		switch {
		case err != nil && (refused && pg.Code != undefinedColumn || postgres.Passes(err)): // no rights, or the connection broke
			return err
		case err != nil:
			return fmt.Errorf("schema %q has a table holder that is not millrace's; name another schema by ledger= in the URI: %w", db.target.Ledger, err)
		case found != version:
			return fmt.Errorf("schema %q has millrace's tables of version %d, and this millrace has version %d; use the millrace that made them, or name another schema by ledger= in the URI", db.target.Ledger, found, version)
		case of != name:
			return fmt.Errorf("schema %q belongs to the table %s, and the output is %s; name another schema by ledger= in the URI", db.target.Ledger, of, name)
		}
		return nil
	}))
}

// ofTable is whose tables the run's own are.
func (db *database) ofTable() string { return db.target.Schema + "." + db.target.Table }

// makeOwn makes the run's own tables.
func (db *database) makeOwn(ctx context.Context, tx pgx.Tx) error {
	var schema bool
	if err := tx.QueryRow(ctx, "SELECT pg_catalog.to_regnamespace($1) IS NOT NULL", pgx.Identifier{db.target.Ledger}.Sanitize()).Scan(&schema); err != nil {
		return err
	}
	statements := []string{
		"CREATE TABLE " + db.own("holder") + " (version integer NOT NULL, of_table text NOT NULL, epoch bigint NOT NULL, holder json)",
		"CREATE TABLE " + db.own("run") + ` (run text PRIMARY KEY, state text NOT NULL, live boolean NOT NULL DEFAULT false, job text NOT NULL, begun timestamptz NOT NULL DEFAULT pg_catalog.now(),
			parent text, mode text, started timestamptz, finished timestamptz, published timestamptz, model text, model_sha256 text,
			rows_read bigint, rows_scored bigint, rows_rejected bigint, rows_filtered bigint, rows_written bigint, manifest json, manifest_sha256 text)`,
		"CREATE TABLE " + db.own("journal") + ` (run text NOT NULL REFERENCES ` + db.own("run") + ` ON DELETE CASCADE, line bigint GENERATED ALWAYS AS IDENTITY, part integer, "text" text NOT NULL, PRIMARY KEY (run, line))`,
		"CREATE UNIQUE INDEX ON " + db.own("journal") + " (run, part)",
		"CREATE TABLE " + db.own("rejects") + ` (run text NOT NULL REFERENCES ` + db.own("run") + ` ON DELETE CASCADE, part integer NOT NULL, piece integer NOT NULL, bytes bytea NOT NULL, PRIMARY KEY (run, part, piece))`,
		"CREATE TABLE " + db.own("reject") + ` (run text NOT NULL REFERENCES ` + db.own("run") + ` ON DELETE CASCADE, file text, "row" bigint, "column" text, stage text, reason text, "values" json)`,
		"CREATE INDEX ON " + db.own("reject") + " (run)",
	}
	if db.room = !schema; db.room {
		statements = append([]string{"CREATE SCHEMA " + pgx.Identifier{db.target.Ledger}.Sanitize()}, statements...)
	}
	for _, sql := range statements {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("make the run's own tables in schema %q (the user needs CREATE on the database, or a schema of that name which it may create in; ledger= names another): %w", db.target.Ledger, err)
		}
	}
	_, err := tx.Exec(ctx, "INSERT INTO "+db.own("holder")+" VALUES ($1, $2, 0, NULL)", version, db.ofTable())
	return err
}

// dropOwn drops the run's own tables, unless a run is kept in them or another has taken them over.
func (db *database) dropOwn(ctx context.Context) error {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer done()
	return onConn(ctx, db.control, func(tx pgx.Tx) error {
		if err := db.fence(ctx, tx, alone); err != nil {
			return err
		}
		var used bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+db.own("run")+")").Scan(&used); err != nil || used {
			return err
		}
		statements := []string{"DROP TABLE " + strings.Join([]string{db.own("reject"), db.own("rejects"), db.own("journal"), db.own("run"), db.own("holder")}, ", ")}
		if db.room {
			statements = append(statements, "DROP SCHEMA "+pgx.Identifier{db.target.Ledger}.Sanitize())
		}
		return run(ctx, tx, statements...)
	})
}

// fence is an error unless the table is still this run's, and keeps it so until the
// transaction ends.
func (db *database) fence(ctx context.Context, tx session, strength string) error {
	var epoch int64
	var note *string
	err := tx.QueryRow(ctx, "SELECT epoch, holder::text FROM "+db.own("holder")+" FOR "+strength).Scan(&epoch, &note)
	if err != nil {
		return err
	}
	if epoch == db.epoch {
		return nil
	}
	held := &ledger.HeldError{Output: db.target.String()}
	if note != nil {
		_ = json.Unmarshal([]byte(*note), &held.Holder)
	}
	return fmt.Errorf("%w, which took it over while this one was stalled; this one publishes nothing", held)
}

// How strongly a transaction holds the table: parts side by side, publishing alone.
const (
	shared = "SHARE"
	alone  = "UPDATE"
)

// Held implements table.Database.
func (db *database) Held(ctx context.Context) error {
	return db.inTx(ctx, func(tx pgx.Tx) error { return db.fence(ctx, tx, shared) })
}

// fenced runs do in a transaction of a run that has the table.
func (db *database) fenced(ctx context.Context, do func(tx pgx.Tx) error) error {
	return db.inTx(ctx, func(tx pgx.Tx) error {
		if err := do(tx); err != nil {
			return err
		}
		return db.fence(ctx, tx, shared)
	})
}

// Runs implements table.Database.
func (db *database) Runs(ctx context.Context) (runs []table.Run, err error) {
	if db.absent {
		return nil, nil
	}
	runs, err = db.readRuns(ctx, "SELECT job, coalesce(manifest_sha256, ''), "+shownColumns+" FROM "+db.own("run")+" ORDER BY published NULLS LAST, begun")
	return table.InOrder(runs), err
}

// shownColumns are those of runs that the view has, too.
const shownColumns = "run, state, live, coalesce(parent, ''), coalesce(mode, ''), coalesce(model, ''), coalesce(model_sha256, '')," +
	" coalesce(rows_read, -1), coalesce(rows_scored, -1), coalesce(rows_rejected, -1), coalesce(rows_filtered, -1), coalesce(rows_written, -1), started, finished, published"

func (db *database) readRuns(ctx context.Context, sql string) (runs []table.Run, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sql)
		if err != nil {
			return err
		}
		runs, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (table.Run, error) {
			var r table.Run
			var started, finished, published pgtype.Timestamptz
			err := row.Scan(&r.Job, &r.SHA256, &r.ID, &r.State, &r.Live, &r.Parent, &r.Mode, &r.Model, &r.ModelSHA256,
				&r.Read, &r.Scored, &r.Rejected, &r.Filtered, &r.Written, &started, &finished, &published)
			r.Started, r.Finished, r.Published = micros(started), micros(finished), micros(published)
			return r, err
		})
		return err
	})
	return runs, err
}

// micros is a time in microseconds since 1970; 0 for null and for what is endless.
func micros(t pgtype.Timestamptz) int64 {
	if !t.Valid || t.InfinityModifier != pgtype.Finite {
		return 0
	}
	return table.Micros(t.Time)
}

// Count implements table.Database.
func (db *database) Count(ctx context.Context, run string) (n int64, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, fmt.Sprintf("SELECT count(*) FROM %s WHERE %s = $1", db.target.Name(), db.runColumn()), run).Scan(&n)
	})
	return n, err
}

func (db *database) runColumn() string { return pgx.Identifier{db.target.RunColumn}.Sanitize() }

// Manifest implements table.Database.
func (db *database) Manifest(ctx context.Context, run string) (data []byte, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, "SELECT manifest::text FROM "+db.own("run")+" WHERE run = $1", run).Scan(&data)
	})
	return data, err
}

// Begin implements table.Database.
func (db *database) Begin(ctx context.Context, run, job string, lines []byte) error {
	return db.fenced(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO "+db.own("run")+" (run, state, job) VALUES ($1, $2, $3)", run, table.Staged, job); err != nil {
			return err
		}
		return db.addLine(ctx, tx, line{run: run, text: lines})
	})
}

// line is one of a journal.
type line struct {
	run  string
	part *int // of a recorded part
	text []byte
}

// addLine adds to the journal of a run that is staged: one that is published has none.
func (db *database) addLine(ctx context.Context, tx session, l line) error {
	tag, err := tx.Exec(ctx, "INSERT INTO "+db.own("journal")+` (run, part, "text") SELECT run, $2, $3 FROM `+db.own("run")+" WHERE run = $1 AND state = $4",
		l.run, l.part, string(l.text), string(table.Staged))
	if err == nil && tag.RowsAffected() != 1 {
		err = fmt.Errorf("%w: run %s is no longer staged", ledger.ErrDiscarded, l.run)
	}
	return err
}

// Append implements table.Database.
func (db *database) Append(ctx context.Context, run string, text []byte, durable bool) error {
	return db.fenced(ctx, func(tx pgx.Tx) error {
		if !durable {
			if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = off"); err != nil {
				return err
			}
		}
		return db.addLine(ctx, tx, line{run: run, text: text})
	})
}

// Journal implements table.Database.
func (db *database) Journal(ctx context.Context, run string) (text []byte, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT coalesce(string_agg("text", '' ORDER BY line), '') FROM `+db.own("journal")+" WHERE run = $1", run).Scan(&text)
	})
	return text, err
}

// Staged implements table.Database.
func (db *database) Staged(ctx context.Context, run string) (n int64, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		found, err := db.target.Describe(ctx, tx, db.target.Ledger, stagedName(run))
		if err != nil || found.Layout == postgres.Absent {
			n = -1
			return err
		}
		n, err = db.stagedRows(ctx, tx, run)
		return err
	})
	return n, err
}

// Drop implements table.Database. A run that is published meanwhile is left alone.
func (db *database) Drop(ctx context.Context, run string) error {
	return db.fenced(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, "DELETE FROM "+db.own("run")+" WHERE run = $1 AND state = $2", run, table.Staged)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		_, err = tx.Exec(ctx, "DROP TABLE IF EXISTS "+db.own(stagedName(run))+", "+db.own(packedName(run)))
		return err
	})
}

// RejectsName implements table.Database.
func (db *database) RejectsName() string { return db.own("reject") }

// Close implements table.Database. The advisory lock goes with its connection.
func (db *database) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.control != nil {
		if db.made {
			_ = db.dropOwn(db.ctx) // they are in nobody's way
		}
		_ = closeConn(db.ctx, db.control) // the server notices in any case
		db.control = nil
	}
	return db.closeIdle(db.ctx)
}

// Standing implements table.Database.
func (db *database) Standing(ctx context.Context) (standing table.Standing, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		found, err := db.target.Describe(ctx, tx, db.target.Schema, db.target.Table)
		if err != nil {
			return err
		}
		switch found.Layout {
		case postgres.Absent:
			return nil
		case postgres.Foreign:
			return fmt.Errorf("%w: %s is %s, and rows are published to tables", ledger.ErrExists, db.target.Address(), found.Kind)
		}
		standing.There = true
		if err := db.checkRights(ctx, tx, found); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+db.target.Name()+")").Scan(&standing.Rows)
	})
	return standing, err
}
