//go:build duckdb && duckdb_arrow

package engine_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2"
)

func init() { testTables["duckdb"] = duckdbTable }

func duckdbTable(t *testing.T) testTable {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.duckdb")
	return testTable{"duckdb:" + path + "?table=scores", func(t *testing.T, statement string) {
		t.Helper()
		db, err := sql.Open("duckdb", path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}}
}
