package blobstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"gocloud.dev/blob"

	"github.com/millrace/millrace/io/dataset"
)

// Store reads objects of all schemes; it implements dataset.Store. To make one costs
// nothing: a bucket is opened when it is first asked for.
//
//	List ──pages──▶ URIs; what a page says of an object is kept for its Open
//	Open ──▶ Object ──ReadAt──▶ blocks: fetched ahead, or when they are read
//	                └─Local───▶ a file of all its bytes, which has no name
type Store struct {
	opts   Options
	blocks *blocks
	slots  chan struct{} // a token for each request that is under way
	open   func(ctx context.Context, l Location, o Options) (*blob.Bucket, error)

	mu struct {
		sync.Mutex

		buckets map[string]*blob.Bucket // by scheme and name
		listed  map[string]found        // by URI, until it is opened
		spools  []*object               // with a local file that nobody has, oldest first
	}
}

var (
	_ dataset.Store  = (*Store)(nil)
	_ dataset.Looker = (*Store)(nil)
)

// New makes a store; its options are checked when it is first used.
func New(o Options) *Store {
	o.EnsureDefaults()
	s := &Store{opts: o, blocks: newBlocks(o.BufferBytes), slots: make(chan struct{}, o.Requests), open: OpenBucket}
	s.mu.buckets, s.mu.listed = map[string]*blob.Bucket{}, map[string]found{}
	return s
}

// BufferBytes is what the store holds at most of what is fetched ahead.
func (s *Store) BufferBytes() int64 { return s.blocks.most() }

// SetBufferBytes changes it.
func (s *Store) SetBufferBytes(bytes int64) { s.blocks.bound(bytes) }

// bucket opens the bucket of a location once.
func (s *Store) bucket(ctx context.Context, l Location) (*blob.Bucket, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := l.Scheme + "://" + l.Bucket
	if b := s.mu.buckets[name]; b != nil {
		return b, nil
	}
	o := s.opts
	o.Attempts = 1 // attempts are made here, which sees how bodies end
	if err := s.opts.Validate(); err != nil {
		return nil, err
	}
	b, err := s.open(ctx, l, o)
	if err != nil {
		return nil, err
	}
	s.mu.buckets[name] = b
	return b, nil
}

// progress counts what attempts came to, so that those that get on are not given up.
type progress struct{ did int64 }

// Pauses between attempts: as AWS's clients make them, from
// https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/.
const firstPause = 50 * time.Millisecond

// attempt does something until it succeeds, fails for good, or failed as often in a row as
// is allowed without any progress.
func (s *Store) attempt(ctx context.Context, do func(ctx context.Context, p *progress) error) error {
	for failed := 0; ; {
		p := &progress{}
		err := s.once(ctx, do, p)
		if err == nil || ctx.Err() != nil || !passing(err) {
			return Clean(err)
		}
		if failed++; p.did > 0 {
			failed = 1
		}
		if failed >= s.opts.Attempts {
			return fmt.Errorf("%w (tried %d times; --store-attempts)", Clean(err), failed)
		}
		pause := min(firstPause<<min(failed-1, 16), mostPause)
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// once is one attempt, which has a slot.
func (s *Store) once(ctx context.Context, do func(ctx context.Context, p *progress) error, p *progress) error {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-s.slots }()
	return do(ctx, p)
}

// Close closes the buckets; nothing may be in use.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	errs := make([]error, 0, len(s.mu.buckets))
	for _, b := range s.mu.buckets {
		errs = append(errs, Clean(b.Close()))
	}
	clear(s.mu.buckets)
	return errors.Join(errs...)
}
