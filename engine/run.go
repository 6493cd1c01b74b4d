package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/models"
)

// rowGroupRows is the size of the output's row groups. The writer holds one
// until it is full, so this bounds memory; and it is what readers split work by.
const rowGroupRows = 1 << 17

// NewProgress makes the counters for a run of the plan.
func (p *Plan) NewProgress() *Progress {
	if p.live() {
		return &Progress{TotalRows: UnknownRows, TotalParts: len(p.Parts)}
	}
	return &Progress{TotalRows: p.Dataset.Rows(), TotalParts: len(p.Parts)}
}

// Run carries the plan out and publishes the result, or returns an error and
// leaves the output's place as it was. When ctx ends, it stops after the
// batches that are running and its error wraps ctx's cause; see also Stop.
//
// What an earlier start of the same job finished is not done again, and when this
// one stops for a reason that may pass, what is finished stays for the next. Where
// an equal run published the output already, Run does nothing and says so in
// Summary.Already.
//
// With an error that wraps ErrBadRows, rejected rows are kept beside the
// output, and the message says where.
func (p *Plan) Run(ctx context.Context, lib *ort.Library, progress *Progress) (*Summary, error) {
	started := time.Now()
	if p.Options.Output == "" {
		return nil, fmt.Errorf("%w: --output is missing: a directory, or a file that ends in %s", ErrUsage, OneFileEndings)
	}
	if p.Options.StreamsOut() {
		return p.runToStream(ctx, lib, progress)
	}
	job, err := p.job(lib)
	if err != nil {
		return nil, err
	}
	ctx, stopped := p.stopping.begin(ctx)
	defer stopped()
	staging, err := p.stage(ctx, ledger.NewRunID(started), job)
	if done, ok := errors.AsType[*ledger.PublishedError](err); ok {
		return p.alreadyDone(done.Manifest)
	}
	if err != nil {
		return nil, err
	}
	summary, err := p.runStaged(ctx, lib, progress, staging, started)
	if err != nil && summary == nil {
		if lost := staging.TakenOver(); lost != nil { // what failed is what the other run did
			return nil, errors.Join(lost, staging.Discard())
		}
	}
	if err == nil || summary != nil || !resumable(err) {
		// After publishing what is left is untidy; before, the first error counts more.
		return summary, errors.Join(err, staging.Discard())
	}
	kept, suspended := staging.Suspend(err.Error())
	switch {
	case errors.Is(err, ErrDisagree):
		err = fmt.Errorf("%w; nothing is published, and all that is scored is kept: the same command with other limits publishes it, and --restart drops it", err)
	case kept > 0:
		err = fmt.Errorf("%w; %d of %d parts are finished and kept: run the same command again to go on", err, kept, len(p.Parts))
	}
	return nil, errors.Join(err, suspended)
}

func (p *Plan) runStaged(ctx context.Context, lib *ort.Library, progress *Progress, staging sink.Staging, started time.Time) (_ *Summary, err error) {
	c := p.newCollector(staging, progress)
	c.digests = p.newDigests(progress, staging.RecordDigest, staging.Taken())
	var before *Choice
	if taken := staging.Taken(); taken != nil {
		var f frozen
		if err := json.Unmarshal(taken.Head.Frozen, &f); err != nil {
			return nil, fmt.Errorf("%w: journal: %w", ErrInternal, err)
		}
		if err := c.resume(taken); err != nil {
			return nil, err
		}
		before = &f.Choice
		if progress.OnResume != nil {
			progress.OnResume(taken)
		}
	}
	found, err := p.findDuplicates(ctx, staging.ScratchDir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, found.close()) }()
	progress.tellDuplicates(p.duplicates)
	defer p.readAhead(ctx, c.done)()
	scoring, err := p.load(ctx, lib, staging, before)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, scoring.close()) }()
	scoring.reject(found)
	if err := p.learnFields(ctx, scoring); err != nil {
		return nil, err
	}
	if progress.OnChoice != nil {
		progress.OnChoice(p.choice)
	}
	chosen, err := json.Marshal(frozen{Choice: *p.choice})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInternal, err)
	}
	if err := staging.Begin(chosen); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer c.digests.abandon() // when they are canceled
	defer cancel(nil)
	c.digests.start(ctx, cancel)
	checked := func() error { return nil }
	if scoring.devices != nil { // on the CPU rewrites compute the same, but for rounding
		checked = p.checkAside(ctx, cancel, lib, scoring)
	}
	defer func() { err = cmp.Or(checked(), err) }() // before the session is closed
	line := c.newPipeline(scoring)
	err = line.run(ctx)
	if err == nil && len(c.deadly) > 0 {
		err = c.scoreApart(ctx)
	}
	if errors.Is(err, ErrBadRows) {
		return nil, c.unpublished(ctx, lib, started, err)
	}
	if err != nil {
		return nil, err
	}
	if err := checked(); err != nil {
		return nil, err
	}
	if p.digested, err = c.digests.finish(); err != nil {
		return nil, err
	}
	return c.publish(ctx, line, lib, started)
}

// newPipeline is the way of the rows to the collector.
func (c *collector) newPipeline(scoring *scoring) *pipeline {
	o := &c.plan.Options
	line := &pipeline{plan: c.plan, source: c.plan.Dataset, progress: c.progress, collector: c, devices: scoring.devices, witness: &scoring.witness}
	scoring.usePool(min(int(line.waitingRows())/o.BatchRows+2*o.Workers, maxPooled))
	line.newScorer = func() scorer { return scoring.worker(o.BatchRows, c.progress) }
	return line
}

// infer takes shapes that the model's signature leaves open from ONNX Runtime's
// own shape inference.
func infer(specs []outputSpec, values []models.Value) error {
	for i := range specs {
		s := &specs[i]
		if s.value.Kind != models.Tensor || s.static || i >= len(values) || !values[i].HasShape {
			continue
		}
		s.value.Shape, s.value.HasShape = values[i].Shape, true
		if err := s.fromSignature(); err != nil {
			return err
		}
	}
	return nil
}

// learnFields finds the prediction columns of parts that filters may leave without rows, where
// the signature does not tell them: by a row of zeros and empty texts, or by the witness.
func (p *Plan) learnFields(ctx context.Context, s *scoring) error {
	open := slices.ContainsFunc(p.outputs, func(o outputSpec) bool { return o.item == nil && o.value.Kind != models.SequenceOfMaps })
	if !open || s.devices != nil || p.Options.Where == "" && p.Dataset.Rows() > 0 {
		return nil
	}
	w := s.worker(p.Options.BatchRows, p.NewProgress())
	h := &halving{worker: w, res: &result{batch: &batcher.Batch{}}}
	defer h.release()
	if err := h.standIn(ctx, ErrOutputShape); err == nil && len(h.pieces) > 0 { // else they are a guess
		p.learned = h.pieces[0].fields
	}
	return errors.Join(context.Cause(ctx), w.close())
}

// emptyFields are the prediction columns of a part without rows; an output whose shape
// only a row could tell, and none did, counts as one value a row.
func (p *Plan) emptyFields() []arrow.Field {
	if p.learned != nil {
		return p.learned
	}
	var fields []arrow.Field
	for i := range p.outputs {
		s := p.outputs[i]
		if s.item == nil {
			s.item = []int64{}
			if s.value.Kind == models.SequenceOfMaps {
				s.item = []int64{int64(s.labels.Len())}
			}
		}
		fields = append(fields, s.fields()...)
	}
	return fields
}

// publish reconciles the accounts and makes the output visible.
func (c *collector) publish(ctx context.Context, line *pipeline, lib *ort.Library, started time.Time) (*Summary, error) {
	total, err := c.reconcile()
	if errors.Is(err, ErrBadRows) {
		return nil, c.unpublished(ctx, lib, started, err)
	}
	if err != nil {
		return nil, err
	}
	if err := c.agreed(); err != nil {
		if c.single != nil {
			err = errors.Join(err, c.single.abort())
		}
		return nil, err
	}
	if c.single != nil {
		whole, err := c.single.finish()
		if err != nil {
			return nil, errors.Join(err, c.single.abort())
		}
		c.outputs = [][]ledger.Output{{whole}}
	}
	if len(c.plan.Options.PartitionBy) > 0 {
		if err := c.writeEmpty(); err != nil {
			return nil, err
		}
	}
	rejects, err := c.mergeRejects(ctx)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(c.plan.Dataset.Verify(ctx), c.plan.Dataset.Changed(), c.plan.overwrittenModel()); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	manifest := c.manifest(lib, c.staging.RunID(), total, rejects)
	manifest.Started, manifest.By.Starts = started, c.staging.Starts()
	if taken := c.staging.Taken(); taken != nil {
		manifest.Started = taken.Head.Started
	}
	if err := c.complete(manifest, line, lib, started); err != nil {
		return nil, err
	}
	if err := c.staging.Publish(manifest); err != nil {
		return nil, err
	}
	return c.summary(line, lib, started, manifest), nil
}
