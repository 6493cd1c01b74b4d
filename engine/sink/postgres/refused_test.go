package postgres

import (
	"errors"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/postgres"
	"github.com/millrace/millrace/io/postgres/pgtest"
)

// TestRefusedLeavesNoSchema: a run that is refused leaves the database as it was.
func TestRefusedLeavesNoSchema(t *testing.T) {
	s := pgtest.Start(t)
	for _, c := range []struct {
		says, create string
		late         bool // which columns there are beside the ids is known with the first part
		err          error
	}{
		{"a table that does not fit", "CREATE TABLE t (other int)", false, postgres.ErrTable},
		{"a table with rows", "CREATE TABLE t (id bigint, score double precision, millrace_run text); INSERT INTO t VALUES (1, 2, 'x')", false, ledger.ErrExists},
		{"a view", "CREATE VIEW t AS SELECT 1 AS id", false, ledger.ErrExists},
		{"what does not fit is known with the first part", "CREATE TABLE t (id bigint, millrace_run text)", true, postgres.ErrTable},
		{"so too where the schema was there", "CREATE SCHEMA t_millrace; CREATE TABLE t (id bigint, millrace_run text)", true, postgres.ErrTable},
	} {
		s.Must(t, "DROP TABLE IF EXISTS t; DROP SCHEMA IF EXISTS t_millrace")
		s.Must(t, c.create)
		const all = "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = 't_millrace'), (SELECT count(*) FROM pg_class WHERE relnamespace >= 16384)"
		before := s.Must(t, all)
		j := newJob(s.URI("t", ""))
		j.late = c.late
		if _, err := j.run(t.Context()); !errors.Is(err, c.err) {
			t.Errorf("%s: %v; want %v", c.says, err, c.err)
		}
		if after := s.Must(t, all); after != before {
			t.Errorf("%s: there were %s schemas and tables of runs, and are %s", c.says, before, after)
		}
		if c.says == "a view" {
			s.Must(t, "DROP VIEW t")
		}
	}
}

// TestNoSchema: a table of a schema that is not there is refused with what to do.
func TestNoSchema(t *testing.T) {
	s := pgtest.Start(t)
	j := newJob(s.URI("reporting.scores", ""))
	const want = `there is no schema "reporting": CREATE SCHEMA "reporting", or name another`
	if _, err := j.run(t.Context()); !errors.Is(err, postgres.ErrTable) || !errors.Is(err, ledger.ErrOutput) || !strings.Contains(err.Error(), want) {
		t.Errorf("run = %v; want %s", err, want)
	}
	if got := s.Must(t, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE '%_millrace'"); got != "0" {
		t.Errorf("%s schemas of runs are left", got)
	}
	s.Must(t, "CREATE SCHEMA reporting")
	if _, err := j.run(t.Context()); err != nil {
		t.Error(err)
	}
}
