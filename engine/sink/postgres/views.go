package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/engine/sink/table"
	"github.com/millrace/millrace/io/postgres"
)

// makeViews makes the views runs and predictions, unless the URI says otherwise: again,
// where they are others than they would be if they were made now.
func (db *database) makeViews(ctx context.Context, tx pgx.Tx) error {
	if !db.target.Views {
		return nil
	}
	found, err := db.target.Describe(ctx, tx, db.target.Schema, db.target.Table)
	if err != nil {
		return err
	}
	for name, query := range map[string]string{"runs": db.runsView(), "predictions": db.predictionsView(found)} {
		if err := db.makeView(ctx, tx, name, query); err != nil {
			return err
		}
	}
	return nil
}

// makeView makes a view, whose comment says what it was made from.
func (db *database) makeView(ctx context.Context, tx pgx.Tx, name, query string) error {
	var there bool
	var note *string
	err := tx.QueryRow(ctx, `SELECT count(*) > 0, max(obj_description(c.oid, 'pg_class')) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2`, db.target.Ledger, name).Scan(&there, &note)
	var grants []string
	mine := fmt.Sprintf("millrace, version %d: %s", version, query)
	switch {
	case err != nil:
		return err
	case there && (note == nil || !strings.HasPrefix(*note, "millrace, version ")):
		return fmt.Errorf("%w: %s is there and is not millrace's; drop it, or do without views by views=no in the URI", postgres.ErrTable, db.own(name))
	case there && *note == mine:
		if same, err := db.isMadeFrom(ctx, tx, name, query); err != nil || same {
			return err
		}
	}
	if there {
		if grants, err = db.grants(ctx, tx, name); err != nil {
			return err
		}
		if err := run(ctx, tx, "DROP VIEW "+db.own(name)); err != nil {
			return fmt.Errorf("make the view %s again, since the table, its columns or the view are others (drop what depends on it): %w", db.own(name), err)
		}
	}
	quoted, err := tx.Conn().PgConn().EscapeString(mine)
	if err != nil {
		return err
	}
	return run(ctx, tx, append([]string{"CREATE VIEW " + db.own(name) + " AS " + query, "COMMENT ON VIEW " + db.own(name) + " IS '" + quoted + "'"}, grants...)...)
}

// isMadeFrom says whether a view is what a query would make now, which its comment cannot tell:
// a view goes on with a table that got another name, and CREATE OR REPLACE leaves the comment.
func (db *database) isMadeFrom(ctx context.Context, tx pgx.Tx, name, query string) (same bool, err error) {
	again, err := tx.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, again.Rollback(ctx)) }()
	made := db.own(name + "_again")
	if err := run(ctx, again, "CREATE VIEW "+made+" AS "+query); err != nil {
		return false, err
	}
	err = again.QueryRow(ctx, "SELECT pg_get_viewdef($1::regclass) = pg_get_viewdef($2::regclass)", db.own(name), made).Scan(&same)
	return same, err
}

// grants are statements that give the rights on a view which others have: they go with it
// when it is dropped, and dashboards would find it closed.
func (db *database) grants(ctx context.Context, tx pgx.Tx, name string) ([]string, error) {
	rows, err := tx.Query(ctx, `SELECT format('GRANT %s ON %s TO %s%s', a.privilege_type, $3::text,
			CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a
		WHERE n.nspname = $1 AND c.relname = $2 AND a.grantee <> c.relowner`, db.target.Ledger, name, db.own(name))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// runsView has a row for each run that was published, or kept its rejects.
func (db *database) runsView() string {
	return "SELECT run, state, live, started, finished, published, finished - started AS took, model, model_sha256, mode, parent," +
		" rows_read, rows_scored, rows_rejected, rows_filtered, rows_written, manifest FROM " + db.own("run") + " WHERE state <> '" + string(table.Staged) + "'"
}

// predictionsView has the table's rows with what is known of their runs.
func (db *database) predictionsView(found *postgres.Table) string {
	taken := map[string]bool{}
	var columns []string
	for _, c := range found.Columns {
		if c.Name != db.target.RunColumn {
			columns, taken[c.Name] = append(columns, "t."+pgx.Identifier{c.Name}.Sanitize()), true
		}
	}
	run := "t." + db.runColumn()
	if !taken["run"] {
		run += " AS run"
	}
	columns = append([]string{run}, columns...)
	for _, of := range []string{"finished", "published", "model", "model_sha256"} {
		if name := "run_" + of; !taken[name] && name != db.target.RunColumn { // else the table's own is what it shows
			columns = append(columns, "r."+of+" AS "+name)
		}
	}
	return "SELECT " + strings.Join(columns, ", ") + " FROM " + db.target.Name() + " t JOIN " + db.own("run") + " r ON r.run = t." + db.runColumn()
}
