package batcher

import (
	"errors"
	"fmt"
	"strings"

	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/models"
)

// listSource is where an input's list of columns comes from.
type listSource string

const (
	fromBind     listSource = "--bind"
	fromFeatures listSource = "--features"
	fromMetadata listSource = "the model's metadata"
	fromName     listSource = "the column of its name"
	fromSpecs    listSource = "the list of features"
)

// columnsOf decides which columns or features make an input: --bind, then --features
// for the matrix input, then the feature of the input's name, then, for the matrix input,
// the model's own list if each of its names is there, or else all features, then the
// column of the input's name. Anything else would be a guess: a column that happens to be
// called like the input is none where the model itself says what it takes. source says
// which it was.
func (b *binder) columnsOf(in *models.Value) (columns []string, source listSource, err error) {
	if columns, ok := b.opts.Columns[in.Name]; ok {
		return columns, fromBind, nil
	}
	if in == b.matrix && len(b.opts.Features) > 0 {
		return b.opts.Features, fromFeatures, nil
	}
	if b.program(in.Name) != nil {
		return []string{in.Name}, fromName, nil
	}
	if in == b.matrix {
		if b.listed() {
			return b.opts.Metadata, fromMetadata, nil
		}
		if columns := b.shown(); len(columns) > 0 {
			return columns, fromSpecs, nil
		}
	}
	if len(b.schema.FieldIndices(in.Name)) > 0 {
		return []string{in.Name}, fromName, nil
	}
	if in == b.matrix && len(b.opts.Metadata) > 0 { // and its error names what is not there
		return b.opts.Metadata, fromMetadata, nil
	}
	return nil, fromName, &noColumnError{input: in, matrix: in == b.matrix, columns: b.names}
}

// noColumnError says that nothing names the columns of an input.
type noColumnError struct {
	input   *models.Value
	matrix  bool // --features could
	columns []string
}

func (e *noColumnError) Error() string {
	in := e.input
	if one := len(in.Shape) == 2 && in.Shape[1].Size == 1; e.matrix && in.HasShape && !one {
		return fmt.Sprintf("model input %q %s has no column of its name, and no list of features: give --features a,b,c (or --bind %s=a,b,c); the data's columns are %s",
			in.Name, describe(in), in.Name, quoted(e.columns))
	}
	return fmt.Sprintf("model input %q %s has no column of its name%s: give --bind %s=column; the data's columns are %s",
		in.Name, describe(in), nearest.DidYouMean(in.Name, e.columns), in.Name, quoted(e.columns))
}

// joinNoColumns makes one problem of all inputs that have no column, so that a
// model with many inputs on the wrong data is one message and not many.
func joinNoColumns(problems []error) []error {
	var others, missing []error
	var inputs []string
	var columns []string
	for _, err := range problems {
		none, ok := errors.AsType[*noColumnError](err)
		if !ok {
			others = append(others, err)
			continue
		}
		missing = append(missing, err)
		if len(inputs) < mostMissing {
			inputs = append(inputs, fmt.Sprintf("%q %s%s", none.input.Name, describe(none.input), nearest.DidYouMean(none.input.Name, none.columns)))
		}
		columns = none.columns
	}
	if len(missing) < 2 {
		return problems
	}
	if more := len(missing) - len(inputs); more > 0 {
		inputs = append(inputs, fmt.Sprintf("and %d more", more))
	}
	return append(others, fmt.Errorf("%d model inputs have no column of their name: %s; give --bind input=column for each; the data's columns are %s",
		len(missing), strings.Join(inputs, ", "), quoted(columns)))
}
