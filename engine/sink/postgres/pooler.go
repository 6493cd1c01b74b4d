package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/io/postgres"
)

// A pooler between a run and its server may give each transaction whichever session of the
// server is free (PgBouncer's pool_mode = transaction). Then an advisory lock stays with a
// session that others get, and outlives the run; settings that a run makes are others', and
// its own are not made. None of that can be seen later, so it is looked for before the first
// of it is done.

// errPooled says that sessions are shared.
var errPooled = fmt.Errorf("%w: a pooler gives each transaction another session of the server, and a run needs sessions of its own, for its lock and its settings: name the server itself, or a pool of whole sessions (PgBouncer: pool_mode = session)", postgres.ErrServer)

// ownSession looks whether connections have sessions of their own, the first time.
func (p *pool) ownSession(ctx context.Context, conn *pgx.Conn) error {
	p.mu.Lock()
	own := p.own
	p.mu.Unlock()
	if own {
		return nil
	}
	shared, err := p.isShared(ctx, conn)
	switch {
	case err != nil:
		return err
	case shared:
		return errPooled
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.own = true
	return nil
}

const backend = "SELECT pg_catalog.pg_backend_pid()"

// isShared says whether somebody else gets the session of a connection between its
// transactions. Who speaks to a server knows its process by the key to cancel it with, which
// a pooler makes up. Behind one that gives sessions in turn, the next transaction has another;
// behind one that gives the last that was used, a second connection takes the session of the
// first, or, where somebody else was faster, the first gets another then.
func (p *pool) isShared(ctx context.Context, conn *pgx.Conn) (bool, error) {
	var before, other, after uint32
	if err := conn.QueryRow(ctx, backend).Scan(&before); err != nil || before == conn.PgConn().PID() {
		return false, err
	}
	if err := conn.QueryRow(ctx, backend).Scan(&after); err != nil || after != before {
		return err == nil, err
	}
	second, err := p.target.Connect(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = closeConn(ctx, second) }() // nothing hangs on it
	tx, err := second.Begin(ctx)
	if _, refused := errors.AsType[*pgconn.PgError](err); refused {
		return true, nil // each statement has another session
	}
	if err != nil {
		return false, err
	}
	err = tx.QueryRow(ctx, backend).Scan(&other)
	if err == nil && other != before {
		err = conn.QueryRow(ctx, backend).Scan(&after)
	}
	return other == before || after != before, errors.Join(err, tx.Rollback(ctx))
}
