package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/models"
)

// scorer turns batches into results; it belongs to one goroutine. Tests put
// another in the worker's place, so that the pipeline's tests need no ONNX
// Runtime.
type scorer interface {
	// score runs one batch. The result takes the batch over, an error does
	// not.
	score(ctx context.Context, batch *batcher.Batch) (*result, error)
	counts() *batcher.Counts
	close() error
}

// result is one scored batch. It owns predictions, rejected and batch.
type result struct {
	// batch has the columns that pass through to the output alone, in their
	// order there: what the model needed goes back as soon as it is scored.
	batch       *batcher.Batch
	predictions []arrow.Array // columns of all outputs, in order
	outputs     []outputSpec  // with the shapes of the predictions
	fields      []arrow.Field
	// rejects are the rows that are left out, or have no predictions; rejectForm.take
	// puts them in order and makes rejected, their rows of the table of rejects.
	rejects  rejects
	dropped  rejects // those of rejects that the output does not have
	rejected []arrow.RecordBatch
	features featureCounts // what was met in the batch
}

// release gives up what the result holds.
func (r *result) release() {
	r.batch.Release()
	releaseAll(r.predictions)
	releaseRecords(r.rejected)
	r.predictions, r.rejected = nil, nil
}

// narrow gives up all columns of a batch but those listed.
func narrow(batch *batcher.Batch, columns []int, schema *arrow.Schema) {
	for i := range batch.Segments {
		s := &batch.Segments[i]
		kept := make([]arrow.Array, len(columns))
		for k, at := range columns {
			kept[k] = s.Column(at)
		}
		record := array.NewRecordBatch(schema, kept, int64(s.Rows))
		releaseAll(kept)
		s.Record.Release()
		whole := batcher.Whole(record, s.Origin)
		if s.Numbers != nil {
			whole.Numbers = s.Numbers[s.From : s.From+s.Rows]
		}
		*s = whole
	}
}

func releaseResults(results []*result) {
	for _, r := range results {
		r.release()
	}
}

// worker is the scorer that assembles a batch and runs it. Its tensors over its own
// assembly buffers are made once and used as long as their memory and shape
// stay the same.
type worker struct {
	scoring   *scoring
	assembler *batcher.Assembler
	outputs   []outputSpec
	pool      *outputPool
	progress  *Progress
	rows      int // of a full batch
	padded    bool

	rules      *ruleChecker // nil without rules
	onBadRow   OnBadRow
	refusesNaN bool // in predictions

	duplicates duplicateSource // nil where they are no rejects

	inputs  []*ort.Tensor
	made    []madeOf      // what inputs[i] was made of
	columns []columnInput // by input: what inputs[i] is of, where the session takes columns
	seen    featureCounts // that earlier results carry
}

type madeOf struct {
	data  *byte
	bytes int
	rows  int64
}

func (w *worker) score(ctx context.Context, batch *batcher.Batch) (*result, error) {
	stop := stopwatch(&w.progress.assemble)
	unread, err := w.badLines(batch)
	var out, broken rejects
	if err == nil {
		out, err = w.findDuplicates(batch)
	}
	if err == nil {
		broken, err = w.checkRules(batch, out)
	}
	var tensors *batcher.Tensors
	if err == nil {
		tensors, err = w.assembler.Assemble(batch)
	}
	var assembled rejects
	if err == nil {
		assembled = rejectsOf(tensors.Rejects)
		err = w.checkAssembled(batch, assembled, out)
	}
	if err == nil {
		err = w.makeInputs(tensors)
	}
	stop()
	if err != nil {
		return nil, err
	}
	res := &result{batch: batch, outputs: w.outputs, rejects: together(unread, out, broken, assembled), features: w.seen.since(w.assembler.Counts())}
	stop = stopwatch(&w.progress.infer)
	err = w.compute(ctx, res)
	if rowsFail(ctx, err) {
		err = w.halve(ctx, res, tensors.Sound, err)
	}
	stop()
	if err == nil && w.refusesNaN {
		err = w.refuseNaN(res)
	}
	if err != nil {
		releaseAll(res.predictions)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	w.progress.RowsScored.Add(int64(batch.Rows))
	w.progress.batches.Add(1)
	return res, nil
}

// findDuplicates lists a batch's duplicates, where they are rejected.
func (w *worker) findDuplicates(batch *batcher.Batch) (rejects, error) {
	if w.duplicates == nil {
		return nil, nil
	}
	return w.duplicates.of(batch)
}

// checkAssembled fails where an assembler that rejects bad rows, since some are left out as
// duplicates, found another one, and none may be.
func (w *worker) checkAssembled(batch *batcher.Batch, assembled, out rejects) error {
	if w.onBadRow != BadFail {
		return nil
	}
	return firstBad(batch, assembled, out)
}

// compute makes a result's predictions of the inputs of its batch.
func (w *worker) compute(ctx context.Context, res *result) (err error) {
	rows := res.batch.Rows
	if w.padded {
		rows = w.rows
	}
	outs := make([]*ort.Tensor, len(w.outputs))
	buffers := make([]*memory.Buffer, len(w.outputs))
	defer func() {
		for i, t := range outs {
			if t != nil {
				err = errors.Join(err, t.Close())
			}
			if buffers[i] != nil {
				buffers[i].Release()
			}
		}
	}()
	if err := w.makeOutputs(buffers, outs, rows); err != nil {
		return err
	}
	err = w.scoring.run(ctx, w.inputs, outs)
	if errors.Is(err, ort.ErrOutOfMemory) && w.scoring.devices != nil && slices.Contains(outs, nil) && w.learnFromOne(ctx) {
		if err = w.makeOutputs(buffers, outs, rows); err == nil {
			err = w.scoring.run(ctx, w.inputs, outs)
		}
	}
	if err != nil && ctx.Err() == nil {
		err = w.runOpen(ctx, w.inputs, buffers, outs, err)
	}
	if err != nil {
		return err
	}
	if err := w.collect(res, buffers, outs, rows); err != nil {
		releaseAll(res.predictions)
		res.predictions, res.fields = nil, nil
		return err
	}
	return nil
}

// learnFromOne has the first row of a batch show the shapes of outputs, and says
// whether it did. Otherwise a batch shows them that is run whole, as the device's
// memory may not allow.
func (w *worker) learnFromOne(ctx context.Context) bool {
	if w.padded {
		return false
	}
	var row []*ort.Tensor
	outs := make([]*ort.Tensor, len(w.outputs))
	defer func() {
		for _, t := range slices.Concat(row, outs) {
			if t != nil {
				_ = t.Close() // a view, or what is not looked at any more
			}
		}
	}()
	for _, in := range w.inputs {
		t, err := in.Rows(0, 1)
		if err != nil {
			return false
		}
		row = append(row, t)
	}
	if w.scoring.run(ctx, row, outs) != nil {
		return false
	}
	for i := range w.outputs {
		if _, err := w.take(&w.outputs[i], nil, outs[i], 1); err != nil || !w.outputs[i].preset() {
			return false
		}
	}
	return true
}

// runOpen runs a batch again that failed with outputs in memory of ours. A model whose
// outputs have another shape now fails so, and collect says it better; and one that
// declares another shape than it has, which ONNX Runtime holds our memory to and not its
// own: such outputs it allocates from then on.
func (w *worker) runOpen(ctx context.Context, inputs []*ort.Tensor, buffers []*memory.Buffer, outs []*ort.Tensor, failed error) error {
	var preset, misdeclared []*outputSpec
	for i, t := range outs {
		if buffers[i] == nil {
			continue
		}
		s := &w.outputs[i]
		if preset = append(preset, s); s.misdeclared(t.Shape()) {
			misdeclared = append(misdeclared, s)
		}
		buffers[i].Release()
		buffers[i], outs[i] = nil, nil
		if err := t.Close(); err != nil {
			return errors.Join(failed, err)
		}
	}
	if len(preset) == 0 || w.scoring.run(ctx, inputs, outs) != nil {
		return failed
	}
	if len(misdeclared) == 0 {
		misdeclared = preset
	}
	for _, s := range misdeclared {
		s.open = true
	}
	return nil
}

// makeInputs wraps assembled memory into tensors, those of the last batch where
// nothing moved.
func (w *worker) makeInputs(t *batcher.Tensors) error {
	if w.inputs == nil {
		w.inputs = make([]*ort.Tensor, len(t.Inputs))
		w.made = make([]madeOf, len(t.Inputs))
		w.columns = make([]columnInput, len(t.Inputs))
	}
	for i := range t.Inputs {
		in := &t.Inputs[i]
		if w.scoring.takesColumns(i) {
			var err error
			if w.inputs[i], err = w.columns[i].of(in); err != nil {
				return fmt.Errorf("model input %q: %w", in.Name, err)
			}
			continue
		}
		if in.Elem == models.String {
			if err := w.makeStrings(i, in); err != nil {
				return fmt.Errorf("model input %q: %w", in.Name, err)
			}
			continue
		}
		now := madeOf{bytes: len(in.Data), rows: in.Shape[0]}
		if len(in.Data) > 0 {
			now.data = &in.Data[0]
		}
		if w.inputs[i] != nil {
			if now == w.made[i] && now.data != nil && !in.View {
				continue
			}
			if err := w.inputs[i].Close(); err != nil {
				return err
			}
			w.inputs[i] = nil
		}
		tensor, err := ort.NewTensor(in.Elem, in.Shape, in.Data)
		if err != nil {
			return fmt.Errorf("model input %q: %w", in.Name, err)
		}
		w.inputs[i], w.made[i] = tensor, now
	}
	return nil
}

func (w *worker) makeStrings(i int, in *batcher.Input) error {
	if w.inputs[i] != nil && w.made[i].rows == in.Shape[0] {
		return ort.RefillStrings(w.inputs[i], in.Offsets, in.Text)
	}
	if w.inputs[i] != nil {
		if err := w.inputs[i].Close(); err != nil {
			return err
		}
		w.inputs[i] = nil
	}
	tensor, err := ort.NewStringTensor(in.Shape, in.Offsets, in.Text)
	if err != nil {
		return err
	}
	w.inputs[i], w.made[i] = tensor, madeOf{rows: in.Shape[0]}
	return nil
}

// makeOutputs makes tensors for the outputs whose shape an earlier Run has
// shown; ONNX Runtime allocates the others.
func (w *worker) makeOutputs(buffers []*memory.Buffer, outs []*ort.Tensor, rows int) error {
	for i := range w.outputs {
		s := &w.outputs[i]
		if !s.preset() {
			continue
		}
		rowBytes := s.width() * s.value.Elem.Bytes()
		var err error
		if buffers[i], err = w.pool.get(i, w.rows*rowBytes); err != nil {
			return err
		}
		shape := append([]int64{int64(rows)}, s.item...)
		tensor, err := ort.NewTensor(s.value.Elem, shape, buffers[i].Bytes()[:rows*rowBytes])
		if err != nil {
			return fmt.Errorf("model output %q: %w", s.value.Name, err)
		}
		outs[i] = tensor
	}
	return nil
}

// collect makes columns of the outputs; rows is with padding.
func (w *worker) collect(res *result, buffers []*memory.Buffer, outs []*ort.Tensor, rows int) error {
	for i := range w.outputs {
		s := &w.outputs[i]
		data, err := w.take(s, buffers[i], outs[i], rows)
		if err != nil {
			return err
		}
		arrays, err := w.columnsOf(i, data, res.batch.Rows)
		if err != nil {
			return err
		}
		res.predictions = append(res.predictions, arrays...)
		res.fields = append(res.fields, s.fields()...)
	}
	return nil
}

// columnsOf makes an output's columns of the first rows rows of data.
func (w *worker) columnsOf(output int, data tensorData, rows int) ([]arrow.Array, error) {
	s := &w.outputs[output]
	return s.columns(data, rows, func(bytes int) (*memory.Buffer, error) {
		return w.pool.getColumns(output, bytes, s.width()*s.columnBytes(w.rows))
	})
}

// take reads an output's tensor. Memory of ONNX Runtime's own is copied, since
// it goes with the tensor.
func (w *worker) take(s *outputSpec, buffer *memory.Buffer, t *ort.Tensor, rows int) (tensorData, error) {
	if buffer != nil {
		return tensorData{buffer: buffer}, nil
	}
	if s.value.Kind == models.SequenceOfMaps {
		scores, labels, err := ort.DecodeSequenceOfMaps(t)
		if err != nil {
			return tensorData{}, fmt.Errorf("model output %q: %w", s.value.Name, err)
		}
		scores, labels = s.inModelOrder(scores, labels)
		if !s.learned {
			s.labels = labels
		} else if !s.labels.Equal(labels) {
			return tensorData{}, fmt.Errorf("%w: output %q has other classes in this batch than before", ErrOutputShape, s.value.Name)
		}
		if err := s.learn([]int64{int64(len(scores) / max(labels.Len(), 1)), int64(labels.Len())}, rows); err != nil {
			return tensorData{}, err
		}
		return tensorData{buffer: memory.NewBufferBytes(kernel.Bytes(scores))}, nil
	}
	if err := s.learn(t.Shape(), rows); err != nil {
		return tensorData{}, err
	}
	if s.value.Elem == models.String {
		offsets, text, err := t.Strings()
		if err != nil {
			return tensorData{}, fmt.Errorf("model output %q: %w", s.value.Name, err)
		}
		return tensorData{offsets: offsets, text: text}, nil
	}
	words := kernel.Aligned[uint64]((len(t.Bytes()) + 7) / 8)
	bytes := kernel.Bytes(words)[:len(t.Bytes())]
	copy(bytes, t.Bytes())
	return tensorData{buffer: memory.NewBufferBytes(bytes)}, nil
}

func (w *worker) counts() *batcher.Counts { return w.assembler.Counts() }

func (w *worker) close() error {
	var errs []error
	for i, t := range w.inputs {
		errs = append(errs, w.columns[i].Close())
		if t != nil {
			errs = append(errs, t.Close())
		}
	}
	return errors.Join(errs...)
}
