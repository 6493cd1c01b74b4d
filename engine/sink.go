package engine

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/csvfile"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/jsonlfile"
	"github.com/millrace/millrace/io/parquetfile"
)

// writers make the writer of each output format.
var writers = map[format.Name]format.NewWriterFunc{
	format.Parquet:   parquetfile.NewWriter,
	format.ArrowFile: arrowfile.NewWriter,
	format.CSV:       csvfile.NewWriter,
	format.JSONLines: jsonlfile.NewWriter,
}

// checkTypes refuses, before anything is read or written, columns that the
// output's format cannot hold, and those that the rejects file cannot. Its error
// wraps format.ErrColumnType and names column and type. Predictions whose shape
// only a Run tells are not among them.
func (p *Plan) checkTypes() error {
	fields := append(slices.Clone(p.Passed), p.Options.nullable(p.knownFields())...)
	fields = without(arrow.NewSchema(fields, nil), p.partitionedAt()).Fields()
	var problems []error
	if d, err := destinationOf(p.Options.Output); err == nil && d.Traits().Records {
		problems = append(problems, d.CheckFields(fields))
	} else if len(fields) > 0 {
		switch err := tryWriter(writers[p.Options.Format], arrow.NewSchema(fields, nil), p.Options.writing()); {
		case errors.Is(err, format.ErrColumnType):
			problems = append(problems, fmt.Errorf("--output-format %s: %w", p.Options.Format, err))
		case err != nil: // a codec that the format does not have
			problems = append(problems, fmt.Errorf("%w: --compression: %w", ErrUsage, err))
		}
	}
	if p.canReject() {
		err := tryWriter(writers[format.Parquet], p.newRejectForm().schema, format.WriteOptions{})
		if err = cmp.Or(err, p.checkUnits()); err != nil {
			problems = append(problems, fmt.Errorf("rejected rows are kept with all their columns in rejects.parquet: %w", err))
		}
	}
	return errors.Join(problems...)
}

func tryWriter(open format.NewWriterFunc, schema *arrow.Schema, opts format.WriteOptions) error {
	w, err := open(io.Discard, schema, opts)
	if err != nil {
		return err
	}
	return w.Close()
}

// canReject says whether rows can be rejected: bad ones, or by some null policy.
func (p *Plan) canReject() bool {
	if p.Options.OnBadRow != BadFail {
		return true
	}
	for i := range p.Binding.Bindings {
		for _, f := range p.Binding.Bindings[i].Features {
			if f.Rejects() {
				return true
			}
		}
	}
	return false
}
