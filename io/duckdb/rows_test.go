//go:build duckdb && duckdb_arrow

package duckdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	duckdb "github.com/duckdb/duckdb-go/v2"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/query"
	"github.com/millrace/millrace/io/spool"
)

// made makes a database of statements, and gives its path.
func made(t *testing.T, statements string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a db.duckdb")
	c, err := duckdb.NewConnector(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := c.Connect(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.(*duckdb.Conn).ExecContext(context.Background(), statements, nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(conn.Close(), c.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// rowsOf gives the rows of a query as JSON, and their schema.
func rowsOf(path string, spec query.Spec) (_ string, schema *arrow.Schema, err error) {
	r, err := Open(context.Background(), path, spec)
	if err != nil {
		return "", nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var b strings.Builder
	err = r.Each(context.Background(), func(batch arrow.RecordBatch) error { return array.RecordToJSON(batch, &b) })
	return strings.Join(strings.Split(strings.TrimSpace(b.String()), "\n"), " "), r.Schema(), err
}

func TestTypes(t *testing.T) {
	path := made(t, "CREATE TYPE mood AS ENUM ('sad', 'ok')")
	for _, c := range []struct{ value, kind, want string }{
		{"true", "bool", "true"},
		{"(-128)::TINYINT", "int8", "-128"},
		{"9223372036854775807", "int64", "9223372036854775807"},
		{"18446744073709551615::UBIGINT", "uint64", "18446744073709551615"},
		{"1.5::FLOAT", "float32", "1.5"},
		{"0.1::DOUBLE", "float64", "0.1"},
		{"12345.678::DECIMAL(12,3)", "decimal(12, 3)", `"12345.678"`},
		{"'häh?'", "utf8", `"häh?"`},
		{"'\\x00\\x01'::BLOB", "binary", `"AAE="`},
		{"DATE '2026-11-28'", "date32", `"2026-11-28"`},
		{"TIMESTAMP '2026-11-28 03:00:00.000001'", "timestamp[us]", `"2026-11-28T03:00:00.000001"`},
		{"TIME '03:00:00.5'", "time64[us]", `"03:00:00.5"`},
		{"[1, NULL, 3]", "list<l: int32, nullable>", "[1,null,3]"},
		{"NULL::BIGINT", "int64", "null"},
	} {
		got, schema, err := rowsOf(path, query.Spec{Text: "SELECT " + c.value + " AS v ORDER BY ALL"})
		if err != nil {
			t.Errorf("%s: %v", c.value, err)
			continue
		}
		if kind := fmt.Sprint(schema.Field(0).Type); got != `{"v":`+c.want+`}` || kind != c.kind {
			t.Errorf("%s = %s of %s; want %s of %s", c.value, got, kind, c.want, c.kind)
		}
	}
}

func TestValuesThatArrowHasNot(t *testing.T) {
	const fits = "99999999999999999999999999999999999999" // 38 digits
	path := made(t, `CREATE TABLE odd (id INT PRIMARY KEY, z TIMETZ, b BIT, u UHUGEINT);
		INSERT INTO odd VALUES (1, '12:00:00+02', '101', 340282366920938463463374607431768211455), (2, NULL, NULL, NULL)`)
	for _, c := range []struct{ says, text, want string }{
		{"the largest HUGEINT that a decimal has", "SELECT " + fits + "::HUGEINT AS v ORDER BY 1", `{"v":"` + fits + `"}`},
		{"the smallest", "SELECT -" + fits + "::HUGEINT AS v ORDER BY 1", `{"v":"-` + fits + `"}`},
		{"one more", "SELECT 1 AS a, (" + fits + "::HUGEINT + 1) AS v ORDER BY 1", `row 1: column "v": value does not fit its column: it is a HUGEINT`},
		{"the end of a day", "SELECT unnest(['23:59:59', '24:00:00'])::TIME AS v ORDER BY 1", `row 2: column "v": value does not fit its column: it is 24:00:00`},
		{"an infinite time", "SELECT unnest(['2026-01-01', 'infinity'])::TIMESTAMP AS v ORDER BY 1", `row 2: column "v": value does not fit its column: it is infinite`},
		{"one within a list", "SELECT ['-infinity'::TIMESTAMPTZ] AS v ORDER BY 1", `row 1: column "v": value does not fit its column: it is infinite`},
		{"one within a struct, in the third list of rows", "SELECT i, {a: CASE WHEN i = 5000 THEN 'infinity' ELSE '2026-01-01' END::DATE} AS v FROM range(9000) t(i) ORDER BY 1", `row 5001: column "v": value does not fit its column: it is infinite`},
		{"a time with a zone", "SELECT z FROM odd ORDER BY id", `column "z" has the type TIME WITH TIME ZONE, which is not read; cast it in the query, such as "z"::VARCHAR`},
		{"bits within a struct within a list", "SELECT [{a: b}] AS v FROM odd ORDER BY id", `column "v" has the type BIT`},
		{"those of a table are texts", "", `{"b":"101","id":1,"u":"340282366920938463463374607431768211455","z":"12:00:00+02"} {"b":null,"id":2,"u":null,"z":null}`},
		{"an instant is of UTC, wherever it is read", "SELECT '2026-01-01 00:00:00+02'::TIMESTAMPTZ::VARCHAR AS v ORDER BY 1", `{"v":"2025-12-31 22:00:00+00"}`},
		{"a pivot is several statements", "PIVOT (SELECT 1 AS g, 'a' AS k, 2 AS v) ON k USING sum(v) GROUP BY g ORDER BY g", `{"a":"2","g":1}`},
		{"an error after rows were given", "SELECT CASE WHEN i = 900000 THEN error('at last') ELSE i END AS v FROM range(1000000) t(i)", "rows: query cannot be run: Invalid Input Error: at last"},
	} {
		spec := query.Spec{Text: c.text, Unordered: strings.Contains(c.text, "error(")}
		if c.text == "" {
			spec.Table = "odd"
		}
		got, _, err := rowsOf(path, spec)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %.300s; want %s", c.says, got, c.want)
		}
	}
}

func TestResultIsNotKeptWhole(t *testing.T) {
	path := made(t, "CREATE TABLE t AS SELECT 1 AS a")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// 2^40 rows: who keeps them does not get to the first.
	r, err := Open(ctx, path, query.Spec{Text: "SELECT x.range * y.range AS v FROM range(1048576) x, range(1048576) y", Unordered: true})
	if err != nil {
		t.Fatal(err)
	}
	enough, rows := errors.New("enough"), int64(0)
	err = r.Each(ctx, func(batch arrow.RecordBatch) error {
		if rows += batch.NumRows(); rows > 1e6 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Errorf("after %d rows: %v; want %v", rows, err, enough)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestSortsSpillIntoTheTemporaryFolder(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	path := made(t, "CREATE TABLE t AS SELECT hash(range) AS a FROM range(1000)")
	r, err := Open(context.Background(), path, query.Spec{Text: "SELECT current_setting('temp_directory') AS v ORDER BY 1"})
	if err != nil {
		t.Fatal(err)
	}
	spill := ""
	if err := r.Each(context.Background(), func(batch arrow.RecordBatch) error {
		spill = strings.Clone(batch.Column(0).ValueStr(0)) // which aliases the batch
		return os.MkdirAll(filepath.Join(spill, "left"), 0o700)
	}); err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(spill) != os.TempDir() {
		t.Errorf("spills to %s; want a folder in %s", spill, os.TempDir())
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(spill); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close: %v; want nothing at %s", err, spill)
	}
}

func TestWhatDuckDBSays(t *testing.T) {
	for _, c := range []struct {
		says, said string
		want       error
		not        string
	}{
		{"the folder for spilled rows is full", "Out of Memory Error: failed to offload data block of size 96.0 KiB (17.9 MiB/17.9 MiB used).\nThis limit was set by the 'max_temp_directory_size' setting.", spool.ErrSpool, "setting"},
		{"nothing can be spilled", "Out of Memory Error: could not allocate block of size 256.0 KiB (575.9 MiB/576.0 MiB used)\n\nPossible solutions:\n* SET memory_limit='...'", query.ErrQuery, "SET"},
		{"a block is damaged", "IO Error: Corrupt database file: computed checksum 1 does not match stored checksum 2 in block at location 0", format.ErrDamaged, "query"},
		{"all else is the query's", "Binder Error: no\n\nLINE 1: x", query.ErrQuery, "memory"},
	} {
		if err := saidOfQuery(c.said); !errors.Is(err, c.want) || strings.Contains(err.Error(), c.not) {
			t.Errorf("%s: %v; want %v without %q", c.says, err, c.want, c.not)
		}
	}
}

func TestReadStopsWhenCanceled(t *testing.T) {
	path := made(t, "CREATE TABLE t AS SELECT 1 AS a")
	for _, c := range []struct{ says, text string }{
		{"before the first row", "SELECT sum(x.range * y.range) AS v FROM range(1048576) x, range(1048576) y ORDER BY 1"},
		{"between rows", "SELECT x.range AS v FROM range(1048576) x, range(1048576) y"},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		r, err := Open(ctx, path, query.Spec{Text: c.text, Unordered: true})
		if err == nil {
			err = r.Each(ctx, func(arrow.RecordBatch) error { return nil })
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v; want %v", c.says, err, context.DeadlineExceeded)
		}
	}
}

func TestOrderOfTables(t *testing.T) {
	path := made(t, `CREATE TABLE keyed (a VARCHAR, b INT, PRIMARY KEY (b, a)); INSERT INTO keyed VALUES ('b', 1), ('z', 0), ('a', 1);
		CREATE TABLE heap AS SELECT range AS a FROM range(5000) ORDER BY range DESC;
		CREATE VIEW looked AS SELECT 1 AS a; CREATE SCHEMA s; CREATE TABLE s."o""dd; --" AS SELECT 7 AS a;
		CREATE TABLE s.keyed AS SELECT 8 AS a; CREATE TABLE "s.keyed" AS SELECT 9 AS a; CREATE TABLE "s.only" AS SELECT 10 AS a`)
	for _, c := range []struct{ says, table, want string }{
		{"by its key", "keyed", `{"a":"z","b":0} {"a":"a","b":1} {"a":"b","b":1}`},
		{"as it was inserted", "heap", `{"a":4999} {"a":4998}`},
		{"of another schema, with odd characters", `s.o"dd; --`, `{"a":7}`},
		{"of another schema, which a name with a dot is first", "S.Keyed", `{"a":8}`},
		{"with a dot", `"s.keyed"`, `{"a":9}`},
		{"with a dot, and of no schema", "s.only", `{"a":10}`},
		{"a view has no key", "looked", "is a view and has no key"},
		{"no such table", "keyd", `no table "keyd" (did you mean "keyed"?)`},
	} {
		got, _, err := rowsOf(path, query.Spec{Table: c.table})
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %.200s; want %s", c.says, got, c.want)
		}
	}
	if got, _, err := rowsOf(path, query.Spec{Table: "looked", Unordered: true}); got != `{"a":1}` {
		t.Errorf("a view in any order: %s, %v", got, err)
	}
}

func TestQueriesThatAreRefused(t *testing.T) {
	path := made(t, "CREATE TABLE t (a INT)")
	outside := filepath.Join(t.TempDir(), "x.csv")
	if err := os.WriteFile(outside, []byte("a\n1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		says, text string
		want       error
	}{
		{"no order", "FROM t", query.ErrOrder},
		{"a statement that writes", "INSERT INTO t VALUES (1)", query.ErrStatement},
		{"no such column", "SELECT b FROM t ORDER BY 1", query.ErrQuery},
		{"a file", "SELECT * FROM '" + outside + "' ORDER BY 1", query.ErrQuery},
		{"an error at a row", "SELECT error('no') FROM range(3) ORDER BY 1", query.ErrQuery},
	} {
		if _, _, err := rowsOf(path, query.Spec{Text: c.text}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v; want %v", c.says, err, c.want)
		}
	}
	if _, _, err := rowsOf(outside, query.Spec{Table: "t"}); !errors.Is(err, format.ErrDamaged) {
		t.Errorf("a file that is no database: %v", err)
	}
	if _, _, err := rowsOf(outside+".gone", query.Spec{Table: "t"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
