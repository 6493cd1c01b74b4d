//go:build duckdb && duckdb_arrow

package duckdb_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/engine/sink/duckdb"
	"github.com/millrace/millrace/engine/sink/embedded"
)

// Values are in the table as DuckDB itself writes them as text, all of their digits; what it
// would cut is an error that names the column.
func TestTimesAreKeptWhole(t *testing.T) {
	zoned := &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"}
	for i, c := range []struct {
		dt           arrow.DataType
		values, want string // want of all values; empty: an error
	}{
		{arrow.FixedWidthTypes.Time64ns, `["01:02:03.000004", null]`, "[01:02:03.000004 <nil>]"},
		{arrow.FixedWidthTypes.Time64ns, `["01:02:03", "01:02:03.000004001"]`, ""},
		{arrow.FixedWidthTypes.Time64us, `["01:02:03.000004"]`, "[01:02:03.000004]"},
		{zoned, `["1969-12-31 23:59:59.999999Z", null]`, "[1969-12-31 23:59:59.999999 <nil>]"},
		{zoned, `["1969-12-31 23:59:59.999999999Z"]`, ""},
		{&arrow.TimestampType{Unit: arrow.Nanosecond}, `["2020-01-01 00:00:00.123456789"]`, "[2020-01-01 00:00:00.123456789]"},
		{arrow.ListOf(arrow.FixedWidthTypes.Time64ns), `[["01:02:03.000004"], null, []]`, "[['01:02:03.000004'] <nil> []]"},
		{arrow.ListOf(arrow.FixedWidthTypes.Time64ns), `[[], ["01:02:03", "01:02:03.000000001"]]`, ""},
		{arrow.FixedSizeListOf(1, zoned), `[["2020-01-01 00:00:00.000000001Z"]]`, ""},
		{&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.FixedWidthTypes.Time64ns}, `["01:02:03.000000001"]`, ""},
		{arrow.BinaryTypes.BinaryView, `["YWJj", null]`, "[abc <nil>]"},
	} {
		column, _, err := array.FromJSON(memory.DefaultAllocator, c.dt, strings.NewReader(c.values))
		if err != nil {
			t.Fatal(err)
		}
		schema := arrow.NewSchema([]arrow.Field{{Name: "v", Type: c.dt, Nullable: true}}, nil)
		record := array.NewRecordBatch(schema, []arrow.Array{column}, int64(column.Len()))
		got, err := stored(t, fmt.Sprintf("%d.duckdb", i), record)
		if c.want == "" {
			if err == nil || !strings.Contains(err.Error(), `column "v": a time is finer than a microsecond`) {
				t.Errorf("%s %s: stored as %v, error %v; want one", c.dt, c.values, got, err)
			}
		} else if err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("%s %s: stored as %v, error %v; want %s", c.dt, c.values, got, err, c.want)
		}
		record.Release()
		column.Release()
	}
}

// stored is a column that was put into a new table, as texts.
func stored(t *testing.T, name string, record arrow.RecordBatch) (texts []any, err error) {
	t.Helper()
	ctx, dialect := context.Background(), duckdb.Dialect{}
	s, err := dialect.Open(ctx, filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	of, err := dialect.TypeOf(record.Schema().Field(0).Type)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"SET TimeZone = 'UTC'", "CREATE TABLE scores (run VARCHAR, v " + of + ")"} {
		if _, err := s.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	var into embedded.Inserter
	if into, err = s.Insert(ctx, "scores", "run", record.Schema()); err != nil {
		t.Fatal(err)
	}
	if err := into.Write(record); err != nil {
		return nil, err
	}
	rows, err := s.Query(ctx, "SELECT regexp_replace(CAST(v AS VARCHAR), '[+]00$', '') FROM scores ORDER BY rowid")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		texts = append(texts, r[0])
	}
	return texts, into.Close()
}
