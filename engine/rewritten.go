package engine

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/batcher"
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
	// Labels are how many labels differ, as they may where two scores are equal but
	// for rounding.
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

// checkRewrites scores the first rows twice, on the device and on the CPU as
// exported. A run on the CPU is not checked: its kernels compute the same bits. What
// goes wrong with the first rows themselves is left to the run to say.
func (p *Plan) checkRewrites(ctx context.Context, lib *ort.Library, s *scoring) error {
	if s.devices == nil {
		return nil
	}
	sample, err := p.readSample(ctx, checkRows)
	if err != nil || sample.rows == 0 {
		return ctx.Err()
	}
	defer sample.release()
	exported, err := p.openExportedOnCPU(lib)
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
	return fmt.Errorf("%w than as exported: on the first %d rows numbers differ by up to %.3g of their size (%.3g is rounding) and %d labels differ; use --kernels onnxruntime or --provider cpu, and please report it",
		ErrRewrite, check.Rows, check.Largest, limit, check.Labels)
}

// openExportedOnCPU makes a session of the model as it was exported.
func (p *Plan) openExportedOnCPU(lib *ort.Library) (*scoring, error) {
	model, err := models.OpenRewritten(p.Options.Model, models.Options{SHA256: p.Model.SHA256}, models.Rewrites{ZipMap: true})
	if err != nil {
		return nil, err
	}
	onCPU := *p
	onCPU.Options.Provider = ort.CPU
	return onCPU.openScoringOf(model, lib, 1)
}

// compare scores a sample by two sessions; nil where the rows cannot be scored.
func (p *Plan) compare(ctx context.Context, sample *sample, a, b *scoring) (*RewriteCheck, error) {
	rows := sample.rows
	if fixed := p.Binding.FixedRows; fixed > 0 {
		rows = fixed
	}
	check := &RewriteCheck{}
	for _, batch := range sample.batches(rows) {
		var results [2]*result
		for i, s := range []*scoring{a, b} {
			s.usePool(1)
			r, err := s.scoreOnce(ctx, batch, rows)
			if err != nil {
				batch.Release()
				if results[0] != nil {
					results[0].release()
				}
				if errors.Is(err, ort.ErrDevice) || errors.Is(err, ErrInternal) {
					return nil, err
				}
				return nil, ctx.Err()
			}
			results[i] = r
		}
		check.Rows += batch.Rows
		batch.Release()
		for i := range results[0].predictions {
			check.add(results[0].predictions[i], results[1].predictions[i])
		}
		results[0].release()
		results[1].release()
	}
	return check, nil
}

// scoreOnce scores a batch that stays the caller's.
func (s *scoring) scoreOnce(ctx context.Context, batch *batcher.Batch, rows int) (_ *result, err error) {
	own := &batcher.Batch{Rows: batch.Rows}
	for _, segment := range batch.Segments {
		segment.Record.Retain()
		own.Segments = append(own.Segments, segment)
	}
	w := s.worker(rows, &Progress{})
	defer func() { err = errors.Join(err, w.close()) }()
	res, err := w.score(ctx, own)
	if err != nil {
		own.Release()
	}
	return res, err
}

// add compares a column as run with one as exported.
func (c *RewriteCheck) add(run, exported arrow.Array) {
	switch want := exported.(type) {
	case *array.FixedSizeList:
		got, ok := run.(*array.FixedSizeList)
		if !ok {
			c.Largest = math.Inf(1)
			return
		}
		c.add(got.ListValues(), want.ListValues())
	case *array.Float32:
		got, ok := run.(*array.Float32)
		for i, v := range want.Float32Values() {
			if !ok || i >= got.Len() {
				c.Largest = math.Inf(1)
				return
			}
			c.number(float64(got.Value(i)), float64(v))
		}
	case *array.Float64:
		got, ok := run.(*array.Float64)
		for i, v := range want.Float64Values() {
			if !ok || i >= got.Len() {
				c.Largest = math.Inf(1)
				return
			}
			c.number(got.Value(i), v)
		}
	default:
		for i := range exported.Len() {
			if i >= run.Len() || run.ValueStr(i) != exported.ValueStr(i) {
				c.Labels++
			}
		}
	}
}

func (c *RewriteCheck) number(got, want float64) {
	if got == want || got != got && want != want {
		return
	}
	d := math.Abs(got-want) / max(math.Abs(want), 1)
	if d != d {
		d = math.Inf(1)
	}
	c.Largest = max(c.Largest, d)
}
