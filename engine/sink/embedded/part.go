package embedded

import (
	"context"
	"errors"
	"io"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink/table"
)

// part is a part of a run in the transaction of its turn.
type part struct {
	db     *database
	ctx    context.Context //nolint:containedctx // of the run: a part does not outlive it
	run    string
	number int
	rows   int64
	insert Inserter // nil once it has ended
	over   bool
}

// NewPart implements table.Database. It waits for the part before it to end.
func (db *database) NewPart(ctx context.Context, run string, number int, schema *arrow.Schema) (table.Part, error) {
	if err := db.stage(ctx, run, schema); err != nil {
		return nil, err
	}
	if err := db.begin(ctx); err != nil {
		return nil, db.failed(ctx, err)
	}
	insert, err := db.session.Insert(ctx, db.staged(run), run, schema)
	if err != nil {
		db.rollback(ctx)
		return nil, db.failed(ctx, err)
	}
	return &part{db: db, ctx: ctx, run: run, number: number, insert: insert}, nil
}

// Write implements table.Part.
func (p *part) Write(record arrow.RecordBatch) error {
	err := p.db.checkNulls(record, p.rows)
	if err == nil {
		err = p.insert.Write(record)
	}
	if err != nil {
		return p.db.failed(p.ctx, err)
	}
	p.rows += record.NumRows()
	return nil
}

// End implements table.Part.
func (p *part) End() (ledger.Output, error) {
	insert := p.insert
	p.insert = nil
	out := ledger.Output{Rows: p.rows, RowDigest: insert.Digest().Recorded()}
	return out, p.db.failed(p.ctx, insert.Close())
}

// Commit implements table.Part.
func (p *part) Commit(text []byte, rejects io.Reader) error {
	p.over = true
	err := p.db.addLine(p.ctx, line{run: p.run, part: int64(p.number), text: text})
	if err == nil {
		err = p.addRejects(rejects)
	}
	if err != nil {
		p.db.rollback(p.ctx)
		return p.db.failed(p.ctx, err)
	}
	return p.db.failed(p.ctx, p.db.commit(p.ctx))
}

// rejectsPiece is how many bytes of rejects a row has: a value of SQLite's has a gigabyte at
// most, and lies in memory whole.
const rejectsPiece = 1 << 20

func (p *part) addRejects(rejects io.Reader) error {
	bytes := make([]byte, rejectsPiece)
	for piece := int64(0); ; piece++ {
		n, err := io.ReadFull(rejects, bytes)
		if n > 0 {
			if _, err := p.db.session.Exec(p.ctx, "INSERT INTO "+p.db.own("rejects")+" VALUES (?, ?, ?, ?)", p.run, int64(p.number), piece, bytes[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Abort implements table.Part.
func (p *part) Abort() error {
	if p.over {
		return nil
	}
	p.over = true
	if p.insert != nil {
		_ = p.insert.Close() // what it wrote is rolled back
		p.insert = nil
	}
	p.db.rollback(p.ctx)
	return nil
}

// Rejects implements table.Database.
func (db *database) Rejects(ctx context.Context, run string, number int, to io.Writer) error {
	return db.inTx(ctx, func() error {
		for piece := int64(0); ; piece++ {
			row, err := db.one(ctx, "SELECT bytes FROM "+db.own("rejects")+" WHERE run = ? AND part = ? AND piece = ?", run, int64(number), piece)
			if err != nil || row == nil {
				return err
			}
			if _, err := io.WriteString(to, asText(row[0])); err != nil {
				return err
			}
		}
	})
}
