package embedded

import (
	"context"
	"errors"
	"os"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/engine/sink/table"
)

// Seen is table.Seen. A file that is not there, or that no run has written, has seen
// nothing. It is read as by who may not write, since there may be nothing to do.
func (d Destination) Seen(ctx context.Context, output string) (*ledger.Seen, error) {
	t, err := parse(d.Dialect, output)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(t.path)
	if errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 {
		return &ledger.Seen{}, nil
	}
	db := newDatabase(d.Dialect, t, &sink.Options{StageOptions: ledger.StageOptions{Output: output}})
	if err != nil {
		return nil, db.failed(ctx, err)
	}
	db.reading = true
	seen, err := db.seen(ctx, d.Dialect.OpenToRead)
	if err == nil || ctx.Err() != nil || errors.Is(err, ledger.ErrUnsound) || errors.Is(err, sink.ErrPasses) {
		return seen, err
	}
	// A file may have to be put in order by who can write to it, such as one whose log lost its
	// index when power failed. A run does that by opening it.
	db.reading = false
	return db.seen(ctx, d.Dialect.Open)
}

// seen is Seen of a file that is opened so.
func (db *database) seen(ctx context.Context, open func(ctx context.Context, path string) (Session, error)) (_ *ledger.Seen, err error) {
	if db.session, err = open(ctx, db.target.path); err != nil {
		return nil, db.failed(ctx, err)
	}
	defer func() { err = errors.Join(err, db.failed(ctx, db.session.Close())) }()
	there := false
	err = db.inTx(ctx, func() error {
		found, err := db.session.Describe(ctx, db.target.own(db.dialect, "run"))
		there = err == nil && found.There
		return err
	})
	if err != nil || !there {
		return &ledger.Seen{}, err
	}
	return table.Seen(ctx, db)
}
