package embedded

import (
	"context"
	"strings"

	"github.com/millrace/millrace/engine/sink/table"
	"github.com/millrace/millrace/io/query"
)

// makeViews makes the views runs and predictions again, unless the output says otherwise.
func (db *database) makeViews(ctx context.Context) error {
	if !db.target.views {
		return nil
	}
	found, err := db.session.Describe(ctx, db.target.table)
	if err != nil {
		return err
	}
	for _, v := range []struct{ name, query string }{{"runs", db.runsView()}, {"predictions", db.predictionsView(found)}} {
		if err := db.exec(ctx, "DROP VIEW IF EXISTS "+db.own(v.name), "CREATE VIEW "+db.own(v.name)+" AS "+v.query); err != nil {
			return err
		}
	}
	return nil
}

// runsView has a row for each run that was published, or kept its rejects.
func (db *database) runsView() string {
	return "SELECT run, state, live <> 0 AS live, started, finished, published, " + db.dialect.Took("started", "finished") + " AS took, model, model_sha256, mode, parent," +
		" rows_read, rows_scored, rows_rejected, rows_filtered, rows_written, manifest FROM " + db.own("run") + " WHERE state <> '" + string(table.Staged) + "'"
}

// predictionsView has the table's rows with what is known of their runs.
func (db *database) predictionsView(found *Table) string {
	columns := []string{"t." + db.runColumn()}
	taken := map[string]bool{strings.ToLower(db.target.runColumn): true}
	for _, c := range found.Columns {
		folded := strings.ToLower(c.Name)
		if folded != strings.ToLower(db.target.runColumn) {
			columns = append(columns, "t."+query.QuoteName(c.Name))
		}
		taken[folded] = true
	}
	for _, of := range []struct{ name, from string }{
		{"run", "run"}, {"run_finished", "finished"}, {"run_published", "published"}, {"run_model", "model"}, {"run_model_sha256", "model_sha256"},
	} {
		if !taken[of.name] { // the table's own column of the name is what it shows
			columns = append(columns, "r."+of.from+" AS "+of.name)
		}
	}
	return "SELECT " + strings.Join(columns, ", ") + " FROM " + db.table() + " t JOIN " + db.own("run") + " r ON r.run = t." + db.runColumn()
}
