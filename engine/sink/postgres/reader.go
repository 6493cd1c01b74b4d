package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink/table"
)

// FindHistories reads the runs that were published to a table. Its error wraps
// ledger.ErrNoOutput where there are none.
func (Destination) FindHistories(ctx context.Context, output string) (*ledger.Found, error) {
	db, h, err := openReader(ctx, output)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }() // nothing is written
	return &ledger.Found{Histories: []*ledger.History{h}}, nil
}

// WithHistory reads them, and calls read.
func (Destination) WithHistory(ctx context.Context, output string, read func(*ledger.History) error) error {
	db, h, err := openReader(ctx, output)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // nothing is written
	return read(h)
}

// Verify is table.Verify.
func (Destination) Verify(ctx context.Context, output string, opts ledger.VerifyOptions) (*ledger.Verification, error) {
	db, h, err := openReader(ctx, output)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }() // nothing is written
	return table.Verify(ctx, db, h, opts)
}

// openReader connects, and reads what runs keep there.
func openReader(ctx context.Context, output string) (db *database, h *ledger.History, err error) {
	if db, err = open(ctx, output, ledger.IfExistsError, nil); err != nil {
		return nil, nil, err
	}
	var there bool
	err = db.control.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", db.own("run")).Scan(&there)
	switch {
	case err != nil:
		return nil, nil, errors.Join(db.failed(err), db.Close())
	case !there:
		err = fmt.Errorf("%s: no run was published there: there is no table %s", db.target, db.own("run"))
	default:
		h, err = table.ReadHistory(ctx, db, db.target.String())
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%w: %w", ledger.ErrNoOutput, err), db.Close())
	}
	return db, h, nil
}

var _ table.Verifiable = (*database)(nil)

// Names implements table.Verifiable.
func (db *database) Names() (name, manifests string) {
	return db.target.Name(), db.own("run") + ".manifest"
}

// Lacks implements table.Verifiable. What rows cannot be published to can still be read.
func (db *database) Lacks(ctx context.Context, columns []string) (what string, err error) {
	has, err := db.columnsOf(ctx, db.target.Name())
	switch {
	case err != nil:
		return "", err
	case len(has) == 0:
		return "is gone", nil
	}
	for _, c := range append([]string{db.target.RunColumn}, columns...) {
		if !slices.Contains(has, c) {
			return fmt.Sprintf("has no column %q any more", c), nil
		}
	}
	return "", nil
}

// columnsOf are those of a table or view; none where there is no such.
func (db *database) columnsOf(ctx context.Context, name string) ([]string, error) {
	rows, err := db.control.Query(ctx, "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped", name)
	if err != nil {
		return nil, db.failed(err)
	}
	has, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return has, db.failed(err)
}

// CountOthers implements table.Verifiable.
func (db *database) CountOthers(ctx context.Context, runs []string) (n int64, err error) {
	err = db.control.QueryRow(ctx, "SELECT count(*) FROM "+db.target.Name()+" WHERE "+db.runColumn()+" IS NULL OR "+db.runColumn()+" <> ALL ($1)", runs).Scan(&n)
	return n, db.failed(err)
}

// RowDigest implements table.Verifiable.
func (db *database) RowDigest(ctx context.Context, run string, columns []string) (table.Digest, error) {
	account, err := db.target.ReadDigest(ctx, db.control.PgConn(), db.rowsOf(run, columns))
	return table.Digest(account.Digest), db.failed(err)
}

// ViewDigest implements table.Verifiable. The view calls the run's column run, unless the table
// has another of that name.
func (db *database) ViewDigest(ctx context.Context, run string, columns []string) (_ table.Digest, there bool, err error) {
	has, err := db.columnsOf(ctx, db.own("predictions"))
	if err != nil || len(has) == 0 {
		return 0, false, err
	}
	by := "run"
	if slices.Contains(has, db.target.RunColumn) {
		by = db.target.RunColumn
	}
	account, err := db.target.ReadDigest(ctx, db.control.PgConn(), "SELECT "+quoted(columns)+" FROM "+db.own("predictions")+" WHERE "+quoted([]string{by})+" = "+literal(run))
	return table.Digest(account.Digest), true, db.failed(err)
}

// ViewRuns implements table.Verifiable.
func (db *database) ViewRuns(ctx context.Context) (_ []table.Run, there bool, err error) {
	has, err := db.columnsOf(ctx, db.own("runs"))
	if err != nil || len(has) == 0 {
		return nil, false, err
	}
	runs, err := db.readRuns(ctx, "SELECT '', '', "+shownColumns+" FROM "+db.own("runs"))
	return runs, true, err
}

// rowsOf is a query of the table's rows of a run, as their digest is of them.
func (db *database) rowsOf(run string, columns []string) string {
	return "SELECT " + quoted(columns) + " FROM " + db.target.Name() + " WHERE " + db.runColumn() + " = " + literal(run)
}
