package batcher

import (
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/models"
)

// listSource is where an input's list of columns comes from.
type listSource string

const (
	fromBind     listSource = "--bind"
	fromFeatures listSource = "--features"
	fromMetadata listSource = "the model's metadata"
	fromName     listSource = "the column of its name"
)

// columnsOf decides which columns make an input: --bind, then --features for
// the matrix input, then the column of the input's name, then the model's own
// list. Anything else would be a guess. source says which it was.
func (b *binder) columnsOf(in *models.Value) (columns []string, source listSource, err error) {
	if columns, ok := b.opts.Columns[in.Name]; ok {
		return columns, fromBind, nil
	}
	matrix := b.matrixInput()
	if in == matrix && len(b.opts.Features) > 0 {
		return b.opts.Features, fromFeatures, nil
	}
	if len(b.schema.FieldIndices(in.Name)) > 0 {
		return []string{in.Name}, fromName, nil
	}
	if in == matrix && len(b.opts.Metadata) > 0 {
		return b.opts.Metadata, fromMetadata, nil
	}
	columns = columnNames(b.schema)
	if in.HasShape && len(in.Shape) > 1 {
		return nil, fromName, fmt.Errorf("model input %q %s has no column of its name, and no list of features: give --features a,b,c (or --bind %s=a,b,c); the data's columns are %s",
			in.Name, describe(in), in.Name, quoted(columns))
	}
	return nil, fromName, fmt.Errorf("model input %q %s has no column of its name%s: give --bind %s=column; the data's columns are %s",
		in.Name, describe(in), didYouMean(in.Name, columns), in.Name, quoted(columns))
}

// fields finds the columns in the schema; its error names every one that is
// not there.
func (b *binder) fields(in *models.Value, columns []string) ([]arrow.Field, error) {
	fields := make([]arrow.Field, len(columns))
	problems := make([]error, len(columns))
	for i, name := range columns {
		fields[i], problems[i] = b.field(in, name)
	}
	return fields, errors.Join(problems...)
}

func (b *binder) field(in *models.Value, name string) (arrow.Field, error) {
	at := b.schema.FieldIndices(name)
	switch len(at) {
	case 1:
		return b.schema.Field(at[0]), nil
	case 0:
		columns := columnNames(b.schema)
		return arrow.Field{}, fmt.Errorf("no column %q for model input %q%s; the data's columns are %s", name, in.Name, didYouMean(name, columns), quoted(columns))
	default:
		return arrow.Field{}, fmt.Errorf("column %q for model input %q stands %d times in the data; which one is meant cannot be told", name, in.Name, len(at))
	}
}
