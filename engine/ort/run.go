package ort

// #include "shim.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"github.com/millrace/millrace/models"
)

// caller is what one Run at a time needs; sessions keep them for reuse.
type caller struct {
	options         *C.OrtRunOptions // made when a Run can be cancelled
	inputs, outputs []*C.OrtValue
	made            []*Tensor
	logBegin        C.uint64_t
}

// drop frees what ONNX Runtime allocated before a Run failed.
func (c *caller) drop(outputs []*Tensor) {
	for i, v := range c.outputs {
		if v != nil && i < len(outputs) && outputs[i] == nil {
			C.mr_release_value(v)
		}
	}
}

func (c *caller) release() {
	if c.options != nil {
		C.mr_release_run_options(c.options)
		c.options = nil
		live.runOptions.Add(-1)
	}
}

func (s *Session) take() *caller {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free); n > 0 {
		c := s.free[n-1]
		s.free = s.free[:n-1]
		return c
	}
	return &caller{
		inputs:  make([]*C.OrtValue, len(s.inputs)),
		outputs: make([]*C.OrtValue, len(s.outputs)),
		made:    make([]*Tensor, len(s.outputs)),
	}
}

func (s *Session) give(c *caller) {
	clear(c.inputs)
	clear(c.outputs)
	clear(c.made)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, c)
}

// Run computes outputs from inputs, both in the order of Outputs and Inputs. It
// borrows the inputs. An output tensor made by the caller is written in place
// and must have the very shape the model gives; for a nil entry ONNX Runtime
// allocates, and the entry becomes a new Tensor that the caller closes. On an
// error every entry that was nil is nil again, and the contents of others are
// undefined.
//
// When ctx ends, the computation stops between two operators (one operator over
// a large batch is not interrupted), and the error wraps ctx's cause. No
// computation goes on after Run has returned. A Run that was complete anyway
// gives no error.
func (s *Session) Run(ctx context.Context, inputs, outputs []*Tensor) error {
	s.running.RLock()
	defer s.running.RUnlock()
	if s.closed {
		return fmt.Errorf("run model %s: session %w", s.model.Path, ErrClosed)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("run model %s: %w", s.model.Path, context.Cause(ctx))
	}
	c := s.take()
	defer s.give(c)
	defer runtime.KeepAlive(inputs) // c holds only their handles
	err := s.fit(c, inputs, outputs)
	if err == nil {
		err = s.call(ctx, c)
	}
	if err == nil {
		err = s.pass(inputs, outputs)
	}
	if err == nil {
		err = s.adopt(c, outputs)
	} else {
		c.drop(outputs)
	}
	if err != nil {
		return fmt.Errorf("run model %s: %w", s.model.Path, err)
	}
	return nil
}

// fit checks what ONNX Runtime would describe worse, or not at all, and fills
// the handles. Shapes are left to ONNX Runtime.
func (s *Session) fit(c *caller, inputs, outputs []*Tensor) error {
	if len(inputs) != len(s.inputs) || len(outputs) != len(s.outputs) {
		return fmt.Errorf("%w: %d inputs and %d outputs where the session has %d and %d",
			ErrTensor, len(inputs), len(outputs), len(s.inputs), len(s.outputs))
	}
	for i, t := range inputs {
		v := &s.inputs[i]
		if t == nil {
			return fmt.Errorf("%w: no tensor for input %q", ErrTensor, v.Name)
		}
		if err := t.fits("input", v); err != nil {
			return err
		}
		c.inputs[i] = t.c
	}
	for i, t := range outputs {
		if t == nil {
			continue
		}
		if err := t.fits("output", &s.outputs[i]); err != nil {
			return err
		}
		c.outputs[i] = t.c
	}
	return nil
}

func (t *Tensor) fits(what string, v *models.Value) error {
	switch {
	case t.c == nil:
		return fmt.Errorf("%w: tensor for %s %q: %w", ErrTensor, what, v.Name, ErrClosed)
	case v.Kind != models.Tensor:
		return fmt.Errorf("%w: %s %q is no tensor", ErrTensor, what, v.Name)
	case t.elem != v.Elem:
		return fmt.Errorf("%w: %s %q is %s, the tensor given %s", ErrTensor, what, v.Name, v.Elem, t.elem)
	}
	return nil
}

// call runs, and stays until ONNX Runtime has returned.
func (s *Session) call(ctx context.Context, c *caller) error {
	if ctx.Done() == nil {
		return s.invoke(c, nil)
	}
	if c.options == nil {
		if err := statusError(C.mr_create_run_options(&c.options), logEnd()); err != nil { //nolint:gocritic // dupSubExpr reads what cgo generates
			return err
		}
		live.runOptions.Add(1)
	}
	terminated := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(terminated)
		if status := C.mr_terminate(c.options); status != nil {
			C.mr_release_status(status)
		}
	})
	err := s.invoke(c, c.options)
	if !stop() {
		// The callback has begun: c.options are its until it ends, and are not
		// used again.
		<-terminated
		c.release()
		if err != nil {
			return context.Cause(ctx)
		}
	}
	return err
}

func (s *Session) invoke(c *caller, options *C.OrtRunOptions) error {
	status := C.mr_run(s.c, options, s.inputNames, unsafe.SliceData(c.inputs), C.size_t(len(c.inputs)),
		s.outputNames, C.size_t(len(c.outputs)), unsafe.SliceData(c.outputs), &c.logBegin)
	return statusError(status, uint64(c.logBegin))
}

// pass writes outputs that are inputs of the same name into tensors of the caller's: no
// operator gives them, and ONNX Runtime, which hands the input out instead, leaves
// memory that it was given for them as it was.
func (s *Session) pass(inputs, outputs []*Tensor) error {
	for i, t := range outputs {
		from := s.passed[i]
		if t == nil || from < 0 {
			continue
		}
		in := inputs[from]
		if t.elem.Bytes() == 0 || !slices.Equal(t.shape, in.shape) {
			return fmt.Errorf("%w: output %q is the input of that name, %s%v; the tensor given is %s%v", ErrTensor, s.outputs[i].Name, in.elem, in.shape, t.elem, t.shape)
		}
		copy(t.data, in.data)
	}
	return nil
}

// adopt makes tensors of the outputs that ONNX Runtime allocated: all of them,
// or none and an error.
func (s *Session) adopt(c *caller, outputs []*Tensor) error {
	var errs []error
	for i := range outputs {
		if outputs[i] != nil {
			continue
		}
		t, err := adopt(c.outputs[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("output %q: %w", s.outputs[i].Name, err))
		}
		c.made[i] = t
	}
	for i, t := range c.made {
		switch {
		case t == nil:
		case len(errs) > 0:
			errs = append(errs, t.Close())
		default:
			outputs[i] = t
		}
	}
	return errors.Join(errs...)
}
