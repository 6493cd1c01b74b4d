package embedded

import (
	"context"
	"fmt"
	"strings"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/engine/sink/table"
	"github.com/millrace/millrace/io/query"
)

// Publish implements table.Database: one transaction, in which staged rows are counted and
// become the table's, and the run's row says that it is published.
func (db *database) Publish(ctx context.Context, p *table.Publication) error {
	return db.inTx(ctx, func() error {
		if err := db.count(ctx, p); err != nil {
			return err
		}
		if err := db.rows(ctx, p); err != nil {
			return err
		}
		if err := db.addRejects(ctx, p); err != nil {
			return err
		}
		if err := db.record(ctx, p); err != nil {
			return err
		}
		if err := db.forget(ctx, p.Run); err != nil {
			return err
		}
		return db.makeViews(ctx)
	})
}

// count compares the staged rows with the manifest's account.
func (db *database) count(ctx context.Context, p *table.Publication) error {
	got, err := db.number(ctx, "SELECT count(*) FROM "+db.staged(p.Run))
	if err != nil {
		return err
	}
	parts, err := db.number(ctx, "SELECT count(part) FROM "+db.own("journal")+" WHERE run = ?", p.Run)
	if err != nil {
		return err
	}
	if want := p.Manifest.Ledger.Written(); got != want || parts != int64(len(p.Manifest.Parts)) {
		return fmt.Errorf("%w: %d rows of %d parts are staged, and %d of %d were written: somebody else wrote to %s", ledger.ErrAccounts, got, parts, want, len(p.Manifest.Parts), db.staged(p.Run))
	}
	return nil
}

// rows makes the staged rows the table's.
func (db *database) rows(ctx context.Context, p *table.Publication) error {
	schema, err := db.stagedSchema(ctx, p.Run)
	if err != nil {
		return err
	}
	found, err := db.session.Describe(ctx, db.target.table)
	if err != nil {
		return err
	}
	staged := db.staged(p.Run)
	if found.There && db.ifExists == ledger.IfExistsError {
		some, err := db.one(ctx, "SELECT 1 FROM "+db.table()+" LIMIT 1")
		if err != nil {
			return err
		}
		if some != nil {
			return fmt.Errorf("%w: table %q got rows while this run was working", ledger.ErrExists, db.target.name)
		}
	}
	upsert := db.ifExists == ledger.IfExistsUpsert
	if upsert {
		if err := db.checkIDs(ctx, staged); err != nil {
			return err
		}
	}
	if !upsert && db.ifExists != ledger.IfExistsAppend || !found.There {
		if err := db.exec(ctx, "UPDATE "+db.own("run")+" SET live = 0 WHERE live <> 0"); err != nil {
			return err
		}
	}
	if !found.There {
		statements := db.dialect.Adopt(staged, db.table(), schema.definition)
		if upsert && db.dialect.KeepsApart() {
			statements = append(statements, "CREATE UNIQUE INDEX "+query.QuoteName(db.target.table.Table+"_ids")+" ON "+db.table()+" ("+strings.Join(quoted(db.ids), ", ")+")")
		}
		return db.exec(ctx, statements...)
	}
	if err := db.move(ctx, staged, schema.columns); err != nil || !found.Triggers {
		return err
	}
	return db.asWritten(ctx, p)
}

// asWritten refuses a table whose triggers changed the run's rows, or added or removed some,
// though it took them all.
func (db *database) asWritten(ctx context.Context, p *table.Publication) error {
	got, err := db.number(ctx, "SELECT count(*) FROM "+db.table()+" WHERE "+db.runColumn()+" = ?", p.Run)
	if err != nil {
		return err
	}
	if want := p.Manifest.Ledger.Written(); got != want {
		return fmt.Errorf("table %q: %w: it has %d rows of the run, which wrote %d: a trigger of its own adds or removes some; drop that", db.target.name, ErrTable, got, want)
	}
	now, err := db.RowDigest(ctx, p.Run, p.Manifest.ColumnNames())
	if was, digested := table.DigestOf(p.Manifest.Outputs); err == nil && digested && now != was {
		err = fmt.Errorf("table %q: %w: its rows have other values than the run wrote: a trigger of its own changes them; drop that, or let it write to columns alone that the output does not have", db.target.name, ErrTable)
	}
	return err
}

// shape is that of the staged rows.
type shape struct {
	columns    []string // quoted
	definition string   // as CREATE TABLE has it
}

// stagedSchema is what this start staged rows by, or an earlier one where it did all.
func (db *database) stagedSchema(ctx context.Context, run string) (shape, error) {
	db.mu.Lock()
	schema := db.schema
	db.mu.Unlock()
	if schema != nil {
		definition, err := db.definition(schema)
		return shape{db.columns(schema), definition}, err
	}
	found, err := db.session.Describe(ctx, db.stagedRef(run))
	if err != nil {
		return shape{}, err
	}
	s := shape{}
	lines := make([]string, 0, len(found.Columns))
	for _, c := range found.Columns {
		s.columns = append(s.columns, query.QuoteName(c.Name))
		lines = append(lines, query.QuoteName(c.Name)+" "+c.Type)
	}
	s.definition = "(" + strings.Join(lines, ", ") + ")"
	return s, nil
}

// move copies the staged rows to a table that is there.
func (db *database) move(ctx context.Context, staged string, columns []string) error {
	list := strings.Join(columns, ", ")
	sql := "INSERT INTO " + db.table() + " (" + list + ") SELECT " + list + " FROM " + staged
	if db.ifExists == ledger.IfExistsReplace {
		// DuckDB reads the indexes of a file that was opened when rows are first inserted, and
		// a unique one that it had not read yet does not see which rows are deleted before:
		// their keys would be there twice. So no rows are inserted first.
		if err := db.exec(ctx, sql+" WHERE false", "DELETE FROM "+db.table()); err != nil {
			return err
		}
		kept, err := db.one(ctx, "SELECT 1 FROM "+db.table()+" LIMIT 1")
		if err != nil {
			return err
		}
		if kept != nil { // which is no error to the database
			return fmt.Errorf("table %q: %w: it has rows after all of them were deleted: a trigger of its own keeps them; drop that, or use --if-exists append or upsert", db.target.name, ErrTable)
		}
	}
	if db.ifExists == ledger.IfExistsUpsert {
		sql = db.dialect.Upsert(Upsert{Staged: staged, Table: db.table(), Columns: columns, IDs: quoted(db.ids)})
	}
	moved, err := db.session.Exec(ctx, sql)
	if err != nil {
		return err
	}
	want, err := db.number(ctx, "SELECT count(*) FROM "+staged)
	if err != nil {
		return err
	}
	if moved != want {
		return fmt.Errorf("table %q: %w: it took %d rows of %d: a trigger of its own changes what is written, or rows there have the same ids", db.target.name, ErrTable, moved, want)
	}
	return db.exec(ctx, "DROP TABLE "+staged)
}

// checkIDs refuses rows that upsert cannot tell apart: which of them were to stay?
func (db *database) checkIDs(ctx context.Context, staged string) error {
	ids := quoted(db.ids)
	parts, nulls := make([]string, len(ids)), make([]string, len(ids))
	for i, id := range ids {
		parts[i] = "coalesce(CAST(" + id + " AS TEXT), 'null')"
		nulls[i] = id + " IS NULL"
	}
	row, err := db.one(ctx, "SELECT "+strings.Join(parts, " || ', ' || ")+", count(*) FROM "+staged+" GROUP BY "+strings.Join(ids, ", ")+" HAVING count(*) > 1 OR "+strings.Join(nulls, " OR ")+" LIMIT 1")
	switch {
	case err != nil || row == nil:
		return err
	case asInt(row[1]) > 1:
		return fmt.Errorf("%w: --if-exists upsert: %d rows of this run have the ids %s = %q, and one would have to replace the other; --unique %s --on-duplicate reject keeps the first", sink.ErrRows, asInt(row[1]), strings.Join(db.ids, ", "), asText(row[0]), strings.Join(db.ids, ","))
	}
	return fmt.Errorf("%w: --if-exists upsert: a row of this run has null in its ids %s = %q, and no row equals it", sink.ErrRows, strings.Join(db.ids, ", "), asText(row[0]))
}

// record writes the run's row.
func (db *database) record(ctx context.Context, p *table.Publication) error {
	m, shown := p.Manifest, table.ShownOf(p.Manifest)
	var parent any
	if m.Parent != nil {
		parent = shown.Parent
	}
	n, err := db.session.Exec(ctx, "UPDATE "+db.own("run")+` SET state = ?, live = 1, parent = ?, mode = ?, started = ?, finished = ?, published = ?,
		model = ?, model_sha256 = ?, rows_read = ?, rows_scored = ?, rows_rejected = ?, rows_filtered = ?, rows_written = ?, manifest = ?, manifest_sha256 = ?
		WHERE run = ? AND state = ?`,
		string(table.Published), parent, string(shown.Mode), m.Started.UTC(), m.Finished.UTC(), now(), shown.Model, shown.ModelSHA256,
		shown.Read, shown.Scored, shown.Rejected, shown.Filtered, shown.Written, string(p.Encoded), p.SHA256, p.Run, string(table.Staged))
	if err == nil && n != 1 {
		err = fmt.Errorf("%w: the run's row is gone", ledger.ErrAccounts)
	}
	return err
}
