package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/models"
)

// rowsFirst refuses a model whose dimensions' names show that rows are not the first dimension
// of an input. A Run would not: [F,N] given as N rows of F features is a matrix of F rows if
// N is F, as it is where F is taken for a fixed batch, and predictions would be of others.
func rowsFirst(m *models.Model, outputs []string) error {
	for i := range m.Inputs {
		in := &m.Inputs[i]
		if at := laterDim(in.Shape, namedBatch); at > 0 {
			return fmt.Errorf("%w: model input %q %s%s has its rows in dimension %d, which is called %q, and rows are given in the first: export the model with them there",
				batcher.ErrBind, in.Name, in.Elem, in.Shape, at+1, in.Shape[at].Param)
		}
		for o := range m.Outputs {
			out := &m.Outputs[o]
			if len(out.Shape) == 0 || out.Shape[0].Param == "" || len(outputs) > 0 && !slices.Contains(outputs, out.Name) {
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
	return nil
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
