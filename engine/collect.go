package engine

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
)

// collector gathers what parts become: their files, accounts and rejects, in the
// order of the parts, whichever is done first.
type collector struct {
	plan     *Plan
	staging  sink.Staging // nil in a trial
	form     *rejectForm
	index    *spanIndex
	progress *Progress
	digests  *digests    // of the inputs; nil in a trial
	deadly   map[int]int // parts to be scored apart, and how many starts died there

	stream        *streamOut     // nil where the output is no stream, and in a trial
	streamRejects *streamRejects // beside stream

	mu      sync.Mutex
	schema  *arrow.Schema     // of the output, known with the first result
	columns []ledger.Column   // of the output, as its manifest has them: known with schema, or from the journal
	spans   []ledger.Rows     // as index numbers them
	outputs [][]ledger.Output // by part
	rejects []*ledger.Output  // staged, by part; nil where a part has none
	parts   []ledger.Rows     // finished ones, by part
	done    []bool            // by part
	single  *single           // makes one file of the parts; nil where each part is a file
	open    map[int]*partWriter
	closing []*closingPart // in the order in which they ended

	features  featureCounts // of the finished parts
	agree     comparing     // of the finished parts
	predicted predicted     // of the finished parts
}

// newCollector makes the last stage of a run.
func (p *Plan) newCollector(staging sink.Staging, progress *Progress) *collector {
	index := newSpanIndex(p.Dataset)
	c := &collector{
		plan: p, progress: progress, staging: staging, form: p.newRejectForm(), index: index,
		spans: make([]ledger.Rows, index.spans()), outputs: make([][]ledger.Output, len(p.Parts)), rejects: make([]*ledger.Output, len(p.Parts)),
		parts: make([]ledger.Rows, len(p.Parts)), done: make([]bool, len(p.Parts)),
		open: map[int]*partWriter{}, features: newFeatureCounts(p.Binding),
	}
	if p.singleFile() {
		c.single = &single{collector: c, done: make([]bool, len(p.Parts))}
	}
	return c
}

// fixSchema takes the output's schema from the first result and holds all
// others to it.
func (c *collector) fixSchema(predictions []arrow.Field) (*arrow.Schema, error) {
	predictions = c.plan.Options.nullable(predictions)
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
		if c.staging != nil { // not in a trial
			if err := c.staging.CheckColumns(columns); err != nil {
				return nil, err
			}
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
	w := &partWriter{collector: c, number: part, spans: map[int]ledger.Rows{}, features: newFeatureCounts(c.plan.Binding)}
	if c.staging != nil { // not in a trial
		w.unable = c.staging.Enter(part)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[part] = w
	return w
}

// closingPart is a part that is being closed and synced, which waits for a disk,
// while others are written.
type closingPart struct {
	part    int
	outcome chan closed // has the one there is, so that nobody waits to give it
}

// closed is what became of a part.
type closed struct {
	outputs []ledger.Output
	rejects *ledger.Output // nil where there are none
	err     error
}

// ended counts a part that is written as finished, and waits for others until no
// more of them are being closed than parts are written at a time.
func (c *collector) ended(w *partWriter, outcome chan closed) error {
	c.mu.Lock()
	delete(c.open, w.number)
	c.parts[w.number], c.done[w.number] = w.accounts, true
	for span, rows := range w.spans {
		c.spans[span] = c.spans[span].Add(rows)
	}
	c.features.add(w.features)
	err := errors.Join(c.takeAgreement(w.number, w.metAgreement()), c.takePredicted(w.number, w.predicted))
	c.closing = append(c.closing, &closingPart{w.number, outcome})
	var oldest *closingPart
	if len(c.closing) > c.plan.writers() {
		oldest, c.closing = c.closing[0], c.closing[1:]
	}
	c.mu.Unlock()
	if err == nil && oldest != nil {
		err = c.take(oldest)
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
	c.outputs[p.part], c.rejects[p.part] = got.outputs, got.rejects
	c.mu.Unlock()
	c.progress.PartsDone.Add(1)
	if c.single != nil {
		return c.single.committed(p.part)
	}
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

// abort drops what is not committed, but for the rejects of a run that failed with
// too many, which are committed. Nobody may write.
func (c *collector) abort(failed error) error {
	errs := make([]error, 0, 2+len(c.open))
	if c.single != nil {
		errs = append(errs, c.single.abort())
	}
	errs = append(errs, c.settle())
	for part, w := range c.open {
		errs = append(errs, w.abort())
		var err error
		if errors.Is(failed, ErrBadRows) {
			c.rejects[part], err = w.rejects.commit()
		} else {
			err = w.rejects.abort()
		}
		errs = append(errs, err)
	}
	clear(c.open)
	return errors.Join(errs...)
}
