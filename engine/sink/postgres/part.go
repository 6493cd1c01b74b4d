package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink/table"
	"github.com/millrace/millrace/io/postgres"
)

// part is a part of a run in a transaction of its own.
type part struct {
	db     *database
	ctx    context.Context //nolint:containedctx // of the run: a part does not outlive it
	run    string
	number int
	conn   *pgx.Conn // nil once it is given back
	copy   *postgres.Copy
	ended  bool // the COPY has
}

// NewPart implements table.Database.
func (db *database) NewPart(ctx context.Context, run string, number int, schema *arrow.Schema) (table.Part, error) {
	s, err := db.stage(ctx, run, schema)
	if err != nil {
		return nil, err
	}
	conn, err := db.get(ctx)
	if err != nil {
		return nil, db.failed(err)
	}
	if _, err := conn.Exec(ctx, "BEGIN"); err != nil {
		db.put(ctx, conn)
		return nil, db.failed(err)
	}
	copying := db.target.NewCopy(ctx, conn.PgConn(), fmt.Sprintf("COPY %s (%s) FROM STDIN (FORMAT binary)", db.own(stagedName(run)), postgres.ColumnList(schema)), s.types)
	return &part{db: db, ctx: ctx, run: run, number: number, conn: conn, copy: copying}, nil
}

// Write implements table.Part.
func (p *part) Write(record arrow.RecordBatch) error {
	return p.db.failed(p.copy.Write(record))
}

// End implements table.Part.
func (p *part) End() (ledger.Output, error) {
	p.ended = true
	if err := p.copy.Close(); err != nil {
		return ledger.Output{}, p.db.failed(err)
	}
	return ledger.Output{Bytes: p.copy.Bytes, Rows: p.copy.Rows, RowDigest: table.Digest(p.copy.Digest).Recorded()}, nil
}

// rejectsPiece is how many bytes of rejects a row has: the server takes a gigabyte, and
// keeps several copies of it for a moment.
const rejectsPiece = 1 << 20

// Commit implements table.Part.
func (p *part) Commit(text []byte, rejects io.Reader) error {
	err := p.commit(text, rejects)
	if _, ok := errors.AsType[*commitError](err); ok && errors.Is(p.db.target.Wrap(err), postgres.ErrLost) {
		if there, asked := p.db.isRecorded(p.ctx, p.run, p.number); asked == nil && there {
			err = nil
		}
	}
	if err != nil {
		return p.db.failed(fmt.Errorf("part %d: %w", p.number, err))
	}
	p.db.put(p.ctx, p.conn)
	p.conn = nil
	return nil
}

func (p *part) commit(text []byte, rejects io.Reader) error {
	piece := make([]byte, rejectsPiece)
	for n := 0; ; n++ {
		got, err := io.ReadFull(rejects, piece)
		if got > 0 {
			if _, err := p.conn.Exec(p.ctx, "INSERT INTO "+p.db.own("rejects")+" VALUES ($1, $2, $3, $4)", p.run, p.number, n, piece[:got]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if err := p.db.addLine(p.ctx, p.conn, line{run: p.run, part: &p.number, text: text}); err != nil {
		return err
	}
	if err := p.db.fence(p.ctx, p.conn, shared); err != nil {
		return err
	}
	tag, err := p.conn.Exec(p.ctx, "COMMIT")
	if err != nil {
		return &commitError{err}
	}
	if tag.String() != "COMMIT" { // the server rolled back what had failed before
		return fmt.Errorf("%w rolled the transaction back", postgres.ErrServer)
	}
	return nil
}

// isRecorded asks on another connection whether a part's COMMIT happened. It waits until
// the transaction has ended, which shares what it takes alone.
func (db *database) isRecorded(ctx context.Context, run string, number int) (there bool, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		if err := db.fence(ctx, tx, alone); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+db.own("journal")+" WHERE run = $1 AND part = $2)", run, number).Scan(&there)
	})
	return there, err
}

// Abort implements table.Part.
func (p *part) Abort() error {
	if p.conn == nil {
		return nil
	}
	if !p.ended {
		p.ended = true
		p.copy.Abort()
	}
	conn := p.conn
	p.conn = nil
	if !conn.IsClosed() && p.ctx.Err() == nil {
		_, _ = conn.Exec(p.ctx, "ROLLBACK") // where that fails, the connection is closed
	}
	p.db.put(p.ctx, conn)
	return nil
}

// Rejects implements table.Database.
func (db *database) Rejects(ctx context.Context, run string, number int, to io.Writer) error {
	return db.inTx(ctx, func(tx pgx.Tx) error {
		for n := 0; ; n++ {
			var piece []byte
			err := tx.QueryRow(ctx, "SELECT bytes FROM "+db.own("rejects")+" WHERE run = $1 AND part = $2 AND piece = $3", run, number, n).Scan(&piece)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			if err == nil {
				_, err = to.Write(piece)
			}
			if err != nil {
				return err
			}
		}
	})
}

// session is a connection in a transaction, or pgx's own word for it.
type session interface {
	postgres.Queryer
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}
