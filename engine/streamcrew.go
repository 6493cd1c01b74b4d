package engine

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/batcher"
)

// streamCrew is the workers of a run that scores a stream as it comes, and what there is
// for them to do. As in a crew, every worker does what is nearest to the output:
//
//	until the stream has ended and all of it is written:
//		write, if the first record batch is scored and nobody is writing
//		else score a batch that is cut
//		else read the next record batch, if nobody is reading and not too much waits
//		else wait
//
// A record batch of the stream becomes one of the output, with the rows less those that
// are left out, and goes out as soon as it and those before it are scored, whatever comes
// after: so none of its rows shares a batch with another's. A large one comes in pieces, each
// an intake of its own, whose rows wait for the last, unless they are too large for that. What
// waits is bounded, in rows, bytes and record batches; then nothing is read, and whoever writes
// the stream waits too. Of parts, journals and resuming there is nothing: a stream passes once.
//
// While one worker waits for the stream or for who reads the output, the others go on.
type streamCrew struct {
	pipeline *pipeline
	stream   recordStream
	sieve    *sieve
	part     *partWriter
	out      *streamOut
	most     int64 // rows that may wait to be written

	held     []arrow.RecordBatch // of a record batch that comes in pieces: what of the output waits for the last
	heldSize int64               // bytes of them

	mu struct {
		sync.Mutex

		queue   []*intake // read and not written, in order
		reading bool
		writing bool
		ended   bool  // of the stream all is read
		rows    int64 // of queue
		bytes   int64 // of queue, as the stream had them
		idle    int   // workers that wait
	}
	changed sync.Cond
}

// recordStream is what a crew needs of a stream; see arrowfile.Stream.
type recordStream interface {
	Next() (arrow.RecordBatch, error)
	More() bool
	Bytes() int64
	Rows() int64
}

// intake is a record batch of the stream on its way.
type intake struct {
	passed   arrow.RecordBatch // the columns that pass through, of rows that pass the filter
	more     bool              // it is a piece of a record batch, and not the last
	read     int64             // rows, before the filter
	filtered int64
	bytes    int64
	slots    []*slot // in order
	given    int     // of slots
	scored   int     // of slots
}

// maxIntakes bounds the record batches that wait: tiny ones take more to keep than their
// rows do.
const maxIntakes = 64

// runStream scores the plan's stream, up to the last record batch's writing. When it
// returns, no goroutine of it runs and nothing it held is held.
func (p *pipeline) runStream(ctx context.Context, stream recordStream, out *streamOut) (err error) {
	defer makeRoom(p.plan.Options.Workers)()
	caller := ctx
	group, ctx := errgroup.WithContext(caller)
	c := &streamCrew{pipeline: p, stream: stream, sieve: p.plan.where.liveSieve(), part: p.collector.begin(0), out: out, most: p.waitingRows()}
	c.changed.L = &c.mu
	defer context.AfterFunc(ctx, func() { c.stop(context.Cause(ctx)) })()
	for range p.plan.Options.Workers {
		s := p.newScorer()
		p.scorers = append(p.scorers, s)
		group.Go(func() error {
			return p.explain(guarded(func() error { return c.work(ctx, s) }))
		})
	}
	err = group.Wait()
	c.release()
	for _, s := range p.scorers {
		err = errors.Join(err, s.close())
	}
	if caller.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		err = context.Cause(caller) // the first worker to stop may know less
	}
	if err == nil {
		p.plan.Dataset.Ended(stream.Rows(), stream.Bytes())
		err = c.part.finish()
	}
	if err == nil {
		err = p.collector.settle()
	}
	if err != nil {
		return errors.Join(err, p.collector.abort(err))
	}
	return nil
}

// stop wakes all who wait, for each other or for the ends of the pipes.
func (c *streamCrew) stop(cause error) {
	c.mu.Lock()
	c.changed.Broadcast()
	c.mu.Unlock()
	c.pipeline.collector.interrupt(cause)
}

// work does tasks until there are none, one fails or ctx ends.
func (c *streamCrew) work(ctx context.Context, s scorer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var err error
		switch ready, in := c.ready(), c.unscored(); {
		case ready > 0:
			err = c.write(ready)
		case in != nil:
			err = c.score(ctx, s, in)
		case c.mayRead():
			err = c.read(ctx)
		case c.mu.ended && len(c.mu.queue) == 0:
			c.changed.Broadcast() // the others are done too
			return nil
		default:
			c.mu.idle++
			c.changed.Wait()
			c.mu.idle--
		}
		if err != nil {
			return err
		}
	}
}

// wake lets those who wait look again. The lock is held.
func (c *streamCrew) wake() {
	if c.mu.idle > 0 {
		c.changed.Broadcast()
	}
}

// ready is how many record batches can be written: the first ones, up to one that is not
// scored. The lock is held.
func (c *streamCrew) ready() (n int) {
	if c.mu.writing {
		return 0
	}
	for n < len(c.mu.queue) && c.mu.queue[n].scored == len(c.mu.queue[n].slots) {
		n++
	}
	return n
}

// unscored is the first record batch with a batch that nobody has taken; nil where there
// is none. The lock is held.
func (c *streamCrew) unscored() *intake {
	for _, in := range c.mu.queue {
		if in.given < len(in.slots) {
			return in
		}
	}
	return nil
}

// mayRead says whether the stream may be read on: nobody does, and what waits is little.
// The lock is held.
func (c *streamCrew) mayRead() bool {
	if c.mu.reading || c.mu.ended {
		return false
	}
	return len(c.mu.queue) == 0 || c.mu.rows < c.most && c.mu.bytes < heldBytes && len(c.mu.queue) < maxIntakes
}

// unlocked does something without the lock, which is held before and after.
func (c *streamCrew) unlocked(do func() error) error {
	c.mu.Unlock()
	defer c.mu.Lock()
	return do()
}

// read reads the next record batch and cuts it. The lock is held.
func (c *streamCrew) read(ctx context.Context) error {
	c.mu.reading = true
	var in *intake
	err := c.unlocked(func() (err error) {
		defer stopwatch(&c.pipeline.progress.read)()
		in, err = c.next()
		return err
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return streamError(ctx, err) // nobody reads on behind what could not be read
	}
	c.mu.reading = false
	defer c.wake()
	if err != nil {
		c.mu.ended = true
		return nil
	}
	c.mu.queue = append(c.mu.queue, in)
	c.mu.rows += in.read
	c.mu.bytes += in.bytes
	return nil
}

// next takes the stream's next record batch in.
func (c *streamCrew) next() (*intake, error) {
	before, continued := c.stream.Bytes(), c.stream.More()
	record, err := c.stream.Next()
	if err != nil {
		return nil, err
	}
	defer record.Release()
	plan := c.pipeline.plan
	in := &intake{read: record.NumRows(), bytes: c.stream.Bytes() - before, more: c.stream.More()}
	if in.more || continued {
		in.bytes = sizeOf(record) // all that the batch has came with the first
	}
	rows, err := c.sieve.sift(record)
	if err != nil {
		return nil, err
	}
	if rows.record == nil { // none passes
		rows.record = record.NewSlice(0, 0)
	}
	defer rows.record.Release()
	c.pipeline.witness.offer(rows.record)
	in.filtered = in.read - rows.rows()
	columns := make([]arrow.Array, len(plan.PassedAt))
	for i, at := range plan.PassedAt {
		columns[i] = rows.record.Column(at)
	}
	in.passed = array.NewRecordBatch(plan.passedSchema, columns, rows.rows())
	cutter := batcher.NewCutter(plan.Options.BatchRows, batcher.JoinShortSpans, func(b *batcher.Batch) error {
		in.slots = append(in.slots, &slot{rows: b.Rows, batch: b})
		return nil
	})
	if err := errors.Join(cutter.Add(rows.segment()), cutter.Flush()); err != nil {
		cutter.Discard()
		in.release()
		return nil, err
	}
	c.pipeline.progress.RowsRead.Add(in.read)
	c.pipeline.progress.RowsFiltered.Add(in.filtered)
	return in, nil
}

// noColumns is the schema of batches of which nothing but their rows is needed any more.
var noColumns = arrow.NewSchema(nil, nil)

// score scores the next batch of a record batch. The lock is held.
func (c *streamCrew) score(ctx context.Context, s scorer, in *intake) error {
	slot := in.slots[in.given]
	in.given++
	var res *result
	err := c.unlocked(func() (err error) {
		if res, err = s.score(ctx, slot.batch); err != nil {
			return err
		}
		if err = c.pipeline.collector.form.take(res); err != nil {
			return err
		}
		narrow(res.batch, nil, noColumns) // what passes through, the intake has
		return nil
	})
	if res != nil {
		slot.batch, slot.result = nil, res
	}
	if err != nil {
		return err
	}
	in.scored++
	c.wake()
	return nil
}

// write writes the first record batches. The lock is held.
func (c *streamCrew) write(n int) error {
	ready := c.mu.queue[:n:n]
	c.mu.queue, c.mu.writing = c.mu.queue[n:], true
	err := c.unlocked(func() error {
		defer stopwatch(&c.pipeline.progress.write)()
		var err error
		for _, in := range ready {
			if err == nil {
				err = c.writeOne(in)
			}
			in.release()
		}
		if err == nil {
			err = c.out.flush()
		}
		return err
	})
	if err != nil {
		return err // nobody writes on behind what could not be written
	}
	c.mu.writing = false
	for _, in := range ready {
		c.mu.rows -= in.read
		c.mu.bytes -= in.bytes
	}
	c.wake()
	return nil
}

// writeOne accounts for a record batch and writes what is left of it.
func (c *streamCrew) writeOne(in *intake) error {
	w := c.part
	schema := c.out.schema
	var err error
	for _, s := range in.slots {
		if schema, err = w.account(s.result); err != nil {
			return err
		}
	}
	if in.filtered > 0 {
		w.countFilteredAt(batcher.Origin{}, in.filtered)
	}
	if schema == nil { // no rows, and none came before that tells what predictions look like
		if !in.more {
			c.out.owe()
		}
		return nil
	}
	if err := w.open(schema); err != nil {
		return err
	}
	records, rows, err := streamRecords(schema, in)
	if err != nil {
		return err
	}
	defer releaseRecords(records)
	if c.pipeline.plan.Options.Piped.Manifest != "" {
		w.summarise(records)
	}
	if err := c.put(in, records); err != nil {
		return err
	}
	w.accounts.Scored += rows
	c.pipeline.progress.RowsWritten.Add(rows)
	return nil
}

// put writes what an intake became, with the pieces before it where it is the last of a
// record batch, or they are too large to be held.
func (c *streamCrew) put(in *intake, records []arrow.RecordBatch) error {
	if in.more || len(c.held) > 0 {
		retainRecords(records)
		c.held = append(c.held, records...)
		for _, r := range records {
			c.heldSize += sizeOf(r)
		}
		if in.more && c.heldSize < mostHeld {
			return nil
		}
		whole, err := joinRecords(c.held)
		c.letGo()
		if err != nil {
			return err
		}
		defer whole.Release()
		return c.out.append(whole)
	}
	for _, r := range records {
		if err := c.out.append(r); err != nil {
			return err
		}
	}
	return nil
}

// mostHeld is how large the rows may be that wait for the last piece of their record batch;
// joining them takes as much again.
const mostHeld = heldBytes / 2

// letGo gives up what waits for the last piece.
func (c *streamCrew) letGo() {
	releaseRecords(c.held)
	c.held, c.heldSize = nil, 0
}

// sizeOf is the bytes of a record's columns.
func sizeOf(record arrow.RecordBatch) (bytes int64) {
	for _, column := range record.Columns() {
		bytes += int64(column.Data().SizeInBytes())
	}
	return bytes
}

// release gives up what is left after all workers have stopped.
func (c *streamCrew) release() {
	for _, in := range c.mu.queue {
		in.release()
	}
	c.mu.queue = nil
	c.letGo()
	c.sieve.close()
}

// release gives up what an intake holds; it is idempotent.
func (in *intake) release() {
	for _, s := range in.slots {
		if s.batch != nil {
			s.batch.Release()
		}
		if s.result != nil {
			s.result.release()
		}
	}
	in.slots = nil
	if in.passed != nil {
		in.passed.Release()
		in.passed = nil
	}
}
