package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/dataset"
)

// Rig runs single stages of a plan's pipeline, each alone and with the same
// code as a run, to measure how fast each can go. It is for one goroutine.
//
// Assemble, Infer and Write work on the first rows of the input, which the rig
// holds in memory; Read reads the input itself.
type Rig struct {
	plan   *Plan
	lib    *ort.Library
	sample *sample

	scoring  *scoring // of intraOp threads
	exported *scoring // of as many, where it was needed: ONNX Runtime's own kernels
	intraOp  int
	rows     int // of a batch of that session, where it is compiled for them
	resident *resident
}

// Measure is what one repeat of a stage took.
type Measure struct {
	Rows    int64
	Elapsed time.Duration
	CPU     time.Duration // user and system, of the whole process
	// Bytes of columns decoded, tensors made, or files written.
	Bytes       int64
	BytesCopied int64
	BytesViewed int64
}

// DefaultRigRows is how many rows a rig needs for a fair measure: more than a
// branch predictor learns by heart. It is also the most that Infer works on, whose
// tensors a run would find in cache.
const (
	DefaultRigRows = 1 << 17
	// DeviceRigRows are as many for a model on a device, whose batches are larger.
	DeviceRigRows = 1 << 20
)

// MostRows is the most that inference works on.
func (r *Rig) MostRows() int {
	if r.OnDevice() {
		return DeviceRigRows
	}
	return DefaultRigRows
}

// NewRig reads the first rows of the plan's input, at most rows, and holds
// them. The plan must stay open; the caller closes the rig.
func NewRig(ctx context.Context, plan *Plan, lib *ort.Library, rows int) (*Rig, error) {
	s, err := plan.readSample(ctx, rows)
	if err != nil {
		if ctx.Err() != nil { // a reader says only that it was
			err = context.Cause(ctx)
		}
		return nil, err
	}
	if s.rows == 0 {
		return nil, fmt.Errorf("%w: the input has no rows to measure with", ErrUsage)
	}
	return &Rig{plan: plan, lib: lib, sample: s}, nil
}

// Rows is how many rows the rig holds.
func (r *Rig) Rows() int { return r.sample.rows }

// Close releases the rows and the session.
func (r *Rig) Close() error {
	err := r.dropSession()
	r.sample.release()
	return err
}

func (r *Rig) dropSession() error {
	var err error
	if r.resident != nil {
		err = r.resident.close()
		r.resident = nil
	}
	for _, s := range []**scoring{&r.exported, &r.scoring} {
		if *s != nil {
			err = errors.Join(err, (*s).close())
			*s = nil
		}
	}
	return err
}

// session opens the session for batches of a size and a number of threads, unless
// it is open. Only TensorRT's are of one size.
func (r *Rig) session(batchRows, intraOpThreads int) (*scoring, error) {
	rows := 0
	if r.plan.Options.Provider == ort.TensorRT {
		rows = r.batchRows(batchRows)
	}
	if r.scoring != nil && r.intraOp == intraOpThreads && r.rows == rows {
		return r.scoring, nil
	}
	if err := r.dropSession(); err != nil {
		return nil, err
	}
	plan := *r.plan
	plan.Options.BatchRows = cmp.Or(rows, plan.Options.BatchRows)
	s, err := plan.openScoringOf(plan.asRun(), r.lib, intraOpThreads) // of tensors: a stage is measured by itself
	if err != nil {
		return nil, err
	}
	r.scoring, r.intraOp, r.rows = s, intraOpThreads, rows
	return s, nil
}

// timed measures a function's time, and the process's.
func timed(rows int64, do func() error) (Measure, error) {
	before, started := ProcessTime(), time.Now()
	err := do()
	return Measure{Rows: rows, Elapsed: time.Since(started), CPU: ProcessTime() - before}, err
}

// ProcessTime is the processor time that the process has had.
func ProcessTime() time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// Read decodes the run's columns of whole spans, from the first on, until
// there are at least rows rows or no more spans.
func (r *Rig) Read(ctx context.Context, readers int, rows int64) (Measure, error) {
	var refs []dataset.SpanRef
	var total int64
	for _, part := range r.plan.Parts {
		for _, ref := range part.Spans {
			if total < rows {
				refs = append(refs, ref)
				total += ref.Rows
			}
		}
	}
	m, err := timed(total, func() error {
		group, ctx := errgroup.WithContext(ctx)
		var next atomic.Int64
		for range readers {
			group.Go(func() error {
				if done := r.plan.atWork(); done != nil {
					defer done()
				}
				return guarded(func() error {
					for {
						i := int(next.Add(1)) - 1
						if i >= len(refs) {
							return nil
						}
						if err := r.plan.Dataset.ReadSpan(ctx, refs[i], r.plan.Columns, func(arrow.RecordBatch) error { return nil }); err != nil {
							return err
						}
					}
				})
			})
		}
		return group.Wait()
	})
	m.Bytes = total * r.plan.ColumnBytes()
	return m, err
}

// Assemble makes the tensors of batches of the rig's rows, again and again,
// until rows rows are done.
func (r *Rig) Assemble(batchRows, workers int, rows int64) (Measure, error) {
	batches := r.sample.batches(r.batchRows(batchRows))
	defer releaseBatches(batches)
	assemblers := make([]*batcher.Assembler, workers)
	for i := range assemblers {
		assemblers[i] = r.plan.Binding.NewAssembler(batchRows, r.plan.Options.Lossy)
		if r.plan.rejectsBad() {
			assemblers[i].RejectBad()
		}
		// Once before: memory is there, and pages of it are mapped.
		if _, err := assemblers[i].Assemble(batches[0]); err != nil {
			return Measure{}, r.explain(err)
		}
	}
	before := countsOf(assemblers)
	n, total := turns(batches, rows)
	m, err := timed(total, func() error {
		return lap(n, workers, func(i, w int) error {
			_, err := assemblers[w].Assemble(batches[i%len(batches)])
			return err
		})
	})
	after := countsOf(assemblers)
	m.BytesCopied, m.BytesViewed = after.BytesCopied-before.BytesCopied, after.BytesViewed-before.BytesViewed
	m.Bytes = m.BytesCopied + m.BytesViewed
	return m, r.explain(err)
}

func countsOf(assemblers []*batcher.Assembler) (sum batcher.Counts) {
	for _, a := range assemblers {
		sum.BytesCopied += a.Counts().BytesCopied
		sum.BytesViewed += a.Counts().BytesViewed
	}
	return sum
}

// batchRows is the rows of a batch, or what the model fixes.
func (r *Rig) batchRows(asked int) int {
	if fixed := r.plan.Binding.FixedRows; fixed > 0 {
		return fixed
	}
	return asked
}

// explain puts a file's name on an error about a row.
func (r *Rig) explain(err error) error {
	return (&pipeline{plan: r.plan}).explain(err)
}

// turns is how many batches, taken in turn, make at least rows rows, and how
// many rows they are.
func turns(batches []*batcher.Batch, rows int64) (n int, total int64) {
	for total < rows {
		total += int64(batches[n%len(batches)].Rows)
		n++
	}
	return n, total
}

// resident is tensors of the rig's rows that stay in memory.
type resident struct {
	batchRows int
	batches   []*batcher.Batch
	inputs    []*worker // one a batch, which holds its tensors
}

func (s *resident) close() error {
	errs := make([]error, 0, len(s.inputs))
	for _, w := range s.inputs {
		errs = append(errs, w.close())
	}
	releaseBatches(s.batches)
	return errors.Join(errs...)
}

// residentTensors assembles the rig's rows into tensors that stay, unless they
// are there; their session has learned the outputs' shapes.
func (r *Rig) residentTensors(ctx context.Context, batchRows, intraOpThreads int) (*scoring, *resident, error) {
	s, err := r.session(batchRows, intraOpThreads)
	if err != nil {
		return nil, nil, err
	}
	if r.resident != nil && r.resident.batchRows == batchRows {
		return s, r.resident, nil
	}
	if r.resident != nil {
		if err := r.resident.close(); err != nil {
			return nil, nil, err
		}
		r.resident = nil
	}
	res := &resident{batchRows: batchRows, batches: r.sample.first(r.MostRows()).batches(r.batchRows(batchRows))}
	s.usePool(1)
	for i, b := range res.batches {
		w := s.worker(batchRows, &Progress{})
		res.inputs = append(res.inputs, w)
		var err error
		if i == 0 { // the first Run shows the shapes of outputs
			err = learn(ctx, s, w, b)
		}
		var tensors *batcher.Tensors
		if err == nil {
			tensors, err = w.assembler.Assemble(b)
		}
		if err == nil {
			err = w.makeInputs(tensors)
		}
		if err != nil {
			return nil, nil, errors.Join(r.explain(err), res.close())
		}
	}
	r.resident = res
	return s, res, nil
}

// learn scores one batch and keeps what its outputs' shapes are.
func learn(ctx context.Context, s *scoring, w *worker, b *batcher.Batch) error {
	result, err := w.score(ctx, b)
	if err != nil {
		return err
	}
	for _, p := range result.predictions {
		p.Release()
	}
	s.outputs = w.outputs
	return nil
}

// Infer runs the session on tensors that are in memory, with outputs into
// memory that is reused, until rows rows are done: bare inference, of the model
// as it will run.
func (r *Rig) Infer(ctx context.Context, batchRows, workers, intraOpThreads int, rows int64) (Measure, error) {
	s, res, err := r.residentTensors(ctx, batchRows, intraOpThreads)
	if err != nil {
		return Measure{}, err
	}
	return r.inferResident(ctx, s, res, workers, rows)
}

// InferExported is Infer, on the same tensors, of the model without millrace's
// kernels: what ONNX Runtime's own do with the model as it was exported (but for
// ZipMaps, which no run has). It is an error where the plan has none of ours.
func (r *Rig) InferExported(ctx context.Context, batchRows, workers, intraOpThreads int, rows int64) (Measure, error) {
	if !r.plan.OwnKernels {
		return Measure{}, fmt.Errorf("%w: model %s runs on ONNX Runtime's own kernels anyway", ErrUsage, r.plan.Model.Path)
	}
	s, res, err := r.residentTensors(ctx, batchRows, intraOpThreads)
	if err != nil {
		return Measure{}, err
	}
	if r.exported == nil {
		exported, err := r.plan.openExported(ctx)
		if err != nil {
			return Measure{}, err
		}
		if r.exported, err = r.plan.openScoringOf(exported, r.lib, intraOpThreads); err != nil {
			return Measure{}, err
		}
	}
	r.exported.outputs = s.outputs // the shapes that were learned are of the tensors, not of kernels
	return r.inferResident(ctx, r.exported, res, workers, rows)
}

// inferResident runs a session on the resident tensors in turn, until rows rows
// are done.
func (r *Rig) inferResident(ctx context.Context, s *scoring, res *resident, workers int, rows int64) (_ Measure, err error) {
	s.usePool(workers)
	runners := make([]runner, workers)
	defer func() {
		for i := range runners {
			err = errors.Join(err, runners[i].close())
		}
	}()
	full := r.batchRows(res.batchRows)
	for i := range runners {
		rowsOf := res.batches[0].Rows
		if res.inputs[0].padded {
			rowsOf = full
		}
		if err := runners[i].open(s.worker(res.batchRows, &Progress{}), rowsOf); err != nil {
			return Measure{}, err
		}
		if err := runners[i].run(ctx, res.inputs[i%len(res.inputs)].inputs); err != nil {
			return Measure{}, err
		}
	}
	n, total := turns(res.batches, rows)
	m, err := timed(total, func() error {
		return lap(n, workers, func(i, w int) error { return runners[w].run(ctx, res.inputs[i%len(res.inputs)].inputs) })
	})
	return m, err
}

// runner is one goroutine's outputs for bare Runs.
type runner struct {
	w       *worker
	buffers []*memory.Buffer
	outputs []*ort.Tensor
}

// open makes output tensors for batches of rows rows where shapes are known.
func (u *runner) open(w *worker, rows int) error {
	u.w = w
	u.buffers = make([]*memory.Buffer, len(w.outputs))
	u.outputs = make([]*ort.Tensor, len(w.outputs))
	return w.makeOutputs(u.buffers, u.outputs, rows)
}

func (u *runner) run(ctx context.Context, inputs []*ort.Tensor) error {
	err := u.w.scoring.run(ctx, inputs, u.outputs)
	if err != nil && ctx.Err() == nil {
		err = u.w.runOpen(ctx, inputs, u.buffers, u.outputs, err)
	}
	if err != nil {
		return err
	}
	for i, t := range u.outputs { // what ONNX Runtime allocated goes with the batch
		if u.buffers[i] == nil && t != nil {
			if err := t.Close(); err != nil {
				return err
			}
			u.outputs[i] = nil
		}
	}
	return nil
}

func (u *runner) close() error {
	var errs []error
	for i, t := range u.outputs {
		if t != nil {
			errs = append(errs, t.Close())
		}
		if u.buffers[i] != nil {
			u.buffers[i].Release()
		}
	}
	return errors.Join(errs...)
}

// Write writes predictions that are in memory, with their ids and kept columns, to
// files in dir, as many at a time as a run does, again and again until rows rows
// are written, and syncs them as a run does. Nothing of it stays.
func (r *Rig) Write(ctx context.Context, dir string, batchRows int, rows int64) (_ Measure, err error) {
	s, err := r.session(batchRows, r.plan.Options.IntraOpThreads)
	if err != nil {
		return Measure{}, err
	}
	batches := r.sample.first(DefaultRigRows).batches(r.batchRows(batchRows))
	s.usePool(len(batches))
	w := s.worker(batchRows, &Progress{})
	defer func() { err = errors.Join(err, w.close()) }()
	form := r.plan.newRejectForm()
	var results []*result
	defer func() {
		for _, res := range results {
			res.release()
		}
	}()
	for i, b := range batches {
		res, err := w.score(ctx, b)
		if err != nil {
			releaseBatches(batches[i:])
			return Measure{}, r.explain(err)
		}
		results = append(results, res)
		if err := form.take(res); err != nil {
			releaseBatches(batches[i+1:])
			return Measure{}, err
		}
		narrow(res.batch, r.plan.PassedAt, r.plan.passedSchema)
	}
	output := filepath.Join(dir, "write")
	opts := r.plan.Options.partOptions()
	opts.Output, opts.IfExists, opts.RunID = output, ledger.IfExistsError, ledger.NewRunID(time.Now())
	staged, err := ledger.Stage(opts)
	if err != nil {
		return Measure{}, err
	}
	defer func() { err = errors.Join(err, staged.Discard(), os.RemoveAll(output)) }()
	c := r.plan.newCollector(sink.LocalStaging(staged), &Progress{})
	parts := make([]*partWriter, r.plan.writers())
	for i := range parts {
		parts[i] = c.begin(i)
	}
	n, total := turns(batches, rows)
	m, err := timed(total, func() error {
		err := lap(n, len(parts), func(i, w int) error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return parts[w].write(results[i%len(results)])
		})
		for _, p := range parts {
			if err == nil {
				err = p.finish()
			}
		}
		return cmp.Or(err, c.settle())
	})
	if err != nil {
		return Measure{}, errors.Join(err, c.abort(err))
	}
	if _, err := c.mergeRejects(ctx); err != nil {
		return Measure{}, err
	}
	for _, o := range c.flatOutputs() {
		m.Bytes += o.Bytes
	}
	return m, nil
}
