package engine

import (
	"context"
	"errors"
	"math"

	"github.com/millrace/millrace/engine/ort"
)

// madeSizes are the batches of zeros that are measured.
var madeSizes = []int{16, 64, 256}

// measureZeros measures the models alone, with zeros in place of rows that are dear to read: how
// large a batch is, and what it costs by itself, depends little on values.
func (t *trial) measureZeros(ctx context.Context) error {
	if t.plan.columnar() != nil || !t.cpu {
		return t.unable
	}
	rows := float64(t.plan.Dataset.Rows())
	for i, size := range madeSizes {
		if float64(slopeLaps*size*len(madeSizes)) > rows*trialShare {
			break
		}
		a := trialArm{rows: size}
		for range slopeLaps {
			if err := t.lapOfZeros(ctx, &a); err != nil {
				return errors.Join(t.unable, unscorable(err))
			}
		}
		a.perRow += columnCut * float64(len(t.plan.Columns)) / float64(size)
		t.small = append(t.small, a)
		if i+1 < len(madeSizes) && float64(slopeLaps*madeSizes[i+1])*a.perRow > min(rows/float64(t.workers)*a.perRow*trialShare, t.most.Seconds()) {
			break
		}
	}
	if len(t.small) < 2 {
		t.small = nil
		return t.unable
	}
	t.settle()
	return nil
}

// lapOfZeros is a Run of the arm's rows, all zeros.
func (t *trial) lapOfZeros(ctx context.Context, a *trialArm) (err error) {
	inputs := make([]*ort.Tensor, 0, len(t.plan.Binding.Bindings))
	outputs := make([]*ort.Tensor, len(t.scoring.outputs))
	defer func() {
		for _, tensor := range append(inputs, outputs...) {
			if tensor != nil {
				err = errors.Join(err, tensor.Close())
			}
		}
	}()
	for i := range t.plan.Binding.Bindings {
		in := &t.plan.Binding.Bindings[i].Input
		shape, values := []int64{int64(a.rows)}, int64(a.rows)
		for _, d := range in.Shape[min(1, len(in.Shape)):] {
			if d.Size < 0 || d.Size > math.MaxInt32 {
				return errors.New("an input has no fixed size")
			}
			shape, values = append(shape, d.Size), values*d.Size
		}
		tensor, err := ort.NewTensor(in.Elem, shape, make([]byte, values*int64(in.Elem.Bytes())))
		if err != nil {
			return err
		}
		inputs = append(inputs, tensor)
	}
	return t.weigh(a.rows, func() error {
		started := threadTime()
		err := t.scoring.run(ctx, inputs, outputs)
		a.took((threadTime() - started).Seconds() / float64(a.rows))
		return err
	})
}
