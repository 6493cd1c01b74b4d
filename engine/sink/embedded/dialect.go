package embedded

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/sink/table"
	"github.com/millrace/millrace/io/query"
)

// Dialect is what databases differ in. Identifiers are compared without regard to case in
// all of them.
type Dialect interface {
	// Scheme stands before the colon of an output, and Name is for messages.
	Scheme() string
	Name() string
	// Open opens a database file, which it makes where there is none. Errors wrap
	// ledger.ErrOutput, and sink.ErrPasses where another process has it for now.
	Open(ctx context.Context, path string) (Session, error)
	// OpenToRead opens a file that is there and changes nothing of it.
	OpenToRead(ctx context.Context, path string) (Session, error)

	// Table is the table that table= in an output names.
	Table(name string) (Ref, error)
	// Catalog is what a database file is called in statements, where a schema of it cannot
	// be told from that; else empty.
	Catalog(path, schema string) string
	// Own is where one of the run's own tables or views stands, below a prefix. HasRoom says
	// that a schema of that name is there, or need not be.
	Own(prefix, name string) Ref
	HasRoom(ctx context.Context, s Session, prefix string) (bool, error)
	// Begin begins a transaction that will write.
	Begin() string

	// TypeOf is the type of the column that is made for values of a type. Its error wraps
	// format.ErrColumnType.
	TypeOf(t arrow.DataType) (string, error)
	// Takes says whether a column that is there keeps every value of a type.
	Takes(c *Column, t arrow.DataType) bool

	// Adopt are the statements that make staged rows a table that is not there yet.
	Adopt(staged, table, definition string) []string
	// Upsert is the statement that puts staged rows into a table in the place of those
	// with the same ids; all names are quoted.
	Upsert(u Upsert) string
	// KeepsApart says that Upsert needs a unique index on the ids.
	KeepsApart() bool
	// Took is an expression for the time between two columns.
	Took(from, to string) string
}

// Ref names a table; Schema is empty for the one that names are looked up in. Catalog is empty
// unless it must not be: views keep it, and would break when their file gets another name.
type Ref struct{ Catalog, Schema, Table string }

// String is the name as statements have it.
func (r Ref) String() string {
	if r.Schema == "" {
		return query.QuoteName(r.Table)
	}
	return r.schema() + "." + query.QuoteName(r.Table)
}

// schema is the schema's name as statements have it.
func (r Ref) schema() string {
	if r.Catalog == "" {
		return query.QuoteName(r.Schema)
	}
	return query.QuoteName(r.Catalog) + "." + query.QuoteName(r.Schema)
}

// Upsert is what a Dialect needs for the statement.
type Upsert struct {
	Staged, Table string
	Columns       []string // all, quoted
	IDs           []string // quoted
}

// Session is a connection to a database file, for one goroutine at a time. Errors are as
// those of Dialect.Open; they have no values of rows.
type Session interface {
	// Exec runs a statement and says how many rows it changed.
	Exec(ctx context.Context, sql string, args ...any) (int64, error)
	// Query gives a few rows: nil, bool, int64, float64, string, []byte or time.Time.
	Query(ctx context.Context, sql string, args ...any) ([][]any, error)
	// Describe reads what stands under the name of a table.
	Describe(ctx context.Context, table Ref) (*Table, error)
	// Insert begins to add rows to a staged table, whose first column is the run.
	Insert(ctx context.Context, into, run string, schema *arrow.Schema) (Inserter, error)
	// Digest reads rows and digests them as Inserter does.
	Digest(ctx context.Context, sql string, args ...any) (table.Digest, error)
	Close() error
}

// Inserter adds rows within a transaction.
type Inserter interface {
	// Write adds a record's rows, which it borrows.
	Write(record arrow.RecordBatch) error
	// Digest is that of the rows.
	Digest() table.Digest
	Close() error
}

// Table is what stands under a name.
type Table struct {
	There   bool
	Foreign string // what it is, if rows cannot be put there
	Columns []Column
	Unique  [][]string // sets of columns of which rows are kept apart
	// Triggers says that the table has some, which may change what is written.
	Triggers bool
}

// Column is one of a table.
type Column struct {
	Name      string
	Type      string // as it was declared
	NotNull   bool
	Filled    bool // it has a value where a row brings none
	Generated bool // nothing can be written to it
	Strict    bool // it refuses what is not of its type: SQLite's STRICT tables
}
