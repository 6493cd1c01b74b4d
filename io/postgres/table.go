package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/internal/storage"
)

// Column is a column of a table.
type Column struct {
	Name    string
	Type    Type
	Written string // the type as the server writes it
	NotNull bool
	// Filled says that it has a value where a row brings none: a default, or a sequence.
	Filled    bool
	Generated bool // nothing can be written to it
	// Labels are the values of an enumeration.
	Labels []string
}

// Layout is how a table keeps its rows.
type Layout string

// The layouts.
const (
	// Absent: there is no such table.
	Absent Layout = "absent"
	// Plain is a table like any other, partitioned or not, or a view that inserts into one.
	Plain Layout = "plain"
	// ByRun is a table divided by the list of its run column, a partition for each run.
	ByRun Layout = "by run"
	// Foreign is what has the table's name and is none that rows can be published to.
	Foreign Layout = "foreign"
)

// Table is what stands under a table's name.
type Table struct {
	OID     uint32
	Layout  Layout
	Kind    string // in words, of Foreign
	View    bool   // of Plain: it is a view
	Columns []Column
	// Unique are the sets of columns of which the server keeps the rows apart, by which
	// ON CONFLICT can tell them.
	Unique [][]string
}

// Queryer is a connection or a transaction.
type Queryer interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// kinds are pg_class.relkind in words.
var kinds = map[string]string{
	"v": "a view that takes no rows, having neither one table alone nor a trigger INSTEAD OF INSERT", "m": "a materialized view", "f": "a foreign table", "S": "a sequence", "c": "a composite type", "i": "an index", "I": "an index",
}

// Describe reads what stands under a name.
func (t *Target) Describe(ctx context.Context, q Queryer, schema, name string) (*Table, error) {
	table := &Table{Layout: Absent}
	const inserts = 1 << 3 // CMD_INSERT of PostgreSQL's nodes.h
	var kind string
	var by *string
	var events int
	err := q.QueryRow(ctx, `SELECT c.oid, c.relkind::text, pg_relation_is_updatable(c.oid, true),
			(SELECT a.attname::text FROM pg_partitioned_table p JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = p.partattrs[0]
			 WHERE p.partrelid = c.oid AND p.partstrat = 'l' AND p.partnatts = 1 AND p.partdefid = 0)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`, schema, name).Scan(&table.OID, &kind, &events, &by)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return table, nil
	case err != nil:
		return nil, t.Wrap(err)
	case kind == "p" && by != nil && *by == t.RunColumn:
		table.Layout = ByRun
	case kind == "r", kind == "p": // whose server finds the partition of each row
		table.Layout = Plain
	case kind == "v" && events&inserts != 0:
		table.Layout, table.View = Plain, true
	default:
		table.Layout, table.Kind = Foreign, kinds[kind]
		return table, nil
	}
	if table.Columns, err = t.columns(ctx, q, table.OID); err != nil {
		return nil, t.Wrap(err)
	}
	table.Unique, err = unique(ctx, q, table.OID)
	return table, t.Wrap(err)
}

// Rights lists those of rights that the connection's user does not have on a table that is
// there: privileges, or OWNER.
func (t *Target) Rights(ctx context.Context, q Queryer, table *Table, rights []string) (missing []string, err error) {
	for _, right := range rights {
		var has bool
		if right == "OWNER" {
			err = q.QueryRow(ctx, "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = $1", table.OID).Scan(&has)
		} else {
			err = q.QueryRow(ctx, "SELECT has_table_privilege($1::oid, $2)", table.OID, right).Scan(&has)
		}
		if err != nil {
			return nil, t.Wrap(err)
		}
		if !has {
			missing = append(missing, right)
		}
	}
	return missing, nil
}

func (t *Target) columns(ctx context.Context, q Queryer, table uint32) ([]Column, error) {
	// A domain is, in binary, the type that it is of, and the server checks what it asks for.
	rows, err := q.Query(ctx, `SELECT a.attname::text, base.oid, base.mod, format_type(a.atttypid, a.atttypmod), a.attnotnull,
			a.atthasdef OR a.attidentity <> '', a.attgenerated <> '' OR a.attidentity = 'a', enum.name, enum.labels
		FROM pg_attribute a CROSS JOIN LATERAL (
			WITH RECURSIVE of(oid, mod, depth) AS (SELECT a.atttypid, a.atttypmod, 0
				UNION ALL SELECT t.typbasetype, t.typtypmod, depth + 1 FROM of JOIN pg_type t ON t.oid = of.oid WHERE t.typtype = 'd')
			SELECT oid, mod FROM of ORDER BY depth DESC LIMIT 1) base
		CROSS JOIN LATERAL (SELECT coalesce(min(format('%I.%I', n.nspname, t.typname)), '') AS name, coalesce(array_agg(e.enumlabel::text), '{}') AS labels
			FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = base.oid) enum
		WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, table)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Column, error) {
		var c Column
		var oid uint32
		var mod int32
		err := row.Scan(&c.Name, &oid, &mod, &c.Written, &c.NotNull, &c.Filled, &c.Generated, &c.Type.Enum, &c.Labels)
		name := c.Type.Enum
		c.Type = typeFrom(oid, int(mod))
		c.Type.Enum = name
		return c, err
	})
}

// typeFrom reads a type's OID and modifier as pg_attribute has them.
func typeFrom(oid uint32, mod int) Type {
	t := Type{OID: oid}
	if elem, ok := arrays[oid]; ok {
		t.OID, t.Array = elem, true
	}
	const headerBytes = 4 // which the modifiers of types of variable length count
	switch t.OID {
	case pgtype.NumericOID:
		if mod >= headerBytes {
			mod -= headerBytes
			t.Precision, t.Scale = mod>>16&0xffff, (mod&0x7ff^0x400)-0x400
		}
	case pgtype.VarcharOID, pgtype.BPCharOID:
		t.Length = max(mod-headerBytes, 0)
	case pgtype.TimestampOID, pgtype.TimestamptzOID, pgtype.TimeOID, pgtype.IntervalOID:
		t.Rounds = mod >= 0
	}
	return t
}

// unique lists the columns of each unique index that holds at once, of all rows.
func unique(ctx context.Context, q Queryer, table uint32) ([][]string, error) {
	rows, err := q.Query(ctx, `SELECT (SELECT array_agg(a.attname::text ORDER BY k.n)
			FROM unnest(i.indkey[0:i.indnkeyatts-1]) WITH ORDINALITY k(num, n) JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num)
		FROM pg_index i WHERE i.indrelid = $1 AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL`, table)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[[]string])
}

// KeptApart says whether rows cannot have the same values in just those columns.
func (table *Table) KeptApart(columns []string) bool {
	want := slices.Sorted(slices.Values(columns))
	return slices.ContainsFunc(table.Unique, func(have []string) bool { return slices.Equal(slices.Sorted(slices.Values(have)), want) })
}

// Column finds a column by its name.
func (table *Table) Column(name string) (Column, bool) {
	i := slices.IndexFunc(table.Columns, func(c Column) bool { return c.Name == name })
	if i < 0 {
		return Column{}, false
	}
	return table.Columns[i], true
}

// TypesOf are the types of the columns of a table that is made for a schema. The error
// wraps ErrType, or ErrTable for names, and joins all problems.
func (t *Target) TypesOf(schema *arrow.Schema) ([]Type, error) {
	types := make([]Type, schema.NumFields())
	var problems []error
	n := schema.NumFields() + 1
	if n > maxColumns {
		problems = append(problems, fmt.Errorf("%w: it would have %d columns, and PostgreSQL has %d at most; write lists in place of columns by --output-layout list", ErrTable, n, maxColumns))
	} else if err := t.viewFits(n); err != nil {
		problems = append(problems, fmt.Errorf("%w: %w", ErrTable, err))
	}
	for i, f := range schema.Fields() {
		var err error
		if types[i], err = TypeOf(f.Type); err != nil {
			problems = append(problems, fmt.Errorf("column %q: %w", f.Name, err))
		}
		if err := checkName(f.Name); err != nil {
			problems = append(problems, fmt.Errorf("%w: column %q: %w", ErrTable, f.Name, err))
		}
		if f.Name == t.RunColumn {
			problems = append(problems, fmt.Errorf("%w: column %q has the name of the column for the run: name that otherwise by run_column= in the URI", ErrTable, f.Name))
		}
		if slices.Contains(systemColumns, f.Name) {
			problems = append(problems, fmt.Errorf("%w: column %q has a name that PostgreSQL keeps for itself; predictions get another by --output-prefix", ErrTable, f.Name))
		}
	}
	return types, errors.Join(problems...)
}

func labelsOf(names []string) *labels {
	all := make(labels, len(names))
	for _, name := range names {
		all[name] = true
	}
	return &all
}

// runBytes is how long the id of a run is, such as 20261128T000000Z-0123ab.
const runBytes = 23

// maxColumns is how many columns a table can have (MaxHeapAttributeNumber).
const maxColumns = 1600

// viewColumns is how many columns the view predictions has beside the table's, of each row's run.
const viewColumns = 4

// viewFits says whether a table of so many columns can have the view predictions, if it is to.
func (t *Target) viewFits(columns int) error {
	if n := columns + viewColumns; t.Views && n > maxColumns {
		return fmt.Errorf("its view predictions would have %d columns, %d of them of each row's run, and PostgreSQL has %d at most; do without views by views=no in the URI", n, viewColumns, maxColumns)
	}
	return nil
}

// systemColumns are in every table ("System Columns" of the manual).
var systemColumns = []string{"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}

// Fit checks a table that is there against a schema and gives the types to write, by field.
// Its error wraps ErrTable and joins all problems.
func (t *Target) Fit(table *Table, schema *arrow.Schema) ([]Type, error) {
	wanted, err := t.TypesOf(schema)
	if err != nil {
		return nil, err
	}
	types := make([]Type, len(wanted))
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	for i, f := range schema.Fields() {
		c, there := table.Column(f.Name)
		switch {
		case !there:
			bad("it has no column %q%s: ALTER TABLE %s ADD COLUMN %s %s", f.Name, nearest.DidYouMean(f.Name, table.Names()), t.Name(), pgx.Identifier{f.Name}.Sanitize(), wanted[i])
		case c.Generated:
			bad("column %q is generated, and nothing can be written to it", f.Name)
		case storage.AllNull(f.Type):
			c.Type.Nulls = c.Written
		case !c.Type.Takes(wanted[i]):
			bad("column %q is %s, which does not take %s: it would have to be %s", f.Name, c.Written, f.Type, wanted[i])
		}
		types[i] = c.Type
		types[i].NotNull = c.NotNull
		if c.Type.Enum != "" {
			types[i].labels = labelsOf(c.Labels)
		}
	}
	run, there := table.Column(t.RunColumn)
	switch {
	case !there:
		bad("it has no column %q for the run of each row: ALTER TABLE %s ADD COLUMN %s text (or name another by run_column= in the URI)", t.RunColumn, t.Name(), pgx.Identifier{t.RunColumn}.Sanitize())
	case run.Type.Array || run.Type.OID != pgtype.TextOID && run.Type.OID != pgtype.VarcharOID || run.Generated:
		bad("column %q, for the run of each row, is %s: it has to be text", t.RunColumn, run.Written)
	case run.Type.Length > 0 && run.Type.Length < runBytes:
		bad("column %q, for the run of each row, is %s, and a run's id has %d characters: ALTER TABLE %s ALTER COLUMN %s TYPE text", t.RunColumn, run.Written, runBytes, t.Name(), pgx.Identifier{t.RunColumn}.Sanitize())
	}
	if err := t.viewFits(len(table.Columns)); err != nil {
		problems = append(problems, err)
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("%s: %w: %w", t.Address(), ErrTable, errors.Join(problems...))
	}
	return types, nil
}

// Complete checks that a table that is there has nothing that a schema, which has all there
// is, leaves out. Its error wraps ErrTable and joins all problems.
func (t *Target) Complete(table *Table, schema *arrow.Schema) error {
	var problems []error
	for _, c := range table.Columns {
		if !schema.HasField(c.Name) && c.Name != t.RunColumn && c.NotNull && !c.Filled && !c.Generated {
			problems = append(problems, fmt.Errorf("column %q is NOT NULL without a default, and the output does not have it%s", c.Name, nearest.DidYouMean(c.Name, fieldNames(schema))))
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("%s: %w: %w", t.Address(), ErrTable, errors.Join(problems...))
	}
	return nil
}

// Names are those of the columns, in order.
func (table *Table) Names() []string {
	all := make([]string, len(table.Columns))
	for i, c := range table.Columns {
		all[i] = c.Name
	}
	return all
}

func fieldNames(schema *arrow.Schema) []string {
	all := make([]string, schema.NumFields())
	for i, f := range schema.Fields() {
		all[i] = f.Name
	}
	return all
}

// ColumnsOf are the columns that a schema becomes.
func ColumnsOf(schema *arrow.Schema, types []Type) []Column {
	columns := make([]Column, len(types))
	for i, t := range types {
		columns[i] = Column{Name: schema.Field(i).Name, Type: t, Written: t.String()}
	}
	return columns
}

// Definition is the list of columns of CREATE TABLE: the run's first. All others may be
// null, since those of a later run may be (--on-bad-row null).
func (t *Target) Definition(columns []Column) string {
	lines := append(make([]string, 0, len(columns)+1), pgx.Identifier{t.RunColumn}.Sanitize()+" text NOT NULL")
	for _, c := range columns {
		lines = append(lines, pgx.Identifier{c.Name}.Sanitize()+" "+c.Type.String())
	}
	return "(" + strings.Join(lines, ", ") + ")"
}

// ColumnList is the list of a schema's columns, quoted.
func ColumnList(schema *arrow.Schema) string {
	quoted := make([]string, schema.NumFields())
	for i, f := range schema.Fields() {
		quoted[i] = pgx.Identifier{f.Name}.Sanitize()
	}
	return strings.Join(quoted, ", ")
}
