package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/dustin/go-humanize"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/models"
)

// madeSizes are the batches of made rows that are measured.
var madeSizes = []int{16, 64, 256}

// boundSeconds is how long the next larger batch may take that is run before every run, where
// what each tensor of a small one is rounded up to would make too much of a row.
const boundSeconds = 50e-3

// mostHeldBytes is what ONNX Runtime may hold between the nodes of models, of all workers, where
// nobody asked for so many rows a batch.
const mostHeldBytes = 64 << 20

// boundBatch lowers a default that nobody asked for until what ONNX Runtime holds between the nodes of
// models stays within bounds: kilobytes of a row, or megabytes where its inputs are the numbers of
// words. A batch of made rows tells; where none can be made, the default stays.
func (p *Plan) boundBatch(ctx context.Context, s *scoring, c *Choice) {
	if p.columnar() != nil || s.devices != nil {
		return
	}
	rows, took := 0, 0.0
	for _, size := range append([]int{1}, madeSizes...) {
		if rows == c.BatchRows || took*float64(size) > boundSeconds {
			break
		}
		a := trialArm{rows: size}
		for a.laps == 0 || a.laps == 1 && a.perRow*float64(size) < boundSeconds { // the first plans memory
			row, err := s.weigh(size, func() error { return s.runMade(ctx, &a) })
			if err != nil {
				return
			}
			p.held, took = int64(row), a.perRow
		}
		rows = c.BatchRows
		for rows > 1 && (p.held*int64(rows)*int64(c.Workers) > mostHeldBytes || !p.fits(rows, c.Workers)) {
			rows /= 2
		}
	}
	if rows < c.BatchRows {
		c.Reason += fmt.Sprintf(", and fewer, as the models hold %s of a row while they score it", humanize.IBytes(uint64(p.held)))
		c.BatchRows = rows
	}
}

// lower has a trial know a default that was bounded since it began.
func (t *trial) lower(rows int) {
	t.first = rows
	t.goAround(rows)
	for len(t.slope) > 0 && t.slope[len(t.slope)-1] > rows {
		t.slope = t.slope[:len(t.slope)-1]
	}
	if len(t.slope) < 2 {
		t.slope = nil
	}
}

// measureMade measures the models alone, by made rows, where those of the input are dear to read:
// how large a batch is, and what it costs by itself, depends little on values.
func (t *trial) measureMade(ctx context.Context) error {
	if t.plan.columnar() != nil || !t.cpu {
		return t.unable
	}
	rows := float64(t.plan.Dataset.Rows())
	for i, size := range madeSizes {
		if size > t.base || float64(slopeLaps*size*len(madeSizes)) > rows*trialShare {
			break
		}
		a := &trialArm{rows: size}
		for range slopeLaps {
			var err error
			if t.row, err = t.scoring.weigh(size, func() error { return t.scoring.runMade(ctx, a) }); err != nil {
				return errors.Join(t.unable, unscorable(err))
			}
		}
		a.perRow += columnCut * float64(len(t.plan.Columns)) / float64(size)
		t.small = append(t.small, a)
		if i+1 < len(madeSizes) && float64(slopeLaps*madeSizes[i+1])*a.perRow > t.allowed(a.perRow).Seconds() {
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

// runMade is a Run of the arm's rows, which are made, and has the arm take its time.
func (s *scoring) runMade(ctx context.Context, a *trialArm) (err error) {
	bindings := s.plan.Binding.Bindings
	inputs, outputs := make([]*ort.Tensor, 0, len(bindings)), make([]*ort.Tensor, len(s.outputs))
	defer func() {
		for _, tensor := range append(inputs, outputs...) {
			if tensor != nil {
				err = errors.Join(err, tensor.Close())
			}
		}
	}()
	for i := range bindings {
		one := valueOne(bindings[i].Input.Elem)
		if one == nil || bindings[i].Width > math.MaxInt32 {
			return fmt.Errorf("no rows are made of %s", bindings[i].Input.Elem)
		}
		shape := append([]int64{int64(a.rows)}, bindings[i].Item...)
		tensor, err := ort.NewTensor(bindings[i].Input.Elem, shape, bytes.Repeat(one, a.rows*bindings[i].Width))
		if err != nil {
			return err
		}
		inputs = append(inputs, tensor)
	}
	started := threadTime()
	err = s.run(ctx, inputs, outputs)
	a.took((threadTime() - started).Seconds() / float64(a.rows))
	return err
}

// valueOne is the number one: by zero, integers cannot be divided, and the process would die of it.
func valueOne(elem models.ElementType) []byte {
	switch elem {
	case models.Float32:
		return binary.NativeEndian.AppendUint32(nil, math.Float32bits(1))
	case models.Float64:
		return binary.NativeEndian.AppendUint64(nil, math.Float64bits(1))
	case models.Int64, models.Uint64:
		return binary.NativeEndian.AppendUint64(nil, 1)
	case models.Int32, models.Uint32:
		return binary.NativeEndian.AppendUint32(nil, 1)
	case models.Int16, models.Uint16:
		return binary.NativeEndian.AppendUint16(nil, 1)
	case models.Float16:
		return binary.NativeEndian.AppendUint16(nil, 0x3c00)
	case models.BFloat16:
		return binary.NativeEndian.AppendUint16(nil, 0x3f80)
	case models.Int8, models.Uint8, models.Bool:
		return []byte{1}
	}
	return nil
}
