package postgres

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/engine/sink/table"
	"github.com/millrace/millrace/io/postgres"
)

// move has staged rows written to a table that is not divided by runs.
func (db *database) move(ctx context.Context, tx pgx.Tx, p *table.Publication, write func() (taken int64, err error)) error {
	if db.ifExists == ledger.IfExistsReplace {
		// Not TRUNCATE, after which readers with an older snapshot find nothing at all.
		if err := run(ctx, tx, "DELETE FROM "+db.target.Name()); err != nil {
			return err
		}
		var kept bool // which is no error to the server
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+db.target.Name()+")").Scan(&kept); err != nil {
			return err
		}
		if kept {
			return fmt.Errorf("%s: %w: it has rows after all of them were deleted: a policy, a trigger or a rule of its own keeps them, or somebody wrote meanwhile; let the user of the connection delete them, or use --if-exists append or upsert", db.target.Address(), postgres.ErrTable)
		}
	}
	taken, err := write()
	if err != nil { // a trigger's own words need not say where
		return fmt.Errorf("%s: %w", db.target.Address(), err)
	}
	if staged := p.Manifest.Ledger.Written(); taken != staged { // they have been counted
		return fmt.Errorf("%s: %w: it took %d rows of %d: a trigger or a rule of its own changes what is written", db.target.Address(), postgres.ErrTable, taken, staged)
	}
	if err := db.dropPacked(ctx, tx, p.Run); err != nil {
		return err
	}
	return run(ctx, tx, "DROP TABLE "+db.own(stagedName(p.Run)))
}

// asWritten refuses a table in which the run's rows are not those that it wrote, though the
// server took them all: a view need not show them, and triggers change them or add others.
// Where there is neither, they are not read for it.
func (db *database) asWritten(ctx context.Context, tx pgx.Tx, p *table.Publication, now *postgres.Table) error {
	triggers, err := db.hasTriggers(ctx, tx, now.OID)
	if err != nil || !triggers && !now.View {
		return err
	}
	got, err := db.target.ReadDigest(ctx, tx.Conn().PgConn(), db.rowsOf(p.Run, p.Manifest.ColumnNames()))
	if err != nil {
		return err
	}
	was, digested := table.DigestOf(p.Manifest.Outputs)
	switch want := p.Manifest.Ledger.Written(); {
	case got.Rows < want && now.View:
		return fmt.Errorf("%s: %w: it is a view that shows %d rows of the %d that were inserted", db.target.Address(), postgres.ErrTable, got.Rows, want)
	case got.Rows != want:
		return fmt.Errorf("%s: %w: it has %d rows of the run, which wrote %d: a trigger of its own adds or removes some; drop or disable that", db.target.Address(), postgres.ErrTable, got.Rows, want)
	case digested && table.Digest(got.Digest) != was:
		return fmt.Errorf("%s: %w: its rows have other values than the run wrote: a trigger of its own changes them, or a view computes them; drop or disable that, or let it write to columns alone that the output does not have", db.target.Address(), postgres.ErrTable)
	}
	return nil
}

// hasTriggers says whether a table, or a partition of it, has triggers that a user made and
// that are enabled.
func (db *database) hasTriggers(ctx context.Context, tx pgx.Tx, oid uint32) (has bool, err error) {
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'
		AND (tgrelid = $1::oid OR tgrelid IN (SELECT relid FROM pg_partition_tree($1::oid::regclass))))`, oid).Scan(&has)
	return has, err
}

// insert has the server write the staged rows to the table, and says how many it took.
func (db *database) insert(ctx context.Context, tx pgx.Tx, run string, rows *postgres.Table) (taken int64, err error) {
	columns := db.runColumn() + ", " + quoted(rows.Names())
	sql := "INSERT INTO " + db.target.Name() + " (" + columns + ") SELECT " + columns + " FROM " + db.own(stagedName(run))
	if db.ifExists == ledger.IfExistsUpsert {
		sql += " ON CONFLICT (" + quoted(db.ids) + ") DO UPDATE SET " + db.newValues(rows)
	}
	tag, err := tx.Exec(ctx, sql)
	return tag.RowsAffected(), err
}

// copyOver copies the staged rows to the table: those that are packed, and those that are
// not, of a start when the table was another.
func (db *database) copyOver(ctx context.Context, tx pgx.Tx, run string, rows *postgres.Table) (taken int64, err error) {
	packed, err := db.isPacked(ctx, tx, run)
	if err != nil {
		return 0, err
	}
	if packed {
		if taken, err = db.relay(ctx, tx, db.unpacked(run, rows, db.target.Name())); err != nil {
			return 0, err
		}
	}
	columns := db.runColumn() + ", " + quoted(rows.Names())
	more, err := db.relay(ctx, tx, way{query: "SELECT " + columns + " FROM " + db.own(stagedName(run)), into: db.target.Name() + " (" + columns + ")"})
	return taken + more, err
}

// way is one of staged rows to a table.
type way struct {
	query  string
	into   string    // a table and its columns
	packed *packedAs // nil: as they are
}

// relay copies staged rows from the server and back to it. A COPY writes rows by the page
// and INSERT one by one, so that this takes half as long as INSERT ... SELECT, though bytes
// travel (docs/decisions/033-tables.md).
func (db *database) relay(ctx context.Context, tx pgx.Tx, w way) (taken int64, err error) {
	conn, err := db.get(ctx)
	if err != nil {
		return 0, err
	}
	defer db.put(ctx, conn)
	in, out := io.Pipe()
	read := make(chan error, 1) // there is one
	go func() {
		gathered := bufio.NewWriterSize(out, relayBytes) // the driver writes row by row
		_, err := conn.PgConn().CopyTo(ctx, gathered, "COPY ("+w.query+") TO STDOUT (FORMAT binary)")
		err = cmp.Or(err, gathered.Flush())
		_ = out.CloseWithError(err) // never fails; the writer gets it, too
		read <- err
	}()
	var tuples io.Reader = in
	var unpacked *postgres.Unpacked
	if w.packed != nil {
		unpacked = postgres.NewUnpacked(in, w.packed.fields, w.packed.run)
		tuples = unpacked
	}
	tag, err := tx.Conn().PgConn().CopyFrom(ctx, tuples, "COPY "+w.into+" FROM STDIN (FORMAT binary)")
	_ = in.CloseWithError(errRelay) // never fails; ends the reader where the writer failed
	if unpacked != nil {
		err = cmp.Or(unpacked.Err(), err)
	}
	if rerr := <-read; rerr != nil && !errors.Is(rerr, errRelay) {
		err = rerr
	}
	return tag.RowsAffected(), err
}

// relayBytes is how many bytes are gathered of rows that are copied over.
const relayBytes = 256 << 10

var errRelay = errors.New("the table takes no more rows")

// newValues sets each column to the staged row's: ids too, since equal ones may differ, as 1 and
// 1.0 of numeric do. The server takes ids that are the same to the byte for unchanged.
func (db *database) newValues(rows *postgres.Table) string {
	names := append([]string{db.target.RunColumn}, rows.Names()...)
	sets := make([]string, len(names))
	for i, name := range names {
		column := quoted([]string{name})
		sets[i] = column + " = EXCLUDED." + column
	}
	return strings.Join(sets, ", ")
}

// checkIDs refuses rows that upsert cannot tell apart: which of them were to stay?
func (db *database) checkIDs(ctx context.Context, tx pgx.Tx, name string) error {
	ids := quoted(db.ids)
	parts := make([]string, len(db.ids))
	nulls := make([]string, len(db.ids))
	for i, id := range db.ids {
		column := quoted([]string{id})
		parts[i] = "coalesce(" + column + "::text, 'null')"
		nulls[i] = column + " IS NULL"
	}
	var example string
	var times int64
	err := tx.QueryRow(ctx, "SELECT concat_ws(', ', "+strings.Join(parts, ", ")+"), count(*) FROM "+name+" GROUP BY "+ids+" HAVING count(*) > 1 OR "+strings.Join(nulls, " OR ")+" LIMIT 1").Scan(&example, &times)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return err
	case times > 1:
		return fmt.Errorf("%w: --if-exists upsert: %d rows of this run have the ids %s = %q, and one would have to replace the other; --unique %s --on-duplicate reject keeps the first", sink.ErrRows, times, strings.Join(db.ids, ", "), example, strings.Join(db.ids, ","))
	}
	return fmt.Errorf("%w: --if-exists upsert: a row of this run has null in its ids %s = %q, and no row equals it", sink.ErrRows, strings.Join(db.ids, ", "), example)
}
