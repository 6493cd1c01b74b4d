package blobstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/io/format"
)

// spool is a local file with an object's bytes. It has no name, so that nothing is left
// of it whatever becomes of the process.
type spool struct {
	mu   sync.Mutex
	file *os.File // nil while there is none
	lent int
}

const (
	// pieceBytes is what one request of a whole object asks for.
	pieceBytes = 4 << 20
	// pieces is how many of them are under way at a time, of one object.
	pieces = 8
	// idleSpools is how many files are kept that nobody reads.
	idleSpools = 8
)

// Local implements dataset.Object: the object is fetched as a whole, once for all who ask
// for it while its file is kept.
func (o *object) Local(ctx context.Context) (path string, done func() error, err error) {
	o.spool.mu.Lock()
	defer o.spool.mu.Unlock()
	if o.spool.file == nil {
		if o.spool.file, err = o.whole(ctx); err != nil {
			return "", nil, err
		}
	}
	o.spool.lent++
	o.store.lend(o)
	return fmt.Sprintf("/proc/self/fd/%d", o.spool.file.Fd()), sync.OnceValue(o.giveSpool), nil
}

// giveSpool ends a use.
func (o *object) giveSpool() error {
	o.spool.mu.Lock()
	o.spool.lent--
	idle := o.spool.lent == 0 && o.spool.file != nil
	o.spool.mu.Unlock()
	if !idle {
		return nil
	}
	return o.store.rest(o)
}

// lend takes an object off those with an idle file.
func (s *Store) lend(o *object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.spools = slices.DeleteFunc(s.mu.spools, func(other *object) bool { return other == o })
}

// rest puts an object among those with an idle file, and drops that of the oldest of too many.
func (s *Store) rest(o *object) error {
	s.lend(o)
	s.mu.Lock()
	s.mu.spools = append(s.mu.spools, o)
	var oldest *object
	if len(s.mu.spools) > idleSpools {
		oldest, s.mu.spools = s.mu.spools[0], s.mu.spools[1:]
	}
	s.mu.Unlock()
	if oldest == nil {
		return nil
	}
	return oldest.dropIdleSpool()
}

// dropIdleSpool drops a file that nobody took since.
func (o *object) dropIdleSpool() error {
	o.spool.mu.Lock()
	defer o.spool.mu.Unlock()
	if o.spool.lent > 0 || o.spool.file == nil {
		return nil
	}
	err := o.spool.file.Close()
	o.spool.file = nil
	return err
}

// dropSpool drops the file for good.
func (o *object) dropSpool() error {
	o.store.lend(o)
	o.spool.mu.Lock()
	o.spool.lent = 0
	o.spool.mu.Unlock()
	return o.dropIdleSpool()
}

// whole fetches all bytes into a file without a name.
func (o *object) whole(ctx context.Context) (_ *os.File, err error) {
	dir := o.store.opts.TempDir
	if dir == "" {
		dir = os.TempDir()
	}
	file, err := os.CreateTemp(dir, "millrace-object-*")
	if err != nil {
		return nil, fmt.Errorf("%s: it is kept in a temporary file (TMPDIR): %w", o.at, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	if err := os.Remove(file.Name()); err != nil {
		return nil, err
	}
	if err := o.checkedInto(ctx, file); err != nil {
		return nil, err
	}
	return file, nil
}

// errCorrupt says that bytes are not those that the store has a checksum of.
var errCorrupt = errors.New("its bytes do not have the checksum that the store names")

// checkedInto fetches the object into a file until its checksum is the store's, where TLS
// does not see to that. An ETag that looks like one may be none (S3 encrypts with keys of its
// own): two fetches that give the same other sum say so.
func (o *object) checkedInto(ctx context.Context, file *os.File) error {
	if o.verifier == nil {
		return o.fetchInto(ctx, file)
	}
	digest := o.digestOf(ctx)
	var before []byte
	for range max(o.store.opts.Attempts, 2) {
		if err := o.fetchInto(ctx, file); err != nil || digest == nil {
			return err
		}
		if _, err := io.Copy(digest, io.NewSectionReader(file, 0, o.found.size)); err != nil {
			return fmt.Errorf("%s: read it back: %w", o.at, err)
		}
		got := digest.result()
		if bytes.Equal(got, digest.want) || !digest.sure && bytes.Equal(got, before) {
			return nil
		}
		if bytes.Equal(got, before) {
			break
		}
		before = got
	}
	return fmt.Errorf("%s: %w: %w, at any attempt", o.at, format.ErrDamaged, errCorrupt)
}

// fetchInto fetches pieces of the object, some at a time.
func (o *object) fetchInto(ctx context.Context, file *os.File) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(pieces)
	for off := int64(0); off < o.found.size && ctx.Err() == nil; off += pieceBytes {
		group.Go(func() error {
			piece := make([]byte, min(pieceBytes, o.found.size-off))
			if err := o.fetch(ctx, off, piece); err != nil {
				return err
			}
			if _, err := file.WriteAt(piece, off); err != nil {
				return fmt.Errorf("%s: it is kept in a temporary file (TMPDIR): %w", o.at, err)
			}
			return nil
		})
	}
	return group.Wait()
}
