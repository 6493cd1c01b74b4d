package postgres

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/postgres/pgtest"
)

// TestModes publishes over what is there, in each way that --if-exists has, to a table that
// a run made and to one that psql made.
func TestModes(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and all in one goroutine")
	}
	s := pgtest.Start(t)
	made := map[string]string{
		"made by a run":   "",
		"made by psql":    "CREATE TABLE %s (score double precision, id bigint, millrace_run text, note text DEFAULT 'x')",
		"with a key":      "CREATE TABLE %s (id bigint PRIMARY KEY, score double precision, millrace_run text)",
		"of wider types":  "CREATE TABLE %s (id numeric, score double precision, millrace_run varchar(40))",
		"divided by runs": "CREATE TABLE %s (id bigint, score double precision, more int DEFAULT 7, millrace_run text) PARTITION BY LIST (millrace_run)",
	}
	n := 0
	for why, ddl := range made {
		t.Run(why, func(t *testing.T) {
			n++
			name := fmt.Sprintf("t%d", n)
			if ddl != "" {
				s.Must(t, fmt.Sprintf(ddl, name))
			}
			a := newJob(s.URI(name, ""))
			if _, err := a.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			a.check(t, s, name)
			// The same again does nothing.
			if taken, err := a.run(t.Context()); err != nil || taken != a.parts {
				t.Errorf("run again = %d parts, %v; want nothing to do", taken, err)
			}
			a.check(t, s, name)
			b := newJob(s.URI(name, ""))
			b.name, b.from = "b", 100000
			if _, err := b.run(t.Context()); !errors.Is(err, ledger.ErrExists) {
				t.Errorf("another job = %v; want %v", err, ledger.ErrExists)
			}
			b.ifExists = ledger.IfExistsAppend
			if _, err := b.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := s.Must(t, "SELECT count(*), count(DISTINCT millrace_run) FROM "+name); got != "2400|2" {
				t.Errorf("after append the table has %s", got)
			}
			b.ifExists, b.restart = ledger.IfExistsReplace, true
			if _, err := b.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.check(t, s, name)
			if got := s.Must(t, "SELECT count(*) FILTER (WHERE live), count(*) FROM "+name+"_millrace.runs"); got != "1|3" {
				t.Errorf("live runs and all: %s; want 1|3", got)
			}
		})
	}
}

func TestUpsert(t *testing.T) {
	s := pgtest.Start(t)
	for why, ddl := range map[string]string{
		"a table that a run makes": "", "one with a key": "CREATE TABLE u (id bigint PRIMARY KEY, score double precision, millrace_run text)",
	} {
		t.Run(why, func(t *testing.T) {
			s.Must(t, "DROP TABLE IF EXISTS u CASCADE; DROP SCHEMA IF EXISTS u_millrace CASCADE; "+ddl)
			a := newJob(s.URI("u", ""))
			a.ifExists = ledger.IfExistsUpsert
			if _, err := a.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			a.check(t, s, "u")
			b := a
			b.name, b.from = "b", 1000 // 200 ids are there
			if _, err := b.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := s.Must(t, "SELECT count(*), count(DISTINCT id), min(id), max(id) FROM u"); got != "2200|2200|0|2199" {
				t.Errorf("the table has %s", got)
			}
		})
	}
	t.Run("ids that are equal and not the same", func(t *testing.T) {
		s.Must(t, "CREATE TABLE n (id numeric PRIMARY KEY, score double precision, millrace_run text); INSERT INTO n VALUES (1.0, 0, 'nobody')")
		j := newJob(s.URI("n", ""))
		j.ifExists = ledger.IfExistsUpsert
		if _, err := j.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.Must(t, "SELECT id FROM n WHERE id = 1"); got != "1" {
			t.Errorf("the id is %s; want the run's", got)
		}
		if v, err := (Destination{}).Verify(t.Context(), j.uri, ledger.VerifyOptions{}); err != nil || len(v.Problems) > 0 {
			t.Errorf("verify: %+v, %v", v, err)
		}
	})
	t.Run("rows of one run with the same id are an error", func(t *testing.T) {
		c := newJob(s.URI("v", ""))
		c.ifExists = ledger.IfExistsUpsert
		c.parts, c.rows = 2, 2
		same := c
		same.before = func(stage string) {
			if stage == "publish" {
				s.Must(t, `DO $$ DECLARE r text; BEGIN SELECT relname INTO r FROM pg_class WHERE relname LIKE 'rows_%' AND relnamespace = 'v_millrace'::regnamespace; EXECUTE format('UPDATE v_millrace.%I SET id = 0', r); END $$`)
			}
		}
		_, err := same.run(t.Context())
		if !errors.Is(err, ledger.ErrOutput) || !strings.Contains(err.Error(), `4 rows of this run have the ids id = "0"`) {
			t.Errorf("run = %v; want the id that is there 4 times", err)
		}
	})
	t.Run("a table without a key is refused before a row is scored", func(t *testing.T) {
		s.Must(t, "CREATE TABLE w (id bigint, score double precision, millrace_run text)")
		d := newJob(s.URI("w", ""))
		d.ifExists = ledger.IfExistsUpsert
		d.before = func(stage string) {
			if stage == "begin" {
				t.Error("the run began")
			}
		}
		if _, err := d.run(t.Context()); err == nil || !strings.Contains(err.Error(), `CREATE UNIQUE INDEX ON "public"."w" ("id")`) {
			t.Errorf("run = %v; want what to do", err)
		}
	})
}

// TestRightsOnViews: a dashboard that may read a view may read it when it is made again, of a
// table that has another column by then.
func TestRightsOnViews(t *testing.T) {
	s := pgtest.Start(t)
	j := newJob(s.URI("t", ""))
	if _, err := j.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Must(t, `CREATE ROLE "the ""dashboard""" LOGIN; GRANT USAGE ON SCHEMA t_millrace TO PUBLIC; GRANT SELECT ON t_millrace.predictions TO "the ""dashboard""" WITH GRANT OPTION; GRANT SELECT, DELETE ON t_millrace.predictions TO PUBLIC`)
	rights := func() string {
		return s.Must(t, "SELECT array_agg(a::text ORDER BY a::text) FROM pg_class, unnest(relacl) a WHERE oid = 't_millrace.predictions'::regclass")
	}
	before := rights()
	s.Must(t, "ALTER TABLE t ADD COLUMN more text")
	j.name, j.ifExists = "b", ledger.IfExistsAppend
	if _, err := j.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.Must(t, "SELECT count(more), count(*) FROM t_millrace.predictions"); got != "0|2400" {
		t.Errorf("the view has %s", got)
	}
	if after := rights(); after != before {
		t.Errorf("rights on the view are %s, and were %s", after, before)
	}
}

// TestTablesThatMayNotBeRead: a user without rights on the run's own tables is told that, and not
// that they are somebody else's, which those that are somebody else's are told to be.
func TestTablesThatMayNotBeRead(t *testing.T) {
	s := pgtest.Start(t)
	j := newJob(s.URI("t", ""))
	if _, err := j.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Must(t, `CREATE ROLE scorer LOGIN; GRANT USAGE ON SCHEMA t_millrace TO scorer; GRANT ALL ON t TO scorer; CREATE SCHEMA odd_millrace; CREATE TABLE odd_millrace.holder (a int)`)
	scorer := newJob(strings.Replace(s.URI("t", ""), "postgres://postgres@", "postgres://scorer@", 1))
	scorer.name, scorer.ifExists = "b", ledger.IfExistsAppend
	const whose = "a table holder that is not millrace's"
	if _, err := scorer.run(t.Context()); !errors.Is(err, ledger.ErrOutput) || !strings.Contains(err.Error(), "permission denied for table holder") || strings.Contains(err.Error(), whose) {
		t.Errorf("run of another user = %v; want that a right is missing", err)
	}
	odd := newJob(s.URI("odd", ""))
	if _, err := odd.run(t.Context()); !errors.Is(err, ledger.ErrOutput) || !strings.Contains(err.Error(), whose) {
		t.Errorf("run = %v; want %q", err, whose)
	}
}

// TestViewsAreOfTheTable: views show the table that has the name now, as millrace would make
// them, whatever was done to them or to the table since they were made.
func TestViewsAreOfTheTable(t *testing.T) {
	s := pgtest.Start(t)
	for i, done := range []string{
		"ALTER TABLE %[1]s RENAME TO %[1]s_of_last_year",
		"CREATE SCHEMA archive; ALTER TABLE %[1]s SET SCHEMA archive",
		"CREATE OR REPLACE VIEW %[1]s_millrace.predictions AS SELECT t.millrace_run AS run, t.id, t.score * 2 AS score, r.finished AS run_finished, r.published AS run_published, r.model AS run_model, r.model_sha256 AS run_model_sha256 FROM %[1]s t JOIN %[1]s_millrace.run r ON r.run = t.millrace_run",
		"DROP VIEW %[1]s_millrace.predictions; DROP VIEW %[1]s_millrace.runs",
	} {
		name := fmt.Sprintf("t%d", i)
		j := newJob(s.URI(name, ""))
		if _, err := j.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Must(t, fmt.Sprintf(done, name))
		j.name, j.from, j.ifExists = "b", 5000, ledger.IfExistsAppend
		if _, err := j.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		const rows = "SELECT count(*), sum(id), sum(score), min(id) FROM "
		if got, want := s.Must(t, rows+name+"_millrace.predictions"), s.Must(t, rows+name); got != want {
			t.Errorf("%s: the view has %s; want the table's rows, %s", done, got, want)
		}
		if got := s.Must(t, "SELECT count(*) FROM "+name+"_millrace.runs"); got != "2" {
			t.Errorf("%s: %s runs; want 2", done, got)
		}
	}
}

// TestEveryProblemAtOnce: a table that does not fit is told in whole before the first row.
func TestEveryProblemAtOnce(t *testing.T) {
	s := pgtest.Start(t)
	s.Must(t, "CREATE TABLE bad (scor double precision, id boolean NOT NULL, other int NOT NULL, gone int GENERATED ALWAYS AS (1) STORED)")
	_, err := newJob(s.URI("bad", "")).run(t.Context())
	for _, want := range []string{
		`no column "score" (did you mean "scor"?): ALTER TABLE "public"."bad" ADD COLUMN "score" double precision`,
		`column "id" is boolean, which does not take int64: it would have to be bigint`,
		`no column "millrace_run"`,
		`column "other" is NOT NULL without a default`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("run = %v; want %s", err, want)
		}
	}
	if !errors.Is(err, ledger.ErrOutput) {
		t.Error("want exit 6")
	}
	s.Must(t, "CREATE TABLE short (id bigint, score double precision, millrace_run varchar(22)); CREATE TABLE long (id bigint, score double precision, millrace_run varchar(23))")
	if _, err := newJob(s.URI("short", "")).run(t.Context()); err == nil || !strings.Contains(err.Error(), `ALTER TABLE "public"."short" ALTER COLUMN "millrace_run" TYPE text`) {
		t.Errorf("a column too short for the run = %v; want what to do", err)
	}
	if _, err := newJob(s.URI("long", "")).run(t.Context()); err != nil {
		t.Errorf("a column just long enough for the run: %v", err)
	}
	if _, err := newJob(s.URI("lost", "&search_path=nowhere")).run(t.Context()); err == nil || !strings.Contains(err.Error(), "written: not a PostgreSQL output: ") {
		t.Errorf("a search path that leads nowhere = %v; want that it is the URI", err)
	}
	s.Must(t, "CREATE VIEW view AS SELECT 1 AS id")
	if _, err := newJob(s.URI("view", "")).run(t.Context()); !errors.Is(err, ledger.ErrExists) || !strings.Contains(err.Error(), "a view") {
		t.Errorf("a view: %v", err)
	}
}

// hostile are names that break statements which do not quote them.
var hostile = []string{
	`select`, `user`, `table`, `a"b`, `"`, `""`, `a'b`, `'; DROP TABLE x; --`, `"; DROP TABLE x; --`, `a b`, ` a`, `a `, `a.b`, `a;b`, `--`, `/*`, `*/`, `$$`, `$1`, `%s`, `%`, `\`, `\n`,
	"new\nline", "tab\t", `ÄÖ`, `日本語`, `🚂`, `UPPER`, `a,b`, `(x)`, `NULL`, `1`, strings.Repeat("n", 63), `x"."y`,
}

// TestHostileNames uses each as a table, a schema, a column and the run's column.
func TestHostileNames(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and all in one goroutine")
	}
	s := pgtest.Start(t)
	s.Must(t, "CREATE TABLE x (keep int); INSERT INTO x VALUES (1)")
	for i, name := range hostile {
		t.Run(fmt.Sprintf("%q", name), func(t *testing.T) {
			sql := `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
			s.Must(t, "CREATE SCHEMA "+sql)
			run := name
			if name == "id" || name == "score" {
				run = "r"
			}
			uri := s.URI(escape(`"`+strings.ReplaceAll(name, `"`, `""`)+`"."`+strings.ReplaceAll(name, `"`, `""`)+`"`), "&ledger=l"+strconv.Itoa(i)+"&run_column="+escape(run))
			j := newJob(uri)
			j.parts, j.rows = 2, 3
			if _, err := j.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := s.Must(t, "SELECT count(*), count("+sql+") FROM "+sql+"."+sql); got != "6|6" {
				t.Errorf("the table has %s", got)
			}
			j.name, j.ifExists, j.from = "b", ledger.IfExistsAppend, 10
			if _, err := j.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := s.Must(t, fmt.Sprintf("SELECT count(*) FROM l%d.predictions", i)); got != "12" {
				t.Errorf("predictions has %s", got)
			}
			if got := s.Must(t, "SELECT keep FROM x"); got != "1" {
				t.Error("the other table was touched")
			}
		})
	}
}

// escape is a text as a URI's parameter.
func escape(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}
