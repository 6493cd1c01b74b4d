package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/ledger"
)

// crew is the workers of one run and what there is for them to do.
//
// Every worker does all that a batch needs, whichever is nearest to the output
// first:
//
//	until nothing is left:
//		write, if the next results in order are there and nobody is writing
//		else score batches that are cut: of the lane that the worker read last,
//			or else of the first lane that has some
//		else read a record batch and cut it: of the same lane, or else of the
//			first lane that nobody is reading, opened if need be
//		else wait
//
// So a batch is scored where its columns were just decoded, while they are in
// that core's cache, nothing is handed over from thread to thread, and as long
// as there is something to read nobody waits. It is what stages with queues
// between them cost that this saves: on two cores a linear model's run took a
// quarter more processor time than its stages alone when each batch went
// through five goroutines (docs/decisions/013).
//
// A part is written by one worker at a time, and where there are many workers,
// several parts are: one writer would be what they all wait for. What is scored
// meanwhile waits in its lane. That is bounded: see scoreOf and mayRead. The first
// lane's first batch is exempt from both bounds, so that the run always goes on.
type crew struct {
	pipeline *pipeline
	readers  int   // spans that may be open at a time
	most     int64 // rows that may wait to be written
	started  time.Time

	mu struct {
		sync.Mutex

		rest    lanes   // not opened
		lanes   []*lane // open, in order
		reading int     // spans open
		held    int64   // rows read and not written
		scored  int64   // rows given to a worker, and not written
		idle    int     // workers that wait
	}
	changed sync.Cond // something may be there for one who waits
}

func newCrew(p *pipeline) *crew {
	opts := &p.plan.Options
	c := &crew{pipeline: p, readers: opts.Readers, most: p.waitingRows(), started: time.Now()}
	c.changed.L = &c.mu
	c.mu.rest = lanes{
		rest: unfinished(p.plan.Parts, p.collector.unscored()), atATime: p.plan.writers(), batchRows: int64(opts.BatchRows), joining: p.plan.joining,
		begin: p.collector.begin,
	}
	return c
}

// hand is one worker's place in the crew.
type hand struct {
	scorer scorer
	home   *lane  // that it read last
	rest   func() // gives back its token of Plan.cores; nil while it has none
}

// busy takes a token, unless the worker has one or goroutines that decode
// columns have all of them.
func (h *hand) busy(p *Plan) {
	if h.rest == nil {
		h.rest = p.atWork()
	}
}

// idle gives the token back.
func (h *hand) idle() {
	if h.rest != nil {
		h.rest()
		h.rest = nil
	}
}

// work does tasks until there are none, one fails or ctx ends.
func (c *crew) work(ctx context.Context, s scorer) error {
	h := &hand{scorer: s}
	defer h.idle()
	for {
		h.busy(c.pipeline.plan)
		c.mu.Lock()
		t, ok := c.await(ctx, h)
		c.mu.Unlock()
		if !ok {
			return context.Cause(ctx)
		}
		if err := c.do(ctx, h, &t); err != nil {
			return err
		}
	}
}

// stop wakes all who wait, to find that ctx has ended.
func (c *crew) stop() {
	c.mu.Lock() // so that none is between its look at ctx and its wait
	defer c.mu.Unlock()
	c.changed.Broadcast()
}

// drain lets no further part begin, and says whether those that are open will be
// written within a time, at the speed that the run has had so far.
func (c *crew) drain(within time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.rest.rest = nil
	c.changed.Broadcast()
	var left int64
	for _, p := range c.mu.rest.open {
		left += p.left
	}
	p := c.pipeline.progress
	written := p.RowsWritten.Load() + p.RowsRejected.Load() + p.RowsFiltered.Load() - p.RowsTaken.Load()
	return float64(left)*time.Since(c.started).Seconds() <= float64(written)*within.Seconds()
}

func (c *crew) do(ctx context.Context, h *hand, t *task) error {
	switch {
	case t.write:
		return c.write(t)
	case t.span != nil:
		return c.read(h, t)
	default:
		return c.score(ctx, h, t)
	}
}

// await finds the next task, and waits where there is none; ok is false when
// the run is over. The lock is held.
func (c *crew) await(ctx context.Context, h *hand) (t task, ok bool) {
	for {
		if ctx.Err() != nil {
			return task{}, false
		}
		if t, ok := c.next(ctx, h); ok {
			return t, true
		}
		if len(c.mu.lanes) == 0 && c.mu.rest.done() {
			c.changed.Broadcast() // the others are done too
			return task{}, false
		}
		h.idle() // and another may decode meanwhile
		c.mu.idle++
		c.changed.Wait()
		c.mu.idle--
	}
}

// wake lets those who wait look again. The lock is held.
func (c *crew) wake() {
	if c.mu.idle > 0 {
		c.changed.Broadcast()
	}
}

// read reads on in a span, and cuts what can be cut of its lane.
func (c *crew) read(h *hand, t *task) error {
	stop := stopwatch(&c.pipeline.progress.read)
	got, err := t.span.pull()
	stop()
	c.pipeline.progress.RowsRead.Add(got.read)
	c.pipeline.progress.RowsFiltered.Add(got.filtered)
	c.mu.Lock()
	defer c.mu.Unlock()
	s := t.span
	if err != nil {
		return err // it stays busy: whoever cuts the lane must not take it for read to its end
	}
	s.busy, s.ended = false, got.ended
	s.chunks = append(s.chunks, got.chunks...)
	c.mu.held += rowsOf(got.chunks)
	t.lane.part.left -= got.filtered
	if got.filtered > 0 {
		t.lane.filtered[s.ref] += got.filtered
	}
	if got.ended {
		c.mu.reading--
	}
	h.home = t.lane
	return c.cut(t.lane)
}

// cut makes batches of what is read of a lane, in order, unless another worker
// does. The lock is held, but not while it cuts.
func (c *crew) cut(l *lane) error {
	if l.cutting {
		return nil // who cuts will look again
	}
	l.cutting = true
	defer func() {
		l.cutting = false
		c.wake()
	}()
	for len(l.open) > 0 {
		s := l.open[0]
		chunks, ended := s.chunks, s.ended
		s.chunks = nil
		if len(chunks) == 0 && !ended {
			return nil
		}
		end := ended && len(l.open) == 1 && len(l.spans) == 0
		c.mu.Unlock()
		err := guarded(func() error { return l.cutSpan(s, chunks, end) })
		c.mu.Lock()
		l.slots, l.fresh = append(l.slots, l.fresh...), l.fresh[:0]
		if err != nil {
			return err
		}
		if ended {
			l.open = l.open[1:]
			l.cut = end
		}
		c.wake()
	}
	return nil
}

// cutSpan cuts record batches of a span, which it takes over; end says that they
// are the lane's last.
func (l *lane) cutSpan(s *openSpan, chunks []chunk, end bool) error {
	defer releaseChunks(chunks)
	if !s.begun {
		s.begun = true
		if err := l.cutter.StartSpan(s.ref.Rows); err != nil {
			return err
		}
	}
	for i := range chunks {
		if err := l.cutter.Add(chunks[i].segment()); err != nil {
			return err
		}
	}
	if end {
		return l.cutter.Flush()
	}
	return nil
}

// score scores the batches of a task.
func (c *crew) score(ctx context.Context, h *hand, t *task) error {
	p := c.pipeline.plan
	for _, s := range t.slots {
		res, err := h.scorer.score(ctx, s.batch)
		if err != nil {
			return err
		}
		if err := c.pipeline.collector.form.take(res); err != nil {
			res.release()
			return err
		}
		narrow(res.batch, p.PassedAt, p.passedSchema)
		c.mu.Lock()
		s.batch, s.result = nil, res
		if c.leads(t.lane) {
			c.wake()
		}
		c.mu.Unlock()
	}
	return nil
}

// write writes results in order, and finishes the part that ends with them.
func (c *crew) write(t *task) error {
	w := t.lane.part.out
	results := make([]*result, len(t.slots))
	var rows int64
	for i, s := range t.slots {
		results[i], rows = s.result, rows+int64(s.rows)
	}
	err := w.writeAll(results)
	if t.ended {
		w.countFiltered(t.lane.filtered)
	}
	if err == nil && t.part {
		if err = c.whole(t, rows); err == nil {
			err = w.finish()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		return err // the part stays busy: what follows must not be written behind a gap
	}
	t.lane.part.busy = false
	t.lane.part.left -= rows
	if t.part {
		c.mu.rest.finish(t.lane.part)
	}
	c.mu.held -= rows
	c.mu.scored -= rows
	c.wake()
	return nil
}

// whole checks that the last rows of a part, which were just written, are the last.
func (c *crew) whole(t *task, rows int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if left := t.lane.part.left - rows; left != 0 {
		return fmt.Errorf("%w: part %d was written but for %d of its rows", ledger.ErrAccounts, t.lane.part.number, left)
	}
	return nil
}

// release gives up what is left after all workers have stopped.
func (c *crew) release() {
	for _, l := range c.mu.lanes {
		l.release()
	}
	c.mu.lanes = nil
}
