package postgres

import (
	"context"
	"errors"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink/table"
)

// Seen is table.Seen. A table that no run has written has seen nothing.
func (Destination) Seen(ctx context.Context, output string) (seen *ledger.Seen, err error) {
	db, err := open(ctx, output, ledger.IfExistsError, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var there bool
	if err := db.control.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", db.own("run")).Scan(&there); err != nil {
		return nil, db.failed(err)
	}
	if !there {
		return &ledger.Seen{}, nil
	}
	return table.Seen(ctx, db)
}
