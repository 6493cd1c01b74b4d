package blobstore

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
)

// ErrTooLarge says that an object has more bytes than are read.
var ErrTooLarge = errors.New("object is too large")

// ReadAll reads an object of at most so many bytes, as Local does: by the store's checksum
// where it has one.
func (s *Store) ReadAll(ctx context.Context, uri string, most int64) (_ []byte, err error) {
	if l, err := ParseURI(uri); err == nil && (l.Key == "" || strings.HasSuffix(l.Key, "/")) {
		return nil, fmt.Errorf("%w: %s is a bucket or a folder, and no object in it", ErrURI, l)
	}
	o, first, err := s.openFirst(ctx, uri)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	if o.found.size > most {
		return nil, fmt.Errorf("%s: %w: %d bytes, and at most %d are read", o.at, ErrTooLarge, o.found.size, most)
	}
	data := make([]byte, o.found.size)
	var before []byte
	for range max(s.opts.Attempts, 2) {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(pieces)
		for off := copy(data, first); off < len(data) && ctx.Err() == nil; off += pieceBytes {
			group.Go(func() error { return o.fetch(ctx, int64(off), data[off:min(off+pieceBytes, len(data))]) })
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
		sum := md5.Sum(data)
		if len(o.found.md5) == 0 || bytes.Equal(sum[:], o.found.md5) || bytes.Equal(sum[:], before) {
			return data, nil
		}
		before, first = bytes.Clone(sum[:]), nil
	}
	return nil, fmt.Errorf("%s: %w: %w, at any attempt", o.at, ErrStore, errCorrupt)
}

// openFirst opens an object and reads its first bytes, by one request where the store says
// with them all that there is to know. What keeps that from being done, asking for the object
// first says better.
func (s *Store) openFirst(ctx context.Context, uri string) (*object, []byte, error) {
	l, err := ParseURI(uri)
	if err != nil {
		return nil, nil, err
	}
	b, err := s.bucket(ctx, l)
	if err != nil {
		return nil, nil, err
	}
	var f found
	var first []byte
	err = s.once(ctx, func(ctx context.Context, _ *progress) (err error) {
		f, first, err = s3First(ctx, b, l)
		return err
	}, nil)
	if err == nil {
		return s.object(l, b, f), first, nil
	}
	opened, err := s.Open(ctx, uri)
	if err != nil {
		return nil, nil, err
	}
	return opened.(*object), nil, nil
}
