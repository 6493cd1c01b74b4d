package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink/table"
	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/internal/storage"
	"github.com/millrace/millrace/io/query"
)

// ErrTable says that a table is there and does not take the rows.
var ErrTable = errors.New("table does not fit")

// Fit implements table.Database.
func (db *database) Fit(ctx context.Context, columns table.Columns) error {
	return db.inTx(ctx, func() error {
		return db.fit(ctx, columns)
	})
}

// fit compares columns with the table or with what can be made.
func (db *database) fit(ctx context.Context, columns table.Columns) error {
	schema := arrow.NewSchema(columns.Fields, nil)
	found, err := db.session.Describe(ctx, db.target.table)
	if err != nil {
		return err
	}
	problems := db.names(schema)
	switch {
	case found.Foreign != "":
		return fmt.Errorf("%w: %q is %s", ledger.ErrExists, db.target.name, found.Foreign)
	case !found.There:
		for _, f := range schema.Fields() {
			if _, err := db.dialect.TypeOf(f.Type); err != nil {
				problems = append(problems, fmt.Errorf("column %q: %w", f.Name, err))
			}
		}
		room, err := db.hasSchema(ctx)
		if err != nil {
			return err
		}
		if !room {
			problems = append(problems, fmt.Errorf("there is no schema %q: CREATE SCHEMA %s, or name another", db.target.table.Schema, db.target.table.schema()))
		}
	default:
		problems = append(problems, db.takes(found, schema)...)
		if columns.All {
			problems = append(problems, db.leaves(found, schema)...)
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("table %q: %w: %w", db.target.name, ErrTable, errors.Join(problems...))
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.notNull = found.notNull(schema)
	return nil
}

// hasSchema says that a table can be made where the output names one.
func (db *database) hasSchema(ctx context.Context) (bool, error) {
	if db.target.table.Schema == "" {
		return true, nil
	}
	return db.dialect.HasRoom(ctx, db.session, db.target.table.Schema)
}

// notNull says of which fields the table takes no null: that a column may have some, as
// Parquet says of nearly all, is no reason to refuse it.
func (t *Table) notNull(schema *arrow.Schema) []bool {
	all := make([]bool, schema.NumFields())
	for i, f := range schema.Fields() {
		c := t.column(f.Name)
		all[i] = c != nil && c.NotNull
	}
	return all
}

// checkNulls refuses a null in a column that is NOT NULL, which the staged table is not.
func (db *database) checkNulls(record arrow.RecordBatch, before int64) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	for i, must := range db.notNull {
		values := record.Column(i)
		for row := 0; must && values.NullN() > 0 && row < values.Len(); row++ {
			if values.IsNull(row) || storage.AllNull(values.DataType()) { // which has no bits to look at
				return fmt.Errorf("table %q: %w: column %q is NOT NULL, and row %d of this part has a null there: leave such rows out by --where", db.target.name, ErrTable, record.ColumnName(i), before+int64(row))
			}
		}
	}
	return nil
}

// names says which columns have names that no table can have together.
func (db *database) names(schema *arrow.Schema) (problems []error) {
	seen := map[string]string{strings.ToLower(db.target.runColumn): "the column for the run, which run_column= in --output names"}
	for _, f := range schema.Fields() {
		folded := strings.ToLower(f.Name)
		if other, ok := seen[folded]; ok {
			problems = append(problems, fmt.Errorf("column %q has the name of %s; %s does not tell capitals; predictions get another name by --output-prefix", f.Name, other, db.dialect.Name()))
		}
		seen[folded] = fmt.Sprintf("column %q", f.Name)
		if f.Name == "" || strings.ContainsRune(f.Name, 0) {
			problems = append(problems, fmt.Errorf("column %q: a name that is empty or has a NUL character cannot be a column's", f.Name))
		}
	}
	return problems
}

// takes says what a table that is there does not take.
func (db *database) takes(found *Table, schema *arrow.Schema) (problems []error) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	add := "ALTER TABLE " + db.table() + " ADD COLUMN "
	for _, f := range schema.Fields() {
		c := found.column(f.Name)
		wanted, err := db.dialect.TypeOf(f.Type)
		switch {
		case err != nil:
			bad("column %q: %w", f.Name, err)
		case c == nil:
			bad("it has no column %q%s: %s%s %s", f.Name, nearest.DidYouMean(f.Name, found.names()), add, query.QuoteName(f.Name), wanted)
		case c.Generated:
			bad("column %q is generated, and nothing can be written to it", f.Name)
		case !storage.AllNull(f.Type) && !db.dialect.Takes(c, f.Type):
			bad("column %q is %s, which does not keep every %s as it is: it would have to be %s", f.Name, c.Type, f.Type, wanted)
		}
	}
	switch c := found.column(db.target.runColumn); {
	case c == nil:
		bad("it has no column %q for the run of each row: %s%s TEXT (or name another by run_column= in --output)", db.target.runColumn, add, db.runColumn())
	case c.Generated || !db.dialect.Takes(c, arrow.BinaryTypes.String):
		bad("column %q, for the run of each row, is %s: it has to be TEXT", db.target.runColumn, c.Type)
	}
	if db.ifExists == ledger.IfExistsUpsert && db.dialect.KeepsApart() && !found.keptApart(db.ids) {
		bad("--if-exists upsert needs a unique index on just its ids: CREATE UNIQUE INDEX %s ON %s (%s)", query.QuoteName(db.target.table.Table+"_ids"), db.table(), strings.Join(quoted(db.ids), ", "))
	}
	return problems
}

// leaves says what a table asks for that the output does not have.
func (db *database) leaves(found *Table, schema *arrow.Schema) (problems []error) {
	names := make([]string, schema.NumFields())
	for i, f := range schema.Fields() {
		names[i] = f.Name
	}
	for _, c := range found.Columns {
		has := slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, c.Name) })
		if !has && !strings.EqualFold(c.Name, db.target.runColumn) && c.NotNull && !c.Filled && !c.Generated {
			problems = append(problems, fmt.Errorf("column %q is NOT NULL without a default, and the output does not have it%s", c.Name, nearest.DidYouMean(c.Name, names)))
		}
	}
	return problems
}

func (t *Table) column(name string) *Column {
	for i := range t.Columns {
		if strings.EqualFold(t.Columns[i].Name, name) {
			return &t.Columns[i]
		}
	}
	return nil
}

func (t *Table) names() []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

// keptApart says whether rows cannot have the same values in just those columns.
func (t *Table) keptApart(columns []string) bool {
	folded := func(names []string) []string {
		lower := make([]string, len(names))
		for i, n := range names {
			lower[i] = strings.ToLower(n)
		}
		slices.Sort(lower)
		return lower
	}
	want := folded(columns)
	return slices.ContainsFunc(t.Unique, func(have []string) bool { return slices.Equal(folded(have), want) })
}

func quoted(names []string) []string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = query.QuoteName(n)
	}
	return all
}

// columns are those of the staged rows, quoted: the run's, and the output's.
func (db *database) columns(schema *arrow.Schema) []string {
	names := append(make([]string, 0, 1+schema.NumFields()), db.runColumn())
	for _, f := range schema.Fields() {
		names = append(names, query.QuoteName(f.Name))
	}
	return names
}

// definition is the list of columns of CREATE TABLE. Those of the output may be null, since
// those of a later run may be.
func (db *database) definition(schema *arrow.Schema) (string, error) {
	lines := []string{db.runColumn() + " TEXT NOT NULL"}
	for _, f := range schema.Fields() {
		t, err := db.dialect.TypeOf(f.Type)
		if err != nil {
			return "", fmt.Errorf("column %q: %w", f.Name, err)
		}
		lines = append(lines, query.QuoteName(f.Name)+" "+t)
	}
	return "(" + strings.Join(lines, ", ") + ")", nil
}

// stage makes the table for the rows of a run, unless it is there.
func (db *database) stage(ctx context.Context, run string, schema *arrow.Schema) error {
	db.mu.Lock()
	there := db.schema
	db.mu.Unlock()
	if there != nil {
		return nil
	}
	err := db.inTx(ctx, func() error {
		if err := db.fit(ctx, table.Columns{Fields: schema.Fields(), All: true}); err != nil {
			return err
		}
		definition, err := db.definition(schema)
		if err != nil {
			return err
		}
		return db.exec(ctx, "CREATE TABLE IF NOT EXISTS "+db.staged(run)+" "+definition)
	})
	if err != nil {
		return err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.schema = schema
	return nil
}
