package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink/table"
)

// FindHistories reads the runs that were published to a table. Its error wraps
// ledger.ErrNoOutput where there are none.
func (d Destination) FindHistories(ctx context.Context, output string) (*ledger.Found, error) {
	db, h, err := d.openReader(ctx, output)
	if err != nil {
		return nil, err
	}
	return &ledger.Found{Histories: []*ledger.History{h}}, db.Close() //nolint:contextcheck // what ends must end whatever is canceled
}

// WithHistory reads them, and calls read.
func (d Destination) WithHistory(ctx context.Context, output string, read func(*ledger.History) error) (err error) {
	db, h, err := d.openReader(ctx, output)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }() //nolint:contextcheck // what ends must end whatever is canceled
	return read(h)
}

// Verify is table.Verify.
func (d Destination) Verify(ctx context.Context, output string, opts ledger.VerifyOptions) (_ *ledger.Verification, err error) {
	db, h, err := d.openReader(ctx, output)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }() //nolint:contextcheck // what ends must end whatever is canceled
	return table.Verify(ctx, db, h, opts)
}

// openReader opens a file to be read, and reads what runs keep there.
func (d Destination) openReader(ctx context.Context, output string) (db *database, h *ledger.History, err error) {
	nothing := func(err error) error { return fmt.Errorf("%w: %s: %w", ledger.ErrNoOutput, output, err) }
	t, err := parse(d.Dialect, output)
	if err != nil {
		return nil, nil, nothing(err)
	}
	if _, err := os.Stat(t.path); err != nil {
		return nil, nil, nothing(err)
	}
	db = &database{dialect: d.Dialect, target: t, output: output, turn: make(chan struct{}, 1), reading: true}
	db.turn <- struct{}{}
	if db.session, err = d.Dialect.OpenToRead(ctx, t.path); err != nil {
		return nil, nil, nothing(err)
	}
	found, err := db.session.Describe(ctx, t.own(d.Dialect, "run"))
	if err == nil && !found.There {
		err = fmt.Errorf("no run was published there: there is no table %s", db.own("run"))
	}
	if err == nil {
		h, err = table.ReadHistory(ctx, db, output)
	}
	if err != nil {
		return nil, nil, errors.Join(nothing(err), db.Close()) //nolint:contextcheck // what ends must end whatever is canceled
	}
	return db, h, nil
}

var _ table.Verifiable = (*database)(nil)

// Names implements table.Verifiable.
func (db *database) Names() (name, manifests string) { return db.table(), db.own("run") + ".manifest" }

// Lacks implements table.Verifiable.
func (db *database) Lacks(ctx context.Context, columns []string) (what string, err error) {
	found, err := db.session.Describe(ctx, db.target.table)
	if err != nil {
		return "", err
	}
	switch {
	case !found.There:
		return "is gone", nil
	case found.Foreign != "":
		return "is " + found.Foreign + " now, and was a table", nil
	}
	for _, c := range append([]string{db.target.runColumn}, columns...) {
		if found.column(c) == nil {
			return fmt.Sprintf("has no column %q any more", c), nil
		}
	}
	return "", nil
}

// CountOthers implements table.Verifiable.
func (db *database) CountOthers(ctx context.Context, runs []string) (n int64, err error) {
	marks, args := make([]string, len(runs)), make([]any, len(runs))
	for i, run := range runs {
		marks[i], args[i] = "?", run
	}
	err = db.inTx(ctx, func() error {
		n, err = db.number(ctx, "SELECT count(*) FROM "+db.table()+" WHERE "+db.runColumn()+" IS NULL OR "+db.runColumn()+" NOT IN ("+strings.Join(marks, ", ")+")", args...)
		return err
	})
	return n, err
}

// RowDigest implements table.Verifiable.
func (db *database) RowDigest(ctx context.Context, run string, columns []string) (table.Digest, error) {
	return db.digest(ctx, db.table(), run, columns)
}

// digest is that of the rows of a run in a table or view.
func (db *database) digest(ctx context.Context, from, run string, columns []string) (table.Digest, error) {
	return db.session.Digest(ctx, "SELECT "+strings.Join(quoted(columns), ", ")+" FROM "+from+" WHERE "+db.runColumn()+" = ?", run)
}

// ViewDigest implements table.Verifiable.
func (db *database) ViewDigest(ctx context.Context, run string, columns []string) (d table.Digest, there bool, err error) {
	if there, err = db.hasView(ctx, "predictions"); err != nil || !there {
		return 0, false, err
	}
	d, err = db.digest(ctx, db.own("predictions"), run, columns)
	return d, true, err
}

// ViewRuns implements table.Verifiable.
func (db *database) ViewRuns(ctx context.Context) (runs []table.Run, there bool, err error) {
	if there, err = db.hasView(ctx, "runs"); err != nil || !there {
		return nil, false, err
	}
	runs, err = db.readRuns(ctx, "SELECT '', '', "+shownColumns+" FROM "+db.own("runs"))
	return runs, true, err
}

func (db *database) hasView(ctx context.Context, name string) (bool, error) {
	found, err := db.session.Describe(ctx, db.target.own(db.dialect, name))
	return err == nil && found.There, err
}
