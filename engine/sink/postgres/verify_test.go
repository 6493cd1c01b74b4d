package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/postgres/pgtest"
)

// TestVerifyFindsEdits edits what a run published by psql.
func TestVerifyFindsEdits(t *testing.T) {
	s := pgtest.Start(t)
	for i, c := range []struct {
		says, statement string
		problem, note   string
	}{
		{"nothing is found where nothing was done", "SELECT 1", "", ""},
		{"a value that was changed", "UPDATE %[1]s SET score = score + 1 WHERE id = 7", "has other values than the run wrote", ""},
		{"values of two rows that changed places", "UPDATE %[1]s SET score = CASE id WHEN 7 THEN 8 ELSE 0.875 END WHERE id IN (7, 64)", "has other values", ""},
		{"a row that is gone", "DELETE FROM %[1]s WHERE id = 7", "has 1199 rows of the run, which wrote 1200", ""},
		{"a row that is there twice", "INSERT INTO %[1]s SELECT * FROM %[1]s WHERE id = 7", "has 1201 rows of the run", ""},
		{"a row of nobody's run", "CREATE TABLE other%[1]s PARTITION OF %[1]s DEFAULT; INSERT INTO %[1]s SELECT 'nobody', id, score FROM %[1]s WHERE id = 7", "", "has 1 rows of no live run"},
		{"a column that is gone", "ALTER TABLE %[1]s DROP COLUMN score CASCADE", `has no column "score" any more`, ""},
		{"the table", "DROP TABLE %[1]s CASCADE", "is gone", ""},
		{"a run that is said to be replaced, and whose rows are gone", "UPDATE %[1]s_millrace.run SET live = false; DELETE FROM %[1]s", "has 0 rows of the run, which wrote 1200", ""},
		{"what its row says of a run", "UPDATE %[1]s_millrace.run SET rows_read = 1, model_sha256 = NULL", "in model_sha256, rows_read", ""},
		{"when it was, by its row", "UPDATE %[1]s_millrace.run SET started = started - interval '1 day', finished = 'infinity', rows_filtered = NULL", "in started, finished, rows_filtered", ""},
		{"that it was published at no time", "UPDATE %[1]s_millrace.run SET published = NULL", "has no time beside it (published)", ""},
		{"a view that shows other scores", "CREATE OR REPLACE VIEW %[1]s_millrace.predictions AS SELECT t.millrace_run AS run, t.id, t.score * 2 AS score, r.finished AS run_finished, r.published AS run_published, r.model AS run_model, r.model_sha256 AS run_model_sha256 FROM %[1]s t JOIN %[1]s_millrace.run r ON r.run = t.millrace_run", "its view predictions shows other rows of the run than the table has", ""},
		{"a view that shows another model", "DROP VIEW %[1]s_millrace.runs; CREATE VIEW %[1]s_millrace.runs AS SELECT run, state, live, started, finished, published, 'other.onnx' AS model, model_sha256, mode, parent, rows_read, rows_scored, rows_rejected, rows_filtered, rows_written FROM %[1]s_millrace.run", "its view runs does not show run ", ""},
		{"a view that cannot be read", "DROP VIEW %[1]s_millrace.predictions; CREATE VIEW %[1]s_millrace.predictions AS SELECT id FROM %[1]s", "", "its view predictions cannot be read"},
		{"views that nobody wants", "DROP VIEW %[1]s_millrace.predictions; DROP VIEW %[1]s_millrace.runs", "", ""},
		{"a manifest that was changed", `UPDATE %[1]s_millrace.run SET manifest = replace(manifest::text, '"read": 1200', '"read": 1201')::json`, "was changed since it was published", ""},
	} {
		t.Run(c.says, func(t *testing.T) {
			name := fmt.Sprintf("t%d", i)
			j := newJob(s.URI(name, ""))
			if _, err := j.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.Must(t, fmt.Sprintf(strings.ReplaceAll(c.statement, "SELECT 1", "SELECT count(*) FROM %[1]s"), name))
			v, err := Destination{}.Verify(t.Context(), j.uri, ledger.VerifyOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for what, found := range map[string]struct {
				problems []ledger.Problem
				want     string
			}{"problem": {v.Problems, c.problem}, "note": {v.Notes, c.note}} {
				var texts []string
				for _, p := range found.problems {
					if text := p.String(); !strings.Contains(text, "the input ") && !strings.Contains(text, "the model ") { // which these runs never had
						texts = append(texts, text)
					}
				}
				if text := strings.Join(texts, "\n"); !strings.Contains(text, found.want) || found.want == "" && text != "" {
					t.Errorf("%ss are %q; want %q", what, texts, found.want)
				}
			}
		})
	}
}

// TestClockSetBack: runs follow one another as they did, whatever the clock said of them.
func TestClockSetBack(t *testing.T) {
	s := pgtest.Start(t)
	j := newJob(s.URI("t", ""))
	for i, name := range []string{"a", "b", "c"} {
		j.name, j.from, j.ifExists = name, 10000*i, ledger.IfExistsAppend
		if _, err := j.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			s.Must(t, "UPDATE t_millrace.run SET published = published + interval '1 year'")
		}
	}
	v, err := Destination{}.Verify(t.Context(), j.uri, ledger.VerifyOptions{})
	if err != nil || len(v.Problems) > 0 {
		t.Errorf("verify = %+v, %v; want no problem", v, err)
	}
	if text := fmt.Sprint(v.Notes); strings.Count(text, "said to have been published before run") != 1 {
		t.Errorf("notes are %s; want the run that was published before the one before it", text)
	}
}
