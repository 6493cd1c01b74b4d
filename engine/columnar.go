package engine

import (
	"slices"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/models"
)

// columnar says of each of the plan's bindings whether its columns are taken as they
// lie: on the CPU, where a matrix of float32 would be made of columns of float32 for
// nothing but operators of ours, whose first step is to make columns of it again
// (docs/decisions/036). A binding that several models share is taken so by all of them,
// or by none. nil: none is.
func (p *Plan) columnar() ([]bool, error) {
	if p.Options.Provider != ort.CPU || p.padded() || !p.OwnKernels {
		return nil, nil
	}
	columns := make([]bool, len(p.Binding.Bindings))
	for i := range columns {
		columns[i] = p.Binding.Bindings[i].Leavable()
	}
	for i := range p.models {
		if !slices.Contains(columns, true) {
			return nil, nil
		}
		can, err := models.ColumnInputs(p.models[i].Model)
		if err != nil {
			return nil, err
		}
		for k, at := range p.models[i].inputs {
			columns[at] = columns[at] && can[k]
		}
	}
	return columns, nil
}

// takingColumns are the models as they run, those that take columns made again for it.
func (p *Plan) takingColumns() (all []*models.Model, columns []bool, err error) {
	all = p.asRun()
	columns, err = p.columnar()
	if !slices.Contains(columns, true) {
		return all, nil, err
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

// columnsOf describes an input to a session that takes columns.
func (w *worker) columnsOf(i int, in *batcher.Input) (*ort.Tensor, error) {
	c := &w.columns[i]
	if len(in.Columns) == 0 {
		return c.SetMatrix(int(in.Shape[0]), int(in.Shape[1]), in.Data)
	}
	segments := make([][]ort.Column, len(in.Columns))
	for k, views := range in.Columns {
		segments[k] = make([]ort.Column, len(views))
		for n := range views {
			segments[k][n] = ort.Column(views[n])
		}
	}
	return c.SetColumns(in.ColumnRows, segments)
}
