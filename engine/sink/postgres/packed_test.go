package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/postgres"
	"github.com/millrace/millrace/io/postgres/pgtest"
)

const plainColumns = " (id bigint, score double precision, millrace_run text)"

// onPacked is a statement about the packed rows of the one run that has some; %s is their
// table.
func onPacked(sql string) string {
	return `DO $$ BEGIN EXECUTE format('` + sql + `', (SELECT c.oid::regclass::text FROM pg_class c WHERE relname LIKE 'packed_%')); END $$`
}

// TestPackedMeanwhile: what becomes of packed rows when the table is another, or they are,
// once the run goes on to publish.
func TestPackedMeanwhile(t *testing.T) {
	tests := []struct {
		why, do string
		want    error
		again   int // parts taken over by a start after an error
	}{
		{"nothing happens", "SELECT", nil, 0},
		{"the table is gone, and is made divided by runs", "DROP TABLE p CASCADE", nil, 0},
		{"the table is another, divided by runs", "DROP TABLE p CASCADE; CREATE TABLE p (millrace_run text NOT NULL, id bigint, score double precision) PARTITION BY LIST (millrace_run)", nil, 0},
		{"the table has its columns in another order, and more", "DROP TABLE p CASCADE; CREATE TABLE p (score double precision, more int DEFAULT 7, millrace_run text, id bigint)", nil, 0},
		{"its rows are guarded by a policy", "ALTER TABLE p ENABLE ROW LEVEL SECURITY; ALTER TABLE p FORCE ROW LEVEL SECURITY; CREATE POLICY all_rows ON p USING (true); ALTER TABLE p OWNER TO r", nil, 0},
		{"a trigger takes rows away", "CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.id = 5 THEN RETURN NULL; END IF; RETURN NEW; END'; CREATE TRIGGER away BEFORE INSERT ON p FOR EACH ROW EXECUTE FUNCTION away()", postgres.ErrTable, testParts},
		{"a trigger raises", "CREATE FUNCTION raises() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN RAISE 'no row % today', NEW.id; END $f$; CREATE TRIGGER raises BEFORE INSERT ON p FOR EACH ROW EXECUTE FUNCTION raises()", ledger.ErrOutput, testParts},
		{"the same ids are there", "CREATE UNIQUE INDEX ON p (id); INSERT INTO p VALUES (5)", ledger.ErrExists, testParts},
		{"pieces are gone", onPacked("DELETE FROM %s"), ledger.ErrAccounts, 0},
		{"pieces are cut", onPacked("UPDATE %s SET bytes = substr(bytes, 1, 100)"), postgres.ErrPacked, testParts},
		{"pieces are of something else", onPacked(`UPDATE %s SET bytes = ''\x00''::bytea`), postgres.ErrPacked, testParts},
	}
	s := pgtest.Start(t)
	s.Must(t, "CREATE ROLE r LOGIN; GRANT ALL ON DATABASE postgres TO r; GRANT ALL ON SCHEMA public TO r")
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			s.Must(t, "DROP TABLE IF EXISTS p CASCADE; DROP SCHEMA IF EXISTS p_millrace CASCADE; DROP FUNCTION IF EXISTS away, raises; CREATE TABLE p"+plainColumns+"; GRANT ALL ON p TO r")
			j := newJob(strings.Replace(s.URI("p", ""), "postgres://postgres@", "postgres://r@", 1))
			j.before = func(stage string) {
				if stage == "publish" {
					if got := s.Must(t, "SELECT sum((xpath('/row/c/text()', query_to_xml('SELECT sum(rows) AS c FROM ' || oid::regclass, false, true, '')))[1]::text::int) FROM pg_class WHERE relname LIKE 'packed_%'"); got != "1200" {
						t.Errorf("%s rows are packed; want all", got)
					}
					s.Must(t, test.do)
					s.Must(t, "DO $$ BEGIN IF to_regclass('p') IS NOT NULL THEN GRANT ALL ON p TO r; ALTER TABLE p OWNER TO r; END IF; END $$")
				}
			}
			_, err := j.run(t.Context())
			if !errors.Is(err, test.want) || err != nil && (!errors.Is(err, ledger.ErrOutput) && !errors.Is(err, ledger.ErrAccounts) && !errors.Is(err, ledger.ErrExists) || errors.Is(err, sink.ErrPasses)) {
				t.Fatalf("run = %v; want %v", err, test.want)
			}
			if errors.Is(err, ledger.ErrOutput) && !strings.Contains(err.Error(), `table "public"."p" of database "postgres"`) {
				t.Errorf("run = %v; want the table's name", err)
			}
			if test.want == nil {
				j.check(t, s, "p")
				if got := s.Must(t, "SELECT count(*) FROM pg_class WHERE relname LIKE 'packed_%'"); got != "0" {
					t.Errorf("%s tables of packed rows are left", got)
				}
				return
			}
			if got := s.Must(t, "SELECT count(*) FROM p WHERE score IS NOT NULL"); got != "0" {
				t.Errorf("the table has %s rows of a run that failed", got)
			}
			s.Must(t, "DROP TABLE p; CREATE TABLE p"+plainColumns+"; ALTER TABLE p OWNER TO r")
			j.before, j.restart = nil, errors.Is(test.want, postgres.ErrPacked)
			taken, err := j.run(t.Context())
			if err != nil || !j.restart && taken != test.again {
				t.Errorf("again: %d parts taken over, %v; want %d", taken, err, test.again)
			}
			j.check(t, s, "p")
		})
	}
}

// TestTooLongIsKnownEarly: a text that its column has no room for ends the run at its part,
// with the database in an encoding of its own, too.
func TestTooLongIsKnownEarly(t *testing.T) {
	s := pgtest.Start(t)
	s.Must(t, "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'; CREATE TABLE l (name varchar(3), millrace_run text);\n\\c latin\nCREATE TABLE l (name text, millrace_run text)")
	schema := arrow.NewSchema([]arrow.Field{{Name: "name", Type: arrow.BinaryTypes.String}}, nil)
	tests := []struct{ why, uri, text, want string }{
		{"varchar(3)", s.URI("l", ""), "four", "too long"},
		{"LATIN1", strings.Replace(s.URI("l", ""), "@/postgres?", "@/latin?", 1), "日本", "line 1, column name)"},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			opts := newJob(test.uri).options()
			opts.Fields = schema.Fields()
			staging, err := Destination{}.Stage(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			records := staging.(sink.Records)
			if err := records.Begin([]byte("{}")); err != nil {
				t.Fatal(err)
			}
			part, err := records.NewPart(0, schema)
			if err != nil {
				t.Fatal(err)
			}
			b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
			defer b.Release()
			b.Field(0).(*array.StringBuilder).Append(test.text)
			batch := b.NewRecordBatch()
			defer batch.Release()
			err = part.Write(batch)
			if err == nil {
				_, err = part.Commit(1)
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the part = %v; want that its text is %s", err, test.want)
			}
			if err := errors.Join(part.Abort(), records.Discard()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPackedAfterRows: a run that staged rows as rows, for a table divided by runs, goes on
// for one that is not, which got the name.
func TestPackedAfterRows(t *testing.T) {
	s := pgtest.Start(t)
	for _, columns := range []string{"(millrace_run text NOT NULL, id bigint, score double precision)", "(score double precision, id bigint, other double precision, millrace_run text NOT NULL)"} {
		t.Run(columns, func(t *testing.T) {
			s.Must(t, "DROP TABLE IF EXISTS p CASCADE; DROP SCHEMA IF EXISTS p_millrace CASCADE; CREATE TABLE p "+columns+" PARTITION BY LIST (millrace_run)")
			j := newJob(s.URI("p", ""))
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			j.before = func(stage string) {
				if stage == "part 2" {
					stop()
				}
			}
			if _, err := j.run(ctx); !errors.Is(err, context.Canceled) {
				t.Fatalf("run = %v; want that it is interrupted", err)
			}
			s.Must(t, "DROP TABLE p; CREATE TABLE p (score double precision, other double precision, id bigint, millrace_run text)")
			j.before = nil
			if taken, err := j.run(t.Context()); err != nil || taken != 2 {
				t.Errorf("again: %d parts taken over, %v; want 2", taken, err)
			}
			j.check(t, s, "p")
		})
	}
}
