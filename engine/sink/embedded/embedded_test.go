package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/engine/sink/embedded"
	"github.com/millrace/millrace/io/query"
)

// what the table has, by its ids: rows, distinct ids, and the sum of scores.
const whole = `SELECT count(*), count(DISTINCT id), CAST(sum(score) AS DOUBLE PRECISION), count(DISTINCT millrace_run) FROM scores`

// sum is that of scores of ids from from to before to, by a job of a name of so many letters.
func sum(from, to, letters int) float64 {
	s := 0.0
	for id := from; id < to; id++ {
		s += float64(id)/8 + float64(letters)
	}
	return s
}

func TestModes(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		steps := []struct {
			says     string
			name     string
			ifExists ledger.IfExists
			from     int
			err      error
			want     string
		}{
			{"a fresh table", "a", "", 0, nil, fmt.Sprintf("300 300 %v 1", sum(0, 300, 1))},
			{"an equal job does nothing", "a", "", 0, errAlready, fmt.Sprintf("300 300 %v 1", sum(0, 300, 1))},
			{"another is refused", "b", "", 300, ledger.ErrExists, fmt.Sprintf("300 300 %v 1", sum(0, 300, 1))},
			{"append", "b", ledger.IfExistsAppend, 300, nil, fmt.Sprintf("600 600 %v 2", sum(0, 300, 1)+sum(300, 600, 1))},
			{"append again does nothing", "b", ledger.IfExistsAppend, 300, errAlready, fmt.Sprintf("600 600 %v 2", sum(0, 300, 1)+sum(300, 600, 1))},
			{"replace", "cc", ledger.IfExistsReplace, 100, nil, fmt.Sprintf("300 300 %v 1", sum(100, 400, 2))},
			{"replace by the same again does nothing", "cc", ledger.IfExistsReplace, 100, errAlready, fmt.Sprintf("300 300 %v 1", sum(100, 400, 2))},
		}
		for _, step := range steps {
			j.name, j.ifExists, j.from = step.name, step.ifExists, step.from
			if _, err := j.run(context.Background()); !errors.Is(err, step.err) || err != nil && step.err == nil {
				t.Fatalf("%s: %v; want %v", step.says, err, step.err)
			}
			if got := strings.Replace(j.ask(t, whole), "e+06", "", 1); got != strings.Replace(step.want, "e+06", "", 1) {
				t.Errorf("%s: the table has %s; want %s", step.says, got, step.want)
			}
			if got := j.stagedTables(t); got != "0" {
				t.Errorf("%s: %s tables of staged rows are left", step.says, got)
			}
		}
		if got := j.ask(t, "SELECT count(*), sum(CASE WHEN live THEN 1 ELSE 0 END) FROM "+j.dialect.Own("scores_millrace", "runs").String()); got != "3 1" {
			t.Errorf("runs and live ones are %s; want 3 1", got)
		}
		if got := j.ask(t, "SELECT count(*), min(run_model) FROM "+j.dialect.Own("scores_millrace", "predictions").String()); got != "300 m.onnx" {
			t.Errorf("predictions has %s; want 300 m.onnx", got)
		}
		found, err := embedded.Destination{Dialect: j.dialect}.Verify(context.Background(), j.output, ledger.VerifyOptions{})
		if err != nil || len(found.Problems) > 0 || found.Runs != 3 {
			t.Errorf("verify: %+v, %v", found, err)
		}
		j.do(t, "DELETE FROM scores WHERE id = 150")
		if found, err = (embedded.Destination{Dialect: j.dialect}).Verify(context.Background(), j.output, ledger.VerifyOptions{}); err != nil || len(found.Problems) != 1 {
			t.Errorf("verify of a table that lost a row: %+v, %v", found, err)
		}
	})
}

func TestUpsert(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		j.ifExists = ledger.IfExistsUpsert
		for i, want := range []string{
			fmt.Sprintf("300 300 %v 1", sum(0, 300, 1)),
			fmt.Sprintf("400 400 %v 2", sum(0, 100, 1)+sum(100, 400, 2)),
		} {
			j.name, j.from = []string{"a", "bb"}[i], []int{0, 100}[i]
			if _, err := j.run(context.Background()); err != nil {
				t.Fatal(err)
			}
			if got := j.ask(t, whole); got != want {
				t.Errorf("upsert %d: the table has %s; want %s", i, got, want)
			}
		}
		j.name, j.from = "ccc", 0
		j.do(t, "UPDATE scores SET score = 0")
		if _, err := j.run(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := j.ask(t, "SELECT count(*) FROM scores WHERE id < 300 AND score = 0"); got != "0" {
			t.Errorf("%s rows kept their old score", got)
		}
	})
}

// TestStoppedAnywhere cancels a run at each of its steps and starts it again: the table has
// every row once, and nothing before the end.
func TestStoppedAnywhere(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		for k := 0; ; k++ {
			path := filepath.Join(t.TempDir(), "scores.db")
			one := j
			one.path, one.output = path, j.dialect.Scheme()+":"+path+"?table=scores"
			ctx, cancel := context.WithCancelCause(context.Background())
			stopped, n, at := errors.New("stopped"), 0, ""
			one.before = func(stage string) {
				if n == k {
					at = stage
					cancel(stopped)
				}
				n++
			}
			_, err := one.run(ctx)
			cancel(nil)
			if at == "" { // there is no step k
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.Is(err, stopped) {
				t.Errorf("stopped at %s: %v", at, err)
			}
			if _, statErr := os.Stat(path); statErr == nil {
				if got := one.ask(t, "SELECT count(*) FROM scores"); !strings.Contains(got, "scores") {
					t.Errorf("stopped at %s: the table is there, with %s rows", at, got)
				}
			}
			one.before = nil
			taken, err := one.run(context.Background())
			if want := strings.Count("part 1 part 2 publish", at); err != nil || want > 0 && taken == 0 {
				t.Errorf("after it stopped at %s: %d parts taken over, %v", at, taken, err)
			}
			if got, want := one.ask(t, whole), fmt.Sprintf("300 300 %v 1", sum(0, 300, 1)); got != want {
				t.Errorf("after it stopped at %s the table has %s; want %s", at, got, want)
			}
		}
	})
}

func TestTablesThatAreThere(t *testing.T) {
	for _, c := range []struct {
		says, create string
		want         string // a part of the error; empty where it fits
	}{
		{"one that fits, with a column more and in another order", "CREATE TABLE scores (note TEXT, score DOUBLE, millrace_run TEXT, id BIGINT)", ""},
		{"a column of the output is missing", "CREATE TABLE scores (millrace_run TEXT, id BIGINT, scroe DOUBLE)", `no column "score" (did you mean "scroe"?): ALTER TABLE "scores" ADD COLUMN "score"`},
		{"the run's column is missing", "CREATE TABLE scores (id BIGINT, score DOUBLE)", `no column "millrace_run" for the run`},
		{"a type that does not keep the values", "CREATE TABLE scores (millrace_run TEXT, id BIGINT, score VARCHAR)", `column "score" is VARCHAR, which does not keep every float64`},
		{"columns that may not be null, and are not", "CREATE TABLE scores (millrace_run TEXT, id BIGINT PRIMARY KEY, score DOUBLE NOT NULL)", ""},
		{"a column that nothing fills", "CREATE TABLE scores (millrace_run TEXT, id BIGINT, score DOUBLE, what TEXT NOT NULL)", `column "what" is NOT NULL without a default`},
		{"one that a default fills", "CREATE TABLE scores (millrace_run TEXT, id BIGINT, score DOUBLE, what TEXT NOT NULL DEFAULT 'x')", ""},
		{"a column that is generated", "CREATE TABLE scores (millrace_run TEXT, id BIGINT, score DOUBLE GENERATED ALWAYS AS (id) VIRTUAL)", `column "score" is generated, and nothing can be written to it`},
		{"one more that is generated", "CREATE TABLE scores (millrace_run TEXT, id BIGINT, score DOUBLE, twice DOUBLE GENERATED ALWAYS AS (score * 2) VIRTUAL)", ""},
		{"a view", "CREATE VIEW scores AS SELECT 1 AS id", "the name of a view"},
	} {
		each(t, func(t *testing.T, j job) {
			t.Helper()
			j.do(t, c.create)
			_, err := j.run(context.Background())
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s: %v; want %q", c.says, err, c.want)
			}
			if c.want == "" {
				if got, want := j.ask(t, whole), fmt.Sprintf("300 300 %v 1", sum(0, 300, 1)); got != want {
					t.Errorf("%s: the table has %s; want %s", c.says, got, want)
				}
			}
		})
	}
}

// TestNullWhereNoneMayBe: a null for a column that is NOT NULL ends the run at its part.
func TestNullWhereNoneMayBe(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		j.do(t, "CREATE TABLE scores (millrace_run TEXT, id BIGINT, score DOUBLE NOT NULL)")
		j.null = 60 // in the second half, which is written by itself
		if _, err := j.run(context.Background()); !errors.Is(err, embedded.ErrTable) || !errors.Is(err, ledger.ErrOutput) || !strings.Contains(err.Error(), `column "score" is NOT NULL, and row 60 of this part`) {
			t.Errorf("run = %v; want the column and the row", err)
		}
		if got := j.ask(t, "SELECT count(*) FROM scores"); got != "0" {
			t.Errorf("the table has %s rows", got)
		}
		j.null = 0
		if _, err := j.run(context.Background()); err != nil {
			t.Errorf("with a value there: %v", err)
		}
	})
}

// TestColumnOfNulls: a column that has nulls alone fits one of any type, unless that is NOT NULL.
func TestColumnOfNulls(t *testing.T) {
	types := map[string][]string{
		"sqlite": {"BIGINT", "REAL", "BLOB", "DATE", "NUMERIC", "TEXT"},
		"duckdb": {"BIGINT", "REAL", "BLOB", "DATE", "DECIMAL(4,1)", "VARCHAR", "UUID", "TIMESTAMPTZ", "INTERVAL", "INTEGER[]", "STRUCT(a INTEGER, b VARCHAR)", "ENUM('a', 'b')", "MAP(VARCHAR, DATE)"},
	}
	each(t, func(t *testing.T, j job) {
		t.Helper()
		j.nulls = true
		dir := t.TempDir()
		another := func(create string) {
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			j.path = filepath.Join(dir, fmt.Sprintf("%d.db", len(entries)))
			j.output = j.dialect.Scheme() + ":" + j.path + "?table=scores"
			j.do(t, create)
		}
		for _, declared := range types[j.dialect.Scheme()] {
			another("CREATE TABLE scores (millrace_run TEXT, id BIGINT UNIQUE, score " + declared + " DEFAULT NULL)")
			for i, mode := range []ledger.IfExists{ledger.IfExistsAppend, ledger.IfExistsUpsert, ledger.IfExistsReplace} {
				j.ifExists, j.from, j.name = mode, 200*i, declared+string(mode)
				if _, err := j.run(context.Background()); err != nil {
					t.Errorf("%s: %s: %v", declared, mode, err)
				}
				found, err := embedded.Destination{Dialect: j.dialect}.Verify(context.Background(), j.output, ledger.VerifyOptions{})
				if err != nil || len(found.Problems) > 0 {
					t.Errorf("%s: verify: %+v, %v", declared, found, err)
				}
			}
			if got := j.ask(t, "SELECT count(*), count(score) FROM scores"); got != "300 0" {
				t.Errorf("%s: the table has %s rows and scores", declared, got)
			}
		}
		another("CREATE TABLE scores (millrace_run TEXT, id BIGINT, score BIGINT NOT NULL)")
		j.name, j.ifExists = "last", ledger.IfExistsAppend
		if _, err := j.run(context.Background()); !errors.Is(err, embedded.ErrTable) || !strings.Contains(err.Error(), `column "score" is NOT NULL, and row 0 of this part has a null there`) {
			t.Errorf("a column that is NOT NULL: %v", err)
		}
	})
}

// TestReplaceOfUniqueRows: rows with the keys of those that they replace are none that are there
// twice, whatever keeps the keys apart.
func TestReplaceOfUniqueRows(t *testing.T) {
	for _, unique := range []string{
		"CREATE TABLE scores (millrace_run TEXT, id BIGINT PRIMARY KEY, score DOUBLE)",
		"CREATE TABLE scores (millrace_run TEXT, id BIGINT, score DOUBLE, UNIQUE (id))",
		"CREATE TABLE scores (millrace_run TEXT, id BIGINT, score DOUBLE); CREATE UNIQUE INDEX ids ON scores (id)",
	} {
		each(t, func(t *testing.T, j job) {
			t.Helper()
			j.do(t, unique)
			j.ifExists = ledger.IfExistsReplace
			for i, name := range []string{"a", "bb", "ccc"} {
				j.name, j.from = name, 100*i // of 300 rows, two thirds of the run's before too
				if _, err := j.run(context.Background()); err != nil {
					t.Fatalf("%s: run %d: %v", unique, i, err)
				}
				if got, want := j.ask(t, "SELECT count(*) FROM scores WHERE id >= "+strconv.Itoa(j.from)), "300"; got != want {
					t.Errorf("%s: the table has %s rows of run %d; want %s", unique, got, i, want)
				}
			}
		})
	}
}

// TestTriggerTakesRows: rows that a table's own trigger takes away are the table's fault.
func TestTriggerTakesRows(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		if j.dialect.Scheme() != "sqlite" {
			t.Skip("DuckDB has no triggers")
		}
		j.do(t, "CREATE TABLE scores (millrace_run TEXT, id BIGINT, score DOUBLE); CREATE TRIGGER five BEFORE INSERT ON scores WHEN NEW.id = 5 BEGIN SELECT RAISE(IGNORE); END")
		if _, err := j.run(context.Background()); !errors.Is(err, embedded.ErrTable) || !errors.Is(err, ledger.ErrOutput) || !strings.Contains(err.Error(), "it took 299 rows of 300") {
			t.Errorf("run = %v; want ErrTable", err)
		}
		if got := j.ask(t, "SELECT count(*) FROM scores"); got != "0" {
			t.Errorf("the table has %s rows", got)
		}
	})
}

// TestTriggerKeepsRows: rows that were to be replaced, and stay, are not taken for gone.
func TestTriggerKeepsRows(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		if j.dialect.Scheme() != "sqlite" {
			t.Skip("DuckDB has no triggers")
		}
		j.do(t, "CREATE TABLE scores (millrace_run TEXT, id BIGINT, score DOUBLE); INSERT INTO scores VALUES ('x', 5, 1); CREATE TRIGGER kept BEFORE DELETE ON scores BEGIN SELECT RAISE(IGNORE); END")
		j.ifExists = ledger.IfExistsReplace
		if _, err := j.run(context.Background()); !errors.Is(err, embedded.ErrTable) || !errors.Is(err, ledger.ErrOutput) || !strings.Contains(err.Error(), "it has rows after all of them were deleted") {
			t.Errorf("run = %v; want ErrTable", err)
		}
		if got := j.ask(t, "SELECT count(*) FROM scores"); got != "1" {
			t.Errorf("the table has %s rows", got)
		}
	})
}

// TestTriggerChangesRows: rows that a table's own trigger makes others of are not published as
// the run's; what it writes besides is its own affair.
func TestTriggerChangesRows(t *testing.T) {
	for _, c := range []struct{ does, says string }{
		{"UPDATE scores SET score = score + 1 WHERE id = NEW.id", "its rows have other values than the run wrote"},
		{"INSERT INTO scores SELECT millrace_run, -id, score, '' FROM scores WHERE id = NEW.id AND id > 0", "it has 599 rows of the run, which wrote 300"},
		{"DELETE FROM scores WHERE id = 7", "it has 299 rows of the run, which wrote 300"},
		{"UPDATE scores SET at = 'now' WHERE id = NEW.id", ""},
	} {
		each(t, func(t *testing.T, j job) {
			t.Helper()
			if j.dialect.Scheme() != "sqlite" {
				t.Skip("DuckDB has no triggers")
			}
			j.do(t, "CREATE TABLE scores (millrace_run TEXT, id BIGINT, score DOUBLE, at TEXT); CREATE TRIGGER does AFTER INSERT ON scores BEGIN "+c.does+"; END")
			_, err := j.run(context.Background())
			want := "300"
			if c.says != "" {
				want = "0"
				if !errors.Is(err, embedded.ErrTable) || !errors.Is(err, ledger.ErrOutput) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: run = %v; want %s", c.does, err, c.says)
				}
			} else if err != nil {
				t.Errorf("%s: %v", c.does, err)
			}
			if got := j.ask(t, "SELECT count(*) FROM scores"); got != want {
				t.Errorf("%s: the table has %s rows; want %s", c.does, got, want)
			}
		})
	}
}

// TestConstraints: what the table itself refuses is said with what to do, and nothing is there.
func TestConstraints(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		j.do(t, "CREATE TABLE scores (millrace_run TEXT, id BIGINT CHECK (id < 299), score DOUBLE)")
		if _, err := j.run(context.Background()); !errors.Is(err, ledger.ErrOutput) || !strings.Contains(err.Error(), "the table's own constraint refuses a row: leave such rows out by --where") {
			t.Errorf("run = %v; want what to do", err)
		}
		if got := j.ask(t, "SELECT count(*) FROM scores"); got != "0" {
			t.Errorf("the table has %s rows", got)
		}
	})
}

func TestNothingIsLeftWhereNothingBegan(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		j.schema = arrow.NewSchema([]arrow.Field{{Name: "ID", Type: arrow.PrimitiveTypes.Int64}, {Name: "id", Type: arrow.PrimitiveTypes.Int64}}, nil)
		if _, err := j.run(context.Background()); err == nil || !strings.Contains(err.Error(), "does not tell capitals") {
			t.Errorf("two columns that differ in capitals: %v", err)
		}
		if left, err := os.ReadDir(filepath.Dir(j.path)); err != nil || len(left) > 0 {
			t.Errorf("the folder has %v, %v", left, err)
		}
	})
}

// halfDialect fails as a full disk does, when some of a new file is written.
type halfDialect struct {
	embedded.Dialect
	begins bool // the file is opened, and nothing can be put into it
}

var errFull = fmt.Errorf("%w: the disk is full", ledger.ErrOutput)

func (d halfDialect) Open(ctx context.Context, path string) (embedded.Session, error) {
	if !d.begins {
		return nil, errors.Join(errFull, os.WriteFile(path, []byte("half a head"), 0o600))
	}
	s, err := d.Dialect.Open(ctx, path)
	return &fullSession{Session: s}, err
}

// fullSession fails the first commit of what was written.
type fullSession struct {
	embedded.Session
	wrote, failed bool
}

func (s *fullSession) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	s.wrote = s.wrote || strings.HasPrefix(sql, "UPDATE")
	if s.wrote && !s.failed && sql == "COMMIT" {
		s.failed = true
		return 0, errFull
	}
	return s.Session.Exec(ctx, sql, args...)
}

// TestNothingIsLeftOnAFullDisk: what a start could not make is gone, so that the next one is not
// told that there is a file that is no database.
func TestNothingIsLeftOnAFullDisk(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		for _, begins := range []bool{false, true} {
			full := j
			full.dialect = halfDialect{j.dialect, begins}
			if _, err := full.run(context.Background()); !errors.Is(err, errFull) {
				t.Errorf("begins %v: run = %v; want a full disk", begins, err)
			}
			if left, err := os.ReadDir(filepath.Dir(j.path)); err != nil || len(left) > 0 {
				t.Errorf("begins %v: the folder has %v, %v", begins, left, err)
			}
		}
		if _, err := j.run(context.Background()); err != nil {
			t.Errorf("with room: %v", err)
		}
	})
}

// TestRefusedLeavesTheFile: a run that is refused before its first row leaves a file that was
// there as it was, to the byte.
func TestRefusedLeavesTheFile(t *testing.T) {
	const fits = "CREATE TABLE scores (id BIGINT, score DOUBLE, millrace_run TEXT)"
	for _, c := range []struct {
		says   string
		before func(t *testing.T, j job)
		err    error
	}{
		{"a table that does not fit", func(t *testing.T, j job) {
			t.Helper()
			j.do(t, "CREATE TABLE scores (other BIGINT)")
		}, embedded.ErrTable},
		{"a table with rows", func(t *testing.T, j job) {
			t.Helper()
			j.do(t, fits, "INSERT INTO scores VALUES (1, 2, 'x')")
		}, ledger.ErrExists},
		{"a view", func(t *testing.T, j job) {
			t.Helper()
			j.do(t, "CREATE VIEW scores AS SELECT 1 AS id")
		}, ledger.ErrExists},
		{"another job has published", func(t *testing.T, j job) {
			t.Helper()
			j.name = "other"
			if _, err := j.run(context.Background()); err != nil {
				t.Fatal(err)
			}
		}, ledger.ErrExists},
		{"an equal job has published", func(t *testing.T, j job) {
			t.Helper()
			if _, err := j.run(context.Background()); err != nil {
				t.Fatal(err)
			}
		}, errAlready},
		{"an empty file, and columns that no table has", func(t *testing.T, j job) {
			t.Helper()
			if err := os.WriteFile(j.path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, embedded.ErrTable},
	} {
		each(t, func(t *testing.T, j job) {
			t.Helper()
			c.before(t, j)
			before, err := os.ReadFile(j.path)
			if err != nil {
				t.Fatal(err)
			}
			if len(before) == 0 {
				j.schema = arrow.NewSchema([]arrow.Field{{Name: "millrace_run", Type: arrow.PrimitiveTypes.Int64}}, nil)
			}
			if _, err := j.run(context.Background()); !errors.Is(err, c.err) {
				t.Errorf("%s: %v; want %v", c.says, err, c.err)
			}
			after, err := os.ReadFile(j.path)
			if err != nil || !bytes.Equal(before, after) {
				t.Errorf("%s: the file had %d bytes and has %d, others, %v; its tables are %s", c.says, len(before), len(after), err, j.tables(t))
			}
			if left, err := os.ReadDir(filepath.Dir(j.path)); err != nil || len(left) != 1 {
				t.Errorf("%s: the folder has %v, %v; want the file alone", c.says, left, err)
			}
		})
	}
}

// TestRefusedLaterLeavesNoTables: where the first part shows what does not fit, the run's own
// tables go again.
func TestRefusedLaterLeavesNoTables(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		j.do(t, "CREATE TABLE scores (id BIGINT, millrace_run TEXT)", "CREATE TABLE other (id BIGINT)")
		j.late = true
		before := j.tables(t)
		if _, err := j.run(context.Background()); !errors.Is(err, embedded.ErrTable) {
			t.Errorf("run = %v; want ErrTable", err)
		}
		if got := j.tables(t); got != before {
			t.Errorf("the tables are %s; want %s", got, before)
		}
	})
}

func TestOneRunAtATime(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		s, err := j.take(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := j.take(context.Background()); !errors.Is(err, ledger.ErrHeld) || !strings.Contains(err.Error(), s.RunID()) {
			t.Errorf("a second run: %v; want it to name the first, %s", err, s.RunID())
		}
		if err := (embedded.Destination{Dialect: j.dialect}).Held(context.Background(), j.output); !errors.Is(err, ledger.ErrHeld) {
			t.Errorf("Held: %v", err)
		}
		if err := s.Discard(); err != nil {
			t.Error(err)
		}
		if _, err := j.run(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// What runs have read is told while another process writes, and changes nothing; a file that
// only who writes to it can put in order is put in order.
func TestSeenReadsAlone(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		ctx, d := context.Background(), embedded.Destination{Dialect: j.dialect}
		if _, err := j.run(ctx); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(j.path)
		if err != nil {
			t.Fatal(err)
		}
		if seen, err := d.Seen(ctx, j.output); err != nil || seen.Newest == "" {
			t.Errorf("Seen: %+v, %v", seen, err)
		}
		if after, err := os.ReadFile(j.path); err != nil || !bytes.Equal(before, after) {
			t.Errorf("Seen changed the file (%v)", err)
		}
		if j.dialect.Scheme() != query.SchemeSQLite { // a writer of DuckDB's lets nobody in
			return
		}
		s, err := j.dialect.Open(ctx, j.path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		for _, sql := range []string{"CREATE TABLE other (a)", "BEGIN IMMEDIATE"} {
			if _, err := s.Exec(ctx, sql); err != nil {
				t.Fatal(err)
			}
		}
		soon, cancel := context.WithTimeout(ctx, 20*time.Second) // less than a writer waits
		defer cancel()
		if seen, err := d.Seen(soon, j.output); err != nil || seen.Newest == "" {
			t.Errorf("while another writes: %+v, %v", seen, err)
		}
		torn := filepath.Join(t.TempDir(), "torn.db")
		for _, end := range []string{"", "-wal"} {
			data, err := os.ReadFile(j.path + end)
			if err == nil {
				err = os.WriteFile(torn+end, data, 0o600)
			}
			if err != nil || len(data) == 0 {
				t.Fatalf("%s: %d bytes, %v", end, len(data), err)
			}
		}
		if seen, err := d.Seen(ctx, "sqlite:"+torn+"?table=scores"); err != nil || seen.Newest == "" {
			t.Errorf("a log without its index: %+v, %v", seen, err)
		}
	})
}

func TestTakenOverWritesNothing(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		if j.dialect.Scheme() == "duckdb" {
			t.Skip("DuckDB itself lets no second process in")
		}
		j.before = func(stage string) {
			if stage == "part 1" { // somebody removes the lock's file, and starts another run
				if err := os.Remove(filepath.Join(filepath.Dir(j.path), ".scores.db.millrace.lock")); err != nil {
					t.Fatal(err)
				}
				other := j
				other.before, other.name = nil, "other"
				other.restart = true
				if _, err := other.run(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := j.run(context.Background()); !errors.Is(err, ledger.ErrHeld) {
			t.Errorf("a run that was taken over: %v; want ErrHeld", err)
		}
		if got, want := j.ask(t, whole), fmt.Sprintf("300 300 %v 1", sum(0, 300, 5)); got != want {
			t.Errorf("the table has %s; want the other run's %s", got, want)
		}
	})
}

func TestHostileNames(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		for i, name := range []string{
			"select", "a b", `a"b`, "a'b", "a;drop table x;--", "a`b", "[a]", "a.b", "ü", "日本", "a\nb", "%", "?", "a&b", "#", "$1", ":x", `\`, "rowid", "1", "/*", `"`, strings.Repeat("x", 200), "ORDER",
		} {
			one := j
			one.path = filepath.Join(t.TempDir(), "n.db")
			escaped := strings.NewReplacer("%", "%25", "&", "%26", "#", "%23", "?", "%3F", ";", "%3B").Replace
			table := name // SQLite has no schemas
			if j.dialect.Scheme() == query.SchemeDuckDB {
				table = query.JoinName("", name)
			}
			one.output = j.dialect.Scheme() + ":" + one.path + "?table=" + escaped(table) + "&run_column=" + escaped(name)
			if _, err := one.run(context.Background()); err != nil {
				t.Errorf("%d: %q: %v", i, name, err)
				continue
			}
			quoted := embedded.Ref{Table: name}.String()
			if got := one.ask(t, "SELECT count(*), count(DISTINCT "+quoted+") FROM "+quoted); got != "300 1" {
				t.Errorf("%q: the table has %s; want 300 1", name, got)
			}
		}
	})
}

func TestOutputsThatAreRefused(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		scheme := j.dialect.Scheme() + ":"
		for output, want := range map[string]string{
			scheme + "a.db":                       "table= is missing",
			scheme + "?table=a":                   "path of the database file is missing",
			scheme + "a.db?tabel=a":               `tabel= is unknown (did you mean "table"?)`,
			scheme + "a.db?table=a&table=b":       "given 2 times",
			scheme + "a.db?table=a&views=perhaps": "views=perhaps must be yes or no",
			scheme + "a.db?table=%00":             "empty, or has a NUL",
		} {
			opts := &sink.Options{StageOptions: ledger.StageOptions{Output: output}}
			if err := (embedded.Destination{Dialect: j.dialect}).Check(opts); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Check(%s) = %v; want %s", output, err, want)
			}
		}
		opts := &sink.Options{StageOptions: ledger.StageOptions{Output: j.output, IfExists: ledger.IfExistsUpsert}}
		if err := (embedded.Destination{Dialect: j.dialect}).Check(opts); err == nil || !strings.Contains(err.Error(), "--ids") {
			t.Errorf("upsert without ids: %v", err)
		}
	})
}
