package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"go.uber.org/goleak"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/engine/sink/embedded"
	"github.com/millrace/millrace/engine/sink/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dialects are those that this test program has.
var dialects = []embedded.Dialect{sqlite.Dialect{}}

// each runs a test for each dialect, with an output in a folder of its own.
func each(t *testing.T, test func(t *testing.T, j job)) {
	t.Helper()
	for _, d := range dialects {
		t.Run(d.Scheme(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "scores.db")
			test(t, job{dialect: d, path: path, output: d.Scheme() + ":" + path + "?table=scores", name: "a"})
		})
	}
}

// job is a run in small: parts of rows whose ids follow one another and a score that is a
// function of them, which go the engine's way.
type job struct {
	dialect  embedded.Dialect
	path     string
	output   string
	name     string // another job has another
	ifExists ledger.IfExists
	restart  bool
	from     int // the first id
	schema   *arrow.Schema
	before   func(stage string)
	null     int  // the row of each part that has no score; 0: none
	nulls    bool // the score is of no type, and null
	late     bool // which columns there are beside the ids is known with the first part
}

const (
	testParts = 3
	testRows  = 100
)

var scoreSchema = arrow.NewSchema([]arrow.Field{
	{Name: "id", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, // as Parquet's columns are
	{Name: "score", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
}, nil)

// columns are those of the output.
func (j job) columns() *arrow.Schema {
	if j.nulls {
		return arrow.NewSchema([]arrow.Field{scoreSchema.Field(0), {Name: "score", Type: arrow.Null, Nullable: true}}, nil)
	}
	return scoreSchema
}

func (j job) batch(part int) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, j.columns())
	defer b.Release()
	for i := range testRows {
		id := j.from + part*testRows + i
		b.Field(0).(*array.Int64Builder).Append(int64(id))
		if j.nulls || j.null > 0 && i == j.null {
			b.Field(1).AppendNull()
			continue
		}
		b.Field(1).(*array.Float64Builder).Append(float64(id)/8 + float64(len(j.name)))
	}
	return b.NewRecordBatch()
}

func (j job) stage(name string) {
	if j.before != nil {
		j.before(name)
	}
}

func (j job) options() sink.Options {
	mode := j.ifExists
	if mode == "" {
		mode = ledger.IfExistsError
	}
	schema := j.schema
	if schema == nil {
		schema = j.columns()
	}
	fields := schema.Fields()
	if j.late {
		fields = fields[:1]
	}
	return sink.Options{
		StageOptions: ledger.StageOptions{
			Output: j.output, IfExists: mode, RunID: ledger.NewRunID(time.Now()), Restart: j.restart,
			Job: &ledger.Job{Facts: []ledger.Fact{{Name: "job", Value: j.name}}},
		},
		Parts: testParts, IDs: []string{"id"}, Fields: fields, AllFields: !j.late,
	}
}

func (j job) take(ctx context.Context) (sink.Records, error) {
	s, err := embedded.Destination{Dialect: j.dialect}.Stage(ctx, j.options())
	if err != nil {
		return nil, err
	}
	return s.(sink.Records), nil
}

// errAlready says that an equal run published before.
var errAlready = errors.New("already")

// run goes the engine's way once, and says how many parts it took over.
func (j job) run(ctx context.Context) (taken int, err error) {
	j.stage("stage")
	s, err := j.take(ctx)
	if _, ok := errors.AsType[*ledger.PublishedError](err); ok {
		return 0, errAlready
	}
	if err != nil {
		return 0, err
	}
	m, taken, err := j.fill(s)
	if err == nil {
		j.stage("publish")
		err = s.Publish(m)
	}
	if err == nil {
		return taken, s.Discard()
	}
	_, kept := s.Suspend(err.Error())
	return taken, errors.Join(err, kept)
}

// fill stages the parts that are not there yet.
func (j job) fill(s sink.Records) (m *ledger.Manifest, taken int, err error) {
	done := map[int]bool{}
	if journal := s.Taken(); journal != nil {
		for _, p := range journal.Parts {
			done[p.Part] = true
		}
	}
	j.stage("begin")
	if err := s.Begin([]byte("{}")); err != nil {
		return nil, len(done), err
	}
	rows := ledger.Rows{Read: testRows, Scored: testRows}
	m = &ledger.Manifest{Model: ledger.ModelFile{Path: "/models/m.onnx", SHA256: strings.Repeat("0", 64)}, Schema: ledger.Columns(j.columns())}
	for part := range testParts {
		m.Parts = append(m.Parts, rows)
		m.Ledger = m.Ledger.Add(rows)
		if done[part] {
			continue
		}
		j.stage(fmt.Sprintf("part %d", part))
		if err := j.write(s, part); err != nil {
			return nil, len(done), err
		}
	}
	m.Inputs = []ledger.Input{{Path: "/in/date=2026-11-28/a.csv", Bytes: 17, Rows: m.Ledger.Read, Ledger: m.Ledger}}
	return m, len(done), nil
}

func (j job) write(s sink.Records, part int) error {
	if err := s.Enter(part); err != nil {
		return err
	}
	p, err := s.NewPart(part, j.columns())
	if err != nil {
		return err
	}
	batch := j.batch(part)
	defer batch.Release()
	for _, edges := range [][2]int64{{0, 37}, {37, testRows}} {
		j.stage(fmt.Sprintf("row %d of part %d", edges[0], part))
		slice := batch.NewSlice(edges[0], edges[1])
		err := p.Write(slice)
		slice.Release()
		if err != nil {
			return errors.Join(err, p.Abort())
		}
	}
	j.stage(fmt.Sprintf("commit of part %d", part))
	outputs, err := p.Commit(testRows)
	if err != nil {
		return err
	}
	j.stage(fmt.Sprintf("record of part %d", part))
	return s.Record(ledger.PartRecord{Part: part, Outputs: outputs, Rows: ledger.Rows{Read: testRows, Scored: testRows}})
}

// ask gives what a statement gives, as text.
func (j job) ask(t *testing.T, sql string) string {
	t.Helper()
	s, err := j.dialect.OpenToRead(context.Background(), j.path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rows, err := s.Query(context.Background(), sql)
	if err != nil {
		return err.Error()
	}
	return strings.Trim(fmt.Sprint(rows), "[]")
}

// do runs statements.
func (j job) do(t *testing.T, statements ...string) {
	t.Helper()
	s, err := j.dialect.Open(context.Background(), j.path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, sql := range statements {
		if _, err := s.Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
}

// stagedTables counts what is left of staged rows.
func (j job) stagedTables(t *testing.T) string {
	t.Helper()
	if j.dialect.Scheme() == "sqlite" {
		return j.ask(t, "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'scores_millrace_rows%'")
	}
	return j.ask(t, "SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE 'rows_%'")
}

// tables names all tables and schemas.
func (j job) tables(t *testing.T) string {
	t.Helper()
	if j.dialect.Scheme() == "sqlite" {
		return j.ask(t, "SELECT name FROM sqlite_schema ORDER BY name")
	}
	return j.ask(t, "SELECT schema_name, table_name FROM duckdb_schemas() s LEFT JOIN duckdb_tables() USING (database_name, schema_name) WHERE database_name = current_database() AND NOT s.internal ORDER BY ALL")
}
