package runpage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/distribution"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// compute reads how predictions are distributed from the output's files, for a manifest
// that does not say: one of before there were such. Files that can be read are Parquet and
// Arrow; of others nothing is said.
func (a *Account) compute(ctx context.Context) (err error) {
	m := a.Manifest
	passed := append(setting[[]string](m, "ids"), setting[[]string](m, "keep")...)
	var columns []string
	for _, c := range m.Schema {
		if !slices.Contains(passed, c.Name) && !slices.Contains(m.PartitionBy, c.Name) && len(columns) < distribution.MostColumns {
			columns = append(columns, c.Name)
		}
	}
	if name := format.Name(setting[string](m, "output_format")); name != format.Parquet && name != format.ArrowFile || len(columns) == 0 || len(m.Outputs) == 0 {
		return nil
	}
	var tallies []*distribution.Tally
	moments := make([]distribution.Moments, len(columns))
	for _, o := range m.Outputs {
		path, err := a.path(o.Name)
		if err != nil {
			return nil //nolint:nilerr // verify says more
		}
		if tallies, err = a.addFile(ctx, path, columns, tallies, moments); err != nil {
			return err
		}
	}
	for i, t := range tallies {
		s, err := t.Summary(columns[i], moments[i])
		if err != nil {
			return err
		}
		m.Predictions = append(m.Predictions, s)
	}
	a.Computed = true
	return nil
}

// addFile takes in the values of one output file.
func (a *Account) addFile(ctx context.Context, path string, columns []string, tallies []*distribution.Tally, moments []distribution.Moments) (_ []*distribution.Tally, err error) {
	data, err := dataset.Open(ctx, []string{path}, dataset.Options{Stores: a.stores})
	if err != nil {
		return nil, fmt.Errorf("distribution of predictions: %w", err)
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	of := make([]*distribution.Tally, len(columns))
	for i, name := range columns {
		at := data.Schema().FieldIndices(name)
		if len(at) != 1 {
			return nil, fmt.Errorf("distribution of predictions: %q: %w: it has no column %q", path, format.ErrDamaged, name)
		}
		of[i] = distribution.NewTally(data.Schema().Field(at[0]).Type)
	}
	for span := range data.Spans(0) {
		ref := dataset.SpanRef{File: 0, Span: span, Rows: data.Spans(0)[span].Rows}
		err := data.ReadSpan(ctx, ref, columns, func(b arrow.RecordBatch) error {
			for i := range of {
				of[i].Add(b.Column(i))
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("distribution of predictions: %w", err)
		}
	}
	if tallies == nil {
		for _, t := range of {
			tallies = append(tallies, t.Empty())
		}
	}
	for i, t := range of {
		moments[i].Add(t.Moments())
		tallies[i].Merge(t)
	}
	return tallies, nil
}
