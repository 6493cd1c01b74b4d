package embedded

import (
	"context"

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
		return nil, db.failed(err)
	}
	insert, err := db.session.Insert(ctx, db.staged(run), run, schema)
	if err != nil {
		db.rollback(ctx)
		return nil, db.failed(err)
	}
	return &part{db: db, ctx: ctx, run: run, number: number, insert: insert}, nil
}

// Write implements table.Part.
func (p *part) Write(record arrow.RecordBatch) error {
	if err := p.insert.Write(record); err != nil {
		return p.db.failed(err)
	}
	p.rows += record.NumRows()
	return nil
}

// End implements table.Part.
func (p *part) End() (ledger.Output, error) {
	insert := p.insert
	p.insert = nil
	if err := insert.Close(); err != nil {
		return ledger.Output{}, p.db.failed(err)
	}
	return ledger.Output{Rows: p.rows}, nil
}

// Commit implements table.Part.
func (p *part) Commit(text, rejects []byte) error {
	p.over = true
	err := p.db.addLine(p.ctx, line{run: p.run, part: int64(p.number), text: text})
	if err == nil && len(rejects) > 0 {
		_, err = p.db.session.Exec(p.ctx, "INSERT INTO "+p.db.own("rejects")+" VALUES (?, ?, ?)", p.run, int64(p.number), rejects)
	}
	if err != nil {
		p.db.rollback(p.ctx)
		return p.db.failed(err)
	}
	return p.db.failed(p.db.commit(p.ctx))
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
func (db *database) Rejects(ctx context.Context, run string, number int) (data []byte, err error) {
	err = db.inTx(ctx, func() error {
		row, err := db.one(ctx, "SELECT bytes FROM "+db.own("rejects")+" WHERE run = ? AND part = ?", run, int64(number))
		if err == nil && row != nil {
			data = []byte(asText(row[0]))
		}
		return err
	})
	return data, err
}
