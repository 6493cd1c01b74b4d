package postgres

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/postgres/pgtest"
)

// TestAttachReadsNoRows: the server's log says that it need not look through the rows of a
// run that becomes a partition, and of what told it so nothing is left.
func TestAttachReadsNoRows(t *testing.T) {
	s := pgtest.Start(t, "log_min_messages=debug1")
	tests := []struct {
		why  string
		mode ledger.IfExists
	}{
		{"a table that is made", ledger.IfExistsError},
		{"a table with another run", ledger.IfExistsAppend},
		{"a table whose runs are replaced", ledger.IfExistsReplace},
	}
	const implied = `is implied by existing constraints`
	for n, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			before := strings.Count(s.Log(), implied)
			j := newJob(s.URI("at", ""))
			j.ifExists, j.name, j.from = test.mode, test.why, n*testParts*testRows
			if _, err := j.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if strings.Count(s.Log(), implied) != before+1 {
				t.Error("the server read all rows of the run once more")
			}
			if got := s.Must(t, "SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND connamespace <> 'pg_catalog'::regnamespace AND connamespace <> 'information_schema'::regnamespace"); got != "0" {
				t.Errorf("%s constraints are left", got)
			}
		})
	}
}
