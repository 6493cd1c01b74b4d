package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/postgres"
)

// pool makes connections, and keeps those that are idle.
type pool struct {
	target *postgres.Target

	mu   sync.Mutex
	idle []*pgx.Conn
	own  bool // it is known that each connection has a session of its own
}

// settings of a session that a run must be able to rely on, unless the URI has others: in the
// way of pg_dump, since a COPY lasts as long as a part is scored, which is no reason to end it.
var settings = []struct{ name, value string }{
	{"statement_timeout", "'0'"},
	{"lock_timeout", "'60s'"},
	{"idle_in_transaction_session_timeout", "'10min'"},
	{"standard_conforming_strings", "'on'"}, // which names and texts are quoted by
	// What is acknowledged has to last.
	{"synchronous_commit", "CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END"},
}

// watchFrom is the version from which on a server notices that a client is gone while it
// works for it (client_connection_check_interval).
const watchFrom = 140000

// closing bounds the goodbye to a server.
const closing = 5 * time.Second

// connect makes a connection with those settings.
func (p *pool) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := p.target.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.ownSession(ctx, conn); err != nil {
		return nil, errors.Join(p.target.Wrap(err), closeConn(ctx, conn))
	}
	calls := []string{"current_setting('server_version_num')::int"}
	for _, set := range settings {
		if !p.target.Sets(set.name) {
			calls = append(calls, fmt.Sprintf("set_config('%s', %s, false)", set.name, set.value))
		}
	}
	var version int
	err = conn.QueryRow(ctx, "SELECT v FROM (SELECT "+strings.Join(calls, ", ")+") settings(v)").Scan(&version)
	if err == nil && version >= watchFrom {
		_, err = conn.Exec(ctx, "SET client_connection_check_interval = '2s'")
	}
	if err != nil {
		return nil, errors.Join(p.target.Wrap(err), closeConn(ctx, conn))
	}
	if err := p.target.Resolve(ctx, conn); err != nil {
		return nil, errors.Join(err, closeConn(ctx, conn))
	}
	return conn, nil
}

// get gives an idle connection that still answers, or a new one.
func (p *pool) get(ctx context.Context) (*pgx.Conn, error) {
	for {
		p.mu.Lock()
		var conn *pgx.Conn
		if n := len(p.idle); n > 0 {
			conn, p.idle = p.idle[n-1], p.idle[:n-1]
		}
		p.mu.Unlock()
		if conn == nil {
			return p.connect(ctx)
		}
		if conn.Ping(ctx) == nil {
			return conn, nil
		}
		_ = closeConn(ctx, conn) // it is of no use, and the next may be
	}
}

// put takes a connection back; one that is in a transaction or broken is closed.
func (p *pool) put(ctx context.Context, conn *pgx.Conn) {
	if conn.IsClosed() || conn.PgConn().TxStatus() != 'I' {
		_ = closeConn(ctx, conn) // the server drops what is open
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, conn)
}

func (p *pool) closeIdle(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.idle {
		_ = closeConn(ctx, conn) // nothing hangs on it
	}
	p.idle = nil
	return nil
}

func closeConn(ctx context.Context, conn *pgx.Conn) error {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer done()
	return conn.Close(ctx)
}

// failed puts the ledger's sentinels around an error: one that may pass says so too.
func (p *pool) failed(err error) error {
	if err == nil || errors.Is(err, ledger.ErrOutput) || errors.Is(err, ledger.ErrHeld) || errors.Is(err, ledger.ErrExists) || errors.Is(err, ledger.ErrAccounts) {
		return err
	}
	err = p.target.Wrap(err)
	if errors.Is(err, postgres.ErrLost) || errors.Is(err, postgres.ErrBusy) {
		return fmt.Errorf("output %s: %w, %w: %w", p.target, ledger.ErrOutput, sink.ErrPasses, err)
	}
	return fmt.Errorf("output %s: %w: %w", p.target, ledger.ErrOutput, err)
}

// inTx runs do in a transaction and commits it.
func (p *pool) inTx(ctx context.Context, do func(tx pgx.Tx) error) error {
	conn, err := p.get(ctx)
	if err != nil {
		return p.failed(err)
	}
	defer p.put(ctx, conn)
	return p.failed(onConn(ctx, conn, do))
}

func onConn(ctx context.Context, conn *pgx.Conn, do func(tx pgx.Tx) error) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		_ = tx.Rollback(ctx) // where that fails, put closes the connection
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return &commitError{err}
	}
	return nil
}

// commitError is of a COMMIT: if the way to the server broke, nobody knows yet what became
// of it.
type commitError struct{ cause error }

func (e *commitError) Error() string { return "COMMIT: " + e.cause.Error() }
func (e *commitError) Unwrap() error { return e.cause }
