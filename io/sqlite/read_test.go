package sqlite

import (
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/query"
)

// made makes a database of statements, and gives its path.
func made(t *testing.T, statements string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a db?#%.sqlite")
	conn, err := connect(path, url.Values{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(context.Background(), statements, nil); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// rowsOf gives the rows of a query as JSON lines, and their schema.
func rowsOf(path string, spec query.Spec) (_ string, schema *arrow.Schema, err error) {
	r, err := Open(context.Background(), path, spec)
	if err != nil {
		return "", nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var b strings.Builder
	err = r.Each(context.Background(), func(batch arrow.RecordBatch) error { return array.RecordToJSON(batch, &b) })
	return b.String(), r.Schema(), err
}

func TestTypes(t *testing.T) {
	for _, c := range []struct {
		says, declared, values string
		kind                   arrow.DataType
		want                   string // values, or a part of the error
	}{
		{"INTEGER", "INTEGER", "(1), (NULL), (-9223372036854775808)", arrow.PrimitiveTypes.Int64, "1 null -9223372036854775808"},
		{"names with INT in them", "UNSIGNED BIG INT", "(7)", arrow.PrimitiveTypes.Int64, "7"},
		{"an INTEGER column with a text", "INTEGER", "(1), ('x')", nil, `row 2: column "v": value does not fit its column: TEXT "x" is not an INTEGER`},
		{"an INTEGER column with a real", "INTEGER", "(1), (2.5)", nil, `row 2: column "v": value does not fit its column: REAL 2.5 is not an INTEGER`},
		{"REAL", "REAL", "(1.5), (2), (NULL), (9e999)", arrow.PrimitiveTypes.Float64, "1.5 2 null +Inf"},
		{"NUMERIC holds both kinds of numbers", "NUMERIC(10, 2)", "(1.25), (2)", arrow.PrimitiveTypes.Float64, "1.25 2"},
		{"NUMERIC with a whole number that no float64 is", "NUMERIC", "(9007199254740993)", nil, "row 1: column \"v\": value does not fit its column: 9007199254740993 is no float64"},
		{"NUMERIC with the largest whole number", "NUMERIC", "(9223372036854775807)", nil, "is no float64"},
		{"NUMERIC with a text", "DECIMAL(5, 1)", "('n/a')", nil, `TEXT "n/a" is not a number`},
		{"TEXT", "VARCHAR(3)", "('häh?'), (NULL), ('')", arrow.BinaryTypes.String, `"häh?" null ""`},
		{"TEXT that is no UTF-8", "TEXT", "(CAST(x'ff61' AS TEXT))", nil, `TEXT "\xffa" is not UTF-8`},
		{"TEXT with a blob", "TEXT", "(x'00')", nil, "a BLOB of 1 bytes is not a TEXT"},
		{"BLOB", "BLOB", "(x'0001'), (x'')", arrow.BinaryTypes.Binary, `"AAE=" ""`},
		{"BLOB with a number", "BLOB", "(3)", nil, "INTEGER 3 is not a BLOB"},
		{"BOOLEAN", "boolean", "(1), (0), (NULL)", arrow.FixedWidthTypes.Boolean, "true false null"},
		{"BOOLEAN that is neither", "BOOLEAN", "(2)", nil, "INTEGER 2 is not a BOOLEAN (0 or 1)"},
		{"DATE", "DATE", "('2026-11-28'), ('0001-01-01')", arrow.FixedWidthTypes.Date32, `"2026-11-28" "0001-01-01"`},
		{"DATE that is none", "DATE", "('2026-02-30')", nil, `TEXT "2026-02-30" is not a DATE`},
		{"DATE as a number of seconds", "DATE", "(1700000000)", nil, "INTEGER 1700000000 is not a DATE"},
		{
			"TIMESTAMP in SQLite's forms", "TIMESTAMP", "('2026-11-28 03:00:00.25'), ('2026-11-28T03:00'), ('2026-11-28'), ('2026-11-28 03:00:00+01:00'), ('2026-11-28T03:00:00Z')", &arrow.TimestampType{Unit: arrow.Microsecond},
			`"2026-11-28T03:00:00.25" "2026-11-28T03:00:00" "2026-11-28T00:00:00" "2026-11-28T02:00:00" "2026-11-28T03:00:00"`,
		},
		{"DATETIME that the driver would take for the year 1", "DATETIME", "('yesterday')", nil, `TEXT "yesterday" is not a time`},
		{"DATETIME finer than a microsecond", "DATETIME", "('2026-11-28 03:00:00.0000001')", nil, "is not a time"},
		{"no declared type: whole numbers", "", "(1), (NULL), (2)", arrow.PrimitiveTypes.Int64, "1 null 2"},
		{"no declared type: numbers", "", "(1), (2.5)", arrow.PrimitiveTypes.Float64, "1 2.5"},
		{"no declared type: texts", "", "('1'), ('b')", arrow.BinaryTypes.String, `"1" "b"`},
		{"no declared type: nulls alone", "", "(NULL)", arrow.PrimitiveTypes.Float64, "null"},
		{"no declared type: no row", "", "", arrow.PrimitiveTypes.Float64, ""},
		{"no declared type: kinds that have none in common", "", "('a'), (1)", nil, `row 2: column "v": value does not fit its column: INTEGER 1 is not a TEXT`},
	} {
		statements := "CREATE TABLE t (v " + c.declared + ");"
		if c.values != "" {
			statements += "INSERT INTO t VALUES " + c.values
		}
		path := made(t, statements)
		got, schema, err := rowsOf(path, query.Spec{Table: "t"})
		if c.kind == nil {
			if !errors.Is(err, query.ErrValue) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error %v; want %s", c.says, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.says, err)
			continue
		}
		var want strings.Builder
		for v := range strings.SplitSeq(c.want, `" `) {
			if strings.HasPrefix(v, `"`) {
				want.WriteString(`{"v":` + strings.TrimSuffix(v, `"`) + "\"}\n")
				continue
			}
			for v := range strings.FieldsSeq(v) {
				want.WriteString(`{"v":` + v + "}\n")
			}
		}
		if norm(got) != norm(want.String()) || !arrow.TypeEqual(schema.Field(0).Type, c.kind) {
			t.Errorf("%s: %s of %s; want %s of %s", c.says, got, schema.Field(0).Type, want.String(), c.kind)
		}
	}
}

// norm takes off what writers of JSON differ in.
func norm(s string) string { return strings.NewReplacer(`"+Inf"`, "+Inf", `null"`, "null").Replace(s) }

func TestOrderOfTables(t *testing.T) {
	for _, c := range []struct {
		says, statements string
		want             string // or a part of the error
	}{
		{"by its primary key", "CREATE TABLE t (a TEXT PRIMARY KEY, b); INSERT INTO t VALUES ('c', 1), ('a', 2), ('b', 3)", `{"a":"a","b":2} {"a":"b","b":3} {"a":"c","b":1}`},
		{"by a key of two columns, in the key's order", "CREATE TABLE t (a, b, PRIMARY KEY (b, a)) WITHOUT ROWID; INSERT INTO t VALUES (1, 2), (2, 1), (0, 2)", `{"a":2,"b":1} {"a":0,"b":2} {"a":1,"b":2}`},
		{"by rowid without a key", "CREATE TABLE t (a); INSERT INTO t (rowid, a) VALUES (3, 'x'), (1, 'y')", `{"a":"y"} {"a":"x"}`},
		{"by another name of the rowid", "CREATE TABLE t (rowid TEXT); INSERT INTO t (oid, rowid) VALUES (3, 'a'), (1, 'b')", `{"rowid":"b"} {"rowid":"a"}`},
		{"nulls in a key are ordered by rowid", "CREATE TABLE t (a INT, b INT, PRIMARY KEY (a)); INSERT INTO t (rowid, a, b) VALUES (9, NULL, 1), (2, NULL, 2)", `{"a":null,"b":2} {"a":null,"b":1}`},
		{"a name with quotes in it", `CREATE TABLE "T""; drop" (a); ALTER TABLE "T""; drop" RENAME TO t`, ``},
		{"a view has no key", "CREATE TABLE u (a); CREATE VIEW t AS SELECT a FROM u", `table "t" is a view and has no key; read it by --query with an ORDER BY`},
		{"no name of the rowid is left", "CREATE TABLE t (rowid, oid, _rowid_)", "columns that hide its rowid"},
		{"no such table", "CREATE TABLE tt (a)", `no table "t" (did you mean "tt"?)`},
	} {
		got, _, err := rowsOf(made(t, c.statements), query.Spec{Table: "t"})
		if err != nil {
			got = err.Error()
		}
		if got := strings.Join(strings.Split(strings.TrimSpace(got), "\n"), " "); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: %s; want %s", c.says, got, c.want)
		}
	}
}

func TestQueriesThatAreRefused(t *testing.T) {
	path := made(t, "CREATE TABLE t (a); INSERT INTO t VALUES (1)")
	for _, c := range []struct {
		says, text string
		want       error
		part       string
	}{
		{"no order", "SELECT * FROM t", query.ErrOrder, "ORDER BY"},
		{"no such column", "SELECT b FROM t ORDER BY 1", query.ErrQuery, "no such column: b"},
		{"a statement that writes", "INSERT INTO t VALUES (2)", query.ErrStatement, "begins with"},
		{"a statement that writes after WITH", "WITH x AS (SELECT 1 ORDER BY 1) INSERT INTO t SELECT * FROM x ORDER BY 1", query.ErrQuery, "readonly"},
		{"two statements", "SELECT 1 ORDER BY 1; SELECT 2", query.ErrStatement, "one statement"},
		{"a parameter", "SELECT ? ORDER BY 1", query.ErrQuery, ""},
	} {
		_, _, err := rowsOf(path, query.Spec{Text: c.text})
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.part) {
			t.Errorf("%s: %v; want %v with %q", c.says, err, c.want, c.part)
		}
	}
	if got, _, err := rowsOf(path, query.Spec{Text: "SELECT a FROM t", Unordered: true}); err != nil || got != "{\"a\":1}\n" {
		t.Errorf("what was there is %s, %v", got, err)
	}
}

func TestFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		says, path string
		want       error
	}{
		{"no file", filepath.Join(dir, "gone"), os.ErrNotExist},
		{"a folder", dir, nil},
		{"another format", file("a.csv", strings.Repeat("a,b\n", 1000)), format.ErrDamaged},
		{"nothing but a header", file("cut", "SQLite format 3\x00"), format.ErrDamaged},
	} {
		_, _, err := rowsOf(c.path, query.Spec{Text: "SELECT 1 ORDER BY 1"})
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v; want %v", c.says, err, c.want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "gone")); err == nil {
		t.Error("a file that was not there was made")
	}
}

func TestWriterWasStopped(t *testing.T) {
	path := made(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, x REAL); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO t SELECT i, 1 FROM n")
	conn, err := connect(path, url.Values{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(context.Background(), "PRAGMA cache_size = 10; BEGIN; UPDATE t SET x = 2", nil); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(t.TempDir(), "left.db") // the files as a kill leaves them
	for _, suffix := range []string{"", "-journal"} {
		data, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(left+suffix, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := rowsOf(left, query.Spec{Table: "t"}); err == nil || !strings.Contains(err.Error(), "rolled back first") {
		t.Errorf("half a transaction: %v; want an error that says what to do", err)
	}
}

func TestReadStopsWhenCanceled(t *testing.T) {
	path := made(t, "CREATE TABLE t (a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) INSERT INTO t SELECT i FROM n")
	ctx, cancel := context.WithCancel(context.Background())
	r, err := Open(ctx, path, query.Spec{Table: "t"})
	if err != nil {
		t.Fatal(err)
	}
	rows := int64(0)
	err = r.Each(ctx, func(batch arrow.RecordBatch) error {
		rows += batch.NumRows()
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || rows == 100000 {
		t.Errorf("after %d rows: %v; want it to be canceled", rows, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestAsPythonReads: Python's sqlite3 writes rows and reads them again.
func TestAsPythonReads(t *testing.T) {
	const script = `
import sqlite3, random, json, sys
r = random.Random(7)
db = sqlite3.connect(sys.argv[1])
db.execute("create table flights (id integer primary key, delay real, carrier text, distance int, raw blob)")
maybe = lambda v: None if r.random() < .1 else v
db.executemany("insert into flights values (?,?,?,?,?)", [(i, maybe(r.random() * 100), maybe(r.choice(["AA", "é", "", "x'y\"z"])), maybe(r.randrange(-2**63, 2**63)), maybe(r.randbytes(3))) for i in r.sample(range(10**9), 20000)])
db.execute("delete from flights where id % 7 = 0")
db.commit()
import base64
for row in db.execute("select id, delay, carrier, distance, raw from flights order by id"):
    print(json.dumps([base64.b64encode(v).decode() if isinstance(v, bytes) else v for v in row]))
`
	path := filepath.Join(t.TempDir(), "p.db")
	out, err := exec.Command("python3", "-c", script, path).Output()
	if err != nil {
		t.Skipf("no python3 with sqlite3: %v", err)
	}
	r, err := Open(context.Background(), path, query.Spec{Table: "flights"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	want, _, err := array.RecordFromJSON(memory.DefaultAllocator, r.Schema(), strings.NewReader(objects(string(out), r.Schema())))
	if err != nil {
		t.Fatal(err)
	}
	defer want.Release()
	at := int64(0)
	err = r.Each(context.Background(), func(batch arrow.RecordBatch) error {
		part := want.NewSlice(at, at+batch.NumRows())
		defer part.Release()
		if !array.RecordEqual(part, batch) {
			t.Errorf("rows from %d on differ", at)
		}
		at += batch.NumRows()
		return nil
	})
	if err != nil || at != want.NumRows() || at < 10000 {
		t.Errorf("%d rows of %d, %v", at, want.NumRows(), err)
	}
}

// objects makes an array of objects of lines that are arrays of values without commas or
// brackets in them.
func objects(lines string, schema *arrow.Schema) string {
	var b strings.Builder
	for i, line := range strings.Split(strings.TrimSpace(lines), "\n") {
		b.WriteString(map[bool]string{true: "[{", false: ",{"}[i == 0])
		for j, v := range strings.Split(strings.Trim(line, "[]"), ", ") {
			if j > 0 {
				b.WriteByte(',')
			}
			b.WriteString(`"` + schema.Field(j).Name + `":` + v)
		}
		b.WriteByte('}')
	}
	return b.String() + "]"
}
