package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/dustin/go-humanize"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/models"
)

// halving finds the rows that a batch fails for in ONNX Runtime, which does not say:
//
//	split(rows that fail): a single one is bad; of more, run each half, and split those that fail
//
// Which runs that takes depends on the batch alone. The other rows have the predictions
// of the piece that they were run in: on a model whose kernels do not compute each row
// by itself alone, the last bits can differ from those of the whole batch.
type halving struct {
	worker *worker
	res    *result
	pieces []piece // of rows that were run, in order
	bad    []failure
}

// piece is rows of a batch from row on.
type piece struct {
	*result

	row int
}

// failure is a row that ONNX Runtime fails for, and how.
type failure struct {
	row int
	err error
}

// reason is what ONNX Runtime says, and of several models which one failed.
func (f failure) reason() string {
	status, _ := errors.AsType[*ort.StatusError](f.err) // see rowsFail
	if of, ok := errors.AsType[*modelError](f.err); ok {
		return (&modelError{of.name, status}).Error()
	}
	return status.Error()
}

// rowsFail says whether a Run's error can be that of some rows: not one of memory, of a
// device, of outputs that are no columns, and not an interrupted one.
func rowsFail(ctx context.Context, err error) bool {
	_, ok := errors.AsType[*ort.StatusError](err)
	return ok && ctx.Err() == nil && !errors.Is(err, ort.ErrOutOfMemory) && !errors.Is(err, ort.ErrDevice)
}

// halve scores a result's batch, which failed as a whole, row by row as far as need be;
// sound is a row of it that has all values, or -1. When every row fails, and one of zeros and
// empty texts too, and rows from all over the input, then it is the models that fail, and the
// error wraps cause.
func (w *worker) halve(ctx context.Context, res *result, sound int, cause error) error {
	h := &halving{worker: w, res: res}
	defer func() {
		h.release()
		w.seen.since(w.assembler.Counts()) // pieces were counted with their batch
	}()
	if sound >= 0 {
		if err := h.split(ctx, 0, res.batch.Rows, cause); err != nil {
			return err
		}
	}
	if len(h.pieces) == 0 {
		if err := h.standIn(ctx, cause); err != nil {
			return err
		}
	}
	for _, f := range h.bad {
		if err := w.bad(res, f.row, "", stageInfer, f.reason()); err != nil {
			return err
		}
	}
	return h.join()
}

func (h *halving) release() {
	for _, p := range h.pieces {
		p.release()
	}
	h.pieces = nil
}

// enough says that the run fails for a row, whatever the others do: that some row does
// not fail is known.
func (h *halving) enough() bool {
	return h.worker.onBadRow == BadFail && len(h.pieces) > 0 && slices.ContainsFunc(h.bad, func(f failure) bool { return !h.res.rejects.has(f.row) })
}

// split finds the bad rows among some that fail together.
func (h *halving) split(ctx context.Context, from, to int, cause error) error {
	if to-from == 1 {
		h.bad = append(h.bad, failure{from, cause})
		return nil
	}
	middle := from + (to-from)/2
	for _, half := range [][2]int{{from, middle}, {middle, to}} {
		if h.enough() {
			return nil
		}
		_, err := h.run(ctx, half[0], half[1])
		if err != nil && rowsFail(ctx, err) {
			err = h.split(ctx, half[0], half[1], err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// run runs some rows, unless all of them were rejected before. It returns the first that
// was not, or -1.
func (h *halving) run(ctx context.Context, from, to int) (sound int, err error) {
	part := someRows(h.res.batch, from, to)
	tensors, err := h.worker.assembler.Assemble(part)
	if err != nil || tensors.Sound < 0 {
		part.Release()
		return -1, err
	}
	sound = from + tensors.Sound
	return sound, h.compute(ctx, part, tensors, from)
}

// someRows are some rows of a batch, as one that the caller releases. Its rows' places in
// the input are not to be asked for.
func someRows(batch *batcher.Batch, from, to int) *batcher.Batch {
	part := &batcher.Batch{Rows: to - from}
	first := 0 // the segment's first row in the batch
	for _, s := range batch.Segments {
		start, end := max(from-first, 0), min(to-first, s.Rows)
		first += s.Rows
		if start >= end {
			continue
		}
		s.From, s.Rows = s.From+start, end-start
		s.Record.Retain()
		part.Segments = append(part.Segments, s)
	}
	return part
}

// standIn has another row's predictions in the place of those of the batch's first one, which
// has none, as all have: of a row of zeros and empty texts or, where the models do not take
// it, of the witness. Its error wraps cause, and blames the models.
func (h *halving) standIn(ctx context.Context, cause error) error {
	tensors, err := h.worker.assembler.Blank(1)
	if err == nil && h.compute(ctx, &batcher.Batch{Rows: 1}, tensors, 0) == nil {
		return nil
	}
	row, tried, err := h.worker.scoring.witness.find(ctx, h.worker)
	if err != nil {
		return err
	}
	if row != nil {
		if tensors, err = h.worker.assembler.Assemble(row); err == nil {
			return h.compute(ctx, someRows(row, 0, 1), tensors, 0)
		}
		return err
	}
	if len(h.bad) == 0 && h.unscored() == nil {
		return nil
	}
	also := "and a row of zeros and empty texts"
	if tried > 0 {
		also = fmt.Sprintf("a row of zeros and empty texts, and the %s rows tried from all over the input", humanize.Comma(int64(tried)))
	}
	return fmt.Errorf("%w; so do all rows of the batch, %s, %s: the model is taken to be at fault", cause, humanize.Comma(int64(h.res.batch.Rows)), also)
}

// unscored makes predictions of zeros and empty texts, for a batch all of whose rows were
// rejected before any ran: the models are not to blame, whatever they take.
func (h *halving) unscored() error {
	p := piece{result: &result{batch: &batcher.Batch{Rows: 1}}}
	for i, s := range h.worker.outputs {
		if s.item == nil {
			p.release()
			return fmt.Errorf("%w: output %q has an unknown shape", ErrOutputShape, s.value.Name)
		}
		data := tensorData{offsets: make([]int64, s.width()+1)}
		if s.value.Elem != models.String {
			data = tensorData{buffer: memory.NewBufferBytes(make([]byte, s.width()*s.value.Elem.Bytes()))}
		}
		arrays, err := h.worker.columnsOf(i, data, 1)
		if err != nil {
			p.release()
			return err
		}
		p.predictions, p.fields = append(p.predictions, arrays...), append(p.fields, s.fields()...)
	}
	h.pieces = append(h.pieces, p)
	return nil
}

// compute runs assembled rows, and takes them over.
func (h *halving) compute(ctx context.Context, part *batcher.Batch, tensors *batcher.Tensors, from int) error {
	p := piece{result: &result{batch: part}, row: from}
	err := h.worker.makeInputs(tensors)
	if err == nil {
		err = h.worker.compute(ctx, p.result)
	}
	if err != nil {
		p.release()
		return err
	}
	h.pieces = append(h.pieces, p)
	return nil
}

// join makes the batch's predictions of those of its pieces. A bad row has those of
// some other one in its place, which are left out or null.
func (h *halving) join() error {
	res := h.res
	some := h.pieces[0]
	for k, one := range some.predictions {
		filler := array.NewSlice(one, 0, 1)
		var parts []arrow.Array
		row := 0
		for _, p := range append(slices.Clip(h.pieces), piece{row: h.res.batch.Rows}) {
			for ; row < p.row; row++ {
				parts = append(parts, filler)
			}
			if p.result != nil {
				parts = append(parts, p.predictions[k])
				row += p.batch.Rows
			}
		}
		whole, err := array.Concatenate(parts, memory.DefaultAllocator)
		filler.Release()
		if err != nil {
			return err
		}
		res.predictions = append(res.predictions, whole)
	}
	res.fields = some.fields
	return nil
}
