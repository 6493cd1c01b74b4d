package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/postgres/pgtest"
)

// benchRows are the rows of a part of the benchmark; a run has three.
const benchRows = 350_000

// BenchmarkPublish publishes a run of rows that are there, to a table that is made and to
// one that others made, and has psql copy the same rows into the same table:
//
//	go test ./engine/sink/postgres -run '^$' -bench Publish -benchtime 5x
func BenchmarkPublish(b *testing.B) {
	s := pgtest.Start(b, "max_wal_size='4GB'")
	n := 0
	arm := func(name string, prepare, do func(b *testing.B, table string)) {
		b.Run("arm="+name, func(b *testing.B) {
			var rows int
			for b.Loop() {
				b.StopTimer()
				n++
				table := fmt.Sprintf("b%d", n)
				prepare(b, table)
				s.Must(b, "CHECKPOINT")
				b.StartTimer()
				do(b, table)
				b.StopTimer()
				if got := s.Must(b, "SELECT count(*) FROM "+table); got != strconv.Itoa(testParts*benchRows) {
					b.Fatalf("%s rows", got)
				}
				s.Must(b, "DROP TABLE "+table+" CASCADE; DROP SCHEMA IF EXISTS "+table+"_millrace CASCADE")
				rows += testParts * benchRows
				b.StartTimer()
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
	const columns = "(millrace_run text NOT NULL DEFAULT '20261128T000000Z-000000', id bigint, score double precision)"
	plain := func(b *testing.B, table string) {
		b.Helper()
		s.Must(b, "CREATE TABLE "+table+columns)
	}
	whole := newJob("")
	whole.rows, whole.ifExists = benchRows, ledger.IfExistsAppend
	batches := make([]arrow.RecordBatch, testParts)
	for i := range batches {
		batches[i] = whole.batch(i)
		defer batches[i].Release()
	}
	whole.made = batches
	score := func(b *testing.B, table string) {
		b.Helper()
		j := whole
		j.uri = s.URI(table, "")
		if _, err := j.run(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	made := func(*testing.B, string) {}
	made(b, "rows")
	score(b, "rows")
	for _, psql := range []struct{ arm, columns, format string }{
		{"csv", "id, score", "csv"},
		{"csv-whole", "millrace_run, id, score", "csv"}, // the run's column is no default
		{"binary", "id, score", "binary"},
	} {
		file := filepath.Join(s.Dir, "rows."+psql.arm)
		text := s.Must(b, "\\copy (SELECT "+psql.columns+" FROM rows) TO '"+file+"' (FORMAT "+psql.format+")")
		if _, err := os.Stat(file); err != nil {
			b.Fatalf("%v: %s", err, text)
		}
		arm("psql-"+psql.arm, plain, func(b *testing.B, table string) {
			b.Helper()
			s.Must(b, "\\copy "+table+" ("+psql.columns+") FROM '"+file+"' (FORMAT "+psql.format+")")
		})
	}
	arm("millrace", made, score)
	arm("millrace-plain", plain, score)
}
