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
	found   os.FileInfo   // of the file before this run; nil where there was none
	absent  bool          // the run's own tables are not there yet
	made    bool          // and this run has made them
	room    bool          // and the schema for them
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
func (db *database) own(name string) string { return db.target.own(db.dialect, name).String() }

// stagedRef is where a run's staged rows are.
func (db *database) stagedRef(run string) Ref { return db.target.own(db.dialect, "rows_"+run) }

func (db *database) staged(run string) string { return db.stagedRef(run).String() }

func (db *database) table() string { return db.target.table.String() }

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

// asRows is a count; -1 for what is no whole number, which SQLite lets stand in any column.
func asRows(v any) int64 {
	if n, ok := v.(int64); ok {
		return n
	}
	return -1
}

// asMicros is a time in microseconds since 1970; 0 for what is none.
func asMicros(v any) int64 {
	t, _ := v.(time.Time)
	return table.Micros(t)
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

// Hold implements table.Database: it locks the file, opens it, and looks for the run's own
// tables. What is refused from here on leaves a file that was there as it was, to the byte.
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
	if db.found, err = os.Stat(db.target.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return db.failed(ctx, err)
	}
	if db.session, err = db.dialect.Open(ctx, db.target.path); err != nil {
		if db.fresh() && !errors.Is(err, sink.ErrPasses) { // what another program has open is that one's
			err = errors.Join(err, db.restoreFile())
		}
		return db.failed(ctx, err)
	}
	return db.inTx(ctx, func() error {
		found, err := db.session.Describe(ctx, db.target.own(db.dialect, "holder"))
		if err != nil {
			return err
		}
		if db.absent = !found.There; db.absent {
			return nil
		}
		return db.checkOwn(ctx)
	})
}

// fresh says that the file was not there before, or had nothing in it.
func (db *database) fresh() bool { return db.found == nil || db.found.Size() == 0 }

// Claim implements table.Database.
func (db *database) Claim(ctx context.Context, holder ledger.Holder) error {
	note, err := json.Marshal(holder)
	if err != nil {
		return err
	}
	err = db.inTx(ctx, func() error {
		if db.absent {
			if err := db.makeOwn(ctx); err != nil {
				return err
			}
		}
		if _, err := db.session.Exec(ctx, "UPDATE "+db.own("holder")+" SET epoch = epoch + 1, holder = ?", string(note)); err != nil {
			return err
		}
		db.epoch, err = db.number(ctx, "SELECT epoch FROM "+db.own("holder"))
		return err
	})
	if err != nil {
		db.epoch = 0 // it is not this run's, and its table may not be there
		return err
	}
	db.made, db.absent = db.absent, false
	if db.fresh() {
		return db.failed(ctx, ledger.SyncDir(filepath.Dir(db.target.path)))
	}
	return nil
}

// version is that of the run's own tables.
const version = 1

// ownTables are the run's own tables: their names, and their columns.
var ownTables = []struct{ name, columns string }{
	{"holder", "(version BIGINT NOT NULL, of_table TEXT NOT NULL, epoch BIGINT NOT NULL, holder TEXT)"},
	{"run", `(run TEXT NOT NULL, state TEXT NOT NULL, live BIGINT NOT NULL, job TEXT NOT NULL, begun TIMESTAMP NOT NULL,
		parent TEXT, mode TEXT, started TIMESTAMP, finished TIMESTAMP, published TIMESTAMP, model TEXT, model_sha256 TEXT,
		rows_read BIGINT, rows_scored BIGINT, rows_rejected BIGINT, rows_filtered BIGINT, rows_written BIGINT, manifest TEXT, manifest_sha256 TEXT)`},
	{"journal", `(run TEXT NOT NULL, line BIGINT NOT NULL, part BIGINT, "text" TEXT NOT NULL)`},
	{"rejects", "(run TEXT NOT NULL, part BIGINT NOT NULL, piece BIGINT NOT NULL, bytes BLOB NOT NULL)"},
	{"reject", `(run TEXT NOT NULL, file TEXT, "row" BIGINT, "column" TEXT, stage TEXT, reason TEXT, "values" TEXT)`},
}

// makeOwn makes the run's own tables.
func (db *database) makeOwn(ctx context.Context) error {
	there, err := db.dialect.HasRoom(ctx, db.session, db.target.ledger)
	if err != nil {
		return err
	}
	var statements []string
	if db.room = !there; db.room {
		statements = append(statements, "CREATE SCHEMA "+db.target.own(db.dialect, "holder").schema())
	}
	for _, t := range ownTables {
		statements = append(statements, "CREATE TABLE "+db.own(t.name)+" "+t.columns)
	}
	if err := db.exec(ctx, statements...); err != nil {
		return fmt.Errorf("make the run's own tables, of names that begin with %s (ledger= in --output names another): %w", db.target.ledger, err)
	}
	_, err = db.session.Exec(ctx, "INSERT INTO "+db.own("holder")+" VALUES (?, ?, 0, NULL)", int64(version), db.target.ofTable())
	return err
}

// checkOwn refuses tables of the run's own names that are not those of this table's runs.
func (db *database) checkOwn(ctx context.Context) error {
	row, err := db.one(ctx, "SELECT version, of_table FROM "+db.own("holder"))
	if err == nil && row == nil {
		err = errors.New("it has no row")
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s is there and is not millrace's; name another by ledger= in --output: %w", db.own("holder"), err)
	case asInt(row[0]) != version:
		return fmt.Errorf("%s is of version %d, and this millrace has version %d; use the millrace that made it, or name another by ledger= in --output", db.own("holder"), asInt(row[0]), version)
	case asText(row[1]) != db.target.ofTable():
		return fmt.Errorf("%s belongs to the table %s, and the output is %s; name another by ledger= in --output", db.own("holder"), asText(row[1]), db.target.ofTable())
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
		unused := (db.made || db.fresh()) && db.unused()
		goes := unused && db.fresh() && !db.hasTable()
		if unused && db.made && !goes {
			errs = append(errs, db.dropOwn(context.Background()))
		}
		<-db.turn // for good
		errs = append(errs, db.session.Close())
		db.session = nil
		if goes {
			errs = append(errs, db.restoreFile())
		}
		db.turn <- struct{}{}
	}
	if db.lock != nil {
		errs = append(errs, db.lock.Release())
		db.lock = nil
	}
	return db.failed(context.Background(), errors.Join(errs...))
}

// restoreFile removes a file that this run made; one that was there, empty, is so again.
func (db *database) restoreFile() error {
	errs := make([]error, 0, 4)
	for _, more := range []string{"", "-wal", "-shm", ".wal"} {
		var err error
		if more == "" && db.found != nil {
			err = os.WriteFile(db.target.path, nil, db.found.Mode().Perm())
		} else if err = os.Remove(db.target.path + more); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// dropOwn drops the run's own tables, which no run is in, unless another has taken them over.
func (db *database) dropOwn(ctx context.Context) error {
	err := db.inTx(ctx, func() error {
		if err := db.fence(ctx); err != nil {
			return err
		}
		var statements []string
		for _, t := range ownTables {
			statements = append(statements, "DROP TABLE "+db.own(t.name))
		}
		if db.room {
			statements = append(statements, "DROP SCHEMA "+db.target.own(db.dialect, "holder").schema())
		}
		db.epoch = 0 // there is no holder any more that commit could ask
		return db.exec(ctx, statements...)
	})
	if errors.Is(err, ledger.ErrHeld) {
		return nil
	}
	return err
}

// unused says that no run is kept.
func (db *database) unused() bool {
	runs, err := db.Runs(context.Background())
	return err == nil && len(runs) == 0
}

// hasTable says that the output's table is there, or cannot be looked for.
func (db *database) hasTable() bool {
	ctx, there := context.Background(), false
	err := db.inTx(ctx, func() error {
		found, err := db.session.Describe(ctx, db.target.table)
		there = err == nil && found.There
		return err
	})
	return there || err != nil
}
