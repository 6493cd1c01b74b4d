package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink/table"
	"github.com/millrace/millrace/io/postgres"
)

// staged is how the rows of a run are staged, for a table that is there or is to be made.
type staged struct {
	schema *arrow.Schema
	target *postgres.Table
	types  []postgres.Type // by field

	pieceBytes int // of packed rows; 0: rows are staged as such
}

// Fit implements table.Database.
func (db *database) Fit(ctx context.Context, columns table.Columns) error {
	schema := arrow.NewSchema(columns.Fields, nil)
	return db.inTx(ctx, func(tx pgx.Tx) error {
		s, err := db.fit(ctx, tx, schema)
		if s != nil && columns.All {
			err = errors.Join(err, db.target.Complete(s.target, schema))
		}
		return err
	})
}

// fit compares a schema with the table, or with what can be made. With an error that is
// about the table it still says what the table is.
func (db *database) fit(ctx context.Context, tx pgx.Tx, schema *arrow.Schema) (*staged, error) {
	found, err := db.target.Describe(ctx, tx, db.target.Schema, db.target.Table)
	if err != nil {
		return nil, err
	}
	s := &staged{schema: schema, target: found}
	switch found.Layout {
	case postgres.Foreign:
		return nil, fmt.Errorf("%w: %s is %s", ledger.ErrExists, db.target.Address(), found.Kind)
	case postgres.Absent:
		if s.types, err = db.target.TypesOf(schema); err != nil {
			return s, err
		}
		return s, db.mayCreate(ctx, tx)
	}
	s.types, err = db.target.Fit(found, schema)
	return s, errors.Join(err, db.checkKeys(found), db.checkRights(ctx, tx, found))
}

func (db *database) mayCreate(ctx context.Context, tx pgx.Tx) error {
	var may *bool // nil: there is no such schema
	err := tx.QueryRow(ctx, "SELECT has_schema_privilege(to_regnamespace($1)::oid, 'CREATE')", pgx.Identifier{db.target.Schema}.Sanitize()).Scan(&may)
	switch {
	case err == nil && may == nil:
		err = fmt.Errorf("%w: there is no schema %q: CREATE SCHEMA %s, or name another", postgres.ErrTable, db.target.Schema, pgx.Identifier{db.target.Schema}.Sanitize())
	case err == nil && !*may:
		err = fmt.Errorf("%w: the user may make no table in schema %q: GRANT CREATE ON SCHEMA %s, or make the table (docs/postgres.md has its types)",
			postgres.ErrTable, db.target.Schema, pgx.Identifier{db.target.Schema}.Sanitize())
	}
	return err
}

// checkKeys asks for what upsert needs.
func (db *database) checkKeys(found *postgres.Table) error {
	if db.ifExists != ledger.IfExistsUpsert {
		return nil
	}
	if found.Layout == postgres.ByRun {
		return fmt.Errorf("%s: %w: it is divided by runs, as tables are that a run without --if-exists upsert made, and rows of different runs cannot be kept apart by their ids there; name another table for upsert", db.target.Address(), postgres.ErrTable)
	}
	if !found.KeptApart(db.ids) {
		return fmt.Errorf("%s: %w: --if-exists upsert needs a unique index on just its ids: CREATE UNIQUE INDEX ON %s (%s)", db.target.Address(), postgres.ErrTable, db.target.Name(), quoted(db.ids))
	}
	return nil
}

func quoted(columns []string) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = pgx.Identifier{c}.Sanitize()
	}
	return strings.Join(names, ", ")
}

// rights are what publishing to a table that is there takes.
func (db *database) rights(found *postgres.Table) []string {
	switch {
	case found.Layout == postgres.ByRun:
		return []string{"OWNER"} // who attaches a partition has to be
	case db.ifExists == ledger.IfExistsReplace:
		return []string{"SELECT", "INSERT", "DELETE"}
	case db.ifExists == ledger.IfExistsUpsert:
		return []string{"SELECT", "INSERT", "UPDATE"}
	}
	return []string{"SELECT", "INSERT"}
}

func (db *database) checkRights(ctx context.Context, tx pgx.Tx, found *postgres.Table) error {
	missing, err := db.target.Rights(ctx, tx, found, db.rights(found))
	switch {
	case err != nil:
		return err
	case len(missing) == 0:
		return nil
	case missing[0] == "OWNER":
		return fmt.Errorf("%s: %w: it is divided by runs, and its owner alone may add one; connect as that user or as a member of that role", db.target.Address(), postgres.ErrTable)
	}
	rights := strings.Join(missing, ", ")
	return fmt.Errorf("%s: %w: the user lacks the rights %s: GRANT %s ON %s", db.target.Address(), postgres.ErrTable, rights, rights, db.target.Name())
}

// stage makes the table for the rows of a run, unless it is there.
func (db *database) stage(ctx context.Context, run string, schema *arrow.Schema) (*staged, error) {
	db.staged.Lock()
	defer db.staged.Unlock()
	if db.staged.rows != nil {
		return db.staged.rows, nil
	}
	var s *staged
	err := db.fenced(ctx, func(tx pgx.Tx) (err error) {
		if s, err = db.fit(ctx, tx, schema); err == nil {
			err = db.target.Complete(s.target, schema)
		}
		if err != nil {
			return err
		}
		there, err := db.target.Describe(ctx, tx, db.target.Ledger, stagedName(run))
		if err != nil {
			return err
		}
		if there.Layout == postgres.Absent {
			err = db.makeStaged(ctx, tx, run, s)
		} else {
			err = db.sameStaged(there, s)
		}
		if err != nil || there.Layout != postgres.Absent && !db.inOrder(there, s) {
			return err
		}
		return db.pack(ctx, tx, run, s)
	})
	if err != nil {
		return nil, err
	}
	db.staged.rows = s
	return s, nil
}

// makeStaged makes the table: one that can become a partition, or the table itself, or has
// the columns of the output alone.
func (db *database) makeStaged(ctx context.Context, tx pgx.Tx, run string, s *staged) error {
	name := db.own(stagedName(run))
	sql := "CREATE TABLE " + name + " " + db.target.Definition(postgres.ColumnsOf(s.schema, s.types))
	if s.target.Layout == postgres.ByRun {
		sql = "CREATE TABLE " + name + " (LIKE " + db.target.Name() + " INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED INCLUDING STORAGE)"
	}
	if _, err := tx.Exec(ctx, sql); err != nil {
		return err
	}
	// COPY does not send it with each row.
	sql = "ALTER TABLE " + name + " ALTER " + db.runColumn() + " SET DEFAULT " + literal(run)
	if s.target.Layout != postgres.Plain && db.ifExists != ledger.IfExistsUpsert {
		// Proves to ATTACH PARTITION what it would read all rows for.
		sql += ", ADD CONSTRAINT " + ofRun + " CHECK (" + db.runColumn() + " IS NOT NULL AND " + db.runColumn() + " = " + literal(run) + ")"
	}
	_, err := tx.Exec(ctx, sql)
	return err
}

// ofRun is the constraint that staged rows are of their run.
const ofRun = "millrace_of_run"

// sameStaged compares the table of an earlier start with what this one would make.
func (db *database) sameStaged(there *postgres.Table, s *staged) error {
	for i, f := range s.schema.Fields() {
		if c, ok := there.Column(f.Name); !ok || c.Type != s.types[i].Bare() {
			return fmt.Errorf("%s: %w: it was altered while the run was stopped (column %q), and the rows that are staged do not fit it any more; start over with --restart", db.target.Address(), postgres.ErrTable, f.Name)
		}
	}
	return nil
}

// inOrder says whether the table of an earlier start has the columns of the output alone, in
// its order, as packed rows have them: it was made for another table where it has not.
func (db *database) inOrder(there *postgres.Table, s *staged) bool {
	names := slices.DeleteFunc(there.Names(), func(name string) bool { return name == db.target.RunColumn })
	return slices.EqualFunc(names, s.schema.Fields(), func(name string, f arrow.Field) bool { return name == f.Name })
}

// literal is a text as a statement takes it where there can be no parameter: run ids, which
// have digits, letters and "-" alone, and no others.
func literal(run string) string {
	return "'" + strings.ReplaceAll(run, "'", "''") + "'"
}
