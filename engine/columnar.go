package engine

import (
	"slices"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/models"
)

// findColumnar finds the bindings whose columns can be taken as they lie: where a matrix of
// float32 would be made of columns of float32 for nothing but operators of ours, whose
// first step is to make columns of it again (docs/decisions/036). One that several models
// share is taken so by all of them, or by none.
func (p *Plan) findColumnar() error {
	if !p.OwnKernels {
		return nil
	}
	columns := make([]bool, len(p.Binding.Bindings))
	for i := range columns {
		columns[i] = p.Binding.Bindings[i].Leavable()
	}
	for i := range p.models {
		if !slices.Contains(columns, true) {
			return nil
		}
		can, err := models.ColumnInputs(p.models[i].Model)
		if err != nil {
			return err
		}
		for k, at := range p.models[i].inputs {
			columns[at] = columns[at] && can[k]
		}
	}
	p.columns = columns
	return nil
}

// columnar says of each of the plan's bindings whether its columns are taken as they lie,
// which devices do not. nil: none is.
func (p *Plan) columnar() []bool {
	if p.Options.Provider != ort.CPU || p.padded() || !slices.Contains(p.columns, true) {
		return nil
	}
	return p.columns
}

// takingColumns are the models as they run, those that take columns made again for it.
func (p *Plan) takingColumns() (all []*models.Model, columns []bool, err error) {
	all = p.asRun()
	if columns = p.columnar(); columns == nil {
		return all, nil, nil
	}
	for i := range p.models {
		take := make([]bool, 0, len(p.models[i].inputs))
		for _, at := range p.models[i].inputs {
			take = append(take, columns[at])
		}
		if all[i], err = models.TakeColumns(all[i], take); err != nil {
			return nil, nil, err
		}
	}
	return all, columns, nil
}

// takesColumns says whether the sessions take an input's columns where they lie.
func (s *scoring) takesColumns(input int) bool { return input < len(s.columns) && s.columns[input] }

// columnInput is an input of a session that takes columns, and room for what describes it.
type columnInput struct {
	ort.Columns

	columns  []ort.Column
	segments [][]ort.Column
}

// of describes a batch's input.
func (c *columnInput) of(in *batcher.Input) (*ort.Tensor, error) {
	if len(in.Columns) == 0 {
		return c.SetMatrix(int(in.Shape[0]), int(in.Shape[1]), in.Data)
	}
	c.columns, c.segments = c.columns[:0], c.segments[:0]
	for _, views := range in.Columns {
		for i := range views {
			c.columns = append(c.columns, ort.Column(views[i]))
		}
	}
	for i, width := 0, len(in.Columns[0]); i < len(in.Columns); i++ {
		c.segments = append(c.segments, c.columns[i*width:(i+1)*width])
	}
	return c.SetColumns(in.ColumnRows, c.segments)
}
