package sqlite

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"go.uber.org/goleak"

	"github.com/millrace/millrace/engine/sink/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// written inserts a column of JSON values into a new table v of one column, and gives the
// file's path.
func written(t *testing.T, kind arrow.DataType, values string) (path string, err error) {
	t.Helper()
	column, _, err := array.FromJSON(memory.DefaultAllocator, kind, strings.NewReader(values))
	if err != nil {
		t.Fatal(err)
	}
	defer column.Release()
	return writtenArray(t, column)
}

// writtenArray is written of a column.
func writtenArray(t *testing.T, column arrow.Array) (path string, err error) {
	t.Helper()
	ctx, kind := context.Background(), column.DataType()
	path = filepath.Join(t.TempDir(), "t.db")
	s, err := Dialect{}.Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	schema := arrow.NewSchema([]arrow.Field{{Name: "v", Type: kind, Nullable: true}}, nil)
	batch := array.NewRecordBatch(schema, []arrow.Array{column}, int64(column.Len()))
	defer batch.Release()
	declared, err := Dialect{}.TypeOf(kind)
	if err != nil {
		return "", err
	}
	if _, err := s.Exec(ctx, "CREATE TABLE t (run TEXT, v "+declared+")"); err != nil {
		t.Fatal(err)
	}
	insert, err := s.Insert(ctx, `"t"`, "r", schema)
	if err != nil {
		t.Fatal(err)
	}
	err = insert.Write(batch)
	if err == nil {
		sum := insert.Digest()
		if again, derr := s.Digest(ctx, "SELECT v FROM t"); derr != nil || again != sum {
			t.Errorf("%s: the digest is %s when written, and %s, %v when read", kind, sum, again, derr)
		}
	}
	if cerr := insert.Close(); cerr != nil {
		t.Error(cerr)
	}
	return path, err
}

// TestValuesAsPythonReadsThem: what Python's sqlite3 finds in the table, and what SQLite says
// that it is.
func TestValuesAsPythonReadsThem(t *testing.T) {
	const script = `
import sqlite3, sys
for path in sys.argv[1:]:
    print("|".join(repr(v) + " " + k for v, k in sqlite3.connect(path).execute("select v, typeof(v) from t")))
`
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	cases := []struct {
		kind         arrow.DataType
		values, want string
	}{
		{arrow.FixedWidthTypes.Boolean, "[true, false, null]", "1 integer|0 integer|None null"},
		{arrow.PrimitiveTypes.Int8, "[-128]", "-128 integer"},
		{arrow.PrimitiveTypes.Uint16, "[65535]", "65535 integer"},
		{arrow.PrimitiveTypes.Int64, "[-9223372036854775808]", "-9223372036854775808 integer"},
		{arrow.PrimitiveTypes.Uint64, "[9223372036854775807]", "9223372036854775807 integer"},
		{arrow.PrimitiveTypes.Float32, "[0.5, 0.1, 3]", "0.5 real|0.10000000149011612 real|3.0 real"},
		{arrow.PrimitiveTypes.Float64, "[0.1, null, 1e300, -0.0]", "0.1 real|None null|1e+300 real|0.0 real"},
		{arrow.FixedWidthTypes.Float16, "[1.5]", "1.5 real"},
		{arrow.BinaryTypes.String, `["häh?", "", "a\u0000b", "123"]`, `'häh?' text|'' text|'a\x00b' text|'123' text`},
		{arrow.BinaryTypes.LargeString, `["x"]`, "'x' text"},
		{arrow.BinaryTypes.StringView, `["x"]`, "'x' text"},
		{arrow.BinaryTypes.Binary, `["AAE=", ""]`, `b'\x00\x01' blob|b'' blob`},
		{&arrow.FixedSizeBinaryType{ByteWidth: 2}, `["AAE="]`, `b'\x00\x01' blob`},
		{arrow.FixedWidthTypes.Date32, `["2026-11-28"]`, "'2026-11-28' text"},
		{&arrow.TimestampType{Unit: arrow.Microsecond}, `["2026-11-28 03:00:00.000001"]`, "'2026-11-28 03:00:00.000001' text"},
		{&arrow.TimestampType{Unit: arrow.Second, TimeZone: "Europe/Berlin"}, "[1795834800]", "'2026-11-28 03:00:00+00:00' text"},
		{&arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"}, "[1795834800500]", "'2026-11-28 03:00:00.5+00:00' text"},
		{arrow.FixedWidthTypes.Time64us, `["03:00:00.5"]`, "'03:00:00.500000' text"},
		{&arrow.Decimal128Type{Precision: 20, Scale: 2}, `["123456789012345678.10"]`, "'123456789012345678.10' text"},
		{arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Float32), "[[0.25, 0.75]]", "'[0.25,0.75]' text"},
		{arrow.ListOf(arrow.PrimitiveTypes.Float64), `[["NaN", "+Inf", -0.5, null], null]`, `'["NaN","inf",-0.5,null]' text|None null`},
		{arrow.ListOf(&arrow.Decimal128Type{Precision: 10, Scale: 2}), `[["1.10", "2"]]`, `'["1.10","2.00"]' text`},
		{arrow.ListOf(&arrow.TimestampType{Unit: arrow.Second, TimeZone: "UTC"}), `[[1795834800]]`, `'["2026-11-28T03:00:00Z"]' text`},
		{arrow.ListOf(arrow.BinaryTypes.String), `[["a", null]]`, `'["a",null]' text`},
		{&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, `["a", "b", null, "a"]`, "'a' text|'b' text|None null|'a' text"},
		{arrow.Null, "[null]", "None null"},
		{extensions.NewUUIDType(), `["6f1f5a50-6f4f-4b6e-8a1c-0123456789ab"]`, `b'o\x1fZPoOKn\x8a\x1c\x01#Eg\x89\xab' blob`},
	}
	args := append(make([]string, 0, 2+len(cases)), "-c", script)
	for _, c := range cases {
		path, err := written(t, c.kind, c.values)
		if err != nil {
			t.Fatalf("%s of %s: %v", c.values, c.kind, err)
		}
		args = append(args, path)
	}
	out, err := exec.Command(python, args...).Output()
	if err != nil {
		t.Skipf("python3 has no sqlite3: %v", err)
	}
	for i, got := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if c := cases[i]; got != c.want {
			t.Errorf("%s of %s: Python reads %s; want %s", c.values, c.kind, got, c.want)
		}
	}
}

func TestValuesThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		kind         arrow.DataType
		values, want string
	}{
		{arrow.PrimitiveTypes.Uint64, "[1, 9223372036854775808]", `column "v": row 1, whose "v" is "9223372036854775808": value cannot be kept in SQLite: 9223372036854775808 is above 2^63-1`},
		{arrow.FixedWidthTypes.Time64us, "[86399999999, 86400000000]", "86400000000 us is no time of a day"},
		{arrow.FixedWidthTypes.Time32ms, "[-1]", "-1 ms is no time of a day"},
		{arrow.FixedWidthTypes.Date32, "[2932897]", "10000-01-01T00:00:00Z is not of the years 0 to 9999"},
		{arrow.PrimitiveTypes.Float64, `["NaN"]`, "a NaN, which SQLite makes null"},
		{arrow.PrimitiveTypes.Float32, `["NaN"]`, "a NaN, which SQLite makes null"},
		{arrow.FixedWidthTypes.Duration_s, "[1]", "SQLite has nothing for duration[s]"},
		{arrow.StructOf(arrow.Field{Name: "a", Type: arrow.PrimitiveTypes.Int8}), `[{"a": 1}]`, "SQLite has nothing for struct"},
	} {
		if _, err := written(t, c.kind, c.values); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s of %s: %v; want %s", c.values, c.kind, err, c.want)
		}
	}
	days := array.NewDate64Builder(memory.DefaultAllocator) // JSON would cut the time off
	defer days.Release()
	days.AppendValues([]arrow.Date64{86400000, 86400001}, nil)
	column := days.NewArray()
	defer column.Release()
	if _, err := writtenArray(t, column); err == nil || !strings.Contains(err.Error(), `row 1, whose "v" is "1970-01-02": value cannot be kept in SQLite: 1970-01-02T00:00:00.001Z has a time of day`) {
		t.Errorf("a date with a time of day: %v", err)
	}
}

func TestTakes(t *testing.T) {
	integer, number, text, day := arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Float32, arrow.BinaryTypes.String, arrow.FixedWidthTypes.Date32
	for _, c := range []struct {
		declared string
		kind     arrow.DataType
		want     bool
	}{
		{"INTEGER", integer, true},
		{"BIGINT", integer, true},
		{"NUMERIC(10,2)", integer, true},
		{"", integer, true},
		{"REAL", integer, false}, // above 2^53 it would be another number
		{"TEXT", integer, false},
		{"DOUBLE", number, true},
		{"DECIMAL(9,3)", number, true},
		{"INT", number, false},
		{"VARCHAR(10)", text, true},
		{"NUMERIC", text, false}, // "1e2" would become 100
		{"ANY", text, false},     // which is NUMERIC, unless the table is STRICT
		{"TEXT", day, true},
		{"DATE", day, true},
		{"NUMERIC", day, false},
		{"BLOB", text, true},
	} {
		if got := (Dialect{}).Takes(&embedded.Column{Type: c.declared}, c.kind); got != c.want {
			t.Errorf("%q takes %s: %v; want %v", c.declared, c.kind, got, c.want)
		}
	}
}

// A column of the type ANY keeps what is put into it in a STRICT table, and in any other makes
// numbers of texts that are some; and a BLOB of a STRICT table takes nothing else.
func TestTakesAsSQLiteDoes(t *testing.T) {
	ctx := context.Background()
	column, _, err := array.FromJSON(memory.DefaultAllocator, arrow.BinaryTypes.String, strings.NewReader(`["007"]`))
	if err != nil {
		t.Fatal(err)
	}
	defer column.Release()
	schema := arrow.NewSchema([]arrow.Field{{Name: "v", Type: arrow.BinaryTypes.String}}, nil)
	batch := array.NewRecordBatch(schema, []arrow.Array{column}, 1)
	defer batch.Release()
	for _, declared := range []string{"ANY", "BLOB", "TEXT", "INTEGER", "REAL"} {
		for _, strict := range []string{"", " STRICT"} {
			s, err := Dialect{}.Open(ctx, filepath.Join(t.TempDir(), "t.db"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Exec(ctx, "CREATE TABLE t (run TEXT, v "+declared+")"+strict); err != nil {
				t.Fatal(err)
			}
			table, err := s.Describe(ctx, embedded.Ref{Table: "t"})
			if err != nil {
				t.Fatal(err)
			}
			insert, err := s.Insert(ctx, `"t"`, "r", schema)
			if err != nil {
				t.Fatal(err)
			}
			kept := insert.Write(batch) == nil
			if err := insert.Close(); err != nil {
				t.Error(err)
			}
			if kept {
				rows, err := s.Query(ctx, "SELECT v FROM t")
				kept = err == nil && rows[0][0] == any("007")
			}
			if got := (Dialect{}).Takes(&table.Columns[1], arrow.BinaryTypes.String); got != kept {
				t.Errorf("%s%s takes texts: %v; it keeps 007: %v", declared, strict, got, kept)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A record of any number of rows is written whole, by statements of many rows and of few.
func TestRowsOfAnyNumber(t *testing.T) {
	for _, rows := range []int{0, 1, 63, 64, 65, 1000} {
		values := strings.TrimSuffix(strings.Repeat("7,", rows), ",")
		path, err := written(t, arrow.PrimitiveTypes.Int32, "["+values+"]")
		if err != nil {
			t.Fatal(err)
		}
		s, err := Dialect{}.OpenToRead(context.Background(), path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Query(context.Background(), "SELECT count(v), count(run) FROM t")
		if want := fmt.Sprintf("[[%d %d]]", rows, rows); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%d rows: %v, %v", rows, got, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
