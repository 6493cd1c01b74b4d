package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"go.uber.org/goleak"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/mapped"
)

// ids is a record batch of int64 ids from..from+n-1.
func ids(from, n int64) arrow.RecordBatch {
	b := array.NewInt64Builder(memory.DefaultAllocator)
	defer b.Release()
	for i := range n {
		b.Append(from + i)
	}
	a := b.NewArray()
	defer a.Release()
	schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}}, nil)
	return array.NewRecordBatch(schema, []arrow.Array{a}, n)
}

// writeIDs writes one Arrow file whose spans have the given rows.
func writeIDs(t *testing.T, path string, from int64, spans ...int64) int64 {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	first := ids(0, 0)
	defer first.Release()
	w, err := arrowfile.NewWriter(f, first.Schema(), format.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range spans {
		r := ids(from, n)
		from += n
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
		r.Release()
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return from
}

// doubler is a scorer whose prediction is twice the id. It is slow at random,
// so that results become ready out of order; fail, when it is not nil, says
// which batch goes wrong.
type doubler struct {
	seed   uint64
	fail   func(batch int64) error
	number *atomic.Int64
	total  batcher.Counts
}

func (d *doubler) counts() *batcher.Counts { return &d.total }
func (d *doubler) close() error            { return nil }

func (d *doubler) score(ctx context.Context, batch *batcher.Batch) (*result, error) {
	n := d.number.Add(1) - 1
	if d.fail != nil {
		if err := d.fail(n); err != nil {
			return nil, err
		}
	}
	select {
	case <-time.After(time.Duration(rand.New(rand.NewPCG(d.seed, uint64(n))).IntN(2000)) * time.Microsecond):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return d.double(batch), nil
}

func (d *doubler) double(batch *batcher.Batch) *result {
	b := array.NewInt64Builder(memory.DefaultAllocator)
	defer b.Release()
	res := &result{batch: batch}
	row := 0
	for _, s := range batch.Segments {
		for _, id := range s.Record.Column(0).(*array.Int64).Int64Values()[s.From : s.From+s.Rows] {
			b.Append(2 * id)
			if id%10 == 7 {
				res.rejects = append(res.rejects, reject{Reject: batcher.Reject{Row: row, Column: "id", Reason: "ends in 7"}, stage: stageAssemble})
			}
			row++
		}
	}
	res.predictions = []arrow.Array{b.NewArray()}
	res.fields = []arrow.Field{{Name: "double", Type: arrow.PrimitiveTypes.Int64}}
	return res
}

// line is a pipeline over files of ids with doublers for scorers.
type line struct {
	*pipeline
	staging *ledger.Staging
	output  string
}

func newLine(t *testing.T, files []string, workers int, fail func(int64) error) *line {
	t.Helper()
	data, err := dataset.Open(t.Context(), files, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := data.Close(); err != nil {
			t.Error(err)
		}
	})
	plan := &Plan{
		Options: Options{BatchRows: 64, Workers: workers, Readers: 2, Format: format.ArrowFile, IDs: []string{"id"}, MaxRejects: -1},
		Dataset: data, Parts: data.Parts(500), Columns: []string{"id"},
		Passed: []arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}}, PassedAt: []int{0}, passedSchema: arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}}, nil),
		Binding: &batcher.Plan{Columns: []string{"id"}}, waitingRows: rowGroupRows, stopping: &stopping{},
	}
	output := filepath.Join(t.TempDir(), "out")
	staging, err := ledger.Stage(ledger.StageOptions{Output: output, RunID: ledger.NewRunID(time.Now()), Ext: ".arrow"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := staging.Discard(); err != nil {
			t.Error(err)
		}
	})
	progress := plan.NewProgress()
	plan.ids = 1
	number := new(atomic.Int64)
	p := &pipeline{plan: plan, source: data, progress: progress, collector: plan.newCollector(sink.LocalStaging(staging), progress)}
	p.newScorer = func() scorer { return &doubler{seed: uint64(workers), fail: fail, number: number} }
	return &line{pipeline: p, staging: staging, output: output}
}

// rows reads the committed parts back, in order.
func (l *line) rows(t *testing.T) (idRows, doubles []int64) {
	t.Helper()
	if _, err := l.collector.mergeRejects(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := &ledger.Manifest{Outputs: l.collector.flatOutputs(), Parts: l.collector.parts}
	m.Ledger = ledger.Sum(m.Parts)
	for i, f := range l.plan.Dataset.Files() {
		spans := l.collector.index.ofFile(i, l.collector.spans)
		m.Inputs = append(m.Inputs, ledger.Input{Path: f.Path, Rows: f.Rows, Ledger: ledger.Sum(spans), Spans: spans})
	}
	if err := l.staging.Publish(m); err != nil {
		t.Fatal(err)
	}
	paths, err := dataset.Resolve([]string{l.output})
	if err != nil {
		t.Fatal(err)
	}
	data, err := dataset.Open(t.Context(), paths, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = data.Close() }()
	for _, part := range data.Parts(1 << 40) {
		for _, span := range part.Spans {
			err := data.ReadSpan(t.Context(), span, []string{"id", "double"}, func(b arrow.RecordBatch) error {
				idRows = append(idRows, b.Column(0).(*array.Int64).Int64Values()...)
				doubles = append(doubles, b.Column(1).(*array.Int64).Int64Values()...)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return idRows, doubles
}

// rejected reads the ids of the published rejects, in order.
func (l *line) rejected(t *testing.T) (ids []int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(l.output, "_millrace", "*", "rejects.parquet"))
	if err != nil || len(files) > 1 {
		t.Fatalf("files of rejects: %v, %v", files, err)
	}
	if len(files) == 0 {
		return nil
	}
	data, err := dataset.Open(t.Context(), files, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = data.Close() }()
	for _, part := range data.Parts(1 << 40) {
		for _, span := range part.Spans {
			err := data.ReadSpan(t.Context(), span, []string{"id"}, func(b arrow.RecordBatch) error {
				ids = append(ids, b.Column(0).(*array.Int64).Int64Values()...)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return ids
}

func testFiles(t *testing.T) (files []string, rows int64) {
	t.Helper()
	dir := t.TempDir()
	for i, spans := range [][]int64{{100, 64, 1, 63, 700}, {0, 5, 5, 5, 5}, {1000}, {}} {
		path := filepath.Join(dir, fmt.Sprintf("%d.arrow", i))
		rows = writeIDs(t, path, rows, spans...)
		files = append(files, path)
	}
	return files, rows
}

// Rows come out in input order, each once, whatever the workers' number and
// however their results overtake each other; rejected rows are left out.
func TestPipelineKeepsOrder(t *testing.T) {
	defer goleak.VerifyNone(t)
	files, rows := testFiles(t)
	for _, workers := range []int{1, 2, 5, 12} {
		l := newLine(t, files, workers, nil)
		if err := l.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, doubles := l.rows(t)
		var want []int64
		for id := range rows {
			if id%10 != 7 {
				want = append(want, id)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d workers: %d rows out; want %d", workers, len(got), len(want))
		}
		for i := range want {
			if got[i] != want[i] || doubles[i] != 2*want[i] {
				t.Fatalf("%d workers: row %d is id %d, double %d; want %d, %d", workers, i, got[i], doubles[i], want[i], 2*want[i])
			}
		}
		if total, err := l.collector.reconcile(); err != nil || total.Read != rows || total.Rejected != rows-int64(len(want)) {
			t.Errorf("%d workers: accounts %+v, %v; want %d read", workers, total, err, rows)
		}
	}
}

// A batch that fails, whichever it is, ends the run with its error, and nothing
// is held afterwards: no goroutine, no mapping.
func TestPipelineFailsWhole(t *testing.T) {
	defer goleak.VerifyNone(t)
	files, _ := testFiles(t)
	wrong := errors.New("this batch is wrong")
	for k := int64(0); ; k++ {
		if k > 100 {
			t.Fatal("the run never got past its failing batch")
		}
		before := len(mapped.Live())
		l := newLine(t, files, 3, func(batch int64) error {
			if batch == k {
				return wrong
			}
			return nil
		})
		err := l.run(t.Context())
		if closed := l.plan.Dataset.Close(); closed != nil {
			t.Fatal(closed)
		}
		if live := len(mapped.Live()); live != before {
			t.Fatalf("batch %d failed: %d mappings are left; want %d", k, live, before)
		}
		if _, statErr := os.Stat(l.output); !errors.Is(statErr, os.ErrNotExist) {
			t.Fatalf("batch %d failed: output exists", k)
		}
		if err == nil {
			if k < 30 {
				t.Fatalf("only %d batches", k)
			}
			return
		}
		if !errors.Is(err, wrong) {
			t.Fatalf("batch %d failed: run() = %v; want %v", k, err, wrong)
		}
	}
}

// Canceling at any time ends the run with the cause, soon, and nothing held.
func TestPipelineStops(t *testing.T) {
	defer goleak.VerifyNone(t)
	files, _ := testFiles(t)
	for k := range int64(20) {
		before := len(mapped.Live())
		ctx, cancel := context.WithCancelCause(t.Context())
		l := newLine(t, files, 2, func(batch int64) error {
			if batch == k {
				cancel(ErrInterrupted)
			}
			return nil
		})
		err := l.run(ctx)
		cancel(nil)
		if !errors.Is(err, ErrInterrupted) {
			t.Fatalf("canceled in batch %d: run() = %v; want %v", k, err, ErrInterrupted)
		}
		if err := l.plan.Dataset.Close(); err != nil {
			t.Fatal(err)
		}
		if live := len(mapped.Live()); live != before {
			t.Fatalf("canceled in batch %d: %d mappings are left; want %d", k, live, before)
		}
	}
}
