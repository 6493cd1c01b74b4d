package pgrows

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/io/postgres/pgtest"
	"github.com/millrace/millrace/io/query"
)

func TestOfServer(t *testing.T) {
	u, err := url.Parse("postgres://" + pgtest.User + "@/" + pgtest.Database)
	if err != nil {
		t.Fatal(err)
	}
	server := pgtest.Start(t)
	u.RawQuery = "host=" + server.Dir
	for _, of := range []struct {
		name string
		test func(*testing.T, string)
	}{
		{"types", testTypes}, {"values", testValuesThatHaveNoPlace}, {"tables", testTables}, {"refuses", testRefuses}, {"hints", testHints}, {"order", testManyRowsComeInOrder},
	} {
		u.Path = "/" + pgtest.Database
		exec(t, u.String(), `CREATE DATABASE "`+of.name+`"`)
		u.Path = "/" + of.name
		t.Run(of.name, func(t *testing.T) { of.test(t, u.String()) })
	}
	t.Run("cuts", func(t *testing.T) { testConnectionsThatBreak(t, server) })
}

// testConnectionsThatBreak cuts connections everywhere: all rows come, or an error that says
// whose it is, and never a part for the whole.
func testConnectionsThatBreak(t *testing.T, server *pgtest.Server) {
	t.Helper()
	proxy := pgtest.NewProxy(t, server)
	uri := "postgres://" + pgtest.User + "@/" + pgtest.Database + "?host=" + proxy.Dir
	spec := query.Spec{Text: "SELECT g, repeat('x', 60) AS v FROM generate_series(1, 20000) g ORDER BY g"}
	read := func(spec query.Spec) (rows int64, err error) {
		r, err := Open(context.Background(), uri, spec)
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		return rows, r.Each(context.Background(), func(batch arrow.RecordBatch) error {
			rows += batch.NumRows()
			return nil
		})
	}
	for _, way := range []pgtest.Way{pgtest.ToServer, pgtest.FromServer} {
		proxy.CutAfter(way, 1<<40)
		if rows, err := read(spec); err != nil || rows != 20000 {
			t.Fatalf("%s, not cut: %d rows, %v", way, rows, err)
		}
		all := proxy.Seen(way)
		for i := range int64(25) {
			at := i * all / 25
			if i < 8 { // while it begins
				at = i * 150
			}
			proxy.CutAfter(way, at)
			rows, err := read(spec)
			switch {
			case err == nil && rows != 20000:
				t.Errorf("cut after %d bytes %s: %d rows, and no error", at, way, rows)
			case err != nil && !errors.Is(err, ErrServer):
				t.Errorf("cut after %d bytes %s: %v; want %v", at, way, err, ErrServer)
			case err != nil && at > 2000 && !errors.Is(err, ErrPasses): // the session had begun
				t.Errorf("cut after %d bytes %s: %v; want %v", at, way, err, ErrPasses)
			case err == nil && way == pgtest.FromServer:
				t.Errorf("cut after %d of %d bytes %s, and nobody noticed", at, all, way)
			}
		}
	}
	ends := query.Spec{Text: "SELECT g, CASE WHEN g = 15000 THEN pg_terminate_backend(pg_backend_pid()) END AS ended FROM generate_series(1, 20000) g", Unordered: true}
	proxy.CutAfter(pgtest.FromServer, 1<<40)
	if rows, err := read(ends); !errors.Is(err, ErrPasses) {
		t.Errorf("a server that ends the session: %d rows, %v; want %v", rows, err, ErrPasses)
	}
	wrong := query.Spec{Text: "SELECT 1/(g - 15000) AS x FROM generate_series(1, 20000) g", Unordered: true}
	if rows, err := read(wrong); !errors.Is(err, query.ErrQuery) || errors.Is(err, ErrServer) {
		t.Errorf("a query that fails amid its rows: %d rows, %v; want %v alone", rows, err, query.ErrQuery)
	}
}

func exec(t *testing.T, uri, statements string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), uri)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), statements); err != nil {
		t.Fatal(err)
	}
}

// rowsOf gives the rows of a query as JSON lines, and their schema.
func rowsOf(uri string, spec query.Spec) (_ string, schema *arrow.Schema, err error) {
	r, err := Open(context.Background(), uri, spec)
	if err != nil {
		return "", nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var b strings.Builder
	err = r.Each(context.Background(), func(batch arrow.RecordBatch) error { return array.RecordToJSON(batch, &b) })
	return strings.Join(strings.Split(strings.TrimSpace(b.String()), "\n"), " "), r.Schema(), err
}

func testTypes(t *testing.T, uri string) {
	t.Helper()
	exec(t, uri, `CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN price AS numeric(6, 2)`)
	for _, c := range []struct{ value, kind, want string }{
		{"true", "bool", "true"},
		{"(-32768)::int2", "int16", "-32768"},
		{"7::int4", "int32", "7"},
		{"(-9223372036854775808)::int8", "int64", "-9223372036854775808"},
		{"4294967295::oid", "int64", "4294967295"},
		{"1.5::float4", "float32", "1.5"},
		{"'NaN'::float8", "float64", `"NaN"`},
		{"'-inf'::float8", "float64", `"-Inf"`},
		{"12345.678::numeric(12, 3)", "decimal(12, 3)", `"12345.678"`},
		{"(-0.001)::numeric(12, 3)", "decimal(12, 3)", `"-0.001"`},
		{"10000::numeric(12, 3)", "decimal(12, 3)", `"10000"`},
		{"0::numeric(12, 3)", "decimal(12, 3)", `"0"`},
		{"99999999999999999999999999999999999999::numeric(38)", "decimal(38, 0)", `"99999999999999999999999999999999999999"`},
		{"(repeat('9', 38) || '.5')::numeric(40, 1)", "decimal256(40, 1)", `"99999999999999999999999999999999999999.5"`},
		{"0.00012::numeric(3, 5)", "decimal(5, 5)", `"0.00012"`},
		{"12345::numeric(3, -3)", "utf8", `"12000"`},
		{"1.50::numeric", "utf8", `"1.50"`},
		{"(-1e-9)::numeric", "utf8", `"-0.000000001"`},
		{"1e30::numeric + 0.5", "utf8", `"1000000000000000000000000000000.5"`},
		{"'NaN'::numeric", "utf8", `"NaN"`},
		{"12.5::price", "decimal(6, 2)", `"12.5"`},
		{"'häh?'::text", "utf8", `"häh?"`},
		{"''::varchar(3)", "utf8", `""`},
		{"'a'::char(3)", "utf8", `"a  "`},
		{"'n'::name", "utf8", `"n"`},
		{"'c'::\"char\"", "utf8", `"c"`},
		{"'ok'::mood", "utf8", `"ok"`},
		{`'{"a": 1}'::jsonb`, "utf8", `"{\"a\": 1}"`},
		{`'{"a" :1}'::json`, "utf8", `"{\"a\" :1}"`},
		{"'6f1f5a50-6f4f-4b6e-8a1c-0123456789ab'::uuid", "utf8", `"6f1f5a50-6f4f-4b6e-8a1c-0123456789ab"`},
		{"'\\x0001'::bytea", "binary", `"AAE="`},
		{"'2026-11-28'::date", "date32", `"2026-11-28"`},
		{"'1969-12-31'::date", "date32", `"1969-12-31"`},
		{"'2026-11-28 03:00:00.000001'::timestamp", "timestamp[us]", `"2026-11-28T03:00:00.000001"`},
		{"'1950-01-01 00:00:00'::timestamp", "timestamp[us]", `"1950-01-01T00:00:00"`},
		{"'294247-01-10 04:00:54.775807'::timestamp", "timestamp[us]", `"9223372036854775807"`},
		{"'2026-11-28 03:00+02'::timestamptz", "timestamp[us, tz=UTC]", `"2026-11-28T01:00:00Z"`},
		{"'03:00:00.5'::time", "time64[us]", `"03:00:00.5"`},
		{"ARRAY[1, NULL, 3]", "list<item: int32, nullable>", "[1,null,3]"},
		{"ARRAY[]::text[]", "list<item: utf8, nullable>", "[]"},
		{"ARRAY['ok']::mood[]", "list<item: utf8, nullable>", `["ok"]`},
		{"ARRAY[1.5, 2]::numeric(4, 1)[]", "list<item: decimal(4, 1), nullable>", `["1.5","2"]`},
		{"NULL::int8", "int64", "null"},
		{"NULL", "utf8", "null"},
	} {
		got, schema, err := rowsOf(uri, query.Spec{Text: "SELECT v FROM (SELECT 1 AS n, " + c.value + " AS v) s ORDER BY n -- the end"})
		if err != nil {
			t.Errorf("%s: %v", c.value, err)
			continue
		}
		kind := strings.Replace(fmt.Sprint(schema.Field(0).Type), "decimal128", "decimal", 1)
		if got != `{"v":`+c.want+`}` || strings.Replace(kind, "decimal128", "decimal", 1) != c.kind {
			t.Errorf("%s = %s of %s; want %s of %s", c.value, got, kind, c.want, c.kind)
		}
	}
}

func testValuesThatHaveNoPlace(t *testing.T, uri string) {
	t.Helper()
	for value, want := range map[string]string{
		"'infinity'::date":                               "it is infinite",
		"'-infinity'::timestamptz":                       "it is infinite",
		"'294247-01-10 04:00:54.775808'::timestamp":      "it is after 294247-01-10 04:00:54.775807",
		"'294276-12-31 23:59:59.999999+00'::timestamptz": "it is after 294247-01-10",
		"'24:00'::time":                                  "24:00:00",
		"'NaN'::numeric(5, 2)":                           "it is NaN, which no decimal is",
		"ARRAY[[1, 2], [3, 4]]":                          "array has 2 dimensions",
		"ARRAY['infinity']::timestamp[]":                 "it is infinite",
	} {
		_, _, err := rowsOf(uri, query.Spec{Text: "SELECT 1 AS id, NULL::" + typeOf(value) + " AS v UNION ALL SELECT 2, " + value + " ORDER BY id"})
		if !errors.Is(err, query.ErrValue) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `row 2: column "v"`) {
			t.Errorf("%s: %v; want row 2, column v, %s", value, err, want)
		}
	}
	for value, want := range map[string]string{"'1 day'::interval": "interval", "'(1,2)'::point": "point", "'12:00+01'::timetz": "time with time zone", "'10.0.0.1'::inet": "inet"} {
		_, _, err := rowsOf(uri, query.Spec{Text: "SELECT " + value + ` AS "a v", 1 ORDER BY 2`})
		if !errors.Is(err, query.ErrQuery) || !strings.Contains(err.Error(), "of type "+want) || !strings.Contains(err.Error(), `"a v"::text`) {
			t.Errorf("%s: %v; want an error that names %s and the cast", value, err, want)
		}
	}
}

// typeOf is what a value of the tests is cast to.
func typeOf(value string) string {
	if _, after, ok := strings.Cut(value, "::"); ok {
		return after
	}
	return "int[]"
}

func testTables(t *testing.T, uri string) {
	t.Helper()
	exec(t, uri, `CREATE TABLE flights (carrier text, n int, at point, PRIMARY KEY (n, carrier));
		INSERT INTO flights VALUES ('b', 1, '(1,2)'), ('a', 1, NULL), ('z', 0, NULL);
		CREATE TABLE heap (a int); CREATE VIEW looked AS SELECT 1 AS a;
		CREATE SCHEMA other; CREATE TABLE other.flights (id int PRIMARY KEY); CREATE TABLE other."we.ird "" name; --" ("se ""lect" int PRIMARY KEY);
		INSERT INTO other.flights VALUES (2), (1); INSERT INTO other."we.ird "" name; --" VALUES (5);
		CREATE TABLE "Flights" (id int PRIMARY KEY)`)
	for _, c := range []struct {
		says, table string
		unordered   bool
		want        string
	}{
		{"by its key, and a type that is not read as text", "flights", false, `{"at":null,"carrier":"z","n":0} {"at":null,"carrier":"a","n":1} {"at":"(1,2)","carrier":"b","n":1}`},
		{"of another schema", "other.flights", false, `{"id":1} {"id":2}`},
		{"names with dots, quotes and the start of a comment", `other.we.ird " name; --`, false, `{"se \"lect":5}`},
		{"a name with a dot in double quotes", `other."we.ird "" name; --"`, false, `{"se \"lect":5}`},
		{"quotes that it does not need", `"other"."flights"`, false, `{"id":1} {"id":2}`},
		{"and without a schema", `"heap"`, true, ``},
		{"capitals count", "Flights", false, ``},
		{"no key", "heap", false, `table "heap" has no primary key; read it by --query with an ORDER BY, or say --unordered`},
		{"a view", "looked", false, "has no primary key"},
		{"a view in any order", "looked", true, `{"a":1}`},
		{"no such table", "flihgts", false, `no table "flihgts" (did you mean "Flights"?)`},
	} {
		got, _, err := rowsOf(uri, query.Spec{Table: c.table, Unordered: c.unordered})
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: %s; want %s", c.says, got, c.want)
		}
	}
}

func testRefuses(t *testing.T, uri string) {
	t.Helper()
	exec(t, uri, "CREATE TABLE t (a int); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (1) RETURNING a'")
	for _, c := range []struct {
		says, text string
		want       error
		part       string
	}{
		{"no order", "SELECT a FROM t", query.ErrOrder, "ORDER BY"},
		{"a statement that writes", "DELETE FROM t", query.ErrStatement, "begins with"},
		{"a statement that writes within WITH", "WITH x AS (INSERT INTO t VALUES (1) RETURNING a) SELECT a FROM x ORDER BY 1", query.ErrQuery, "it would write"},
		{"a function that writes", "SELECT f() ORDER BY 1", query.ErrQuery, "read-only"},
		{"a query that leaves its brackets", "SELECT 1) TO PROGRAM 'touch x' --", query.ErrStatement, "bracket"},
		{"a parameter", "SELECT $1::int ORDER BY 1", query.ErrQuery, "parameters"},
		{"no such column", "SELECT b FROM t ORDER BY 1", query.ErrQuery, `column "b" does not exist (SQLSTATE 42703), at line 1, character 8, before "b FROM t ORDER BY 1"`},
		{"a row of more than is read", "SELECT repeat('x', 150000000) AS a, repeat('y', 150000000) AS b ORDER BY 1", query.ErrValue, "at most 256 MiB"},
		{"an error at a later row", "SELECT 1 / (3 - i) FROM generate_series(1, 5) i ORDER BY i", query.ErrQuery, "division by zero"},
	} {
		_, _, err := rowsOf(uri, query.Spec{Text: c.text})
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.part) {
			t.Errorf("%s: %v; want %v with %q", c.says, err, c.want, c.part)
		}
	}
	if got, _, err := rowsOf(uri, query.Spec{Text: "SELECT count(*) AS n FROM t ORDER BY 1"}); got != `{"n":0}` {
		t.Errorf("what was written: %s, %v", got, err)
	}
}

func testManyRowsComeInOrder(t *testing.T, uri string) {
	t.Helper()
	r, err := Open(context.Background(), uri, query.Spec{Text: "SELECT i, CASE WHEN i % 3 > 0 THEN repeat('x', i % 50) END AS x FROM generate_series(1, 100000) i ORDER BY i DESC"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	want := int32(100000)
	err = r.Each(context.Background(), func(batch arrow.RecordBatch) error {
		ids, texts := batch.Column(0).(*array.Int32), batch.Column(1).(*array.String)
		for i := range ids.Len() {
			if ids.Value(i) != want || texts.IsNull(i) != (want%3 == 0) || texts.IsValid(i) && texts.Value(i) != strings.Repeat("x", int(want%50)) {
				return fmt.Errorf("row of %d is %d, %v", want, ids.Value(i), texts.ValueStr(i))
			}
			want--
		}
		return nil
	})
	if err != nil || want != 0 {
		t.Errorf("%d rows are left: %v", want, err)
	}
}

func testHints(t *testing.T, uri string) {
	t.Helper()
	if _, _, err := rowsOf(uri+"&statement_timeout=50", query.Spec{Text: "SELECT pg_sleep(9)::text AS a ORDER BY 1"}); !errors.Is(err, query.ErrQuery) || !strings.Contains(err.Error(), "statement_timeout=0 in the URI") {
		t.Errorf("a timeout: %v; want what to do", err)
	}
	if _, _, err := rowsOf(strings.Replace(uri, "/hints?", "/gone?", 1), query.Spec{Table: "t"}); !errors.Is(err, ErrServer) || !strings.Contains(err.Error(), "name another in the URI") {
		t.Errorf("a database that is not there: %v; want what to do", err)
	}
}

func TestServerThatIsNotThere(t *testing.T) {
	_, _, err := rowsOf("postgres://me:sentinel-4711@127.0.0.1:1/db?connect_timeout=2", query.Spec{Table: "t"})
	if !errors.Is(err, ErrServer) || errors.Is(err, ErrPasses) || strings.Contains(err.Error(), "sentinel-4711") {
		t.Errorf("%v; want ErrServer, without the password", err)
	}
	_, _, err = rowsOf("postgres://me:sentinel-4711@host/db?sslmode=never", query.Spec{Table: "t"})
	if err == nil || strings.Contains(err.Error(), "sentinel-4711") {
		t.Errorf("%v; want an error without the password", err)
	}
}
