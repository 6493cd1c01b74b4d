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
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil: // in words: it is an input's error, and this is none
			return nil, fmt.Errorf("%w: %s", models.ErrModel, err.Error())
		}
		return data, nil
	}
}

// buffered is a store that holds what it fetched ahead.
type buffered interface {
	BufferBytes() int64
	SetBufferBytes(bytes int64)
}

// leastAheadBytes is what a store needs to fetch from some columns at a time.
const leastAheadBytes = 8 << 20

// aheadBytes is what stores hold of the plan's inputs at most; with a memory limit an
// eighth of it.
func (p *Plan) aheadBytes() (bytes int64) {
	stored := map[buffered]int64{} // bytes of inputs
	for _, f := range p.Dataset.Files() {
		if s, ok := p.Options.Stores[dataset.Scheme(f.Path)].(buffered); ok {
			stored[s] += f.Size
		}
	}
	for s, size := range stored {
		if p.limit > 0 {
			s.SetBufferBytes(min(s.BufferBytes(), max(p.limit/8, leastAheadBytes)))
		}
		bytes += min(s.BufferBytes(), size)
	}
	return bytes
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
