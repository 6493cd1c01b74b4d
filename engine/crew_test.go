package engine

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/dataset"
)

// tableSource gives spans of ids in record batches of chunk rows, as a reader of
// a compressed file does, and counts what it is asked for at a time.
type tableSource struct {
	chunk   int64
	first   map[dataset.SpanRef]int64 // id of its first row
	failAt  int64                     // the id whose record batch cannot be read, if err says why
	err     error
	reading atomic.Int64
	most    atomic.Int64
}

func (s *tableSource) ReadSpan(ctx context.Context, ref dataset.SpanRef, _ []string, yield func(arrow.RecordBatch) error) error {
	now := s.reading.Add(1)
	defer s.reading.Add(-1)
	for {
		if most := s.most.Load(); now <= most || s.most.CompareAndSwap(most, now) {
			break
		}
	}
	for at := int64(0); at < ref.Rows; at += s.chunk {
		if err := ctx.Err(); err != nil {
			return err
		}
		from, n := s.first[ref]+at, min(s.chunk, ref.Rows-at)
		if s.err != nil && s.failAt >= from && s.failAt < from+n {
			return s.err
		}
		r := ids(from, n)
		err := yield(r)
		r.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// recorder is a scorer that notes which rows came together.
type recorder struct {
	doubler

	mu      *sync.Mutex
	batches map[int64]int64 // rows by first id
}

func (r *recorder) score(_ context.Context, batch *batcher.Batch) (*result, error) {
	first := firstID(batch)
	r.mu.Lock()
	r.batches[first] = int64(batch.Rows)
	r.mu.Unlock()
	return r.double(batch), nil
}

func firstID(b *batcher.Batch) int64 {
	s := b.Segments[0]
	return s.Record.Column(0).(*array.Int64).Value(s.From)
}

// serialEdges are the batches that one goroutine cuts from the parts, by first
// id: what any number of workers must score.
func serialEdges(parts []dataset.Part, rows int, join batcher.Joining) map[int64]int64 {
	edges := map[int64]int64{}
	var id int64
	cutter := batcher.NewCutter(rows, join, func(b *batcher.Batch) error {
		edges[firstID(b)] = int64(b.Rows)
		b.Release()
		return nil
	})
	for _, p := range parts {
		for _, s := range p.Spans {
			_ = cutter.StartSpan(s.Rows) // emit has no errors
			r := ids(id, s.Rows)
			_ = cutter.Add(batcher.Whole(r, batcher.Origin{}))
			r.Release()
			id += s.Rows
		}
		_ = cutter.Flush()
	}
	return edges
}

// Whatever the spans, the batch size, the workers and the room there is to wait:
// batches are those that one goroutine would cut, results come in order, and the
// run ends.
func TestPropertyCrew(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		spans := rapid.SliceOfN(rapid.SampledFrom([]int64{0, 1, 2, 5, 63, 64, 65, 128, 300}), 0, 30).Draw(rt, "spans")
		path := filepath.Join(dir, "spans.arrow")
		total := writeIDs(t, path, 0, spans...)              // for the dataset's accounts: source gives its rows
		workers := rapid.IntRange(1, 10).Draw(rt, "workers") // up to four parts are written at a time
		l := newLine(t, []string{path}, workers, nil)
		parts := l.plan.Dataset.Parts(rapid.Int64Range(1, 1000).Draw(rt, "part rows"))
		source := &tableSource{chunk: rapid.Int64Range(1, 100).Draw(rt, "chunk rows"), first: map[dataset.SpanRef]int64{}}
		for _, p := range parts {
			for _, ref := range p.Spans {
				source.first[ref] = ref.FirstRow
			}
		}
		join := rapid.SampledFrom([]batcher.Joining{batcher.JoinShortSpans, batcher.JoinSpans}).Draw(rt, "joining")
		l.plan.Parts, l.plan.joining, l.source = parts, join, source
		l.collector = l.plan.newCollector(sink.LocalStaging(l.staging), l.progress)
		l.plan.Options.BatchRows = rapid.SampledFrom([]int{1, 7, 64, 200}).Draw(rt, "batch rows")
		l.plan.Options.Readers = rapid.IntRange(1, 3).Draw(rt, "readers")
		l.plan.waitingRows = rapid.SampledFrom([]int64{1, 100, 1 << 20}).Draw(rt, "waiting rows")
		var mu sync.Mutex
		got := map[int64]int64{}
		l.newScorer = func() scorer { return &recorder{mu: &mu, batches: got} }

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := l.run(ctx); err != nil {
			rt.Fatal(err)
		}
		want := serialEdges(parts, l.plan.Options.BatchRows, join)
		if len(got) != len(want) {
			rt.Fatalf("%d batches; want %d", len(got), len(want))
		}
		for id, n := range want {
			if got[id] != n {
				rt.Fatalf("batch from row %d has %d rows; want %d", id, got[id], n)
			}
		}
		if len(l.collector.parts) != len(parts) {
			rt.Fatalf("%d parts are finished; want %d", len(l.collector.parts), len(parts))
		}
		for i, p := range l.collector.parts {
			if p.Read != parts[i].Rows {
				rt.Errorf("part %d has %d rows read; want %d", i, p.Read, parts[i].Rows)
			}
		}
		if most := int(source.most.Load()); most > l.plan.Options.Readers+1 {
			rt.Errorf("%d spans were open at a time; want %d, or one more", most, l.plan.Options.Readers)
		}
		out, doubles := l.rows(t)
		if !slices.IsSorted(out) || len(out) != len(doubles) || int64(len(out)) != total-(total+2)/10 {
			rt.Errorf("%d rows of %d came out, in order: %t", len(out), total, slices.IsSorted(out))
		}
		if rejected := l.rejected(t); !slices.IsSorted(rejected) || len(rejected)+len(out) != int(total) {
			rt.Errorf("%d rows of %d were rejected and %d not; in order: %t", len(rejected), total, len(out), slices.IsSorted(rejected))
		}
	})
}

// A span that fails somewhere, or a limit of bad rows that is passed, while other workers
// are anywhere: the run ends with that error and no other, and of the parts that are
// finished each has all its rows.
func TestPropertyCrewFails(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	unread := errors.New("this cannot be read")
	rapid.Check(t, func(rt *rapid.T) {
		spans := rapid.SliceOfN(rapid.SampledFrom([]int64{5, 63, 64, 65, 300, 700}), 1, 20).Draw(rt, "spans")
		path := filepath.Join(dir, "spans.arrow")
		total := writeIDs(t, path, 0, spans...)
		l := newLine(t, []string{path}, rapid.IntRange(2, 8).Draw(rt, "workers"), nil)
		parts := l.plan.Dataset.Parts(rapid.Int64Range(100, 2000).Draw(rt, "part rows"))
		source := &tableSource{chunk: rapid.Int64Range(1, 60).Draw(rt, "chunk rows"), first: map[dataset.SpanRef]int64{}}
		for _, p := range parts {
			for _, ref := range p.Spans {
				source.first[ref] = ref.FirstRow
			}
		}
		l.plan.Parts, l.source = parts, source
		l.plan.Options.BatchRows = rapid.SampledFrom([]int{7, 16, 64}).Draw(rt, "batch rows")
		l.plan.Options.Readers = rapid.IntRange(1, 3).Draw(rt, "readers")
		at, want := rapid.Int64Range(0, total-1).Draw(rt, "at"), unread
		if rapid.Bool().Draw(rt, "bad rows") && at >= 10 {
			want, l.plan.Options.MaxRejects = ErrBadRows, at/10-1
		} else {
			source.failAt, source.err = at, unread
		}
		l.collector = l.plan.newCollector(sink.LocalStaging(l.staging), l.progress)
		l.newScorer = func() scorer { return &recorder{mu: &sync.Mutex{}, batches: map[int64]int64{}} }
		if err := l.run(t.Context()); !errors.Is(err, want) || errors.Is(err, ledger.ErrAccounts) {
			rt.Fatalf("run() = %v; want %v", err, want)
		}
		for i, done := range l.collector.done {
			if got := l.collector.parts[i].Read; done && got != parts[i].Rows {
				rt.Errorf("part %d is finished with %d rows read; want %d", i, got, parts[i].Rows)
			}
		}
	})
}

// What waits to be written is bounded, however slow the writer: a span is not
// read to its end while its first batch is not yet scored.
func TestCrewWaits(t *testing.T) {
	defer goleak.VerifyNone(t)
	const spanRows, batchRows = 1 << 12, 64
	path := filepath.Join(t.TempDir(), "spans.arrow")
	writeIDs(t, path, 0, spanRows, spanRows, spanRows, spanRows)
	l := newLine(t, []string{path}, 3, nil)
	source := &tableSource{chunk: batchRows, first: map[dataset.SpanRef]int64{}}
	l.plan.Parts, l.source = l.plan.Dataset.Parts(1<<40), source
	for _, ref := range l.plan.Parts[0].Spans {
		source.first[ref] = ref.FirstRow
	}
	l.plan.waitingRows = 4 * batchRows // two batches of each worker are allowed anyway: 384
	var held atomic.Int64
	gate := make(chan struct{})
	l.newScorer = func() scorer { return &gated{gate: gate, held: &held} }
	go func() {
		defer close(gate)
		time.Sleep(50 * time.Millisecond) // others run as far ahead as they may
		if n, most := l.progress.RowsRead.Load(), int64(384+3*batchRows); n > most {
			t.Errorf("%d rows were read while the first batch was scored; want %d at most", n, most)
		}
	}()
	if err := l.run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A worker that is held up while it cuts the first rows does not let the others read on:
// they would read all of the span, however little may wait.
func TestCrewWaitsForCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "span.arrow")
	writeIDs(t, path, 0, 1<<12)
	l := newLine(t, []string{path}, 2, nil)
	source := &tableSource{chunk: 64, first: map[dataset.SpanRef]int64{}}
	l.plan.Parts, l.source = l.plan.Dataset.Parts(1<<40), source
	c := newCrew(l.pipeline)
	defer c.release()
	c.mu.Lock()
	defer c.mu.Unlock()
	read, ok := c.next(t.Context(), &hand{})
	if !ok || read.span == nil {
		t.Fatalf("next() = %+v, %v; want a span to read", read, ok)
	}
	read.span.busy, c.mu.held = false, c.most
	for _, cutting := range []bool{true, false} {
		read.lane.cutting = cutting
		if task, ok := c.next(t.Context(), &hand{}); ok == cutting {
			t.Errorf("next() while cutting is %v: %+v, %v", cutting, task, ok)
		}
	}
}

// gated is a scorer whose first batch of the input waits.
type gated struct {
	doubler

	gate <-chan struct{}
	held *atomic.Int64
}

func (g *gated) score(ctx context.Context, batch *batcher.Batch) (*result, error) {
	if batch.Segments[0].Origin.Row == 0 {
		select {
		case <-g.gate:
		case <-ctx.Done():
			return nil, errors.New("the gate never opened")
		}
	}
	return g.double(batch), nil
}
