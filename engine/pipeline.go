package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/format"
)

// pipeline is the stages of one run and the queues between them; see the
// package's essay.
type pipeline struct {
	plan      *Plan
	source    spanSource
	progress  *Progress
	collector *collector
	newScorer func() scorer

	scorers []scorer
	spans   liveSpans
}

// liveSpans are the spans whose record batches may still wait in their queue,
// so that a run that stops early can give them up.
type liveSpans struct {
	sync.Mutex
	reads map[*spanRead]struct{}
}

func (l *liveSpans) add(s *spanRead) {
	l.Lock()
	defer l.Unlock()
	if l.reads == nil {
		l.reads = map[*spanRead]struct{}{}
	}
	l.reads[s] = struct{}{}
}

func (l *liveSpans) done(s *spanRead) {
	l.Lock()
	defer l.Unlock()
	delete(l.reads, s)
}

// drain releases what waits; nobody may send any more.
func (l *liveSpans) drain() {
	for s := range l.reads {
		for {
			select {
			case chunk, ok := <-s.chunks:
				if ok {
					chunk.Release()
					continue
				}
			default:
			}
			break
		}
	}
	l.reads = nil
}

// run carries the plan out, up to the last part's commit. When it returns, no
// goroutine of it runs and nothing it held is held.
func (p *pipeline) run(ctx context.Context) error {
	opts := &p.plan.Options
	// Spans being read or waiting for the cutter: one per reader, so that a
	// reader that is done finds its next span.
	order := make(chan *spanRead, opts.Readers)
	// Spans that wait for a reader; order is what bounds how many are read.
	reads := make(chan *spanRead)
	// Jobs dealt and not yet taken by a worker: one each, so that a worker that
	// is done finds its next.
	jobs := make(chan job, opts.Workers)
	// Results in order that the collector has not taken: bounds how far the
	// fastest worker is ahead of the slowest.
	slots := make(chan slot, p.inFlight())

	defer makeRoom(opts.Workers)()
	caller := ctx
	group, ctx := errgroup.WithContext(caller)
	stage := func(run func() error) { group.Go(func() error { return p.explain(guarded(run)) }) }
	stage(func() error { return feed(ctx, p.plan.Parts, &p.spans, reads, order) })
	for range opts.Readers {
		stage(func() error { return read(ctx, p.source, p.plan.Columns, reads, p.progress) })
	}
	stage(func() error { return cut(ctx, p.plan, p.progress, &p.spans, order, jobs, slots) })
	for range opts.Workers {
		s := p.newScorer()
		p.scorers = append(p.scorers, s)
		stage(func() error { return work(ctx, s, p.plan, p.progress, jobs) })
	}
	stage(func() error { return p.collector.collect(ctx, slots) })
	err := group.Wait()
	p.drain(jobs, slots)
	if caller.Err() != nil && errors.Is(err, context.Canceled) {
		err = context.Cause(caller) // the first stage to stop may know less
	}
	if err != nil {
		return errors.Join(err, p.collector.sink.abort())
	}
	return nil
}

// makeRoom lets as many more goroutines run as there are workers, until the
// function that it gives is called.
//
// A worker is in C most of the time, and keeps its place among Go's GOMAXPROCS
// running goroutines until a monitor, which looks every 20 us at best, takes it
// away. So readers, cutter and collector wait while cores are idle; with a place
// for each worker besides, the operating system shares the cores instead. Of 2
// cores, 1.67 were busy before and 1.83 are (linear model, Arrow; the run took 15%
// less). An explicit GOMAXPROCS is left as it is.
func makeRoom(workers int) (restore func()) {
	if os.Getenv("GOMAXPROCS") != "" {
		return func() {}
	}
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(before + workers)
	return func() { runtime.GOMAXPROCS(before) }
}

// Bounds on results that wait to be written.
const (
	// waitingRows is more than a row group: while the writer compresses one, the
	// workers go on. With a queue of four jobs a worker they waited for it a
	// seventh of a linear model's run.
	waitingRows  = rowGroupRows * 3 / 2
	waitingBytes = 32 << 20
)

// inFlight is how many jobs can be between cut and written. A job of several
// batches counts as one: then they are small.
func (p *pipeline) inFlight() int {
	rows := min(p.plan.waitingRows, waitingBytes/max(p.plan.resultBytes(), 1))
	if p.plan.limit > 0 { // there every job counts as a full one
		return max(2*p.plan.Options.Workers, int(rows)/(p.plan.Options.BatchRows*p.plan.jobBatches()))
	}
	return max(4*p.plan.Options.Workers, int(rows)/p.plan.Options.BatchRows)
}

// drain gives up what the queues still hold after all stages have stopped.
func (p *pipeline) drain(jobs <-chan job, slots <-chan slot) {
	p.spans.drain()
	for j := range jobs {
		j.release()
	}
	take := func(s *slot) {
		if s == nil || s.results == nil {
			return
		}
		select {
		case results := <-s.results:
			releaseResults(results)
		default:
		}
	}
	take(p.collector.waiting)
	for s := range slots {
		take(&s)
	}
}

// guarded turns a stage's panic into an error. A mapped file that is cut under
// the run becomes zeros, and code that trusts what was checked before, such as
// string offsets, can fail on them; explain then finds the cause. Any other
// panic is a fault of ours, which must not leave a half-staged output either.
func guarded(run func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v\n%s", ErrInternal, r, debug.Stack())
		}
	}()
	return run()
}

// explain puts a file's name on an error about a row, and prefers the cause
// over the symptom: a file that was changed under the run often looks damaged.
func (p *pipeline) explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, ErrInterrupted) {
		return err
	}
	if changed := p.plan.Dataset.Changed(); changed != nil {
		if errors.Is(err, ErrInternal) || errors.Is(err, format.ErrChanged) {
			return changed // a stack, or the same again, says nothing more
		}
		return fmt.Errorf("%w (found when: %w)", changed, err)
	}
	if row, ok := errors.AsType[*batcher.RowError](err); ok {
		return fmt.Errorf("%w: %s: %w", ErrBadRows, p.plan.Dataset.Files()[row.Origin.File].Path, row)
	}
	return err
}

// counts sums what the workers' assemblers did.
func (p *pipeline) counts() batcher.Counts {
	var total batcher.Counts
	for _, w := range p.scorers {
		c := w.counts()
		total.Rows += c.Rows
		total.BytesCopied += c.BytesCopied
		total.BytesViewed += c.BytesViewed
		if total.Features == nil {
			total.Features = make([][]batcher.FeatureCount, len(c.Features))
			for i := range c.Features {
				total.Features[i] = make([]batcher.FeatureCount, len(c.Features[i]))
			}
		}
		for i := range c.Features {
			for j, f := range c.Features[i] {
				total.Features[i][j].Nulls += f.Nulls
				total.Features[i][j].Rounded += f.Rounded
			}
		}
	}
	return total
}

// reconcile compares what the dataset announced, what was read and what was
// written.
func (c *collector) reconcile() (ledger.Rows, error) {
	var total ledger.Rows
	for _, part := range c.parts {
		total = total.Add(part)
	}
	problems := []error{total.Check()}
	if announced := c.plan.Dataset.Rows(); total.Read != announced {
		problems = append(problems, fmt.Errorf("%w: the input announces %d rows and %d were read", ledger.ErrAccounts, announced, total.Read))
	}
	if len(c.parts) != len(c.plan.Parts) || len(c.outputs) != len(c.plan.Parts) {
		problems = append(problems, fmt.Errorf("%w: %d parts planned, %d finished and %d committed", ledger.ErrAccounts, len(c.plan.Parts), len(c.parts), len(c.outputs)))
	}
	return total, errors.Join(problems...)
}
