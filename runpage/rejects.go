package runpage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/io/dataset"
)

// Rejects are a run's rejected rows, by reason.
type Rejects struct {
	Rows    int64 // in the file
	Counted int64 // of those, that were looked at: the first
	Reasons []Reason
	Others  int64    // rows of reasons that are not listed
	IDs     []string // the names of the examples' ids
	Unread  string   // why the file could not be read; empty where it was
	// Elsewhere says that they are in a table, which is not read.
	Elsewhere bool
}

// Reason is rows that were rejected for the same, in the same column.
type Reason struct {
	Stage, Column, Reason string
	Rows                  int64
	Examples              []Example
}

// Example is one rejected row, with its ids and nothing else of its values.
type Example struct {
	File string
	Row  int64 // in the file, from 0
	IDs  []string
}

// Bounds on what is kept of rejected rows.
const (
	mostCounted   = 2_000_000
	mostReasons   = 1000 // that are told apart
	listedReasons = 40
	mostExamples  = 3 // of a reason
	mostIDs       = 4
)

// reasonColumns are the first of the file, whatever their names: file, row, column, stage
// and reason.
const reasonColumns = 5

// errNoRejects says that a file has not the columns of rejected rows.
var errNoRejects = errors.New("it is no file of rejected rows")

// errEnough ends reading.
var errEnough = errors.New("enough")

// readRejects counts the rows of a file of rejected rows by reason.
func (a *Account) readRejects(ctx context.Context, path string, examples Examples) (_ *Rejects, err error) {
	in, err := dataset.Open(ctx, []string{path}, dataset.Options{Stores: a.stores})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	schema := in.Schema()
	types := []arrow.Type{arrow.STRING, arrow.INT64, arrow.STRING, arrow.STRING, arrow.STRING}
	var columns []string
	for i, t := range types {
		if i >= schema.NumFields() || schema.Field(i).Type.ID() != t {
			return nil, fmt.Errorf("%q: %w", path, errNoRejects)
		}
		columns = append(columns, schema.Field(i).Name)
	}
	r := &Rejects{Rows: in.Rows()}
	if examples == ExamplesShown {
		for _, id := range setting[[]string](a.Manifest, "ids") {
			if len(schema.FieldIndices(id)) == 1 && !slices.Contains(columns, id) && len(r.IDs) < mostIDs {
				r.IDs, columns = append(r.IDs, id), append(columns, id)
			}
		}
	}
	c := &reasonCounter{rejects: r, byKey: map[reasonKey]*Reason{}, examples: examples}
	for span := range in.Spans(0) {
		err := in.ReadSpan(ctx, dataset.SpanRef{Span: span, Rows: in.Spans(0)[span].Rows}, columns, c.add)
		if errors.Is(err, errEnough) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	c.finish()
	return r, nil
}
