// Package stream makes an input of an Arrow IPC stream that comes once, on standard input,
// for runs that must know all rows before they write one.
//
// When the input is opened the stream is read to its end mark into a spool, which then
// stands for it; what the reader of streams refuses, package arrowfile says. The input's
// version is the digest of the rows, so that a run whose stream is sent again goes on, and
// one whose stream is another finds out.
package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/spool"
)

// Name is the input's name.
const Name = "-"

// Store opens one stream, once.
type Store struct {
	in    io.Reader
	spool spool.Options

	once sync.Once
	kept *spool.Spool
	err  error
}

// NewStore is for a stream that nobody has read from. Where in has a SetReadDeadline, a
// context that ends interrupts a read that waits.
func NewStore(in io.Reader, opts spool.Options) *Store { return &Store{in: in, spool: opts} }

// List implements dataset.Store.
func (s *Store) List(context.Context, string) (dataset.Listing, error) {
	return dataset.Listing{Files: []string{Name}}, nil
}

// Open reads the whole stream.
func (s *Store) Open(ctx context.Context, _ string) (dataset.Object, error) {
	s.once.Do(func() {
		s.kept, s.err = s.read(ctx)
	})
	if s.err != nil {
		return nil, fmt.Errorf("standard input: %w", s.err)
	}
	info, err := os.Stat(s.kept.Path())
	if err != nil {
		return nil, fmt.Errorf("standard input: %w: %w", spool.ErrSpool, err)
	}
	return &object{spool: s.kept, facts: dataset.Facts{Format: format.ArrowFile, Size: info.Size(), Version: s.kept.Digest}}, nil
}

// read puts the rows into a spool.
func (s *Store) read(ctx context.Context) (*spool.Spool, error) {
	defer context.AfterFunc(ctx, func() {
		if timed, ok := s.in.(interface{ SetReadDeadline(t time.Time) error }); ok {
			_ = timed.SetReadDeadline(time.Unix(1, 0)) // what cannot be interrupted waits
		}
	})()
	from, err := arrowfile.OpenStream(s.in, arrowfile.StreamOptions{Allocator: s.spool.Allocator})
	if err != nil {
		return nil, because(ctx, err)
	}
	defer from.Close()
	columns := make([]int, from.Schema().NumFields())
	for i := range columns {
		columns[i] = i
	}
	if err := from.Want(columns); err != nil {
		return nil, err
	}
	to, err := spool.Create(from.Schema(), s.spool)
	if err != nil {
		return nil, err
	}
	for {
		batch, err := from.Next() //nolint:contextcheck // it has none: who stops the run closes its input
		if errors.Is(err, io.EOF) {
			return to.Finish()
		}
		if err == nil {
			err = to.Write(batch)
			batch.Release()
		}
		if err != nil {
			return nil, errors.Join(because(ctx, err), to.Abort())
		}
	}
}

// because is why reading failed: an end of ctx interrupts a read.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// object is the stream as it was kept.
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

// Changed implements dataset.Object: nobody else has the spool.
func (o *object) Changed() error { return nil }

// Close gives the spool up.
func (o *object) Close() error { return o.spool.Close() }
