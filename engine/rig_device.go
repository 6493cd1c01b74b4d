package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/models"
)

// OnDevice says whether the plan's model runs on a device, so that CopyIn, Compute
// and CopyOut can be measured.
func (r *Rig) OnDevice() bool { return r.plan.Options.Provider != ort.CPU }

// CopyIn copies the input tensors of batches from page-locked memory to the first
// device, on so many streams, until rows rows are there: the bus alone.
func (r *Rig) CopyIn(ctx context.Context, batchRows, streams, intraOpThreads int, rows int64) (Measure, error) {
	inputs := func(l *deviceLane) []*ort.DeviceMemory { return l.inputs }
	return r.onDevice(ctx, batchRows, streams, intraOpThreads, rows, inputs, func(l *deviceLane, batch []*ort.Tensor) error {
		for i, t := range batch {
			if err := l.inputs[i].CopyFrom(t.Bytes()); err != nil {
				return err
			}
		}
		return nil
	})
}

// CopyOut copies as many bytes as the outputs of batches have back.
func (r *Rig) CopyOut(ctx context.Context, batchRows, streams, intraOpThreads int, rows int64) (Measure, error) {
	outputs := func(l *deviceLane) []*ort.DeviceMemory { return l.outputs }
	return r.onDevice(ctx, batchRows, streams, intraOpThreads, rows, outputs, func(l *deviceLane, _ []*ort.Tensor) error {
		for i, t := range l.runner.outputs {
			if err := l.outputs[i].CopyTo(t.Bytes()); err != nil {
				return err
			}
		}
		return nil
	})
}

// Compute runs the model on tensors that are in the first device's memory, with
// outputs that stay there: the arithmetic alone.
func (r *Rig) Compute(ctx context.Context, batchRows, streams, intraOpThreads int, rows int64) (Measure, error) {
	none := func(*deviceLane) []*ort.DeviceMemory { return nil }
	return r.onDevice(ctx, batchRows, streams, intraOpThreads, rows, none, func(l *deviceLane, _ []*ort.Tensor) error {
		return l.session.Run(ctx, l.in, l.out)
	})
}

// deviceLane is what one stream has on the device: a batch and its results.
type deviceLane struct {
	runner          runner
	session         computer
	inputs, outputs []*ort.DeviceMemory
	in, out         []*ort.Tensor
}

// onDevice has each stream do batches in turn, until rows rows are done; moved is
// the memory that a batch is copied to or from.
func (r *Rig) onDevice(ctx context.Context, batchRows, streams, intraOpThreads int, rows int64, moved func(*deviceLane) []*ort.DeviceMemory, do func(*deviceLane, []*ort.Tensor) error) (_ Measure, err error) {
	if !r.OnDevice() {
		return Measure{}, fmt.Errorf("%w: --provider cpu has no device to measure", ErrUsage)
	}
	s, res, err := r.residentTensors(ctx, batchRows, intraOpThreads)
	if err != nil {
		return Measure{}, err
	}
	s.usePool(streams)
	lanes := make([]*deviceLane, streams)
	defer func() {
		for _, l := range lanes {
			if l != nil {
				err = errors.Join(err, l.close())
			}
		}
	}()
	for i := range lanes {
		if lanes[i], err = r.openLane(s, res); err != nil {
			return Measure{}, err
		}
		if err := do(lanes[i], res.inputs[0].inputs); err != nil {
			return Measure{}, err
		}
	}
	var bytes int64
	for _, d := range moved(lanes[0]) {
		bytes += int64(d.Bytes())
	}
	n, total := turns(res.batches, rows)
	m, err := timed(total, func() error {
		return lap(n, streams, func(i, w int) error { return do(lanes[w], res.inputs[i%len(res.inputs)].inputs) })
	})
	m.Bytes = bytes / int64(res.batches[0].Rows) * total
	return m, err
}

// openLane puts the first batch on the device, and makes room for its results. All
// batches have its shape but for the last, which a lane computes as if it had.
func (r *Rig) openLane(s *scoring, res *resident) (_ *deviceLane, err error) {
	l := &deviceLane{session: s.sessions}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	rows := res.batches[0].Rows
	if res.inputs[0].padded {
		rows = r.batchRows(res.batchRows)
	}
	if err := l.runner.open(s.worker(res.batchRows, &Progress{}), rows); err != nil {
		return nil, err
	}
	device := s.devices.all[0].number
	put := func(t *ort.Tensor, copies bool) (*ort.DeviceMemory, *ort.Tensor, error) {
		if t == nil || t.Elem() == models.String {
			return nil, nil, fmt.Errorf("%w: a tensor of text, or of a shape that is not known, cannot be measured on a device", ErrUsage)
		}
		m, err := ort.NewDeviceMemory(device, len(t.Bytes()))
		if err != nil {
			return nil, nil, err
		}
		if copies {
			err = m.CopyFrom(t.Bytes())
		}
		var tensor *ort.Tensor
		if err == nil {
			tensor, err = m.Tensor(t.Elem(), t.Shape())
		}
		if err != nil {
			m.Free()
			return nil, nil, err
		}
		return m, tensor, nil
	}
	for _, t := range res.inputs[0].inputs {
		m, tensor, err := put(t, true)
		if err != nil {
			return nil, err
		}
		l.inputs, l.in = append(l.inputs, m), append(l.in, tensor)
	}
	for _, t := range l.runner.outputs {
		m, tensor, err := put(t, false)
		if err != nil {
			return nil, err
		}
		l.outputs, l.out = append(l.outputs, m), append(l.out, tensor)
	}
	return l, nil
}

func (l *deviceLane) close() error {
	var errs []error
	for _, t := range append(l.in, l.out...) {
		errs = append(errs, t.Close())
	}
	for _, m := range append(l.inputs, l.outputs...) {
		m.Free()
	}
	return errors.Join(append(errs, l.runner.close())...)
}
