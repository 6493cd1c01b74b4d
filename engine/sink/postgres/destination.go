package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/engine/sink/table"
	"github.com/millrace/millrace/io/postgres"
)

// Destination are tables of PostgreSQL, by a URI; see postgres.ParseTarget.
type Destination struct{}

// Traits says that parts are rows.
func (Destination) Traits() sink.Traits { return sink.Traits{Records: true} }

// Check reads the URI, and asks for ids where rows are found by them.
func (Destination) Check(opts *sink.Options) error {
	var problems []error
	if _, err := postgres.ParseTarget(opts.Output); err != nil {
		problems = append(problems, fmt.Errorf("--output: %w", err))
	}
	if opts.IfExists == ledger.IfExistsUpsert && len(opts.IDs) == 0 {
		problems = append(problems, errors.New("--if-exists upsert finds rows by their ids: name them by --ids"))
	}
	return errors.Join(problems...)
}

// CheckFields says which columns PostgreSQL has no type for.
func (Destination) CheckFields(fields []arrow.Field) error {
	problems := make([]error, 0, len(fields))
	for _, f := range fields {
		if _, err := postgres.TypeOf(f.Type); err != nil {
			problems = append(problems, fmt.Errorf("column %q: %w", f.Name, err))
		}
	}
	return errors.Join(problems...)
}

// Held finds nothing: to ask takes as long as to take the table, which comes next.
func (Destination) Held(context.Context, string) error { return nil }

// Stage connects and takes the table.
func (Destination) Stage(ctx context.Context, opts sink.Options) (sink.Staging, error) {
	db, err := open(ctx, opts.Output, opts.IfExists, opts.IDs)
	if err != nil {
		return nil, err
	}
	s, err := table.Stage(ctx, db, opts)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// ManifestPlace names the row that has it.
func (Destination) ManifestPlace(output, run string) string {
	return place(output, "run", run)
}

// RejectsPlace names the rows.
func (Destination) RejectsPlace(output, run string) string {
	return place(output, "reject", run)
}

func place(output, name, run string) string {
	target, err := postgres.ParseTarget(output)
	if err != nil {
		return "" // of what Check took there is none
	}
	return fmt.Sprintf("%s, where run = '%s'", (&database{pool: &pool{target: target}}).own(name), run)
}
