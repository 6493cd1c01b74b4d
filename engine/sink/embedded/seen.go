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
// nothing, and stays as it is.
func (d Destination) Seen(ctx context.Context, output string) (_ *ledger.Seen, err error) {
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
	if db.session, err = d.Dialect.Open(ctx, t.path); err != nil {
		return nil, db.failed(ctx, err)
	}
	defer func() { err = errors.Join(err, db.failed(ctx, db.session.Close())) }()
	there := false
	err = db.inTx(ctx, func() error {
		found, err := db.session.Describe(ctx, t.own(d.Dialect, "run"))
		there = err == nil && found.There
		return err
	})
	if err != nil || !there {
		return &ledger.Seen{}, err
	}
	return table.Seen(ctx, db)
}
