package engine

import (
	"context"
	"slices"
	"time"
)

// task is something to do, to be done without the crew's lock.
type task struct {
	lane  *lane
	span  *openSpan // to read
	slots []*slot   // to score, or to write
	write bool
	ended bool // the lane is, and what was taken out of it can be counted
	part  bool // to finish after writing
}

// next picks a task. The lock is held.
func (c *crew) next(ctx context.Context, h *hand) (task, bool) {
	if t, ok := c.nextWrite(); ok {
		return t, true
	}
	if t, ok := c.nextScore(h); ok {
		return t, true
	}
	return c.nextRead(ctx, h)
}

// nextWrite takes what is scored of the first lane of a part that nobody writes, up
// to the first batch that is not. Only as many parts are written at a time as lanes
// are made of.
func (c *crew) nextWrite() (task, bool) {
	for i, l := range c.mu.lanes {
		if i > 0 && c.mu.lanes[i-1].part == l.part {
			continue // not its first
		}
		if c.mu.rest.place(l.part) >= c.mu.rest.atATime {
			break
		}
		if l.part.busy {
			continue
		}
		if t, ok := c.writeOf(i); ok {
			return t, true
		}
	}
	return task{}, false
}

// writeOf takes what can be written of a lane, by its place.
func (c *crew) writeOf(i int) (task, bool) {
	l := c.mu.lanes[i]
	n := 0
	for n < len(l.slots) && l.slots[n].result != nil {
		n++
	}
	ended := l.cut && n == len(l.slots)
	if n == 0 && !ended {
		return task{}, false
	}
	t := task{write: true, lane: l, slots: l.slots[:n:n], ended: ended, part: ended && l.last}
	l.slots, l.given = l.slots[n:], l.given-n
	if ended {
		c.mu.lanes = slices.Delete(c.mu.lanes, i, i+1)
		l.part.lanes--
	}
	l.part.busy = true
	return t, true
}

// nextScore takes batches of the worker's own lane, or of the first that has
// some.
func (c *crew) nextScore(h *hand) (task, bool) {
	if h.home != nil && h.home.waiting() > 0 {
		if t, ok := c.scoreOf(h.home); ok {
			return t, true
		}
	}
	for _, l := range c.mu.lanes {
		if l.waiting() > 0 {
			return c.scoreOf(l)
		}
	}
	return task{}, false
}

// waiting is how many batches nobody has taken yet.
func (l *lane) waiting() int { return len(l.slots) - l.given }

// jobTime is how long the batches are worked on that a worker takes at a time,
// so that taking them is nothing beside it.
const jobTime = time.Millisecond

// scoreOf takes some batches of a lane.
func (c *crew) scoreOf(l *lane) (task, bool) {
	first := l == c.first() && l.given == 0 // the very next to write
	n := c.jobBatches()
	if c.mu.idle > 0 { // others have nothing: share
		n = min(n, max(l.waiting()/(c.mu.idle+1), 1))
	}
	t := task{lane: l}
	for _, s := range l.slots[l.given:min(l.given+n, len(l.slots))] {
		if c.mu.scored+int64(s.rows) > c.most && !first {
			break
		}
		first = false
		c.mu.scored += int64(s.rows)
		t.slots = append(t.slots, s)
	}
	l.given += len(t.slots)
	return t, len(t.slots) > 0
}

// first is the lane that nothing else may hold up: the first of the first part that
// has one; nil when there is none.
func (c *crew) first() *lane {
	if len(c.mu.lanes) == 0 {
		return nil
	}
	return c.mu.lanes[0]
}

// leads says whether a lane is the first of its part, and so written.
func (c *crew) leads(l *lane) bool {
	for i, other := range c.mu.lanes {
		if other == l {
			return i == 0 || c.mu.lanes[i-1].part != l.part
		}
	}
	return false
}

// jobBatches is how many batches are worth jobTime, by the time that they took
// so far.
func (c *crew) jobBatches() int {
	p := c.pipeline.progress
	batches := p.batches.Load()
	if batches == 0 {
		return 1
	}
	each := (p.assemble.Load() + p.infer.Load()) / batches
	return int(int64(jobTime)/max(each, 1)) + 1
}

// nextRead takes a span to read on: of the worker's own lane while little waits
// to be written, or else of the first lane in which there is one.
func (c *crew) nextRead(ctx context.Context, h *hand) (task, bool) {
	if h.home != nil && c.mu.held < c.most/2 {
		if s := h.home.readable(); s != nil {
			return c.readOf(h.home, s)
		}
	}
	for _, l := range c.mu.lanes {
		if s := l.readable(); s != nil && c.mayRead(l, s) {
			return c.readOf(l, s)
		}
		if len(l.spans) > 0 && (c.mayOpen() || len(l.open) == 0 && c.starved(l)) {
			return c.readOf(l, c.open(ctx, l))
		}
	}
	if !c.mayOpen() && len(c.mu.lanes) > 0 && !c.mu.rest.behind() {
		return task{}, false
	}
	l := c.mu.rest.next()
	if l == nil {
		return task{}, false
	}
	c.insert(l)
	if len(l.spans) == 0 { // a part without spans
		l.cut = true
		return c.next(ctx, h)
	}
	return c.readOf(l, c.open(ctx, l))
}

// insert puts a lane behind the others of its part and of parts before.
func (c *crew) insert(l *lane) {
	at := len(c.mu.lanes)
	for at > 0 && c.mu.lanes[at-1].part.number > l.part.number {
		at--
	}
	c.mu.lanes = slices.Insert(c.mu.lanes, at, l)
}

// maxLanes bounds the lanes that are open: those of tiny spans wait for the writer
// by the thousand otherwise, and each look for a task passes over them.
const maxLanes = 256

// mayOpen says whether another span may be opened: rows that wait are few enough
// and so are open spans.
func (c *crew) mayOpen() bool {
	return c.mu.held < c.most && c.mu.reading < c.readers && len(c.mu.lanes) < maxLanes
}

// mayRead says whether a span may be read on: rows that wait are few enough, or
// the run cannot go on without.
func (c *crew) mayRead(l *lane, s *openSpan) bool {
	return c.mu.held < c.most || s == l.open[0] && c.starved(l)
}

// starved says that there is nothing to write until the lane is read on. What is being cut
// may be: whoever cuts wakes the others when it is known.
func (c *crew) starved(l *lane) bool { return l == c.first() && len(l.slots) == 0 && !l.cutting }

// readable is the first span of a lane that can be read on, and whose rows find
// room; nil when there is none.
func (l *lane) readable() *openSpan {
	for i, s := range l.open {
		if !s.busy && !s.ended && (i == 0 || len(s.chunks) < chunkQueue) {
			return s
		}
	}
	return nil
}

// open opens the lane's next span.
func (c *crew) open(ctx context.Context, l *lane) *openSpan {
	p := c.pipeline
	s := openSpanOf(ctx, p.source, l.spans[0], p.plan.Columns, p.plan.where)
	l.spans, l.open = l.spans[1:], append(l.open, s)
	c.mu.reading++
	return s
}

func (c *crew) readOf(l *lane, s *openSpan) (task, bool) {
	s.busy = true
	return task{lane: l, span: s}, true
}
