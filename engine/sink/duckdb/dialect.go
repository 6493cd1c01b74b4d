//go:build duckdb && duckdb_arrow

package duckdb

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/engine/sink/embedded"
	"github.com/millrace/millrace/internal/storage"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/query"
)

// New gives the destination of tables of DuckDB.
func New() sink.Destination { return embedded.Destination{Dialect: Dialect{}} }

// Dialect implements embedded.Dialect.
type Dialect struct{}

var _ embedded.Dialect = Dialect{}

// Scheme implements embedded.Dialect.
func (Dialect) Scheme() string { return query.SchemeDuckDB }

// Name implements embedded.Dialect.
func (Dialect) Name() string { return "DuckDB" }

// Open implements embedded.Dialect.
func (Dialect) Open(ctx context.Context, path string) (embedded.Session, error) {
	s, err := open(ctx, path, readWrite)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// OpenToRead implements embedded.Dialect.
func (Dialect) OpenToRead(ctx context.Context, path string) (embedded.Session, error) {
	s, err := open(ctx, path, readOnly)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Table implements embedded.Dialect. The schema in which DuckDB looks names up is none, so that
// a table has one name.
func (Dialect) Table(name string) (embedded.Ref, error) {
	names, err := query.SplitName(name)
	switch {
	case err != nil:
		return embedded.Ref{}, err
	case len(names) == 1:
		return embedded.Ref{Table: names[0]}, nil
	case strings.EqualFold(names[0], "main"):
		return embedded.Ref{Table: names[1]}, nil
	}
	return embedded.Ref{Schema: names[0], Table: names[1]}, nil
}

// Catalog implements embedded.Dialect: DuckDB calls a file by its name up to the first dot, and
// has two databases besides (AttachedDatabase::ExtractDatabaseName).
func (Dialect) Catalog(path, schema string) string {
	name, _, _ := strings.Cut(strings.TrimLeft(filepath.Base(path), "."), ".")
	besides := []string{"system", "temp"}
	if name == "main" || slices.Contains(besides, name) {
		name += "_db"
	}
	if strings.EqualFold(schema, name) || slices.Contains(besides, strings.ToLower(schema)) {
		return name
	}
	return ""
}

// Own implements embedded.Dialect.
func (Dialect) Own(prefix, name string) embedded.Ref {
	return embedded.Ref{Schema: prefix, Table: name}
}

// HasRoom implements embedded.Dialect.
func (Dialect) HasRoom(ctx context.Context, s embedded.Session, prefix string) (bool, error) {
	found, err := s.Query(ctx, "SELECT 1 FROM duckdb_schemas() WHERE database_name = current_database() AND lower(schema_name) = lower(?)", prefix)
	return len(found) > 0, err
}

// Begin implements embedded.Dialect.
func (Dialect) Begin() string { return "BEGIN TRANSACTION" }

// Adopt implements embedded.Dialect: a table stays in its schema.
func (Dialect) Adopt(staged, table, definition string) []string {
	return []string{"CREATE TABLE " + table + " " + definition, "INSERT INTO " + table + " SELECT * FROM " + staged, "DROP TABLE " + staged}
}

// Upsert implements embedded.Dialect.
func (Dialect) Upsert(u embedded.Upsert) string {
	on, sets, values := make([]string, 0, len(u.IDs)), make([]string, 0, len(u.Columns)), make([]string, 0, len(u.Columns))
	for _, id := range u.IDs {
		on = append(on, "t."+id+" = s."+id)
	}
	for _, c := range u.Columns {
		values = append(values, "s."+c)
		if !slices.Contains(u.IDs, c) {
			sets = append(sets, c+" = s."+c)
		}
	}
	return "MERGE INTO " + u.Table + " AS t USING " + u.Staged + " AS s ON (" + strings.Join(on, " AND ") + ") WHEN MATCHED THEN UPDATE SET " + strings.Join(sets, ", ") +
		" WHEN NOT MATCHED THEN INSERT (" + strings.Join(u.Columns, ", ") + ") VALUES (" + strings.Join(values, ", ") + ")"
}

// KeepsApart implements embedded.Dialect.
func (Dialect) KeepsApart() bool { return false }

// Took implements embedded.Dialect: an interval.
func (Dialect) Took(from, to string) string { return to + " - " + from }

// types are those that DuckDB's scan of Arrow's arrays gives.
var types = map[arrow.Type]string{
	arrow.NULL: "INTEGER", arrow.BOOL: "BOOLEAN",
	arrow.INT8: "TINYINT", arrow.INT16: "SMALLINT", arrow.INT32: "INTEGER", arrow.INT64: "BIGINT",
	arrow.UINT8: "UTINYINT", arrow.UINT16: "USMALLINT", arrow.UINT32: "UINTEGER", arrow.UINT64: "UBIGINT",
	arrow.FLOAT32: "FLOAT", arrow.FLOAT64: "DOUBLE",
	arrow.STRING: "VARCHAR", arrow.LARGE_STRING: "VARCHAR", arrow.STRING_VIEW: "VARCHAR",
	arrow.BINARY: "BLOB", arrow.LARGE_BINARY: "BLOB", arrow.BINARY_VIEW: "BLOB", arrow.FIXED_SIZE_BINARY: "BLOB",
	arrow.DATE32: "DATE", arrow.DATE64: "DATE", arrow.TIME32: "TIME", arrow.TIME64: "TIME",
}

// TypeOf implements embedded.Dialect.
func (d Dialect) TypeOf(t arrow.DataType) (string, error) {
	refused := fmt.Errorf("%w: DuckDB has nothing for %s", format.ErrColumnType, t)
	switch t := storage.Type(t).(type) {
	case *arrow.DictionaryType:
		return d.TypeOf(t.ValueType)
	case *arrow.TimestampType:
		if t.TimeZone != "" {
			return "TIMESTAMP WITH TIME ZONE", nil
		}
		return map[arrow.TimeUnit]string{arrow.Second: "TIMESTAMP_S", arrow.Millisecond: "TIMESTAMP_MS", arrow.Microsecond: "TIMESTAMP", arrow.Nanosecond: "TIMESTAMP_NS"}[t.Unit], nil
	case arrow.DecimalType:
		if t.GetPrecision() > 38 || t.GetScale() < 0 || t.GetScale() > t.GetPrecision() {
			return "", refused
		}
		return fmt.Sprintf("DECIMAL(%d,%d)", t.GetPrecision(), t.GetScale()), nil
	case *arrow.FixedSizeListType:
		of, err := d.TypeOf(t.Elem())
		return fmt.Sprintf("%s[%d]", of, t.Len()), err
	case *arrow.ListType:
		of, err := d.TypeOf(t.Elem())
		return of + "[]", err
	case *arrow.LargeListType:
		of, err := d.TypeOf(t.Elem())
		return of + "[]", err
	}
	if name, ok := types[storage.Type(t).ID()]; ok {
		return name, nil
	}
	return "", refused
}

// wider are the types of columns that take every value of another, beside itself.
var wider = map[string][]string{
	"TINYINT":      {"SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE"},
	"SMALLINT":     {"INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE"},
	"INTEGER":      {"BIGINT", "HUGEINT", "DOUBLE"},
	"BIGINT":       {"HUGEINT"},
	"UTINYINT":     {"SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "USMALLINT", "UINTEGER", "UBIGINT", "FLOAT", "DOUBLE"},
	"USMALLINT":    {"INTEGER", "BIGINT", "HUGEINT", "UINTEGER", "UBIGINT", "FLOAT", "DOUBLE"},
	"UINTEGER":     {"BIGINT", "HUGEINT", "UBIGINT", "DOUBLE"},
	"UBIGINT":      {"HUGEINT"},
	"FLOAT":        {"DOUBLE"},
	"TIMESTAMP_S":  {"TIMESTAMP_MS", "TIMESTAMP"},
	"TIMESTAMP_MS": {"TIMESTAMP"},
}

// Takes implements embedded.Dialect.
func (d Dialect) Takes(c *embedded.Column, t arrow.DataType) bool {
	wanted, err := d.TypeOf(t)
	return err == nil && (c.Type == wanted || slices.Contains(wider[wanted], c.Type))
}
