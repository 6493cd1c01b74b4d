package engine

import (
	"context"
	"errors"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/models"
)

// sessions are those of a plan's models in one place, a device or the CPU, as one: a
// Run is one of each, over those of the inputs that its model takes, into its outputs.
type sessions []modelSession

// modelSession is the session of one model.
type modelSession struct {
	session  modelRunner
	model    *plannedModel
	inputs   []int // of those of a Run
	from, to int   // its outputs among them
}

// modelRunner is what a Run of several models needs of a session; tests put another in
// its place.
type modelRunner interface {
	computer

	Outputs() []models.Value
	Placement() []ort.Node
}

// Run computes the outputs of all models in order. Where one fails, its error names it,
// and outputs that were to be made are not.
func (s sessions) Run(ctx context.Context, inputs, outputs []*ort.Tensor) error {
	if len(s) == 1 {
		return s[0].session.Run(ctx, inputs, outputs)
	}
	open := make([]bool, len(outputs))
	for i, t := range outputs {
		open[i] = t == nil
	}
	for i := range s {
		m := &s[i]
		if err := m.session.Run(ctx, m.taken(inputs), outputs[m.from:m.to]); err != nil {
			return errors.Join(m.model.named(err), dropMade(outputs, open))
		}
	}
	return nil
}

// taken are those of a batch's inputs that the model takes.
func (m *modelSession) taken(inputs []*ort.Tensor) []*ort.Tensor {
	taken := make([]*ort.Tensor, len(m.inputs))
	for i, at := range m.inputs {
		taken[i] = inputs[at]
	}
	return taken
}

// dropMade closes the outputs that a Run made before it failed.
func dropMade(outputs []*ort.Tensor, open []bool) error {
	var errs []error
	for i, t := range outputs {
		if open[i] && t != nil {
			errs = append(errs, t.Close())
			outputs[i] = nil
		}
	}
	return errors.Join(errs...)
}

// Close closes all of them.
func (s sessions) Close() error {
	errs := make([]error, len(s))
	for i := range s {
		errs[i] = s[i].session.Close()
	}
	return errors.Join(errs...)
}

// placement lists the nodes of all models.
func (s sessions) placement() (all []ort.Node) {
	for i := range s {
		all = append(all, s[i].session.Placement()...)
	}
	return all
}

// infer takes shapes that the models' signatures leave open from ONNX Runtime's own
// shape inference.
func (s sessions) infer(outputs []outputSpec) error {
	for i := range s {
		m := &s[i]
		if err := infer(outputs[m.from:m.to], m.session.Outputs()); err != nil {
			return m.model.named(err)
		}
	}
	return nil
}
