package engine

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
)

// collector gathers what parts become: their files, accounts and rejects, in the
// order of the parts, whichever is done first.
type collector struct {
	plan     *Plan
	staging  *ledger.Staging
	rejects  *rejectWriter
	progress *Progress

	mu      sync.Mutex
	schema  *arrow.Schema   // of the output, known with the first result
	columns []ledger.Column // of the output, as its manifest has them: known with schema, or from the journal
	files   []ledger.Rows   // by input file
	outputs []ledger.Output
	parts   []ledger.Rows // finished ones, by part
	done    []bool        // by part
	front   int           // the first part that is not finished
	open    map[int]*partWriter
	closing []*closingPart // in the order in which they ended
	// held are rejected rows of parts behind the front, which wait for the rows of
	// the parts before: the file has them in the input's order.
	held map[int][]arrow.RecordBatch
}

// newCollector makes the last stage of a run.
func (p *Plan) newCollector(staging *ledger.Staging, progress *Progress) *collector {
	return &collector{
		plan: p, progress: progress, staging: staging, rejects: &rejectWriter{staging: staging, ids: p.ids},
		files: make([]ledger.Rows, len(p.Dataset.Files())), outputs: make([]ledger.Output, len(p.Parts)),
		parts: make([]ledger.Rows, len(p.Parts)), done: make([]bool, len(p.Parts)),
		open: map[int]*partWriter{}, held: map[int][]arrow.RecordBatch{},
	}
}

// fixSchema takes the output's schema from the first result and holds all
// others to it.
func (c *collector) fixSchema(predictions []arrow.Field) (*arrow.Schema, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.schema == nil {
		if err := c.plan.checkNames(predictions); err != nil {
			return nil, err
		}
		schema := arrow.NewSchema(append(slices.Clone(c.plan.Passed), predictions...), nil)
		columns := ledger.Columns(schema)
		if c.columns != nil && !slices.Equal(c.columns, columns) {
			return nil, fmt.Errorf("%w: the columns are %v now and were %v when the run began", ErrOutputShape, columns, c.columns)
		}
		c.schema, c.columns = schema, columns
		return c.schema, nil
	}
	for i, f := range predictions {
		want := c.schema.Field(len(c.plan.Passed) + i)
		if f.Name != want.Name || !arrow.TypeEqual(f.Type, want.Type) {
			return nil, fmt.Errorf("%w: %q is %s now and was %q, %s, before", ErrOutputShape, f.Name, f.Type, want.Name, want.Type)
		}
	}
	return c.schema, nil
}

// finalSchema is the output's schema when there will be no first result any more.
func (c *collector) finalSchema() (*arrow.Schema, error) {
	c.mu.Lock()
	schema := c.schema
	c.mu.Unlock()
	if schema != nil {
		return schema, nil
	}
	return c.fixSchema(c.plan.emptyFields())
}

// begin opens a part's place.
func (c *collector) begin(part int) *partWriter {
	w := &partWriter{collector: c, number: part, files: map[int]ledger.Rows{}}
	if c.staging != nil { // not in a trial
		w.unable = c.staging.Enter(part)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[part] = w
	return w
}

// keep takes rejected rows of a part over, and writes them when it is their turn.
func (c *collector) keep(part int, rows arrow.RecordBatch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held[part] = append(c.held[part], rows)
	return c.writeHeld()
}

// writeHeld writes the rejected rows of the front, and of finished parts before
// it. The lock is held.
func (c *collector) writeHeld() error {
	for {
		for _, rows := range c.held[c.front] {
			if err := c.rejects.write(c.plan, rows); err != nil {
				return err
			}
			rows.Release()
		}
		delete(c.held, c.front)
		if c.front == len(c.done) || !c.done[c.front] {
			return nil
		}
		c.front++
	}
}

// mostHeldRows bounds the rejected rows of a part that wait for the parts before.
const mostHeldRows = 1 << 16

// mayHold says whether a part may go on rejecting rows.
func (c *collector) mayHold(part int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	var rows int64
	for _, r := range c.held[part] {
		rows += r.NumRows()
	}
	return part == c.front || rows < mostHeldRows
}

// closingPart is a part that is being closed and synced, which waits for a disk,
// while others are written.
type closingPart struct {
	part    int
	outcome chan closed // has the one there is, so that nobody waits to give it
}

// closed is what became of a part.
type closed struct {
	output ledger.Output
	err    error
}

// ended counts a part that is written as finished, and waits for others until no
// more of them are being closed than parts are written at a time.
func (c *collector) ended(w *partWriter, outcome chan closed) error {
	c.mu.Lock()
	delete(c.open, w.number)
	c.parts[w.number], c.done[w.number] = w.accounts, true
	for file, rows := range w.files {
		c.files[file] = c.files[file].Add(rows)
	}
	c.closing = append(c.closing, &closingPart{w.number, outcome})
	err := c.writeHeld()
	var oldest *closingPart
	if len(c.closing) > c.plan.writers() {
		oldest, c.closing = c.closing[0], c.closing[1:]
	}
	c.mu.Unlock()
	if oldest != nil {
		err = errors.Join(err, c.take(oldest))
	}
	return err
}

// take waits for a part to be committed.
func (c *collector) take(p *closingPart) error {
	got := <-p.outcome
	if got.err != nil {
		return got.err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outputs[p.part] = got.output
	c.progress.PartsDone.Add(1)
	return nil
}

// settle waits for all parts that are being committed. Nobody may write.
func (c *collector) settle() error {
	errs := make([]error, 0, len(c.closing))
	for _, p := range c.closing {
		errs = append(errs, c.take(p))
	}
	c.closing = nil
	return errors.Join(errs...)
}

// abort drops what is not committed. Nobody may write.
func (c *collector) abort() error {
	errs := make([]error, 0, 1+len(c.open))
	errs = append(errs, c.settle())
	for _, w := range c.open {
		errs = append(errs, w.abort())
	}
	clear(c.open)
	for _, rows := range c.held {
		for _, r := range rows {
			r.Release()
		}
	}
	clear(c.held)
	return errors.Join(errs...)
}
