package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/postgres"
)

// A table that is not divided by runs gets its rows by COPY when the run is published. Until
// then they are packed, beside the staged table, which has the columns that they are for and
// no rows: to have the server write rows twice takes twice as long.

// packedName is the table of a run's packed rows.
func packedName(run string) string { return "packed_" + run }

// copies says whether publishing may COPY to a table that is there. A server refuses that
// where it looks at each row by a policy and of most views, and by ids it finds rows that are
// staged alone.
func (db *database) copies(ctx context.Context, tx pgx.Tx, found *postgres.Table) (may bool, err error) {
	if found.Layout != postgres.Plain || found.View || db.ifExists == ledger.IfExistsUpsert {
		return false, nil
	}
	err = tx.QueryRow(ctx, "SELECT NOT row_security_active($1)", db.target.Name()).Scan(&may)
	return may, err
}

// pageMargin is what a page has beside a row that fills it, and rowHead what such a row has
// beside the bytes of its piece (MaximumBytesPerTuple and SizeofHeapTupleHeader of
// PostgreSQL's heaptoast.h and htup_details.h), with some to spare.
const (
	pageMargin = 32
	rowHead    = 64
)

// pack makes the table for packed rows, unless it is there, where they are to be: not where
// texts may turn out to have no place in the database's encoding, which is better known early.
func (db *database) pack(ctx context.Context, tx pgx.Tx, run string, s *staged) error {
	may, err := db.copies(ctx, tx, s.target)
	if err != nil || !may {
		return err
	}
	var page int
	var utf8 bool
	err = tx.QueryRow(ctx, "SELECT current_setting('block_size')::int, current_setting('server_encoding') = 'UTF8'").Scan(&page, &utf8)
	if err != nil || !utf8 {
		return err
	}
	name := db.own(packedName(run))
	if _, err := tx.Exec(ctx, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s %s WITH (toast_tuple_target = %d)", name, postgres.PackedDefinition, page-pageMargin)); err != nil {
		return err
	}
	// A piece that is larger than a page is not worth being compressed.
	if _, err := tx.Exec(ctx, "ALTER TABLE "+name+" ALTER bytes SET STORAGE EXTERNAL"); err != nil {
		return err
	}
	s.pieceBytes = page - pageMargin - rowHead
	return nil
}

// copyInto begins the COPY of a part.
func (db *database) copyInto(ctx context.Context, conn *pgx.Conn, run string, s *staged) *postgres.Copy {
	if s.pieceBytes == 0 {
		return db.target.NewCopy(ctx, conn.PgConn(), fmt.Sprintf("COPY %s (%s) FROM STDIN (FORMAT binary)", db.own(stagedName(run)), postgres.ColumnList(s.schema)), s.types)
	}
	return db.target.NewPackedCopy(ctx, conn.PgConn(), fmt.Sprintf("COPY %s (%s) FROM STDIN (FORMAT binary)", db.own(packedName(run)), postgres.PackedColumns), s.types, s.pieceBytes)
}

// isPacked says whether a run has packed rows.
func (db *database) isPacked(ctx context.Context, tx pgx.Tx, run string) (there bool, err error) {
	err = tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", db.own(packedName(run))).Scan(&there)
	return there, err
}

// stagedRows counts the rows of a run that are staged, packed or not.
func (db *database) stagedRows(ctx context.Context, tx pgx.Tx, run string) (n int64, err error) {
	packed, err := db.isPacked(ctx, tx, run)
	if err != nil {
		return 0, err
	}
	sql := "SELECT (SELECT count(*) FROM " + db.own(stagedName(run)) + ")"
	if packed {
		sql += " + (SELECT coalesce(sum(rows), 0) FROM " + db.own(packedName(run)) + ")"
	}
	err = tx.QueryRow(ctx, sql).Scan(&n)
	return n, err
}

// unpack makes packed rows rows of the staged table, as what has to become a partition or
// goes through INSERT: the table was made or altered otherwise while the run was working.
func (db *database) unpack(ctx context.Context, tx pgx.Tx, run string, rows *postgres.Table) error {
	packed, err := db.isPacked(ctx, tx, run)
	if err != nil || !packed {
		return err
	}
	if _, err := db.relay(ctx, tx, db.unpacked(run, rows, db.own(stagedName(run)))); err != nil {
		return err
	}
	return db.dropPacked(ctx, tx, run)
}

// unpacked is the way of packed rows to a table. Their columns are the staged table's but for
// the run's, which it adds.
func (db *database) unpacked(run string, rows *postgres.Table, to string) way {
	return way{
		query:  "SELECT bytes FROM " + db.own(packedName(run)),
		into:   to + " (" + quoted(rows.Names()) + ", " + db.runColumn() + ")",
		packed: &packedAs{fields: len(rows.Columns), run: run},
	}
}

// packedAs is how pieces become tuples.
type packedAs struct {
	fields int
	run    string
}

func (db *database) dropPacked(ctx context.Context, tx pgx.Tx, id string) error {
	return run(ctx, tx, "DROP TABLE IF EXISTS "+db.own(packedName(id)))
}
