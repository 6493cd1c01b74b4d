package embedded

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/engine/sink/table"
)

// Destination are tables of files of a dialect.
type Destination struct{ Dialect Dialect }

// Traits says that parts are rows, one part after the other.
func (d Destination) Traits() sink.Traits { return sink.Traits{Records: true, OneWriter: true} }

// Check reads the output's name, and asks for ids where rows are found by them.
func (d Destination) Check(opts *sink.Options) error {
	var problems []error
	if _, err := parse(d.Dialect, opts.Output); err != nil {
		problems = append(problems, fmt.Errorf("--output %s: %w", opts.Output, err))
	}
	if opts.IfExists == ledger.IfExistsUpsert && len(opts.IDs) == 0 {
		problems = append(problems, errors.New("--if-exists upsert finds rows by their ids: name them by --ids"))
	}
	return errors.Join(problems...)
}

// CheckFields says which columns the database has no type for.
func (d Destination) CheckFields(fields []arrow.Field) error {
	problems := make([]error, 0, len(fields))
	for _, f := range fields {
		if _, err := d.Dialect.TypeOf(f.Type); err != nil {
			problems = append(problems, fmt.Errorf("column %q: %w", f.Name, err))
		}
	}
	return errors.Join(problems...)
}

// Held asks the lock's file.
func (d Destination) Held(_ context.Context, output string) error {
	t, err := parse(d.Dialect, output)
	if err != nil {
		return nil //nolint:nilerr // Check says it
	}
	return ledger.Held(t.path)
}

// Stage opens the file and takes the table.
func (d Destination) Stage(ctx context.Context, opts sink.Options) (sink.Staging, error) {
	t, err := parse(d.Dialect, opts.Output)
	if err != nil {
		return nil, err
	}
	s, err := table.Stage(ctx, newDatabase(d.Dialect, t, &opts), opts)
	if err != nil {
		return nil, err
	}
	return s, nil
}
