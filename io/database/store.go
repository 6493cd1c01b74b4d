// Package database makes inputs of the rows of databases.
//
// A table or a query is an object of a dataset.Store: when it is opened, its rows are read
// once, in one snapshot of the database and in an order that it has of itself, into a
// spool, which then stands for it. The object's version is the digest of the rows: a run
// that is continued reads them again, and finds out if they are others.
package database

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/duckdb"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/postgres/pgrows"
	"github.com/millrace/millrace/io/query"
	"github.com/millrace/millrace/io/spool"
	"github.com/millrace/millrace/io/sqlite"
)

// rows are those of a table or a query.
type rows interface {
	Schema() *arrow.Schema
	// Each gives all rows, in order, once. yield borrows the batch.
	Each(ctx context.Context, yield func(arrow.RecordBatch) error) error
	Close() error
}

// Store opens inputs that package query's URI names.
type Store struct {
	mu struct {
		sync.Mutex

		// places are where inputs lie that have a password, by their names without. They do
		// not leave this process.
		places map[string]string
	}
}

// Stores are the schemes of databases.
func Stores() map[string]dataset.Store {
	s := &Store{}
	s.mu.places = map[string]string{}
	return map[string]dataset.Store{
		query.SchemePostgres: s, query.SchemePostgreSQL: s, query.SchemeSQLite: s, query.SchemeDuckDB: s,
	}
}

// List gives the one object that an input is. A password in it does not reach its name:
// another process needs it from the environment or a file, as libpq does.
func (s *Store) List(_ context.Context, input string) (dataset.Listing, error) {
	u, err := named(input)
	if err != nil {
		return dataset.Listing{}, err
	}
	name := dataset.Redact(u.String())
	if name != u.String() {
		s.mu.Lock()
		s.mu.places[name] = u.Place
		s.mu.Unlock()
	}
	return dataset.Listing{Files: []string{name}}, nil
}

// named reads an input and makes a file's path absolute, so that it names the same rows
// wherever a process is started.
func named(input string) (query.URI, error) {
	u, err := query.Parse(input)
	if err != nil {
		return u, fmt.Errorf("input %q: %w", dataset.Scheme(input)+":", err)
	}
	if u.Spec.Table == "" && u.Spec.Text == "" {
		return u, fmt.Errorf("input %q: %w; it names no rows: add ?table=NAME, or give --query", dataset.Redact(input), query.ErrURI)
	}
	if !u.Local() {
		return u, nil
	}
	if u.Place, err = filepath.Abs(u.Place); err != nil {
		return u, err
	}
	return u, nil
}

// Open reads the rows.
func (s *Store) Open(ctx context.Context, uri string) (dataset.Object, error) {
	u, err := named(uri)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	if place, ok := s.mu.places[uri]; ok {
		u.Place = place
	}
	s.mu.Unlock()
	kept, err := read(ctx, u)
	if u.Spec.Table != "" && errors.Is(err, query.ErrValue) {
		err = fmt.Errorf("%w (of a table all columns are read; a query, by --query, may do without some)", err)
	}
	if err != nil {
		return nil, shownError(uri, err)
	}
	info, err := os.Stat(kept.Path())
	if err != nil {
		return nil, errors.Join(shownError(uri, err), kept.Close())
	}
	return &object{spool: kept, facts: dataset.Facts{Format: format.ArrowFile, Size: info.Size(), Version: kept.Digest}}, nil
}

// maxShown is how much of an input's name a message has: a query may be long.
const maxShown = 200

func shownError(uri string, err error) error {
	if len(uri) > maxShown {
		uri = uri[:maxShown] + "…"
	}
	return fmt.Errorf("input %q: %w", uri, err)
}

// read puts the rows into a spool.
func read(ctx context.Context, u query.URI) (_ *spool.Spool, err error) {
	from, err := open(ctx, u)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	w, err := spool.Create(from.Schema(), spool.Options{})
	if err != nil {
		return nil, err
	}
	if err := copyRows(ctx, from, w.Write); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return w.Finish()
}

// waitingBatches bounds the batches that were read and are not in the spool yet.
const waitingBatches = 2

// copyRows reads rows while those before them are written: a server goes on meanwhile. write
// borrows the batch.
func copyRows(ctx context.Context, from rows, write func(arrow.RecordBatch) error) error {
	batches := make(chan arrow.RecordBatch, waitingBatches)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(batches)
		return from.Each(ctx, func(batch arrow.RecordBatch) error {
			batch.Retain()
			select {
			case batches <- batch:
				return nil
			case <-ctx.Done():
				batch.Release()
				return context.Cause(ctx)
			}
		})
	})
	g.Go(func() error {
		for batch := range batches {
			err := write(batch)
			batch.Release()
			if err != nil {
				return err
			}
		}
		return nil
	})
	err := g.Wait()
	for batch := range batches { // that nobody writes after an error
		batch.Release()
	}
	return err
}

func open(ctx context.Context, u query.URI) (rows, error) {
	switch u.Scheme {
	case query.SchemeSQLite:
		return orNil(sqlite.Open(ctx, u.Place, u.Spec))
	case query.SchemeDuckDB:
		return orNil(duckdb.Open(ctx, u.Place, u.Spec))
	}
	return orNil(pgrows.Open(ctx, u.Place, u.Spec))
}

// orNil keeps a nil pointer from becoming an interface that is not nil.
func orNil[R rows](r R, err error) (rows, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}

// object is a spool.
type object struct {
	spool *spool.Spool
	facts dataset.Facts
}

// Facts implements dataset.Object.
func (o *object) Facts() dataset.Facts { return o.facts }

// Local implements dataset.Object.
func (o *object) Local(context.Context) (path string, done func() error, err error) {
	return o.spool.Path(), func() error { return nil }, nil
}

// Changed finds nothing: what was read is of one moment.
func (o *object) Changed() error { return nil }

// Close implements dataset.Object.
func (o *object) Close() error { return o.spool.Close() }
