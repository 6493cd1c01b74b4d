package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/models"
)

// rowsFirst refuses a model whose dimensions' names show that rows are not the first dimension
// of an input, or of an output whose first dimension is fixed while rows are open. A Run would not:
// [F,N] given as N rows of F features is a matrix of F rows if N is F, as it is where F is taken
// for a fixed batch, and predictions would be of others.
func rowsFirst(m *models.Model, outputs []string) error {
	openRows := true
	for i := range m.Inputs {
		in := &m.Inputs[i]
		openRows = openRows && (len(in.Shape) == 0 || in.Shape[0].Size < 0)
		if at := laterDim(in.Shape, namedBatch); at > 0 {
			return fmt.Errorf("%w: model input %q %s%s has its rows in dimension %d, which is called %q, and rows are given in the first: export the model with them there",
				batcher.ErrBind, in.Name, in.Elem, in.Shape, at+1, in.Shape[at].Param)
		}
		for o := range m.Outputs {
			out := &m.Outputs[o]
			if len(out.Shape) == 0 || out.Shape[0].Param == "" || !wanted(out, outputs) {
				continue
			}
			rows := out.Shape[0].Param
			if at := laterDim(in.Shape, func(name string) bool { return name == rows }); at > 0 {
				return fmt.Errorf("%w: output %q %s%s has as many rows as input %q %s%s has in dimension %d, %q, and rows are given in the first: "+
					"export the model with them there (or leave the output out by --model-outputs)",
					ErrOutputShape, out.Name, out.Elem, out.Shape, in.Name, in.Elem, in.Shape, at+1, rows)
			}
		}
	}
	for o := range m.Outputs {
		if out := &m.Outputs[o]; openRows && wanted(out, outputs) && aside(out.Shape) {
			return fmt.Errorf("%w: output %q %s%s has %d in its first dimension, for any number of rows, and rows are given in the first: leave it out by --model-outputs, or export the model with them there",
				ErrOutputShape, out.Name, out.Elem, out.Shape, out.Shape[0].Size)
		}
	}
	return nil
}

// wanted says whether a run writes an output; no names are all.
func wanted(out *models.Value, outputs []string) bool {
	return len(outputs) == 0 || slices.Contains(outputs, out.Name)
}

// aside says whether a shape has its rows in another dimension than the first, as the probabilities of
// scikit-learn's classifiers of several outputs have: [outputs, N, classes]. A batch of as many rows as
// it has outputs would look like rows first. Exporters that declare a batch of one row mean any.
func aside(s models.Shape) bool {
	return len(s) > 1 && s[0].Size > 1 && slices.ContainsFunc(s[1:], func(d models.Dim) bool { return d.Size < 0 })
}

// laterDim is the first dimension behind the first that has such a name, where the first
// has not; 0 where there is none.
func laterDim(s models.Shape, named func(string) bool) int {
	if len(s) == 0 || named(s[0].Param) {
		return 0
	}
	return max(0, slices.IndexFunc(s, func(d models.Dim) bool { return named(d.Param) }))
}

// namedBatch says whether a dimension has the name that exporters' manuals give to rows.
func namedBatch(name string) bool {
	switch strings.ToLower(name) {
	case "batch", "batch_size", "batchsize":
		return true
	}
	return false
}
