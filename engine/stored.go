package engine

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/models"
)

// wholeReader is a store that reads an object into memory.
type wholeReader interface {
	ReadAll(ctx context.Context, uri string, most int64) ([]byte, error)
}

// FetchModel reads models that are URIs from stores, by scheme: for models.Options. They
// are kept nowhere.
func FetchModel(ctx context.Context, stores map[string]dataset.Store) func(uri string, most int64) ([]byte, error) {
	return func(uri string, most int64) ([]byte, error) {
		scheme := dataset.Scheme(uri)
		store, ok := stores[scheme].(wholeReader)
		if !ok {
			return nil, fmt.Errorf("%w: nothing here reads a model from %q; give a path, or a URI of an object store", ErrUsage, scheme+"://")
		}
		data, err := store.ReadAll(ctx, uri, most)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", models.ErrModel, err)
		}
		return data, nil
	}
}

// readAhead has the rows that the run is still to read fetched, where they lie in a store
// that can.
func (p *Plan) readAhead(ctx context.Context, done []bool) (stop func()) {
	var refs []dataset.SpanRef
	for i, part := range p.Parts {
		if done[i] {
			continue
		}
		for _, ref := range part.Spans {
			if p.where.passingRows(ref) > 0 {
				refs = append(refs, ref)
			}
		}
	}
	return p.Dataset.ReadAhead(ctx, refs, p.Columns)
}
