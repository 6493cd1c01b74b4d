//go:build duckdb && duckdb_arrow

package embedded_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/engine/sink/duckdb"
	"github.com/millrace/millrace/engine/sink/embedded"
	files "github.com/millrace/millrace/io/duckdb"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/query"
)

func init() { dialects = append(dialects, duckdb.Dialect{}) }

// TestFileOfAnotherVersion: a file that no DuckDB of ours reads is refused with both versions,
// as an input and as an output.
func TestFileOfAnotherVersion(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		if j.dialect.Scheme() != "duckdb" {
			t.Skip("SQLite has one format")
		}
		if _, err := j.run(context.Background()); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(j.path)
		if err != nil {
			t.Fatal(err)
		}
		binary.LittleEndian.PutUint64(file[12:], 69) // behind the checksum and DUCK
		const block = 4096
		sum := uint64(5381) // Checksum of DuckDB's checksum.cpp
		for at := 8; at < block; at += 8 {
			sum ^= binary.LittleEndian.Uint64(file[at:]) * 0xbf58476d1ce4e5b9
		}
		binary.LittleEndian.PutUint64(file, sum)
		if err := os.WriteFile(j.path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		const want = "version number 69, but we can only read versions between"
		_, err = j.run(context.Background())
		if !errors.Is(err, ledger.ErrOutput) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "This millrace has DuckDB v") || strings.Contains(err.Error(), "\n") {
			t.Errorf("run = %v; want both versions in a line", err)
		}
		_, err = files.Open(context.Background(), j.path, query.Spec{Table: "scores"})
		if !errors.Is(err, format.ErrUnsupported) || !strings.Contains(err.Error(), want) {
			t.Errorf("Open = %v; want both versions", err)
		}
	})
}

// TestSchemas: SCHEMA.NAME is a table of that schema, for a run and for all that reads what it
// wrote, also where the file or the run's own tables have the schema's name.
func TestSchemas(t *testing.T) {
	for _, c := range []struct{ file, catalog, schema string }{
		{"wh.duckdb", "wh", "rep"},
		{"rep.duckdb", "rep", "rep"},
		{"Rep.a.b", "Rep", "rep"},
		{"scores_millrace.db", "scores_millrace", "s.t"},
		{"temp.db", "temp_db", "temp"},
		{"x.db", "x", "system"},
	} {
		ctx, path := context.Background(), filepath.Join(t.TempDir(), c.file)
		j := job{dialect: duckdb.Dialect{}, path: path, name: "a", output: "duckdb:" + path + "?table=" + query.JoinName(strings.ToUpper(c.schema), "scores")}
		schema := query.QuoteName(c.catalog) + "." + query.QuoteName(c.schema)
		if _, err := j.run(ctx); !errors.Is(err, embedded.ErrTable) || !strings.Contains(err.Error(), "there is no schema") || !strings.Contains(err.Error(), "CREATE SCHEMA ") {
			t.Errorf("%s: without the schema: %v", c.file, err)
		}
		j.do(t, "CREATE SCHEMA "+schema)
		for i, mode := range []ledger.IfExists{ledger.IfExistsError, ledger.IfExistsAppend, ledger.IfExistsReplace, ledger.IfExistsUpsert} {
			j.ifExists, j.name, j.from = mode, strings.Repeat("a", i+1), 300*i
			if _, err := j.run(ctx); err != nil {
				t.Fatalf("%s: %s: %v", c.file, mode, err)
			}
		}
		if got := j.ask(t, "SELECT count(*), count(DISTINCT id) FROM "+schema+".scores"); got != "600 600" {
			t.Errorf("%s: the table has %s", c.file, got)
		}
		if got := j.ask(t, "SELECT count(DISTINCT schema_name) FROM duckdb_tables()"); got != "2" {
			t.Errorf("%s: there are tables of %s schemas; want the table's and the run's own", c.file, got)
		}
		d := embedded.Destination{Dialect: j.dialect}
		if got := j.ask(t, "SELECT count(*) FROM "+query.QuoteName(c.catalog)+".scores_millrace.predictions"); got != "600" {
			t.Errorf("%s: the view has %s rows", c.file, got)
		}
		found, err := d.Verify(ctx, j.output, ledger.VerifyOptions{})
		if err != nil || len(found.Problems) > 0 || found.Runs != 4 {
			t.Errorf("%s: verify: %+v, %v", c.file, found, err)
		}
		if seen, err := d.Seen(ctx, j.output); err != nil || seen.Newest == "" {
			t.Errorf("%s: Seen: %+v, %v", c.file, seen, err)
		}
		input, err := d.RowsOf(j.output, sink.RowQuery{Run: found.Run, Columns: ledger.Columns(scoreSchema), Most: 1000})
		if err != nil {
			t.Fatal(err)
		}
		j.reads(t, c.file+": rows of the run", input, 300)
		j.reads(t, c.file+": the table as an input", j.output, 600)
		if input, err = d.RejectsOf(j.output, found.Run); err != nil {
			t.Fatal(err)
		}
		j.reads(t, c.file+": its rejects", input, 0)
	}
}

// reads counts the rows that an input has.
func (j job) reads(t *testing.T, says, input string, want int64) {
	t.Helper()
	u, err := query.Parse(input)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := files.Open(context.Background(), u.Place, u.Spec)
	if err != nil {
		t.Errorf("%s: %v", says, err)
		return
	}
	defer rows.Close()
	n := int64(0)
	err = rows.Each(context.Background(), func(batch arrow.RecordBatch) error {
		n += batch.NumRows()
		return nil
	})
	if err != nil || n != want {
		t.Errorf("%s: %d rows, %v; want %d", says, n, err, want)
	}
}

// TestCatalog: a file is called what DuckDB calls it.
func TestCatalog(t *testing.T) {
	for _, file := range []string{"a.duckdb", "a.b.c", "A B.db", "noext", ".hid.db", "main.db", "temp.db", "system", "memory.db", "ü.db"} {
		path := filepath.Join(t.TempDir(), "d.e", file)
		if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		j := job{dialect: duckdb.Dialect{}, path: path}
		j.do(t)
		want := j.ask(t, "SELECT current_database()")
		if got := j.dialect.Catalog(path, want); got != want {
			t.Errorf("Catalog of %s = %q; want %q", file, got, want)
		}
	}
}

// TestMadeUnderAnotherName: of a start that was killed while it made the file there is a hidden
// one, which the next start makes anew; DuckDB would take what stands there for no database.
func TestMadeUnderAnotherName(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		if j.dialect.Scheme() != "duckdb" {
			t.Skip("SQLite writes a page at a time")
		}
		hidden := filepath.Join(filepath.Dir(j.path), "."+filepath.Base(j.path)+".millrace-new")
		for _, name := range []string{hidden, hidden + ".wal"} {
			if err := os.WriteFile(name, []byte("half a head"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := j.run(context.Background()); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{hidden, hidden + ".wal"} {
			if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is left: %v", name, err)
			}
		}
	})
}
