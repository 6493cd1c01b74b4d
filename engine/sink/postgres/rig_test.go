package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/postgres/pgtest"
)

// job is a run in small: parts of rows with the ids 0, 1, 2 ... and a score that is a
// function of them, which go the engine's way.
type job struct {
	uri      string
	parts    int
	rows     int // of a part
	ifExists ledger.IfExists
	name     string // another job has another
	restart  bool
	from     int // the first id
	before   func(stage string)
	made     []arrow.RecordBatch // by part, where they are there already
	nulls    bool                // the score is of no type, and null
	late     bool                // which columns there are beside the ids is known with the first part
}

const (
	testParts = 3
	testRows  = 400
)

func newJob(uri string) job { return job{uri: uri, parts: testParts, rows: testRows, name: "a"} }

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
	if j.made != nil {
		j.made[part].Retain()
		return j.made[part]
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, j.columns())
	defer b.Release()
	for i := range j.rows {
		id := j.from + part*j.rows + i
		b.Field(0).(*array.Int64Builder).Append(int64(id))
		if j.nulls {
			b.Field(1).AppendNull()
			continue
		}
		b.Field(1).(*array.Float64Builder).Append(float64(id) / 8)
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
	fields := j.columns().Fields()
	if j.late {
		fields = fields[:1]
	}
	return sink.Options{
		StageOptions: ledger.StageOptions{
			Output: j.uri, IfExists: mode, RunID: ledger.NewRunID(time.Now()), Restart: j.restart,
			Job: &ledger.Job{Facts: []ledger.Fact{{Name: "job", Value: j.name}}},
		},
		Parts: j.parts, IDs: []string{"id"}, Fields: fields, AllFields: !j.late,
	}
}

// run goes the engine's way once. It says how many parts it took over.
func (j job) run(ctx context.Context) (taken int, err error) {
	j.stage("connect")
	staging, err := Destination{}.Stage(ctx, j.options())
	if _, ok := errors.AsType[*ledger.PublishedError](err); ok {
		return j.parts, nil
	}
	if err != nil {
		return 0, err
	}
	s := staging.(sink.Records)
	manifest, taken, err := j.fill(s)
	if err == nil {
		j.stage("publish")
		err = s.Publish(manifest)
	}
	if err == nil {
		j.stage("discard")
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
	for part := range j.parts {
		if done[part] {
			continue
		}
		j.stage(fmt.Sprintf("part %d", part))
		if err := j.write(s, part); err != nil {
			return nil, len(done), err
		}
	}
	rows := ledger.Rows{Read: int64(j.rows), Scored: int64(j.rows)}
	m = &ledger.Manifest{Model: ledger.ModelFile{Path: "/models/m.onnx", SHA256: strings.Repeat("0", 64)}, Schema: ledger.Columns(j.columns())}
	for range j.parts {
		m.Parts = append(m.Parts, rows)
		m.Ledger = m.Ledger.Add(rows)
	}
	m.Inputs = []ledger.Input{{Path: "/in", Rows: m.Ledger.Read, Ledger: m.Ledger}}
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
	half := batch.NewSlice(0, int64(j.rows/2))
	defer half.Release()
	rest := batch.NewSlice(int64(j.rows/2), int64(j.rows))
	defer rest.Release()
	if err := p.Write(half); err != nil {
		return errors.Join(err, p.Abort())
	}
	j.stage(fmt.Sprintf("middle of part %d", part))
	if err := p.Write(rest); err != nil {
		return errors.Join(err, p.Abort())
	}
	outputs, err := p.Commit(int64(j.rows))
	if err != nil {
		return err
	}
	j.stage(fmt.Sprintf("record of part %d", part))
	return s.Record(ledger.PartRecord{Part: part, Outputs: outputs, Rows: ledger.Rows{Read: int64(j.rows), Scored: int64(j.rows)}})
}

// check asks the server, by psql, whether a table has the job's rows once, and that nothing
// is staged.
func (j job) check(t *testing.T, s *pgtest.Server, table string) {
	t.Helper()
	n := j.parts * j.rows
	sum := 0
	for i := range n {
		sum += j.from + i
	}
	want := fmt.Sprintf("%d|%d|%d|%d", n, n, sum, sum)
	if got := s.Must(t, "SELECT count(*), count(DISTINCT id), sum(id), (sum(score) * 8)::bigint FROM "+table); got != want {
		t.Errorf("%s has %s; want %s", table, got, want)
	}
	if got := s.Must(t, "SELECT count(*) FROM "+table+"_millrace.run WHERE state = 'staged'"); got != "0" {
		t.Errorf("%s runs are staged still", got)
	}
	if got := s.Must(t, "SELECT count(*) FROM "+table+"_millrace.journal"); got != "0" {
		t.Errorf("%s lines of journals are left", got)
	}
}

// untilDone runs the job again and again, as a scheduler does, and says how often that took.
func (j job) untilDone(t *testing.T) (tries int) {
	t.Helper()
	for tries = 1; ; tries++ {
		_, err := j.run(t.Context())
		if err == nil {
			return tries
		}
		if !errors.Is(err, ledger.ErrOutput) && !errors.Is(err, ledger.ErrHeld) {
			t.Fatalf("try %d: %v: neither the output's fault nor held", tries, err)
		}
		if tries == 5 {
			t.Fatalf("try %d: %v", tries, err)
		}
	}
}
