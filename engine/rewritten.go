package engine

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/millrace/millrace/engine/agree"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/models"
)

// ErrRewrite says that a model does not predict on a device, as rewritten for it,
// what it predicts as exported.
var ErrRewrite = fmt.Errorf("%w: the rewritten model predicts something else", models.ErrModel)

// RewriteCheck is a comparison of the first rows' predictions, by the model as it
// runs on a device and as it was exported, by ONNX Runtime on the CPU.
type RewriteCheck struct {
	Rows int `json:"rows"`
	// Largest is the largest difference of two numbers, as a share of the larger of
	// the exported model's number and 1.
	Largest float64 `json:"largest_difference"`
	// Model is the one of several that it is of.
	Model string `json:"model,omitempty"`
	// Labels are how many labels differ, not counting rows whose two best scores are
	// equal but for rounding.
	Labels int `json:"labels_that_differ"`
}

// What a comparison lets pass: rounding in float32 of sums in another order, of
// factors too where TF32 is asked for, and labels of a few rows.
const (
	checkRows      = 1000
	checkRounding  = 1e-4
	checkTF32      = 2e-2
	checkLabelRows = 0.005
)

// checkAside does checkRewrites while the run goes on, which it cancels when it
// finds something. checked waits for the outcome.
func (p *Plan) checkAside(ctx context.Context, cancel context.CancelCauseFunc, lib *ort.Library, s *scoring) (checked func() error) {
	done := make(chan struct{})
	var found error
	go func() {
		defer close(done)
		if found = guarded(func() error { return p.checkRewrites(ctx, lib, s) }); found != nil {
			cancel(found)
		}
	}()
	return func() error {
		<-done
		return found
	}
}

// checkRewrites scores the first rows twice, on the device and on the CPU as
// exported. A run on the CPU is not checked: its kernels compute the same bits, or
// sums that are rounded otherwise. What goes wrong with the first rows themselves
// is left to the run to say.
func (p *Plan) checkRewrites(ctx context.Context, lib *ort.Library, s *scoring) error {
	sample, err := p.readSample(ctx, checkRows)
	if err != nil || sample.rows == 0 {
		return ctx.Err()
	}
	defer sample.release()
	exported, err := p.openExportedOnCPU(ctx, lib)
	if err != nil {
		return fmt.Errorf("check of the model as rewritten: %w", err)
	}
	check, err := p.compare(ctx, sample, s, exported)
	if err = errors.Join(err, exported.close()); err != nil || check == nil {
		return err
	}
	p.rewriteCheck = check
	limit := checkRounding
	if p.Options.TF32 {
		limit = checkTF32
	}
	if check.Largest <= limit && float64(check.Labels) <= checkLabelRows*float64(check.Rows) {
		return nil
	}
	return namedError(check.Model, fmt.Errorf("%w than as exported: on the first %d rows numbers differ by up to %.3g of their size (%.3g is rounding) and %d labels differ; use --kernels onnxruntime or --provider cpu, and please report it",
		ErrRewrite, check.Rows, check.Largest, limit, check.Labels))
}

// openExportedOnCPU makes sessions of the models as they were exported.
func (p *Plan) openExportedOnCPU(ctx context.Context, lib *ort.Library) (*scoring, error) {
	onCPU := *p
	onCPU.Options.Provider = ort.CPU
	exported, err := onCPU.openExported(ctx)
	if err != nil {
		return nil, err
	}
	return onCPU.openScoringOf(exported, lib, 1)
}

// compare scores the first rows of a sample by the models' sessions twice; nil where the rows
// cannot be scored.
func (p *Plan) compare(ctx context.Context, sample *sample, run, exported *scoring) (_ *RewriteCheck, err error) {
	rows := sample.rows
	if p.padded() {
		rows = p.Options.BatchRows
	}
	batches := sample.batches(rows)
	defer releaseBatches(batches)
	w := run.worker(rows, &Progress{})
	defer func() { err = errors.Join(err, w.close()) }()
	tensors, err := w.assembler.Assemble(batches[0])
	if err == nil {
		err = w.makeInputs(tensors)
	}
	if err != nil {
		return nil, nil //nolint:nilnil // the run says it better
	}
	check := &RewriteCheck{Rows: batches[0].Rows}
	for i := range run.sessions {
		m := &run.sessions[i]
		differences, err := agree.Sessions(ctx, exported.sessions[i].session.(*ort.Session), m.session.(*ort.Session), m.taken(w.inputs))
		if errors.Is(err, agree.ErrRefused) {
			return nil, nil //nolint:nilnil // as above
		}
		if err != nil {
			return nil, m.model.named(err)
		}
		check.add(m.model.name, differences)
	}
	return check, nil
}

// add takes the differences of a model's outputs in.
func (c *RewriteCheck) add(model string, differences []agree.Difference) {
	for _, d := range differences {
		if d.Largest > c.Largest {
			c.Largest, c.Model = d.Largest, model
		}
		if math.IsInf(d.Largest, 1) {
			c.Largest = math.MaxFloat64 // which JSON can say
		} else {
			c.Labels += d.Differing
		}
	}
}
