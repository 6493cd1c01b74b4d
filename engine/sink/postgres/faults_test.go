package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/postgres/pgtest"
)

// cutsEachWay is how many places of a run's traffic a connection is cut at, each way; make
// test-postgres has more.
func cutsEachWay() int {
	if n, err := strconv.Atoi(os.Getenv("SOAK_RUNS")); err == nil {
		return n
	}
	if testing.Short() {
		return 4
	}
	return 6
}

// TestConnectionCut breaks the connection after so many bytes, this way and that, all along
// a run, and lets the run be tried again: its rows are there once. The cuts are as many for
// a table that is made, for one that gets a partition and for one that rows are copied to.
func TestConnectionCut(t *testing.T) {
	s := pgtest.Start(t)
	tables := map[string]string{
		"fresh": "", "plain": "CREATE TABLE %s (id bigint, score double precision, millrace_run text)",
	}
	for kind, ddl := range tables {
		for _, way := range []pgtest.Way{pgtest.ToServer, pgtest.FromServer} {
			t.Run(kind+" "+string(way), func(t *testing.T) {
				proxy := pgtest.NewProxy(t, s)
				place := func(n int) (string, job) {
					table := fmt.Sprintf("c%s%d%d", kind, len(way), n)
					if ddl != "" {
						s.Must(t, fmt.Sprintf(ddl, table))
					}
					return table, newJob(proxy.URI(table, ""))
				}
				proxy.CutAfter(way, 1<<40) // none
				_, whole := place(0)
				if _, err := whole.run(t.Context()); err != nil {
					t.Fatal(err)
				}
				total := proxy.Seen(way)
				taken := 0
				for n := 1; n <= cutsEachWay(); n++ {
					table, j := place(n)
					proxy.CutAfter(way, total*int64(n)/int64(cutsEachWay()+1))
					tries := j.untilDone(t)
					if tries > 1 {
						taken++
					}
					j.check(t, s, table)
				}
				if taken < cutsEachWay()/2 {
					t.Errorf("%d of %d cuts made a run fail; want most", taken, cutsEachWay())
				}
			})
		}
	}
}

// TestReadersCut: who reads what runs keep says, too, that a connection that breaks may pass.
func TestReadersCut(t *testing.T) {
	s := pgtest.Start(t)
	if _, err := newJob(s.URI("t", "")).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxy := pgtest.NewProxy(t, s)
	output := proxy.URI("t", "")
	for name, read := range map[string]func() error{
		"seen":   func() error { _, err := Destination{}.Seen(t.Context(), output); return err },
		"verify": func() error { _, err := Destination{}.Verify(t.Context(), output, ledger.VerifyOptions{}); return err },
	} {
		t.Run(name, func(t *testing.T) {
			proxy.CutAfter(pgtest.FromServer, 1<<40) // none
			if err := read(); err != nil {
				t.Fatal(err)
			}
			const cuts = 16
			total := proxy.Seen(pgtest.FromServer)
			for n := range int64(cuts) {
				proxy.CutAfter(pgtest.FromServer, total*(n+1)/(cuts+1))
				if err := read(); !errors.Is(err, sink.ErrPasses) {
					t.Errorf("cut after %d bytes of %d: %v; want that it may pass", total*(n+1)/(cuts+1), total, err)
				}
			}
		})
	}
}

// TestLostAcknowledgement cuts the answer of the last COMMIT: the run finds out that it
// happened, and does not fail.
func TestLostAcknowledgement(t *testing.T) {
	s := pgtest.Start(t)
	proxy := pgtest.NewProxy(t, s)
	for _, at := range []string{"publish", "record of part 1"} {
		t.Run(at, func(t *testing.T) {
			table := "lost" + strings.ReplaceAll(at, " ", "")
			count := func(stop bool, cut int64) (seen int64, err error) {
				j := newJob(proxy.URI(fmt.Sprintf("%s%d", table, cut), ""))
				next := false
				j.before = func(stage string) {
					switch {
					case stage == at:
						if stop {
							proxy.CutAfter(pgtest.FromServer, cut)
						} else {
							proxy.CutAfter(pgtest.FromServer, 1<<40)
						}
						next = true
					case next:
						seen, next = proxy.Seen(pgtest.FromServer), false
					}
				}
				_, err = j.run(t.Context())
				if err == nil {
					j.check(t, s, fmt.Sprintf("%s%d", table, cut))
				}
				return seen, err
			}
			seen, err := count(false, 0)
			if err != nil {
				t.Fatal(err)
			}
			// The last bytes are the answer to COMMIT, and ReadyForQuery has 6 of them.
			for _, back := range []int64{1, 6, 12, 17} {
				if _, err := count(true, seen-back); err != nil || proxy.Cuts != 1 {
					t.Errorf("cut %d bytes before the end of COMMIT's answer: %v, %d cuts; want the run to find out", back, err, proxy.Cuts)
				}
			}
		})
	}
}

// TestServerKilled kills the server, as a crash does, at every stage of a run, starts it
// again, and lets the run be tried again.
func TestServerKilled(t *testing.T) {
	s := pgtest.Start(t)
	var stages []string
	all := newJob(s.URI("k", ""))
	all.before = func(stage string) { stages = append(stages, stage) }
	if _, err := all.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for n, at := range stages {
		t.Run(at, func(t *testing.T) {
			table := fmt.Sprintf("k%d", n)
			j := newJob(s.URI(table, ""))
			killed := false
			j.before = func(stage string) {
				if stage == at && !killed {
					killed = true
					s.Kill()
					if err := s.Start(); err != nil {
						t.Fatal(err)
					}
				}
			}
			j.untilDone(t)
			j.check(t, s, table)
		})
	}
}

// TestHeld: of two runs at once one has the table, and the other says who.
func TestHeld(t *testing.T) {
	s := pgtest.Start(t)
	a, b := newJob(s.URI("h", "")), newJob(s.URI("h", ""))
	b.name = "b"
	var run string
	a.before = func(stage string) {
		if stage != "middle of part 1" {
			return
		}
		_, err := b.run(t.Context())
		run = s.Must(t, "SELECT holder ->> 'run' FROM h_millrace.holder")
		if held, ok := errors.AsType[*ledger.HeldError](err); !ok || held.Holder.Run != run || held.Holder.PID == 0 {
			t.Errorf("the second run = %v; want that run %s has it", err, run)
		}
	}
	if _, err := a.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.check(t, s, "h")
}

// TestStalled: a run whose lock went with its connection, while it was only stalled, can
// commit nothing once another has the table.
func TestStalled(t *testing.T) {
	s := pgtest.Start(t)
	for _, at := range []string{"middle of part 1", "record of part 1", "publish"} {
		t.Run(at, func(t *testing.T) {
			table := "st" + strings.ReplaceAll(at, " ", "")
			a, b := newJob(s.URI(table, "")), newJob(s.URI(table, ""))
			b.restart, b.from = true, 5000
			a.before = func(stage string) {
				if stage != at {
					return
				}
				s.Must(t, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
				if _, err := b.run(t.Context()); err != nil {
					t.Errorf("the run that takes over: %v", err)
				}
			}
			if _, err := a.run(t.Context()); !errors.Is(err, ledger.ErrHeld) && !errors.Is(err, ledger.ErrOutput) {
				t.Errorf("the stalled run = %v; want that it lost the table", err)
			}
			b.check(t, s, table)
		})
	}
}

// TestRightsGone, and what else a server refuses in the middle: the run fails with what to
// do, and goes on where it was once that is done.
func TestRefusedMeanwhile(t *testing.T) {
	s := pgtest.Start(t)
	s.Must(t, "CREATE ROLE r LOGIN; GRANT CREATE ON DATABASE postgres TO r; CREATE SCHEMA own AUTHORIZATION r; CREATE TABLE own.p (id bigint, score double precision, millrace_run text)")
	tests := []struct{ why, at, undo, do, want string }{
		{"rights revoked before the run", "connect", "REVOKE ALL ON own.p FROM r", "GRANT SELECT, INSERT ON own.p TO r", "GRANT SELECT, INSERT ON"},
		{"rights revoked before publishing", "publish", "REVOKE INSERT ON own.p FROM r", "GRANT INSERT ON own.p TO r", "GRANT INSERT ON"},
		{"rights revoked on what is staged", "part 1", "DO $$ BEGIN EXECUTE format('REVOKE ALL ON p_millrace.%I FROM r', (SELECT relname FROM pg_class WHERE relname LIKE 'packed_%' AND relnamespace = 'p_millrace'::regnamespace)); END $$", "GRANT ALL ON ALL TABLES IN SCHEMA p_millrace TO r", "permission denied"},
		{"a column dropped", "publish", "ALTER TABLE own.p DROP COLUMN score CASCADE", "ALTER TABLE own.p ADD COLUMN score double precision", `no column "score"`},
		{"a column made narrower", "publish", "DROP SCHEMA IF EXISTS v CASCADE; ALTER TABLE own.p ALTER id TYPE int", "ALTER TABLE own.p ALTER id TYPE bigint", `column "id" is integer`},
		{"a constraint added", "publish", "ALTER TABLE own.p ADD CONSTRAINT c CHECK (id < 0)", "ALTER TABLE own.p DROP CONSTRAINT c", "violates check constraint"},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			s.Must(t, "DROP SCHEMA IF EXISTS p_millrace CASCADE; DROP TABLE IF EXISTS own.p; CREATE TABLE own.p (id bigint, score double precision, millrace_run text); GRANT SELECT, INSERT ON own.p TO r")
			j := newJob(strings.Replace(s.URI("own.p", "&views=no"), "postgres://postgres@", "postgres://r@", 1))
			j.before = func(stage string) {
				if stage == test.at {
					s.Must(t, test.undo)
				}
			}
			_, err := j.run(t.Context())
			if !errors.Is(err, ledger.ErrOutput) || errors.Is(err, sink.ErrPasses) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("run = %v; want exit 6 and %s", err, test.want)
			}
			if got := s.Must(t, "SELECT count(*) FROM own.p"); got != "0" {
				t.Errorf("the table has %s rows", got)
			}
			j.before = nil
			s.Must(t, test.do)
			taken, err := j.run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if test.at == "publish" && taken != testParts {
				t.Errorf("%d parts were taken over; want all", taken)
			}
			if got := s.Must(t, "SELECT count(*), count(DISTINCT id) FROM own.p"); got != "1200|1200" {
				t.Errorf("the table has %s", got)
			}
		})
	}
}

// TestStatementTimeout: the user's own timeout does not end a part that takes long, and one
// in the URI does.
func TestStatementTimeout(t *testing.T) {
	s := pgtest.Start(t)
	s.Must(t, "CREATE ROLE slow LOGIN SUPERUSER; ALTER ROLE slow SET statement_timeout = '40ms'; ALTER ROLE slow SET synchronous_commit = off")
	uri := strings.Replace(s.URI("o", ""), "postgres://postgres@", "postgres://slow@", 1)
	j := newJob(uri)
	j.before = func(stage string) {
		if stage == "middle of part 1" {
			s.Must(t, "SELECT pg_sleep(0.2)")
		}
	}
	if _, err := j.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	j.check(t, s, "o")
	j = newJob(strings.Replace(s.URI("q", "&statement_timeout=1"), "postgres://postgres@", "postgres://slow@", 1))
	j.rows = 20000
	if _, err := j.run(t.Context()); err == nil || !strings.Contains(err.Error(), "raise statement_timeout") {
		t.Errorf("run = %v; want what to do", err)
	}
}

// TestStagedRowsTouched: rows that somebody took from what is staged are scored again.
func TestStagedRowsTouched(t *testing.T) {
	s := pgtest.Start(t)
	j := newJob(s.URI("g", ""))
	j.before = func(stage string) {
		if stage == "publish" {
			s.Must(t, `DO $$ BEGIN EXECUTE format('DELETE FROM g_millrace.%I WHERE id < 5', (SELECT relname FROM pg_class WHERE relname LIKE 'rows_%' AND relnamespace = 'g_millrace'::regnamespace)); END $$`)
		}
	}
	if _, err := j.run(t.Context()); !errors.Is(err, ledger.ErrAccounts) {
		t.Fatalf("run = %v; want %v", err, ledger.ErrAccounts)
	}
	j.before = nil
	taken, err := j.run(t.Context())
	if err != nil || taken != 0 {
		t.Errorf("again: %d parts taken over, %v; want none", taken, err)
	}
	j.check(t, s, "g")
}

// TestDiskFull: the disk of the server's tables fills up, and the run says so; with more
// room it goes on with what was finished.
func TestDiskFull(t *testing.T) {
	tests := []struct {
		why, ddl, left string // of what is asked after the failure
		rows           int    // of a part; two of three have room
	}{
		{"a table that is made", "", "SELECT to_regclass('public.filled') IS NULL", 60000},
		{"a table that is there", "CREATE TABLE filled" + plainColumns, "SELECT count(*) = 0 FROM filled", 190000},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			s := pgtest.Start(t)
			dir, err := s.SmallDisk(t, "6M")
			if err != nil {
				t.Skipf("no small disk can be made here: %v", err)
			}
			s.Must(t, "CREATE TABLESPACE small LOCATION '"+dir+"'; CREATE ROLE full LOGIN SUPERUSER; ALTER ROLE full SET default_tablespace = small;"+test.ddl)
			j := newJob(strings.Replace(s.URI("filled", ""), "postgres://postgres@", "postgres://full@", 1))
			j.rows = test.rows
			_, err = j.run(t.Context())
			if !errors.Is(err, ledger.ErrOutput) || errors.Is(err, sink.ErrPasses) || !strings.Contains(err.Error(), "make room there") {
				t.Fatalf("run = %v; want exit 6, and what to do", err)
			}
			if got := s.Must(t, test.left); got != "t" {
				t.Error("something of the table is there")
			}
			if out, err := exec.Command("mount", "-o", "remount,size=64M", dir).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			taken, err := j.run(t.Context())
			if err != nil || taken == 0 {
				t.Errorf("with more room: %d parts taken over, %v; want some", taken, err)
			}
			j.check(t, s, "filled")
		})
	}
}
