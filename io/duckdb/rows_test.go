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

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	duckdb "github.com/duckdb/duckdb-go/v2"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/query"
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

func TestOrderOfTables(t *testing.T) {
	path := made(t, `CREATE TABLE keyed (a VARCHAR, b INT, PRIMARY KEY (b, a)); INSERT INTO keyed VALUES ('b', 1), ('z', 0), ('a', 1);
		CREATE TABLE heap AS SELECT range AS a FROM range(5000) ORDER BY range DESC;
		CREATE VIEW looked AS SELECT 1 AS a; CREATE SCHEMA s; CREATE TABLE s."o""dd; --" AS SELECT 7 AS a`)
	for _, c := range []struct{ says, table, want string }{
		{"by its key", "keyed", `{"a":"z","b":0} {"a":"a","b":1} {"a":"b","b":1}`},
		{"as it was inserted", "heap", `{"a":4999} {"a":4998}`},
		{"of another schema, with odd characters", `s.o"dd; --`, `{"a":7}`},
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
