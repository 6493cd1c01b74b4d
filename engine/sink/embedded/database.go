package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/engine/sink/table"
	"github.com/millrace/millrace/io/query"
)

// database implements table.Database.
type database struct {
	dialect  Dialect
	target   *target
	output   string
	ifExists ledger.IfExists
	ids      []string

	lock    ledger.Lock
	session Session       // used in turn
	turn    chan struct{} // holds a token while nobody has a transaction
	epoch   int64         // of holder, once it is ours
	fresh   bool          // the file was not there before
	reading bool          // and nothing else

	mu      sync.Mutex
	schema  *arrow.Schema // of the staged rows; nil before there are some
	notNull []bool        // of them, by field: the table takes no null
	waiting []line        // of journals, which need not be durable yet
}

var _ table.Database = (*database)(nil)

func newDatabase(d Dialect, t *target, opts *sink.Options) *database {
	db := &database{dialect: d, target: t, output: opts.Output, ifExists: opts.IfExists, ids: opts.IDs, turn: make(chan struct{}, 1)}
	db.turn <- struct{}{}
	return db
}

// own is the quoted name of one of the run's own tables.
func (db *database) own(name string) string { return db.dialect.Own(db.target.ledger, name).String() }

// stagedRef is where a run's staged rows are.
func (db *database) stagedRef(run string) Ref { return db.dialect.Own(db.target.ledger, "rows_"+run) }

func (db *database) staged(run string) string { return db.stagedRef(run).String() }

func (db *database) tableRef() Ref { return Ref{Table: db.target.table} }

func (db *database) table() string { return db.tableRef().String() }

func (db *database) runColumn() string { return query.QuoteName(db.target.runColumn) }

// failed puts an error of the database's into the words of an output; of what was canceled
// it gives the cause.
func (db *database) failed(ctx context.Context, err error) error {
	switch {
	case err == nil, errors.Is(err, ledger.ErrHeld), errors.Is(err, ledger.ErrExists):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	if !errors.Is(err, ledger.ErrOutput) && !errors.Is(err, ledger.ErrAccounts) {
		err = fmt.Errorf("%w: %w", ledger.ErrOutput, err)
	}
	return fmt.Errorf("output %s: %w", db.output, err)
}

// begin takes the turn and begins a transaction.
func (db *database) begin(ctx context.Context) error {
	select {
	case <-db.turn:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if db.session == nil {
		db.turn <- struct{}{}
		return os.ErrClosed
	}
	sql := db.dialect.Begin()
	if db.reading {
		sql = "BEGIN"
	}
	if _, err := db.session.Exec(ctx, sql); err != nil {
		db.turn <- struct{}{}
		return err
	}
	return nil
}

// rollback ends a transaction that failed, and the turn.
func (db *database) rollback(ctx context.Context) {
	// One that the database has rolled back by itself is no more.
	_, _ = db.session.Exec(context.WithoutCancel(ctx), "ROLLBACK")
	db.turn <- struct{}{}
}

// commit ends the transaction, and the turn. What waits of journals goes with it.
func (db *database) commit(ctx context.Context) error {
	if err := db.fence(ctx); err != nil {
		db.rollback(ctx)
		return err
	}
	db.mu.Lock()
	waiting := db.waiting
	db.waiting = nil
	db.mu.Unlock()
	for _, l := range waiting {
		if err := db.addLine(ctx, l); err != nil {
			db.rollback(ctx)
			return err
		}
	}
	if _, err := db.session.Exec(ctx, "COMMIT"); err != nil {
		db.rollback(ctx)
		return err
	}
	db.turn <- struct{}{}
	return nil
}

// inTx runs do in a transaction.
func (db *database) inTx(ctx context.Context, do func() error) error {
	if err := db.begin(ctx); err != nil {
		return db.failed(ctx, err)
	}
	if err := do(); err != nil {
		db.rollback(ctx)
		return db.failed(ctx, err)
	}
	return db.failed(ctx, db.commit(ctx))
}

// exec runs statements of a transaction.
func (db *database) exec(ctx context.Context, statements ...string) error {
	for _, sql := range statements {
		if _, err := db.session.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// one gives the first row; nil where there is none.
func (db *database) one(ctx context.Context, sql string, args ...any) ([]any, error) {
	rows, err := db.session.Query(ctx, sql, args...)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

// number is the first value of the first row, a whole number.
func (db *database) number(ctx context.Context, sql string, args ...any) (int64, error) {
	row, err := db.one(ctx, sql, args...)
	if err != nil || len(row) == 0 {
		return 0, err
	}
	return asInt(row[0]), nil
}

func asInt(v any) int64 {
	n, _ := v.(int64)
	return n
}

func asText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	return ""
}

// Hold implements table.Database: it locks the file, opens it, and makes the run's own
// tables, unless they are there.
func (db *database) Hold(ctx context.Context, holder ledger.Holder) (err error) {
	if err := os.MkdirAll(filepath.Dir(db.target.path), 0o777); err != nil {
		return db.failed(ctx, err)
	}
	if db.lock, err = ledger.TakeLock(db.target.path, holder.Run); err != nil {
		if held, ok := errors.AsType[*ledger.HeldError](err); ok {
			held.Output = db.output
		}
		return err
	}
	if info, err := os.Stat(db.target.path); errors.Is(err, os.ErrNotExist) {
		db.fresh = true
	} else if err == nil {
		db.fresh = info.Size() == 0
	}
	if db.session, err = db.dialect.Open(ctx, db.target.path); err != nil {
		return db.failed(ctx, err)
	}
	note, err := json.Marshal(holder)
	if err != nil {
		return err
	}
	err = db.inTx(ctx, func() error {
		if err := db.migrate(ctx); err != nil {
			return err
		}
		if _, err := db.session.Exec(ctx, "UPDATE "+db.own("holder")+" SET epoch = epoch + 1, holder = ?", string(note)); err != nil {
			return err
		}
		db.epoch, err = db.number(ctx, "SELECT epoch FROM "+db.own("holder"))
		return err
	})
	if err == nil && db.fresh {
		err = db.failed(ctx, syncDir(filepath.Dir(db.target.path)))
	}
	return err
}

// syncDir makes a new file's name durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// version is that of the run's own tables.
const version = 1

// migrate makes the run's own tables, unless they are there.
func (db *database) migrate(ctx context.Context) error {
	if sql := db.dialect.MakeRoom(db.target.ledger); sql != "" {
		if err := db.exec(ctx, sql); err != nil {
			return err
		}
	}
	err := db.exec(ctx,
		"CREATE TABLE IF NOT EXISTS "+db.own("holder")+" (version BIGINT NOT NULL, of_table TEXT NOT NULL, epoch BIGINT NOT NULL, holder TEXT)",
		"CREATE TABLE IF NOT EXISTS "+db.own("run")+` (run TEXT NOT NULL, state TEXT NOT NULL, live BIGINT NOT NULL, job TEXT NOT NULL, begun TIMESTAMP NOT NULL,
			parent TEXT, mode TEXT, started TIMESTAMP, finished TIMESTAMP, published TIMESTAMP, model TEXT, model_sha256 TEXT,
			rows_read BIGINT, rows_scored BIGINT, rows_rejected BIGINT, rows_filtered BIGINT, rows_written BIGINT, manifest TEXT, manifest_sha256 TEXT)`,
		"CREATE TABLE IF NOT EXISTS "+db.own("journal")+` (run TEXT NOT NULL, line BIGINT NOT NULL, part BIGINT, "text" TEXT NOT NULL)`,
		"CREATE TABLE IF NOT EXISTS "+db.own("rejects")+" (run TEXT NOT NULL, part BIGINT NOT NULL, piece BIGINT NOT NULL, bytes BLOB NOT NULL)",
		"CREATE TABLE IF NOT EXISTS "+db.own("reject")+` (run TEXT NOT NULL, file TEXT, "row" BIGINT, "column" TEXT, stage TEXT, reason TEXT, "values" TEXT)`,
	)
	if err != nil {
		return fmt.Errorf("make the run's own tables, of names that begin with %s (ledger= in --output names another): %w", db.target.ledger, err)
	}
	row, err := db.one(ctx, "SELECT version, of_table FROM "+db.own("holder"))
	switch {
	case err != nil:
		return fmt.Errorf("%s is there and is not millrace's; name another by ledger= in --output: %w", db.own("holder"), err)
	case row == nil:
		_, err := db.session.Exec(ctx, "INSERT INTO "+db.own("holder")+" VALUES (?, ?, 0, NULL)", int64(version), db.target.table)
		return err
	case asInt(row[0]) != version:
		return fmt.Errorf("%s is of version %d, and this millrace has version %d; use the millrace that made it, or name another by ledger= in --output", db.own("holder"), asInt(row[0]), version)
	case asText(row[1]) != db.target.table:
		return fmt.Errorf("%s belongs to the table %q; name another by ledger= in --output", db.own("holder"), asText(row[1]))
	}
	return nil
}

// fence is an error unless the table is still this run's: a lock's file can be removed.
func (db *database) fence(ctx context.Context) error {
	if db.epoch == 0 { // Hold is about to take it
		return nil
	}
	row, err := db.one(ctx, "SELECT epoch, holder FROM "+db.own("holder"))
	switch {
	case err != nil:
		return err
	case row != nil && asInt(row[0]) == db.epoch:
		return nil
	}
	held := &ledger.HeldError{Output: db.output}
	if row != nil {
		_ = json.Unmarshal([]byte(asText(row[1])), &held.Holder) // one that cannot be read leaves it unnamed
	}
	return fmt.Errorf("%w, which took it over while this one was stalled; this one publishes nothing", held)
}

// Held implements table.Database.
func (db *database) Held(ctx context.Context) error {
	return db.inTx(ctx, func() error { return nil }) // commit asks
}

// now is a time as both databases keep it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Close implements table.Database. A file that this run made, and nothing was put into, goes.
func (db *database) Close() error {
	var errs []error
	if db.session != nil {
		empty := db.fresh && db.nothing()
		<-db.turn // for good
		errs = append(errs, db.session.Close())
		db.session = nil
		if empty {
			for _, more := range []string{"", "-wal", "-shm", ".wal"} {
				if err := os.Remove(db.target.path + more); err != nil && !errors.Is(err, os.ErrNotExist) {
					errs = append(errs, err)
				}
			}
		}
		db.turn <- struct{}{}
	}
	if db.lock != nil {
		errs = append(errs, db.lock.Release())
		db.lock = nil
	}
	return db.failed(context.Background(), errors.Join(errs...))
}

// nothing says whether the file has no run and no table but millrace's own.
func (db *database) nothing() bool {
	ctx := context.Background()
	var runs int64
	var found *Table
	err := db.inTx(ctx, func() (err error) {
		if runs, err = db.number(ctx, "SELECT count(*) FROM "+db.own("run")); err != nil {
			return err
		}
		found, err = db.session.Describe(ctx, db.tableRef())
		return err
	})
	return err == nil && runs == 0 && !found.There
}
