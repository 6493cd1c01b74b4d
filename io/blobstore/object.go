package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"gocloud.dev/blob"

	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// object is one version of an object. It implements dataset.Ranged.
type object struct {
	store  *Store
	bucket *blob.Bucket
	at     Location
	found  found

	// life ends with Close, and whatever is being fetched with it.
	life   context.Context //nolint:containedctx // what is fetched outlives who asked for it
	end    context.CancelCauseFunc
	spool  spool
	fetchs sync.WaitGroup

	verifier  *verifier                   // nil where TLS sees to it
	firstPart func() (bytes, parts int64) // askFirstPart, once
	watching  sync.Once
	watched   chan struct{} // closed when it is known how the object is summed up
	filled    struct {
		sync.Mutex

		next int64 // block from which on none was fetched for the verifier
	}
}

var _ dataset.Ranged = (*object)(nil)

// errClosed is the cause of what an object's Close cancels.
var errClosed = errors.New("the object is closed")

// Open implements dataset.Store. What List saw is what is opened; else the store is asked.
func (s *Store) Open(ctx context.Context, uri string) (dataset.Object, error) {
	l, b, f, err := s.find(ctx, uri)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	delete(s.mu.listed, uri)
	s.mu.Unlock()
	return s.object(l, b, f), nil
}

// Look implements dataset.Looker.
func (s *Store) Look(ctx context.Context, uri string) (dataset.Facts, error) {
	_, _, f, err := s.find(ctx, uri)
	return f.facts(), err
}

// find is what List saw of an object; else the store is asked.
func (s *Store) find(ctx context.Context, uri string) (l Location, b *blob.Bucket, f found, err error) {
	if l, err = ParseURI(uri); err != nil {
		return l, nil, f, err
	}
	if b, err = s.bucket(ctx, l); err != nil {
		return l, nil, f, err
	}
	s.mu.Lock()
	f, listed := s.mu.listed[uri]
	s.mu.Unlock()
	if !listed {
		if f, err = s.look(ctx, b, l); err != nil {
			err = fmt.Errorf("%s: %w", l, err)
		}
	}
	return l, b, f, err
}

// look asks for what is known of an object.
func (s *Store) look(ctx context.Context, b *blob.Bucket, l Location) (f found, err error) {
	err = s.attempt(ctx, func(ctx context.Context, _ *progress) error {
		if l.Scheme == S3 {
			known, ok, err := s3Attributes(ctx, b, l)
			if f = known; ok || err != nil {
				return err
			}
		}
		attrs, err := b.Attributes(ctx, l.Key)
		if err != nil {
			return err
		}
		f = foundBy(l.Scheme, attrs)
		return nil
	})
	if gone(err) {
		err = fmt.Errorf("%w: %w", dataset.ErrNoSuchFile, err)
	}
	return f, err
}

func (s *Store) object(l Location, b *blob.Bucket, f found) *object {
	o := &object{store: s, bucket: b, at: l, found: f, watched: make(chan struct{})}
	if s.opts.Checks == ChecksAlways || s.opts.Checks == ChecksAuto && plain(l.Scheme, b, &s.opts) {
		o.verifier = &verifier{prints: map[int64]uint64{}, digest: o.byETag()}
	}
	o.life, o.end = context.WithCancelCause(context.Background())
	o.firstPart = sync.OnceValues(o.askFirstPart)
	return o
}

// Facts implements dataset.Object.
func (o *object) Facts() dataset.Facts {
	return o.found.facts()
}

// Size implements format.Source.
func (o *object) Size() int64 { return o.found.size }

// Changed implements dataset.Object: it asks the store.
func (o *object) Changed() error {
	now, err := o.store.look(o.life, o.bucket, o.at)
	switch {
	case errors.Is(err, dataset.ErrNoSuchFile):
		return fmt.Errorf("%s: %w: it is gone", o.at, format.ErrChanged)
	case err != nil:
		return fmt.Errorf("%s: %w", o.at, err)
	case now.version != o.found.version || now.size != o.found.size:
		return fmt.Errorf("%s: %w: its version is %s, of %d bytes, and was %s, of %d", o.at, format.ErrChanged, now.version, now.size, o.found.version, o.found.size)
	}
	return nil
}

// Close implements dataset.Object. Whoever reads gets an error.
func (o *object) Close() error {
	o.end(errClosed)
	o.fetchs.Wait()
	o.store.blocks.forget(o)
	return o.dropSpool()
}

// head are the first bytes.
func (o *object) head(ctx context.Context) ([]byte, error) {
	head := make([]byte, min(dataset.HeadBytes, o.found.size))
	err := o.fetch(ctx, 0, head)
	return head, err
}

// fetch fills p with the bytes from off on, by one request or, where it fails, more: each
// asks for what is still missing.
func (o *object) fetch(ctx context.Context, off int64, p []byte) error {
	got := 0
	if len(p) == 0 {
		return nil
	}
	err := o.store.attempt(ctx, func(ctx context.Context, made *progress) error {
		n, err := o.request(ctx, off+int64(got), p[got:])
		if got += n; n >= leastBytes {
			made.did = int64(n)
		}
		return err
	})
	return changed(o.at, err)
}

// bodyError words that an answer's body ends too soon.
func bodyError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the answer ended too early")
	}
	return err
}

// request asks for len(p) bytes from off on once, and says how many came.
func (o *object) request(ctx context.Context, off int64, p []byte) (n int, err error) {
	r, err := o.bucket.NewRangeReader(ctx, o.at.Key, off, int64(len(p)), o.found.ifVersion(o.at))
	if err != nil {
		return 0, err
	}
	defer func() { _ = r.Close() }() // it was only read
	if err := o.found.check(o.at.Scheme, r, off); err != nil {
		return 0, err
	}
	if n, err = io.ReadFull(r, p); err != nil {
		return n, bodyError(err)
	}
	var more [1]byte
	if k, _ := r.Read(more[:]); k > 0 {
		return 0, fmt.Errorf("%w: more than %d", errAnswer, len(p))
	}
	return n, nil
}
