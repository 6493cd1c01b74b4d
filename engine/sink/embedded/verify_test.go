package embedded_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink/embedded"
)

// TestVerifyFindsEdits edits what a run published by statements of the database's own.
func TestVerifyFindsEdits(t *testing.T) {
	for _, c := range []struct {
		says, statement string
		quick           bool
		problem, note   string
	}{
		{"nothing is found where nothing was done", "SELECT 1", false, "", ""},
		{"a value that was changed", "UPDATE scores SET score = score + 1 WHERE id = 7", false, "has other values than the run wrote", ""},
		{"but not by a quick look", "UPDATE scores SET score = score + 1 WHERE id = 7", true, "", ""},
		{"values of two rows that changed places", "UPDATE scores SET score = CASE id WHEN 7 THEN 9.0 ELSE 1.875 END WHERE id IN (7, 64)", false, "has other values", ""},
		{"a value that became null", "UPDATE scores SET score = NULL WHERE id = 7", false, "has other values", ""},
		{"a row that is gone", "DELETE FROM scores WHERE id = 7", true, "has 299 rows of the run, which wrote 300", ""},
		{"a row that is there twice", "INSERT INTO scores SELECT * FROM scores WHERE id = 7", false, "has 301 rows of the run", ""},
		{"a row of nobody's run", "INSERT INTO scores SELECT 'nobody', id, score FROM scores WHERE id = 7", false, "", "has 1 rows of no live run"},
		{"a row of another run", "UPDATE scores SET millrace_run = 'x' WHERE id = 7", false, "has 299 rows of the run", "has 1 rows of no live run"},
		{"a column that is gone", "ALTER TABLE scores DROP COLUMN score", false, `has no column "score" any more`, ""},
		{"the table", "DROP TABLE scores", false, "is gone", ""},
		{"a view in the place of the table", "DROP VIEW IF EXISTS LEDGERpredictions; ALTER TABLE scores RENAME TO below; CREATE VIEW scores AS SELECT * FROM below", false, "a view now, and was a table", ""},
		{"a run that is said to be replaced, and whose rows are gone", "UPDATE LEDGERrun SET live = 0; DELETE FROM scores", false, "marked as replaced (live), and no run replaced it", ""},
		{"and that its rows are missing", "UPDATE LEDGERrun SET live = 0; DELETE FROM scores", false, "has 0 rows of the run, which wrote 300", ""},
		{"what its row says of a run", "UPDATE LEDGERrun SET rows_read = 299, model_sha256 = NULL", true, "in model_sha256, rows_read", ""},
		{"when it was, by its row", "UPDATE LEDGERrun SET started = '2020-01-01 00:00:00', finished = NULL, rows_filtered = NULL", true, "in started, finished, rows_filtered", ""},
		{"that it was published at no time", "UPDATE LEDGERrun SET published = NULL", true, "has no time beside it (published)", ""},
		{"a view that shows other scores", "DROP VIEW IF EXISTS LEDGERpredictions; CREATE VIEW LEDGERpredictions AS SELECT millrace_run, id, score * 2 AS score FROM scores", false, "its view predictions shows other rows of the run than the table has", ""},
		{"a view that shows another model", "DROP VIEW IF EXISTS LEDGERruns; CREATE VIEW LEDGERruns AS SELECT run, state, live, started, finished, published, 'other.onnx' AS model, model_sha256, mode, parent, rows_read, rows_scored, rows_rejected, rows_filtered, rows_written FROM LEDGERrun", false, "its view runs does not show run ", ""},
		{"views that nobody wants", "DROP VIEW IF EXISTS LEDGERpredictions; DROP VIEW IF EXISTS LEDGERruns", false, "", ""},
		{"a manifest that was changed", "UPDATE LEDGERrun SET manifest = replace(manifest, '\"read\": 300', '\"read\": 301')", true, "was changed since it was published", ""},
	} {
		t.Run(c.says, func(t *testing.T) {
			each(t, func(t *testing.T, j job) {
				t.Helper()
				if _, err := j.run(context.Background()); err != nil {
					t.Fatal(err)
				}
				own := map[string]string{"sqlite": "scores_millrace_", "duckdb": "scores_millrace."}[j.dialect.Scheme()]
				if statement := strings.ReplaceAll(c.statement, "LEDGER", own); statement != "SELECT 1" {
					if strings.HasPrefix(statement, "ALTER") || strings.HasPrefix(statement, "DROP") {
						j.do(t, "DROP VIEW "+own+"predictions")
					}
					j.do(t, statement)
				}
				v, err := embedded.Destination{Dialect: j.dialect}.Verify(context.Background(), j.output, ledger.VerifyOptions{Quick: c.quick})
				if err != nil {
					t.Fatal(err)
				}
				check(t, "problem", v.Problems, c.problem)
				check(t, "note", v.Notes, c.note)
			})
		})
	}
}

// TestReadersLeaveTheFile: who looks at what runs did leaves the file and its folder as they were.
func TestReadersLeaveTheFile(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		if _, err := j.run(context.Background()); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(j.path)
		if err != nil {
			t.Fatal(err)
		}
		d := embedded.Destination{Dialect: j.dialect}
		if v, err := d.Verify(context.Background(), j.output, ledger.VerifyOptions{}); err != nil || len(v.Problems) > 0 {
			t.Errorf("verify: %+v, %v", v, err)
		}
		if _, err := d.FindHistories(context.Background(), j.output); err != nil {
			t.Error(err)
		}
		after, err := os.ReadFile(j.path)
		if err != nil || !bytes.Equal(before, after) {
			t.Errorf("the file is another, %v", err)
		}
		left, err := os.ReadDir(filepath.Dir(j.path))
		if err != nil || len(left) != 1 {
			t.Errorf("the folder has %v, %v; want the file alone", left, err)
		}
	})
}

// TestInterval: a table tells of each run what it read, as files do.
func TestInterval(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		if _, err := j.run(context.Background()); err != nil {
			t.Fatal(err)
		}
		found, err := embedded.Destination{Dialect: j.dialect}.FindHistories(context.Background(), j.output)
		if err != nil {
			t.Fatal(err)
		}
		want := ledger.Interval{Files: 1, Bytes: 17, From: "2026-11-28", To: "2026-11-28", Dated: true}
		if got := found.Histories[0].Newest().Interval; got != want {
			t.Errorf("the interval is %+v; want %+v", got, want)
		}
	})
}

// check looks for a text among problems; without one there must be none, but for those about
// the model and input that these runs never had.
func check(t *testing.T, what string, problems []ledger.Problem, want string) {
	t.Helper()
	var all []string
	for _, p := range problems {
		if text := p.String(); !strings.Contains(text, "the input ") && !strings.Contains(text, "the model ") {
			all = append(all, text)
		}
	}
	if text := strings.Join(all, "\n"); !strings.Contains(text, want) || want == "" && text != "" {
		t.Errorf("%ss are %q; want %q", what, all, want)
	}
}

// TestVerifyReadsTheChain: a run that was taken out of the history is missed.
func TestVerifyReadsTheChain(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		own := map[string]string{"sqlite": "scores_millrace_", "duckdb": "scores_millrace."}[j.dialect.Scheme()]
		for i, name := range []string{"a", "bb", "ccc"} {
			j.name, j.from, j.ifExists = name, 200*i, ledger.IfExistsUpsert // of 300 rows, a third of the next run's too
			if _, err := j.run(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		verify := func() *ledger.Verification {
			v, err := embedded.Destination{Dialect: j.dialect}.Verify(context.Background(), j.output, ledger.VerifyOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		v := verify()
		check(t, "problem", v.Problems, "")
		if len(v.Counted) != 2 || len(v.LiveRuns) != 3 {
			t.Errorf("counted %v of %v; want those before the last upsert", v.Counted, v.LiveRuns)
		}
		if v.Rows != 700 {
			t.Errorf("verify says %d rows; the table has 700", v.Rows)
		}
		j.do(t, "DELETE FROM "+own+"run WHERE run = '"+v.LiveRuns[1]+"'")
		check(t, "problem", verify().Problems, "as the one before it, which is not there")
	})
}

// TestClockSetBack: runs follow one another as they did, whatever the clock said of them.
func TestClockSetBack(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		own := map[string]string{"sqlite": "scores_millrace_", "duckdb": "scores_millrace."}[j.dialect.Scheme()]
		for i, name := range []string{"a", "bb", "ccc"} {
			j.name, j.from, j.ifExists = name, 1000*i, ledger.IfExistsAppend
			if _, err := j.run(context.Background()); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				j.do(t, "UPDATE "+own+"run SET published = '2100-01-01 00:00:00'")
			}
		}
		v, err := embedded.Destination{Dialect: j.dialect}.Verify(context.Background(), j.output, ledger.VerifyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		check(t, "problem", v.Problems, "")
		check(t, "note", v.Notes, "said to have been published before run")
	})
}

// TestDigestOfEveryType: what is read back of each type has the digest of what was written.
func TestDigestOfEveryType(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		is     arrow.DataType
		values string
	}{
		{arrow.FixedWidthTypes.Boolean, `[true,null,false]`},
		{arrow.PrimitiveTypes.Int8, `[1,null,-128]`},
		{arrow.PrimitiveTypes.Uint16, `[1,null,65535]`},
		{arrow.PrimitiveTypes.Int64, `[1,null,-9223372036854775808]`},
		{arrow.PrimitiveTypes.Float32, `[0.1,null,3]`},
		{arrow.PrimitiveTypes.Float64, `[0.1,null,1e300]`},
		{arrow.BinaryTypes.String, `["a'\"\n",null,""]`},
		{&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, `["a",null,"a"]`},
		{arrow.BinaryTypes.Binary, `["AAEC",null,""]`},
		{arrow.FixedWidthTypes.Date32, `["2013-01-31",null,"1969-12-31"]`},
		{arrow.FixedWidthTypes.Time64us, `["17:05:00.250001",null,"00:00:00"]`},
		{&arrow.TimestampType{Unit: arrow.Nanosecond}, `["2013-01-31 17:05:00.123456789",null,"1969-12-31 00:00:00"]`},
		{&arrow.TimestampType{Unit: arrow.Second}, `["2013-01-31 17:05:00",null,"1969-12-31 00:00:00"]`},
		{&arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, `["2013-01-31 17:05:00.5Z",null,"1969-12-31 00:00:00Z"]`},
		{&arrow.Decimal128Type{Precision: 10, Scale: 2}, `["1.50",null,"-0.07"]`},
		{&arrow.Decimal128Type{Precision: 38}, `["99999999999999999999999999999999999999",null,"-7"]`},
		{arrow.ListOf(arrow.PrimitiveTypes.Float32), `[[0.5,null],null,[]]`},
		{arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Int32), `[[1,2],null,[3,null]]`},
	} {
		each(t, func(t *testing.T, j job) {
			t.Helper()
			a, _, err := array.FromJSON(memory.DefaultAllocator, c.is, strings.NewReader(c.values))
			if err != nil {
				t.Fatal(err)
			}
			defer a.Release()
			record := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "v", Type: c.is, Nullable: true}}, nil), []arrow.Array{a}, 3)
			defer record.Release()
			s, err := j.dialect.Open(ctx, j.path)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			is, err := j.dialect.TypeOf(c.is)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Exec(ctx, "CREATE TABLE t (run TEXT, v "+is+")"); err != nil {
				t.Fatal(err)
			}
			insert, err := s.Insert(ctx, "t", "r", record.Schema())
			if err != nil {
				t.Fatal(err)
			}
			if err := insert.Write(record); err != nil {
				t.Fatalf("%s: %v", c.is, err)
			}
			if err := insert.Close(); err != nil {
				t.Fatal(err)
			}
			if got, err := s.Digest(ctx, "SELECT v FROM t WHERE run = ?", "r"); err != nil || got != insert.Digest() {
				t.Errorf("%s: the digest is %s when written, and %s, %v when read", c.is, insert.Digest(), got, err)
			}
		})
	}
}
