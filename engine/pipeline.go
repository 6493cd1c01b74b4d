package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/format"
)

// pipeline is one run's way from spans to committed parts; see the package's
// essay.
type pipeline struct {
	plan      *Plan
	source    spanSource
	progress  *Progress
	collector *collector
	newScorer func() scorer
	devices   *devices // nil on the CPU
	witness   *witness // that is found among the rows of a stream; nil in tests

	scorers []scorer
}

// run carries the plan out, up to the last part's commit. When it returns, no
// goroutine of it runs and nothing it held is held.
func (p *pipeline) run(ctx context.Context) (err error) {
	defer makeRoom(p.plan.Options.Workers)()
	caller := ctx
	group, ctx := errgroup.WithContext(caller)
	crew := newCrew(p)
	defer p.plan.stopping.at(crew)()
	defer context.AfterFunc(ctx, func() {
		crew.stop()
		p.collector.interrupt(context.Cause(ctx))
	})()
	for range p.plan.Options.Workers {
		s := p.newScorer()
		p.scorers = append(p.scorers, s)
		group.Go(func() error {
			return p.explain(guarded(func() error { return crew.work(ctx, s) }))
		})
	}
	err = group.Wait()
	crew.release()
	for _, s := range p.scorers {
		err = errors.Join(err, s.close())
	}
	if err == nil {
		err = p.collector.settle()
	}
	if err == nil && slices.Contains(p.collector.done, false) {
		err = p.plan.stopping.cause() // what was begun is finished
	}
	if caller.Err() != nil && errors.Is(err, context.Canceled) {
		err = context.Cause(caller) // the first worker to stop may know less
	}
	if err != nil {
		return errors.Join(err, p.collector.abort(err))
	}
	return nil
}

// makeRoom lets as many more goroutines run as there are workers, until the
// function that it gives is called.
//
// A worker is in C most of the time, and keeps its place among Go's GOMAXPROCS
// running goroutines until a monitor, which looks every 20 us at best, takes it
// away. So whatever else must run, the other workers among it when they come back
// from C, waits while cores are idle; with a place for each worker besides, the
// operating system shares the cores instead (docs/decisions/013). An explicit
// GOMAXPROCS is left as it is.
func makeRoom(workers int) (restore func()) {
	if os.Getenv("GOMAXPROCS") != "" {
		return func() {}
	}
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(before + workers)
	return func() { runtime.GOMAXPROCS(before) }
}

// waitingBytes bounds the results that wait to be written.
const waitingBytes = 32 << 20

// waitingRows is how many rows may be scored and not yet written: as many as are
// allowed and find room, but two batches of each worker in any case. resultBytes
// is the size of a row of the output.
func waitingRows(allowed, resultBytes int64, workers, batchRows int) int64 {
	most := int64(waitingBytes)
	if resultBytes >= wideRowBytes { // whose writer has pages of all columns, and pauses for fewer rows
		most /= 2
	}
	return max(min(allowed, most/max(resultBytes, 1)), 2*int64(workers)*int64(batchRows))
}

// waitingRows is the run's.
func (p *pipeline) waitingRows() int64 {
	o := &p.plan.Options
	return waitingRows(p.plan.waitingRows, p.plan.resultBytes(), o.Workers, o.BatchRows)
}

// guarded turns a worker's panic into an error. A mapped file that is cut under
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
		return fmt.Errorf("%w: %s: %w, or let such rows go by --on-bad-row reject", ErrBadRows, p.plan.Dataset.Files()[row.Origin.File].Path, row)
	}
	return err
}

// counts sums what the workers' assemblers did, but for what they met in features,
// which goes with the results.
func (p *pipeline) counts() batcher.Counts {
	var total batcher.Counts
	for _, w := range p.scorers {
		c := w.counts()
		total.Rows += c.Rows
		total.BytesCopied += c.BytesCopied
		total.BytesViewed += c.BytesViewed
	}
	return total
}

// reconcile compares what the dataset announced, what was read and what was
// written.
func (c *collector) reconcile() (ledger.Rows, error) {
	total := ledger.Sum(c.parts)
	problems := []error{total.Check(), c.reconcileSpans(), c.plan.checkBadRows(total.Rejected)}
	if announced := c.plan.Dataset.Rows(); total.Read != announced {
		problems = append(problems, fmt.Errorf("%w: the input announces %d rows and %d were read", ledger.ErrAccounts, announced, total.Read))
	}
	finished := 0
	for _, done := range c.done {
		if done {
			finished++
		}
	}
	if committed := int(c.progress.PartsDone.Load()); finished != len(c.plan.Parts) || committed != len(c.plan.Parts) {
		problems = append(problems, fmt.Errorf("%w: %d parts planned, %d finished and %d committed", ledger.ErrAccounts, len(c.plan.Parts), finished, committed))
	}
	return total, errors.Join(problems...)
}
