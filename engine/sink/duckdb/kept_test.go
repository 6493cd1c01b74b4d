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
// would cut, or take for another value, is an error that names column and row.
func TestValuesAreKeptWhole(t *testing.T) {
	zoned := &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"}
	for i, c := range []struct {
		dt           arrow.DataType
		values, want string // want of all values; or the error, behind the row of it
	}{
		{arrow.FixedWidthTypes.Time64ns, `["01:02:03.000004", null]`, "[01:02:03.000004 <nil>]"},
		{arrow.FixedWidthTypes.Time64ns, `["01:02:03", "01:02:03.000004001"]`, "1: a time is finer than a microsecond"},
		{arrow.FixedWidthTypes.Time64us, `["01:02:03.000004"]`, "[01:02:03.000004]"},
		{zoned, `["1969-12-31 23:59:59.999999Z", null]`, "[1969-12-31 23:59:59.999999 <nil>]"},
		{zoned, `["1969-12-31 23:59:59.999999999Z"]`, "0: a time is finer than a microsecond"},
		{&arrow.TimestampType{Unit: arrow.Nanosecond}, `["2020-01-01 00:00:00.123456789"]`, "[2020-01-01 00:00:00.123456789]"},
		{arrow.ListOf(arrow.FixedWidthTypes.Time64ns), `[["01:02:03.000004"], null, []]`, "[['01:02:03.000004'] <nil> []]"},
		{arrow.ListOf(arrow.FixedWidthTypes.Time64ns), `[[], ["01:02:03", "01:02:03.000000001"]]`, "1: a time is finer than a microsecond"},
		{arrow.FixedSizeListOf(1, zoned), `[["2020-01-01 00:00:00.000000001Z"]]`, "0: a time is finer than a microsecond"},
		{&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.FixedWidthTypes.Time64ns}, `["01:02:03", "01:02:03.000000001"]`, "1: a time is finer than a microsecond"},
		{arrow.FixedWidthTypes.Date32, "[2147483646, -2147483646]", "[5881580-07-10 5877642-06-25 (BC)]"},
		{arrow.FixedWidthTypes.Date32, "[null, 2147483647]", "1: a date or time is beyond DuckDB's calendar"},
		{arrow.FixedWidthTypes.Date32, "[-2147483647]", "0: a date or time is beyond DuckDB's calendar"},
		{arrow.FixedWidthTypes.Time32ms, "[86400000]", "[24:00:00]"},
		{arrow.FixedWidthTypes.Time32ms, "[0, -1]", "1: a time is none of a day"},
		{arrow.FixedWidthTypes.Time64us, "[86400000001]", "0: a time is none of a day"},
		{&arrow.TimestampType{Unit: arrow.Microsecond}, "[9223372036854775806, -9223372022400000000]", "[294247-01-10 04:00:54.775806 290309-12-22 (BC) 00:00:00]"},
		{&arrow.TimestampType{Unit: arrow.Microsecond}, "[9223372036854775807]", "0: a date or time is beyond DuckDB's calendar"},
		{&arrow.TimestampType{Unit: arrow.Second}, "[9223372036854]", "[294247-01-10 04:00:54]"},
		{&arrow.TimestampType{Unit: arrow.Second}, "[9223372036855]", "0: a date or time is beyond DuckDB's calendar"},
		{arrow.BinaryTypes.BinaryView, `["YWJj", null]`, "[abc <nil>]"},
	} {
		column, _, err := array.FromJSON(memory.DefaultAllocator, c.dt, strings.NewReader(c.values))
		if err != nil {
			t.Fatal(err)
		}
		schema := arrow.NewSchema([]arrow.Field{{Name: "v", Type: c.dt, Nullable: true}}, nil)
		record := array.NewRecordBatch(schema, []arrow.Array{column}, int64(column.Len()))
		got, err := stored(t, fmt.Sprintf("%d.duckdb", i), record)
		if row, why, refused := strings.Cut(c.want, ": "); refused {
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf(`column "v": row %s, whose "v" is `, row)) || !strings.Contains(err.Error(), "value cannot be kept in DuckDB: "+why) {
				t.Errorf("%s %s: stored as %v, error %v; want %s", c.dt, c.values, got, err, c.want)
			}
		} else if err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("%s %s: stored as %v, error %v; want %s", c.dt, c.values, got, err, c.want)
		}
		record.Release()
		column.Release()
	}
}

// What JSON has no form for.
func TestValuesThatAreRefused(t *testing.T) {
	days := array.NewDate64Builder(memory.DefaultAllocator)
	days.AppendValues([]arrow.Date64{86400000, 86400001}, nil)
	texts := array.NewStringBuilder(memory.DefaultAllocator)
	texts.AppendValues([]string{"a", "\xff"}, nil)
	for want, column := range map[string]arrow.Array{"a date has a time of day": days.NewArray(), "a text is not UTF-8": texts.NewArray()} {
		schema := arrow.NewSchema([]arrow.Field{{Name: "v", Type: column.DataType(), Nullable: true}}, nil)
		record := array.NewRecordBatch(schema, []arrow.Array{column}, 2)
		if got, err := stored(t, "refused.duckdb", record); err == nil || !strings.Contains(err.Error(), `column "v": row 1, whose "v" is `) || !strings.Contains(err.Error(), want) {
			t.Errorf("stored as %v, error %v; want %s", got, err, want)
		}
		record.Release()
		column.Release()
	}
	days.Release()
	texts.Release()
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
