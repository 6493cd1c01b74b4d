package sqlite

import (
	"context"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/sink/embedded"
	"github.com/millrace/millrace/internal/storage"
	"github.com/millrace/millrace/io/format"
)

// Dialect implements embedded.Dialect.
type Dialect struct{}

var _ embedded.Dialect = Dialect{}

// Scheme implements embedded.Dialect.
func (Dialect) Scheme() string { return "sqlite" }

// Name implements embedded.Dialect.
func (Dialect) Name() string { return "SQLite" }

// Open implements embedded.Dialect.
func (Dialect) Open(ctx context.Context, path string) (embedded.Session, error) {
	s, err := open(ctx, path)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// OpenToRead implements embedded.Dialect.
func (Dialect) OpenToRead(_ context.Context, path string) (embedded.Session, error) {
	s, err := openToRead(path)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Table implements embedded.Dialect: a name is as it is, dots and all, as of inputs.
func (Dialect) Table(name string) (embedded.Ref, error) { return embedded.Ref{Table: name}, nil }

// Catalog implements embedded.Dialect.
func (Dialect) Catalog(string, string) string { return "" }

// Own implements embedded.Dialect: SQLite has no schemas.
func (Dialect) Own(prefix, name string) embedded.Ref {
	return embedded.Ref{Table: prefix + "_" + name}
}

// HasRoom implements embedded.Dialect.
func (Dialect) HasRoom(context.Context, embedded.Session, string) (bool, error) { return true, nil }

// Begin implements embedded.Dialect: whoever reads first and then writes may find that
// another wrote between.
func (Dialect) Begin() string { return "BEGIN IMMEDIATE" }

// Adopt implements embedded.Dialect.
func (Dialect) Adopt(staged, table, _ string) []string {
	return []string{"ALTER TABLE " + staged + " RENAME TO " + table}
}

// Upsert implements embedded.Dialect.
func (Dialect) Upsert(u embedded.Upsert) string {
	sets := make([]string, 0, len(u.Columns))
	for _, c := range u.Columns {
		sets = append(sets, c+" = excluded."+c)
	}
	list := strings.Join(u.Columns, ", ")
	// WHERE true: else the parser takes ON for a join's (sqlite.org/lang_upsert.html).
	return "INSERT INTO " + u.Table + " (" + list + ") SELECT " + list + " FROM " + u.Staged + " WHERE true ON CONFLICT (" + strings.Join(u.IDs, ", ") + ") DO UPDATE SET " + strings.Join(sets, ", ")
}

// KeepsApart implements embedded.Dialect.
func (Dialect) KeepsApart() bool { return true }

// Took implements embedded.Dialect: in seconds.
func (Dialect) Took(from, to string) string {
	return "(julianday(" + to + ") - julianday(" + from + ")) * 86400"
}

// types are the declared types of columns that are made.
var types = map[arrow.Type]string{
	arrow.NULL: "TEXT", arrow.BOOL: "BOOLEAN",
	arrow.INT8: "INTEGER", arrow.INT16: "INTEGER", arrow.INT32: "INTEGER", arrow.INT64: "INTEGER",
	arrow.UINT8: "INTEGER", arrow.UINT16: "INTEGER", arrow.UINT32: "INTEGER", arrow.UINT64: "INTEGER",
	arrow.FLOAT16: "REAL", arrow.FLOAT32: "REAL", arrow.FLOAT64: "REAL",
	arrow.STRING: "TEXT", arrow.LARGE_STRING: "TEXT", arrow.STRING_VIEW: "TEXT",
	arrow.BINARY: "BLOB", arrow.LARGE_BINARY: "BLOB", arrow.BINARY_VIEW: "BLOB", arrow.FIXED_SIZE_BINARY: "BLOB",
	arrow.DATE32: "DATE", arrow.DATE64: "DATE", arrow.TIME32: "TEXT", arrow.TIME64: "TEXT", arrow.TIMESTAMP: "TIMESTAMP",
	arrow.DECIMAL32: "TEXT", arrow.DECIMAL64: "TEXT", arrow.DECIMAL128: "TEXT", arrow.DECIMAL256: "TEXT",
	arrow.LIST: "TEXT", arrow.LARGE_LIST: "TEXT", arrow.FIXED_SIZE_LIST: "TEXT", arrow.LIST_VIEW: "TEXT", arrow.LARGE_LIST_VIEW: "TEXT",
}

// TypeOf implements embedded.Dialect.
func (Dialect) TypeOf(t arrow.DataType) (string, error) {
	if dictionary, ok := storage.Type(t).(*arrow.DictionaryType); ok {
		t = dictionary.ValueType
	}
	name, ok := types[storage.Type(t).ID()]
	if !ok {
		return "", fmt.Errorf("%w: SQLite has nothing for %s", format.ErrColumnType, t)
	}
	return name, nil
}

// Takes implements embedded.Dialect, by the affinity of the declared type
// (sqlite.org/datatype3.html, 3.1): what it would convert must come out the same.
func (d Dialect) Takes(c *embedded.Column, t arrow.DataType) bool {
	wanted, err := d.TypeOf(t)
	if err != nil {
		return false
	}
	declared := strings.ToUpper(c.Type)
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(declared, w) {
				return true
			}
		}
		return false
	}
	affinity := "NUMERIC"
	switch {
	case has("INT"):
		affinity = "INTEGER"
	case has("CHAR", "CLOB", "TEXT"):
		affinity = "TEXT"
	case c.Strict && declared == "ANY": // elsewhere it is one more name for NUMERIC
		return true
	case has("BLOB"), declared == "": // nothing is converted
		return !c.Strict || wanted == "BLOB"
	case has("REAL", "FLOA", "DOUB"): //nolint:misspell // as the manual has it
		affinity = "REAL"
	}
	switch wanted {
	case "INTEGER", "BOOLEAN":
		return affinity == "INTEGER" || affinity == "NUMERIC"
	case "REAL":
		return affinity == "REAL" || affinity == "NUMERIC"
	case "TEXT": // a number's text would become the number
		return affinity == "TEXT"
	case "DATE", "TIMESTAMP":
		return affinity == "TEXT" || has("DATE", "TIME")
	}
	return affinity != "TEXT" && affinity != "REAL" && !c.Strict // a BLOB, which stays one anywhere, but for what it is declared
}
