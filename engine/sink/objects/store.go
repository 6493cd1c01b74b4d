package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
	"golang.org/x/sync/errgroup"
)

// atATime bounds the requests that are under way for many objects: most of the time they
// wait for the store.
const atATime = 16

// object is one that a listing found.
type object struct {
	key     string
	size    int64
	modTime time.Time
	folder  bool // a prefix of others, with a slash at its end
}

// store is a bucket. What its drivers retry is retried; a missing object is fs.ErrNotExist.
type store struct {
	bucket *blob.Bucket
	multi  multipart // nil where uploads in pieces leave nothing behind
}

// multipart is what stores have whose unfinished uploads stay.
type multipart interface {
	// abortUploads ends the uploads of keys with a prefix, but for those with another, unless
	// that is empty.
	abortUploads(ctx context.Context, prefix, but string) error
	// copyOptions say what is copied.
	copyOptions(from string) *blob.CopyOptions
	// copyLarge copies an object in ranges.
	copyLarge(ctx context.Context, from, to string, size int64) error
	// deleteAll removes objects, which need not be there.
	deleteAll(ctx context.Context, keys []string) error
}

// largeBytes is how large an object may be for one request to copy it: S3's limit is 5 GiB.
const largeBytes = 4 << 30

// readTries is how often a read is begun whose answer broke off: the drivers try again only
// as long as it has not begun.
const readTries = 4

func missing(err error) error {
	if err != nil && gcerrors.Code(err) == gcerrors.NotFound {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}

// get reads a small object.
func (s *store) get(ctx context.Context, key string, most int64) (data []byte, err error) {
	for try := range readTries {
		if data, err = s.getOnce(ctx, key, most); err == nil || errors.Is(err, fs.ErrNotExist) || ctx.Err() != nil {
			return data, err
		}
		pause(ctx, time.Duration(try+1)*200*time.Millisecond)
	}
	return nil, err
}

func (s *store) getOnce(ctx context.Context, key string, most int64) (_ []byte, err error) {
	r, err := s.bucket.NewReader(ctx, key, nil)
	if err != nil {
		return nil, missing(err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if r.Size() > most {
		return nil, fmt.Errorf("%s has %d bytes, more than the %d that are read", key, r.Size(), most)
	}
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(data)) != r.Size() {
		err = io.ErrUnexpectedEOF
	}
	return data, err
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// put writes a small object, over one that is there.
func (s *store) put(ctx context.Context, key string, data []byte) error {
	return s.bucket.Upload(ctx, key, bytes.NewReader(data), &blob.WriterOptions{ContentType: contentType})
}

// contentType is that of all objects. Objects are written by Upload only: the writer of
// Azure's driver panics where an upload that is written to fails.
const contentType = "application/octet-stream"

// create writes a small object unless one is there, and says whether the one there is this:
// also where the answer was lost and the store says that there is one, which is why data
// must be nobody else's.
func (s *store) create(ctx context.Context, key string, data []byte) (won bool, err error) {
	opts := &blob.WriterOptions{ContentType: contentType, IfNotExist: true}
	for try := range readTries {
		if err = s.bucket.Upload(ctx, key, bytes.NewReader(data), opts); err == nil {
			return true, nil
		}
		if ctx.Err() != nil && try > 0 {
			return false, err
		}
		there, readErr := s.get(ctx, key, int64(max(len(data), maxSmallBytes)))
		switch {
		case readErr == nil:
			return bytes.Equal(there, data), nil
		case !errors.Is(readErr, fs.ErrNotExist):
			return false, errors.Join(err, readErr)
		}
		pause(ctx, time.Duration(try+1)*200*time.Millisecond) // nobody won: two at once, or the store was away
	}
	return false, err
}

// maxSmallBytes bounds what is read of objects that are small.
const maxSmallBytes = 64 << 20

// list finds the objects whose keys begin with prefix; with delimiter "/" those below a
// folder count as one. yield may return errStop.
func (s *store) list(ctx context.Context, prefix, delimiter string, yield func(object) error) error {
	// By pages, since an iterator ends by io.EOF, which a connection that broke off gives too.
	for token := blob.FirstPageToken; len(token) > 0; {
		opts := &blob.ListOptions{Prefix: prefix, Delimiter: delimiter}
		page, next, err := s.bucket.ListPage(ctx, token, pageObjects, opts)
		for again := 0; gcerrors.Code(err) == gcerrors.NotFound && again < mostVanished; again++ {
			page, next, err = s.bucket.ListPage(ctx, token, pageObjects, opts)
		}
		if err != nil {
			return err
		}
		for _, o := range page {
			if err := yield(object{key: o.Key, size: o.Size, modTime: o.ModTime, folder: o.IsDir}); err != nil {
				if errors.Is(err, errStop) {
					return nil
				}
				return err
			}
		}
		token = next
	}
	return nil
}

// mostVanished is how often a page is asked for again, as its bucket seems not to be there: so a
// folder's driver calls it that a file went while its folder was listed.
const mostVanished = 10

// pageObjects is how many objects one request lists: as many as S3 does at most.
const pageObjects = 1000

var errStop = errors.New("enough")

// maxObjects bounds a listing of an output.
const maxObjects = 4 << 20

// all lists every object with a prefix.
func (s *store) all(ctx context.Context, prefix string) (found []object, err error) {
	err = s.list(ctx, prefix, "", func(o object) error {
		if len(found) == maxObjects {
			return fmt.Errorf("more than %d objects are below %s", maxObjects, prefix)
		}
		found = append(found, o)
		return nil
	})
	return found, err
}

// size is that of an object.
func (s *store) size(ctx context.Context, key string) (int64, error) {
	attrs, err := s.bucket.Attributes(ctx, key)
	if err != nil {
		return 0, missing(err)
	}
	return attrs.Size, nil
}

// remove removes objects; those that are not there are no error.
func (s *store) remove(ctx context.Context, keys ...string) error {
	if len(keys) == 0 {
		return nil
	}
	if s.multi != nil {
		return s.multi.deleteAll(ctx, keys)
	}
	return each(ctx, keys, func(ctx context.Context, key string) error {
		if err := missing(s.bucket.Delete(ctx, key)); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// copy makes a copy of an object, within the store.
func (s *store) copy(ctx context.Context, from, to string, size int64) error {
	if s.multi != nil && size > largeBytes {
		return s.multi.copyLarge(ctx, from, to, size)
	}
	var opts *blob.CopyOptions
	if s.multi != nil {
		opts = s.multi.copyOptions(from)
	}
	return missing(s.bucket.Copy(ctx, to, from, opts))
}

// abortUploads ends the unfinished uploads below a prefix, but for those below another.
func (s *store) abortUploads(ctx context.Context, prefix, but string) error {
	if s.multi == nil {
		return nil
	}
	return s.multi.abortUploads(ctx, prefix, but)
}

// each does something for all, several at a time, until one fails.
func each[T any](ctx context.Context, all []T, do func(context.Context, T) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atATime)
	for _, one := range all {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return do(ctx, one) })
	}
	return group.Wait()
}
