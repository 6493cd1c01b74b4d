package objects

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"gocloud.dev/blob"

	"github.com/millrace/millrace/engine/ledger"
)

// An upload holds pieces of its object in memory until the store has them: at most
// uploadedAtOnce and the one that is being filled, of pieceBytes each, and twice that while
// it begins. Ten thousand pieces are the most that S3 takes: 78 GiB for a part, and 312 GiB
// for a single file.
const (
	pieceBytes     = 8 << 20
	largePiece     = 32 << 20
	uploadedAtOnce = 2
	// heldBytes is what an upload of pieceBytes holds at most.
	heldBytes = 2*uploadedAtOnce*pieceBytes + pieceBytes
)

// upload is a file on its way to the store. Nobody sees it before Commit, and it is gone
// after Abort.
type upload struct {
	s     *staging
	key   string
	name  string // of the Output
	taken func(stagedFile)

	w     *io.PipeWriter // nil once committed or aborted
	ended chan error     // has the outcome of the upload, which reads what is written
	buf   *bufio.Writer
	drop  func(error)  // makes the upload fail, unless it has read all
	there func() error // waits until the object is there, or says why it is not
	hash  hash.Hash
	bytes int64
	local *os.File // a copy on this machine; nil where nobody needs one
}

// newUpload begins an object; taken is told of it when it is there.
func (s *staging) newUpload(key, name string, piece int, taken func(stagedFile)) (*upload, error) {
	if err := s.claimed(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	closed := s.mu.closed
	s.mu.Unlock()
	if closed {
		return nil, fmt.Errorf("output %q: %w", s.place.shown, ledger.ErrDiscarded)
	}
	during := s.during()
	ctx, cancel := context.WithCancel(s.writes())
	r, w := io.Pipe()
	u := &upload{s: s, key: key, name: name, taken: taken, w: w, ended: make(chan error, 1), hash: sha256.New()}
	u.drop = func(why error) {
		if s.store.multi == nil { // its writers take the end of what they read for the object's
			cancel()
		} else { // who is let end aborts what it began
			time.AfterFunc(lingers, cancel)
		}
		_ = r.CloseWithError(why) // never fails
	}
	stop := context.AfterFunc(during, func() { u.drop(context.Cause(during)) })
	go func() {
		err := s.store.bucket.Upload(ctx, key, r, &blob.WriterOptions{ContentType: contentType, BufferSize: piece, MaxConcurrency: uploadedAtOnce})
		stop()
		cancel()
		if err != nil && during.Err() != nil {
			err = context.Cause(during)
		}
		_ = r.CloseWithError(cmp.Or(err, io.ErrClosedPipe)) // nobody reads any more
		u.ended <- err
	}()
	u.buf = bufio.NewWriterSize((*uploadSink)(u), bufferBytes)
	u.there = sync.OnceValue(u.wait)
	return u, nil
}

// uploadSink is the upload below its buffer.
type uploadSink upload

func (u *uploadSink) Write(p []byte) (int, error) {
	n, err := u.w.Write(p)
	u.hash.Write(p[:n])
	u.bytes += int64(n)
	if err == nil && u.local != nil {
		_, err = u.local.Write(p)
	}
	return n, err
}

// Write appends to the object.
func (u *upload) Write(p []byte) (int, error) {
	if u.w == nil {
		return 0, fmt.Errorf("output %q: write to %s: %w", u.s.place.shown, u.name, ledger.ErrDiscarded)
	}
	n, err := u.buf.Write(p)
	return n, u.s.failed(err)
}

// Bytes is how many bytes the object has so far.
func (u *upload) Bytes() int64 { return u.bytes + int64(u.buf.Buffered()) }

// Commit gives the object's account as soon as all its bytes are on their way, so that what
// depends on the account alone need not wait for the store: Record waits for a part's objects,
// and Publish for all.
func (u *upload) Commit(rows int64) (ledger.Output, error) {
	if u.w == nil {
		return ledger.Output{}, fmt.Errorf("output %q: commit %s: %w", u.s.place.shown, u.name, ledger.ErrDiscarded)
	}
	if err := u.commit(); err != nil {
		return ledger.Output{}, errors.Join(u.s.failed(fmt.Errorf("upload %s: %w", u.name, err)), u.Abort())
	}
	out := ledger.Output{Name: u.name, Bytes: u.bytes, SHA256: hex.EncodeToString(u.hash.Sum(nil)), Rows: rows}
	u.taken(stagedFile{Output: out, key: u.key})
	return out, nil
}

func (u *upload) commit() error {
	if err := u.buf.Flush(); err != nil {
		return err
	}
	if u.local != nil {
		if err := u.local.Close(); err != nil {
			return err
		}
		u.s.keepLocal(u.key, u.local.Name())
	}
	u.s.comes(u)
	_ = u.w.Close() // never fails
	u.w = nil
	return nil
}

// wait is there.
func (u *upload) wait() error {
	err := <-u.ended
	if err != nil && (u.s.told() != nil || !u.arrived()) {
		return fmt.Errorf("upload %s: %w", u.name, err)
	}
	return nil
}

// arrived says whether the object is there after all: the answer may have been lost. Nobody
// else writes to its key.
func (u *upload) arrived() bool {
	ctx, cancel := anyway(u.s.during())
	defer cancel()
	size, err := u.s.store.size(ctx, u.key)
	return err == nil && size == u.bytes
}

// Abort drops the object.
func (u *upload) Abort() error {
	if u.w != nil {
		u.drop(context.Canceled)
		<-u.ended //nolint:errcheck // how is of no interest
		u.w = nil
	}
	if u.local != nil {
		_ = u.local.Close() // may be closed
		_ = os.Remove(u.local.Name())
		u.local = nil
	}
	return nil
}

// tee makes the upload leave a copy on this machine.
func (u *upload) tee() error {
	f, err := u.s.work.create(strings.ReplaceAll(u.s.place.label(u.key), "/", "-"))
	if err != nil {
		return errors.Join(outputError(u.s.place, err), u.Abort())
	}
	u.local = f
	return nil
}

// keepLocal notes where an object can be read on this machine.
func (s *staging) keepLocal(key, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.paths[key] = path
}

// localPath is where an object can be read on this machine: the copy that was left there,
// or one that is fetched. Copies last until dropLocal.
func (s *staging) localPath(key string) (string, error) {
	s.mu.Lock()
	path := s.mu.paths[key]
	s.mu.Unlock()
	if path != "" {
		return path, nil
	}
	f, err := s.work.create(strings.ReplaceAll(s.place.label(key), "/", "-"))
	if err != nil {
		return "", outputError(s.place, err)
	}
	if err := errors.Join(s.store.fetch(s.during(), key, f), f.Close()); err != nil {
		return "", s.failed(fmt.Errorf("fetch %s: %w", s.place.uri(key), err))
	}
	s.keepLocal(key, f.Name())
	return f.Name(), nil
}

// dropLocal removes the copy of an object.
func (s *staging) dropLocal(key string) {
	s.mu.Lock()
	path := s.mu.paths[key]
	delete(s.mu.paths, key)
	s.mu.Unlock()
	if path != "" {
		_ = os.Remove(path) // goes with the workspace at the latest
	}
}

// fetch copies an object into a file.
func (s *store) fetch(ctx context.Context, key string, f *os.File) (err error) {
	for try := range readTries {
		if try > 0 {
			if _, err := f.Seek(0, 0); err != nil {
				return err
			}
			if err := f.Truncate(0); err != nil {
				return err
			}
		}
		if err = s.fetchOnce(ctx, key, f); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (s *store) fetchOnce(ctx context.Context, key string, f *os.File) (err error) {
	r, err := s.bucket.NewReader(ctx, key, nil)
	if err != nil {
		return missing(err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	n, err := f.ReadFrom(r)
	if err == nil && n != r.Size() {
		err = fmt.Errorf("%d of %d bytes came", n, r.Size())
	}
	return err
}
