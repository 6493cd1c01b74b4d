package engine_test

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	sqlite3 "github.com/mattn/go-sqlite3"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/engine/sink/postgres"
	"github.com/millrace/millrace/engine/unique"
	"github.com/millrace/millrace/io/database"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/postgres/pgtest"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// testTable is a table of a test, and how others than millrace change it.
type testTable struct {
	output string
	do     func(t *testing.T, statement string)
}

// testTables are those of the databases that this test program has.
var testTables = map[string]func(t *testing.T) testTable{"sqlite": sqliteTable, "postgres": postgresTable}

func sqliteTable(t *testing.T) testTable {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.db")
	return testTable{"sqlite:" + path + "?table=scores", func(t *testing.T, statement string) {
		t.Helper()
		conn, err := (&sqlite3.SQLiteDriver{}).Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.(driver.ExecerContext).ExecContext(t.Context(), statement, nil); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}}
}

func postgresTable(t *testing.T) testTable {
	t.Helper()
	server := pgtest.Start(t) // skips where there is none
	return testTable{server.URI("scores", ""), func(t *testing.T, statement string) {
		t.Helper()
		server.Must(t, statement)
	}}
}

func tableReplay(t *testing.T, output string, id int) engine.ReplayOptions {
	t.Helper()
	opts := replayOf(t, output, id)
	opts.Stores = database.Stores()
	return opts
}

// Every row of a table is led to its row of the input by its id, and scored in its batch:
// with rejected rows between, of a filter too, and of inputs that are gone but for its own.
func TestReplayOfATable(t *testing.T) {
	slow(t)
	dir := t.TempDir()
	powers(t, filepath.Join(dir, "1.arrow"), 0, 31, 7, 3, 12, 2, 2)
	powers(t, filepath.Join(dir, "2.arrow"), 31, 20, 1, 2, 9)
	table := sqliteTable(t)
	out := table.output
	mustRun(t, engine.Options{
		Model: batchSum(t), Inputs: []string{filepath.Join(dir, "1.arrow"), filepath.Join(dir, "2.arrow")}, Output: out,
		IDs: []string{"id"}, BatchRows: 4, PartRows: 11, Where: "id != 6", Workers: 2,
	})
	for id := range 51 {
		r, err := tableReplay(t, out, id).Replay(t.Context())
		if id == 6 {
			if !errors.Is(err, engine.ErrNoRow) {
				t.Errorf("the filtered row: %v; want ErrNoRow", err)
			}
			continue
		}
		if err != nil || r.Equal != 1 || r.Rows[0].InputRow != int64(id%31) && id < 31 || r.Rows[0].Row != engine.NoRow {
			t.Fatalf("id %d: %+v, %v; want one row, equal", id, r, err)
		}
	}
	table.do(t, "UPDATE scores SET y = y + 1 WHERE id = 17")
	if r := replay(t, tableReplay(t, out, 17)); r.Different != 1 || *r.Rows[0].Predictions[0].Difference != 1 {
		t.Errorf("a value that was changed in the table: %+v; want it different by 1", r)
	}
	table.do(t, "UPDATE scores SET id = 99 WHERE id = 18")
	if _, err := tableReplay(t, out, 99).Replay(t.Context()); !errors.Is(err, format.ErrChanged) || !strings.Contains(err.Error(), `id="99"`) {
		t.Errorf("an id that was changed: %v; want ErrChanged that names it", err)
	}
	table.do(t, "INSERT INTO scores SELECT millrace_run, id, y FROM scores WHERE id = 19")
	if _, err := tableReplay(t, out, 19).Replay(t.Context()); !errors.Is(err, format.ErrChanged) || !strings.Contains(err.Error(), "more rows") {
		t.Errorf("a row that is there twice: %v; want ErrChanged", err)
	}
	table.do(t, "DROP VIEW scores_millrace_predictions")
	table.do(t, "ALTER TABLE scores RENAME COLUMN y TO z")
	if _, err := tableReplay(t, out, 3).Replay(t.Context()); !errors.Is(err, ledger.ErrUnsound) || !strings.Contains(err.Error(), "no such column") {
		t.Errorf("a column that is gone: %v; want ErrUnsound that says so", err)
	}
	table.do(t, "ALTER TABLE scores RENAME COLUMN z TO y")
	table.do(t, "UPDATE scores_millrace_run SET manifest = json_remove(manifest, '$.inputs[0].spans', '$.inputs[1].spans')")
	if _, err := tableReplay(t, out, 3).Replay(t.Context()); !errors.Is(err, ledger.ErrUnsound) && !errors.Is(err, format.ErrChanged) {
		t.Errorf("a manifest that lists no spans, of a filtered run: %v; want an error", err)
	}
}

// An input that is gone is missed by its own rows alone, where the manifest lists spans.
func TestReplayOfATableNeedsTheRowsInput(t *testing.T) {
	slow(t)
	dir, table := t.TempDir(), sqliteTable(t)
	powers(t, filepath.Join(dir, "1.arrow"), 0, 31, 7, 3, 12, 2, 2)
	powers(t, filepath.Join(dir, "2.arrow"), 31, 20, 1, 2, 9)
	out := table.output
	mustRun(t, engine.Options{
		Model: batchSum(t), Inputs: []string{filepath.Join(dir, "1.arrow"), filepath.Join(dir, "2.arrow")}, Output: out, IDs: []string{"id"}, BatchRows: 4,
	})
	rename(t, filepath.Join(dir, "2.arrow"), filepath.Join(dir, "gone"))
	if r := replay(t, tableReplay(t, out, 3)); r.Equal != 1 {
		t.Errorf("without the other input: %+v; want an equal row", r)
	}
	if _, err := tableReplay(t, out, 40).Replay(t.Context()); !errors.Is(err, format.ErrChanged) || !strings.Contains(err.Error(), "2.arrow") {
		t.Errorf("without its own input: %v; want ErrChanged that names it", err)
	}
	rename(t, filepath.Join(dir, "gone"), filepath.Join(dir, "2.arrow"))
	table.do(t, "UPDATE scores_millrace_run SET manifest = json_remove(manifest, '$.inputs[0].spans', '$.inputs[1].spans')")
	if r := replay(t, tableReplay(t, out, 40)); r.Equal != 1 || r.Rows[0].InputRow != 9 || len(r.Notes) != 1 {
		t.Errorf("by a manifest that lists no spans: %+v; want an equal row, and a note that it was edited", r)
	}
}

// Where rows have the same ids each row of the table is paired with one of its own, so that a
// value that was changed to another's is found; what the run rejected is none of them.
func TestReplayPairsRowsWithTheSameIDs(t *testing.T) {
	slow(t)
	dir := t.TempDir()
	writeSpans(t, filepath.Join(dir, "in.arrow"), []int64{3},
		named{"id", fromJSON(t, arrow.PrimitiveTypes.Int64, "[7,7,7,8,7]")},
		named{"a", fromJSON(t, arrow.PrimitiveTypes.Float32, "[1,2,null,3,4]")})
	table := sqliteTable(t)
	out := table.output
	mustRun(t, engine.Options{
		Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1)), Bind: map[string][]string{"x": {"a"}},
		Inputs: []string{filepath.Join(dir, "in.arrow")}, Output: out, IDs: []string{"id"}, MaxRejects: -1,
		Nulls: batcher.NullPolicies{Default: batcher.NullPolicy{Action: batcher.NullReject}},
	})
	r := replay(t, tableReplay(t, out, 7))
	if r.Equal != 3 || len(r.Rejected) != 1 || r.Rejected[0].Row != 2 || !strings.Contains(strings.Join(r.Notes, "\n"), "the ids of 3 of the rows") {
		t.Errorf("%+v; want three equal rows, one rejected, and a note", r)
	}
	table.do(t, "UPDATE scores SET y = 2 WHERE y = 1")
	if r := replay(t, tableReplay(t, out, 7)); r.Equal != 2 || r.Different != 1 {
		t.Errorf("a value that became another's: %+v; want it different", r)
	}
}

// Duplicates that a run left out are no candidates.
func TestReplayOfATableWithoutDuplicates(t *testing.T) {
	slow(t)
	dir := t.TempDir()
	writeSpans(t, filepath.Join(dir, "in.arrow"), nil,
		named{"id", fromJSON(t, arrow.PrimitiveTypes.Int64, "[7,8,7]")},
		named{"a", fromJSON(t, arrow.PrimitiveTypes.Float32, "[1,2,3]")})
	for i, on := range []unique.On{unique.OnReject, unique.OnNull} {
		out := sqliteTable(t).output
		mustRun(t, engine.Options{
			Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1)), Bind: map[string][]string{"x": {"a"}},
			Inputs: []string{filepath.Join(dir, "in.arrow")}, Output: out, IDs: []string{"id"}, MaxRejects: -1,
			Unique: unique.Spec{Columns: []string{"id"}, On: on},
		})
		r := replay(t, tableReplay(t, out, 7))
		if r.Equal != i+1 || len(r.Rejected) != 1 || r.Rejected[0].Stage != "unique" {
			t.Errorf("%s: %+v; want %d equal and one rejected", on, r, i+1)
		}
	}
}

// Rows of several runs are each scored by their own run's, and those that an upsert replaced
// by the one that did.
func TestReplayOfATableOfSeveralRuns(t *testing.T) {
	slow(t)
	dir := t.TempDir()
	powers(t, filepath.Join(dir, "1.arrow"), 0, 8)
	powers(t, filepath.Join(dir, "2.arrow"), 4, 8)
	table := sqliteTable(t)
	out := table.output
	for _, input := range []string{"1.arrow", "2.arrow"} {
		mustRun(t, engine.Options{Model: batchSum(t), Inputs: []string{filepath.Join(dir, input)}, Output: out, IDs: []string{"id"}, IfExists: ledger.IfExistsUpsert})
	}
	for id, input := range map[int]string{2: "1.arrow", 5: "2.arrow", 11: "2.arrow"} {
		if r := replay(t, tableReplay(t, out, id)); r.Equal != 1 || filepath.Base(r.Rows[0].Input) != input {
			t.Errorf("id %d: %+v; want an equal row of %s", id, r, input)
		}
	}
}

// What a database has no type for is compared as it keeps it.
func TestReplayOfTypesInATable(t *testing.T) {
	slow(t)
	for name, newTable := range testTables {
		t.Run(name, func(t *testing.T) { replayTypes(t, newTable(t)) })
	}
}

func replayTypes(t *testing.T, table testTable) {
	t.Helper()
	dir, out := t.TempDir(), table.output
	keep := writeTypes(t, filepath.Join(dir, "in.arrow"), []typed{
		{arrow.BinaryTypes.String, `["it's; \"b\"\n", ""]`},
		{arrow.BinaryTypes.Binary, `["AAEC", "/+8="]`},
		{arrow.FixedWidthTypes.Boolean, `[true, null]`},
		{arrow.FixedWidthTypes.Date32, `["2013-01-31", null]`},
		{arrow.FixedWidthTypes.Time32ms, `["17:05:00.25", "00:00:00"]`},
		{&arrow.TimestampType{Unit: arrow.Nanosecond}, `["2013-01-31 17:05:00.123456", null]`},
		{&arrow.TimestampType{Unit: arrow.Second, TimeZone: "Europe/Berlin"}, `["2013-01-31 17:05:00Z", "2013-07-31 17:05:00Z"]`},
		{&arrow.Decimal128Type{Precision: 10, Scale: 2}, `["1.50", "-0.07"]`},
		{arrow.PrimitiveTypes.Float64, `[0.1, 2]`},
		{arrow.PrimitiveTypes.Uint8, `[255, 0]`},
		{arrow.ListOf(arrow.PrimitiveTypes.Int32), `[[1, null], []]`},
	})
	mustRun(t, engine.Options{
		Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 2)), Bind: map[string][]string{"x": {"v"}},
		Inputs: []string{filepath.Join(dir, "in.arrow")}, Output: out, IDs: []string{"id"}, Keep: keep, Layout: engine.LayoutList,
	})
	for id := 1; id <= 2; id++ {
		if r := replay(t, tableReplay(t, out, id)); r.Equal != 1 || len(r.Rows[0].Columns) != len(keep)+1 {
			t.Errorf("id %d: %+v; want an equal row", id, r)
		}
	}
	opts := tableReplay(t, out, 1)
	opts.Where = []engine.Condition{{Column: "c0", Value: "it's; \"b\"\n"}}
	if r := replay(t, opts); r.Equal != 1 {
		t.Errorf("by a text that has a quote: %+v; want an equal row", r)
	}
	for _, c := range []struct {
		id              int
		statement, says string
	}{
		{1, "UPDATE scores SET c5 = '2013-01-31 17:05:00.123455' WHERE id = 1", `its column "c5"`},
		{2, "UPDATE scores SET c8 = 2.5 WHERE id = 2", `column "c8"`},
	} {
		table.do(t, c.statement)
		if _, err := tableReplay(t, out, c.id).Replay(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want an error with %q", c.statement, err, c.says)
		}
	}
}

// Floats in columns of numeric and texts in columns of char(n) are found and compared.
func TestReplayOfFloatsInNumeric(t *testing.T) {
	slow(t)
	dir, table := t.TempDir(), postgresTable(t)
	writeSpans(t, filepath.Join(dir, "in.arrow"), nil,
		named{"who", fromJSON(t, arrow.BinaryTypes.String, `["a","bc","abcde"]`)},
		named{"wide", fromJSON(t, arrow.PrimitiveTypes.Float64, "[0.00001,1e22,-0.1]")},
		named{"short", fromJSON(t, arrow.PrimitiveTypes.Float32, "[0.1,-2.5,null]")},
		named{"a", fromJSON(t, arrow.PrimitiveTypes.Float32, "[0.1,1e-7,1234.5]")})
	for _, score := range []string{"numeric", "numeric(20,8)"} {
		table.do(t, "DROP TABLE IF EXISTS scores CASCADE; DROP SCHEMA IF EXISTS scores_millrace CASCADE; CREATE TABLE scores (who char(5), wide numeric, short numeric(6,3), y "+score+", millrace_run text)")
		mustRun(t, engine.Options{
			Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1)), Bind: map[string][]string{"x": {"a"}},
			Inputs: []string{filepath.Join(dir, "in.arrow")}, Output: table.output, IDs: []string{"who"}, Keep: []string{"wide", "short"},
		})
		if v, err := (postgres.Destination{}).Verify(t.Context(), table.output, ledger.VerifyOptions{}); err != nil || len(v.Problems) > 0 {
			t.Errorf("%s: verify: %+v, %v", score, v, err)
		}
		for row, who := range []string{"a", "bc", "abcde"} {
			opts := tableReplay(t, table.output, 0)
			opts.Where = []engine.Condition{{Column: "who", Value: who}}
			if r := replay(t, opts); r.Equal != 1 || r.Rows[0].InputRow != int64(row) || len(r.Notes) > 0 {
				t.Errorf("%s: %s: %+v; want row %d, equal", score, who, r, row)
			}
		}
		table.do(t, "UPDATE scores SET y = y + 0.001 WHERE who = 'bc'; UPDATE scores SET wide = 0.00002 WHERE who = 'a'")
		opts := tableReplay(t, table.output, 0)
		opts.Where = []engine.Condition{{Column: "who", Value: "bc"}}
		if r := replay(t, opts); r.Equal != 0 || len(r.Rows) != 1 {
			t.Errorf("%s: a score that was changed: %+v; want a difference", score, r)
		}
		opts.Where = []engine.Condition{{Column: "who", Value: "a"}}
		if _, err := opts.Replay(t.Context()); err == nil || !strings.Contains(err.Error(), `its column "wide"`) {
			t.Errorf("%s: a kept column that was changed: %v; want its name", score, err)
		}
	}
}

// What a table keeps in another way than it was given is compared as the table has it: blanks at
// the end of char(n), durations in intervals, NaN in numeric, halves, zeros without their sign.
func TestReplayOfWhatTablesKeepOtherwise(t *testing.T) {
	slow(t)
	dir := t.TempDir()
	columns := []named{
		{"id", fromJSON(t, arrow.PrimitiveTypes.Int32, "[0,1,2]")},
		{"half", fromJSON(t, arrow.FixedWidthTypes.Float16, "[0.00000006,-0.0,0.1]")},
		{"zero", fromJSON(t, arrow.PrimitiveTypes.Float32, "[-0.0,0.5,null]")},
		{"a", fromJSON(t, arrow.PrimitiveTypes.Float32, "[1,2,3]")},
	}
	writeSpans(t, filepath.Join(dir, "lite.arrow"), nil, columns...)
	writeSpans(t, filepath.Join(dir, "in.arrow"), nil, slices.Concat(columns, []named{
		{"pad", fromJSON(t, arrow.BinaryTypes.String, `["a  ","b",null]`)},
		{"took", fromJSON(t, arrow.FixedWidthTypes.Duration_us, `["1us","-500000us","7200s"]`)},
		{"nan", fromJSON(t, arrow.PrimitiveTypes.Float32, `["NaN",-0.0,0.5]`)},
	})...)
	model := onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1))
	check := func(output, in string, keep ...string) {
		t.Helper()
		mustRun(t, engine.Options{
			Model: model, Bind: map[string][]string{"x": {"a"}}, Inputs: []string{filepath.Join(dir, in)}, Output: output, IDs: []string{"id"}, Keep: keep,
		})
		for id := range 3 {
			if r := replay(t, tableReplay(t, output, id)); r.Equal != 1 || r.Rows[0].InputRow != int64(id) {
				t.Errorf("%s: row %d: %+v; want it, equal", output, id, r)
			}
		}
	}
	lite := "sqlite:" + filepath.Join(dir, "t.db") + "?table="
	check(lite+"made", "lite.arrow", "half", "zero")
	table := postgresTable(t)
	table.do(t, "CREATE TABLE scores (id integer, half numeric, zero real, pad char(5), took interval, nan numeric(6,3), y real, millrace_run text)")
	check(table.output, "in.arrow", "half", "zero", "pad", "took", "nan")
	for _, c := range []struct{ column, other, was string }{
		{"took", "'1 hour'", "'-0.5 seconds'"}, {"nan", "1.5", "0"}, {"pad", "'ab'", "'b'"}, {"half", "0.2", "0"},
	} {
		set := "UPDATE scores SET " + c.column + " = %s WHERE id = 1"
		table.do(t, fmt.Sprintf(set, c.other))
		if _, err := tableReplay(t, table.output, 1).Replay(t.Context()); err == nil || !strings.Contains(err.Error(), `its column "`+c.column+`"`) {
			t.Errorf("%s was changed: %v; want its name", c.column, err)
		}
		table.do(t, fmt.Sprintf(set, c.was))
	}
}

// Columns that a table has in types of its own are read whatever the run had them as: texts of
// dictionaries in char(n) and enumerations, and nulls in types that are not read.
func TestReplayOfColumnsOfOtherTypes(t *testing.T) {
	slow(t)
	dir, table := t.TempDir(), postgresTable(t)
	words := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
	writeSpans(t, filepath.Join(dir, "in.arrow"), nil,
		named{"who", fromJSON(t, words, `["a","bc","a"]`)},
		named{"colour", fromJSON(t, words, `["red","green",null]`)},
		named{"took", fromJSON(t, arrow.Null, `[null,null,null]`)},
		named{"a", fromJSON(t, arrow.PrimitiveTypes.Float32, "[1,2,3]")})
	table.do(t, "CREATE TYPE colours AS ENUM ('red', 'green'); CREATE TABLE scores (who char(5), colour colours, took interval, y real, millrace_run text)")
	mustRun(t, engine.Options{
		Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1)), Bind: map[string][]string{"x": {"a"}},
		Inputs: []string{filepath.Join(dir, "in.arrow")}, Output: table.output, IDs: []string{"who", "colour"}, Keep: []string{"took"},
	})
	for row, where := range [][]engine.Condition{{{Column: "colour", Value: "red"}}, {{Column: "who", Value: "bc"}}} {
		opts := tableReplay(t, table.output, 0)
		opts.Where = where
		if r := replay(t, opts); r.Equal != 1 || r.Rows[0].InputRow != int64(row) {
			t.Errorf("%v: %+v; want row %d, equal", where, r, row)
		}
	}
}

// Predictions that are texts stay readable when what they were read from is closed: the rows
// of a table, and a mapped file whose one row is all of a record batch.
func TestReplayOfTextPredictions(t *testing.T) {
	slow(t)
	dir := t.TempDir()
	const text = "longer than twelve bytes"
	writeSpans(t, filepath.Join(dir, "in.arrow"), nil,
		named{"id", fromJSON(t, arrow.PrimitiveTypes.Int64, "[7]")},
		named{"s", fromJSON(t, arrow.BinaryTypes.String, `["`+text+`"]`)})
	for _, out := range []string{filepath.Join(dir, "one.arrow"), sqliteTable(t).output} {
		mustRun(t, engine.Options{
			Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_STRING, "N", 1)), Bind: map[string][]string{"x": {"s"}},
			Inputs: []string{filepath.Join(dir, "in.arrow")}, Output: out, IDs: []string{"id"},
		})
		r := replay(t, tableReplay(t, out, 7))
		if v := r.Rows[0].Predictions[0]; r.Equal != 1 || v.Recorded != text || v.Again != text {
			t.Errorf("%s: %+v; want %q twice", out, v, text)
		}
	}
}

// Ids of any type lead to the input, whatever a database makes of them.
func TestReplayByIDsOfAnyTypeInATable(t *testing.T) {
	slow(t)
	for name, newTable := range testTables {
		t.Run(name, func(t *testing.T) {
			dir, table := t.TempDir(), newTable(t)
			writeSpans(t, filepath.Join(dir, "in.arrow"), nil,
				named{"n", fromJSON(t, arrow.PrimitiveTypes.Float64, "[1,2,3,4]")},
				named{"day", fromJSON(t, arrow.FixedWidthTypes.Date32, `["2013-01-31","2013-02-01","2013-02-01",null]`)},
				named{"at", fromJSON(t, &arrow.TimestampType{Unit: arrow.Second}, `["2013-01-31 00:00:01","2013-01-31 00:00:02","2013-01-31 00:00:02","2013-01-31 00:00:03"]`)},
				named{"who", fromJSON(t, &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, `["a","b","a",null]`)},
				named{"price", fromJSON(t, &arrow.Decimal128Type{Precision: 10, Scale: 2}, `["1.50","2.00","2.00","0.10"]`)},
				named{"a", fromJSON(t, arrow.PrimitiveTypes.Float32, "[1,2,3,4]")})
			for _, ids := range [][]string{{"day", "who"}, {"at", "who"}, {"price", "who"}, {"n"}} {
				mustRun(t, engine.Options{
					Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_FLOAT, "N", 1)), Bind: map[string][]string{"x": {"a"}},
					Inputs: []string{filepath.Join(dir, "in.arrow")}, Output: strings.Replace(table.output, "table=scores", "table="+ids[0], 1), IDs: ids,
				})
				for row := range 4 {
					opts := tableReplay(t, strings.Replace(table.output, "table=scores", "table="+ids[0], 1), 0)
					opts.Where = []engine.Condition{{Column: "y", Value: strconv.Itoa(row + 1)}}
					if r := replay(t, opts); r.Equal != 1 || r.Rows[0].InputRow != int64(row) || len(r.Notes) > 0 {
						t.Errorf("%v: %+v; want row %d, equal", ids, r, row)
					}
				}
			}
		})
	}
}

// Without ids there is nothing that leads to the input.
func TestReplayOfATableWithoutIDs(t *testing.T) {
	slow(t)
	dir := t.TempDir()
	powers(t, filepath.Join(dir, "in.arrow"), 0, 5)
	table := sqliteTable(t)
	out := table.output
	mustRun(t, engine.Options{Model: batchSum(t), Inputs: []string{filepath.Join(dir, "in.arrow")}, Output: out})
	opts := tableReplay(t, out, 0)
	opts.Where = []engine.Condition{{Column: "y", Value: "32"}}
	if _, err := opts.Replay(t.Context()); !errors.Is(err, engine.ErrUsage) || !strings.Contains(err.Error(), "--ids") {
		t.Errorf("%v; want ErrUsage that names --ids", err)
	}
}

// Rows of a run that upsert cannot tell apart are no reason to go on: nothing is kept, and the
// next day's run begins at once.
func TestUpsertOfEqualIDs(t *testing.T) {
	for name, made := range testTables {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			first, second := filepath.Join(dir, "1.arrow"), filepath.Join(dir, "2.arrow")
			powers(t, first, 0, 31)
			powers(t, second, 30, 20)
			opts := engine.Options{
				Model: batchSum(t), Inputs: []string{first, second}, Output: made(t).output,
				IDs: []string{"id"}, BatchRows: 4, PartRows: 11, IfExists: ledger.IfExistsUpsert,
			}
			_, err := run(t, opts)
			if !errors.Is(err, ledger.ErrOutput) || !errors.Is(err, sink.ErrRows) || !strings.Contains(err.Error(), `2 rows of this run have the ids id = "30"`) {
				t.Fatalf("run = %v; want the id", err)
			}
			if strings.Contains(err.Error(), "kept") || strings.Contains(err.Error(), "again") {
				t.Errorf("run = %v, which cannot go on", err)
			}
			opts.Inputs = []string{second}
			if s := mustRun(t, opts); s.Manifest.Ledger.Written() != 20 {
				t.Errorf("the next day wrote %d rows; want 20", s.Manifest.Ledger.Written())
			}
		})
	}
}
