package blobstore

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"sync"

	"github.com/zeebo/xxh3"

	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// A range of an object has no checksum that a store would name: TLS sees to it that its
// bytes come as they were sent. Over plain HTTP nothing does, so there all bytes of an
// object are fetched and compared with the checksum that the store has of the whole,
// before anything is published:
//
//	a block comes  ──▶ its print is kept; one that comes again must have the same
//	blocks in order ──▶ the digest; those that were not read are fetched for it
//	the end         ──▶ the store's own? if not: all again, and prints are compared
//
// so that what was read is what was summed up, whatever was fetched twice.

// verifier sums an object's blocks up as they come.
type verifier struct {
	mu     sync.Mutex
	prints map[int64]uint64 // XXH3 of blocks, by index
	next   int64            // the block that the digest waits for
	digest *digest          // nil until it is known how
	over   bool
}

// arrived notes a block. Its error says that it came with other bytes before.
func (v *verifier) arrived(index int64, data []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	seen := xxh3.Hash(data)
	if before, ok := v.prints[index]; ok && before != seen {
		return errDiffers
	}
	v.prints[index] = seen
	v.addLocked(index, data)
	return nil
}

var errDiffers = errors.New("the same bytes came otherwise before: they were corrupted on the way")

func (v *verifier) addLocked(index int64, data []byte) {
	if v.digest != nil && index == v.next {
		v.digest.write(data)
		v.next++
	}
}

// summedUp is the block that the digest waits for.
func (v *verifier) summedUp() int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.next
}

// sumUpAndPass sums a block up before anyone reads it: once read its memory may go, and that
// of those behind it, which came before it did.
func (o *object) sumUpAndPass(b *block) error {
	if err := o.verifier.arrived(b.id.index, b.data); err != nil {
		return err
	}
	o.catchUp()
	o.store.blocks.hold(b)
	o.store.blocks.came(b, nil)
	o.catchUp() // the one before it may have come meanwhile, and found this on its way
	o.store.blocks.put(b)
	return nil
}

// catchUp adds blocks that came before the digest got to them, while they are held.
func (o *object) catchUp() {
	v := o.verifier
	for {
		v.mu.Lock()
		next, ready := v.next, v.digest != nil
		v.mu.Unlock()
		b := o.store.blocks.have(blockID{o, next})
		if b == nil || !ready {
			if b != nil {
				o.store.blocks.put(b)
			}
			return
		}
		v.mu.Lock()
		v.addLocked(next, b.data)
		v.mu.Unlock()
		o.store.blocks.put(b)
	}
}

// watch begins to sum the object up, unless TLS does better, or it began when it was opened.
func (o *object) watch() {
	if o.verifier == nil || o.life.Err() != nil {
		return
	}
	o.watching.Do(func() {
		if o.verifier.digest != nil { // by its ETag, from the first block on
			close(o.watched)
			return
		}
		o.fetchs.Go(func() {
			digest := o.digestOf(o.life)
			o.verifier.mu.Lock()
			o.verifier.digest, o.verifier.over = digest, digest == nil
			o.verifier.mu.Unlock()
			close(o.watched)
			if digest != nil {
				o.catchUp()
			}
		})
	})
}

// Verify implements dataset.Verified: it fetches what was not read, and compares.
func (o *object) Verify(ctx context.Context) error {
	if o.verifier == nil {
		return nil
	}
	o.watch()
	select {
	case <-o.watched:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-o.life.Done():
		return errClosed
	}
	v := o.verifier
	if v.over { // there is nothing to compare with
		return nil
	}
	if err := o.sumUp(ctx); err != nil {
		return err
	}
	if !v.digest.fits() {
		if err := o.sumUpAgain(ctx); err != nil {
			return err
		}
	}
	v.over = true
	return nil
}

// sumUpAgain tells what does not fit. Either a byte was another on the way, or all come again
// as they came before: then the store has other bytes than it made its checksum of, unless
// that is an ETag, which is none where S3 encrypts with keys of its own.
func (o *object) sumUpAgain(ctx context.Context) error {
	v := o.verifier
	o.store.blocks.forget(o)
	again := o.byChecksum(ctx)
	if again == nil {
		again = &digest{sum: md5.New()}
	}
	v.mu.Lock()
	v.next, v.digest = 0, again
	v.mu.Unlock()
	if err := o.sumUp(ctx); err != nil {
		return err
	}
	if again.sure && !again.fits() {
		return fmt.Errorf("%s: %w: %w", o.at, format.ErrDamaged, errCorrupt)
	}
	return nil
}

// sumUp feeds the digest with all blocks that it waits for. Those that are not held any more
// are fetched in as many requests at a time as there is room for.
func (o *object) sumUp(ctx context.Context) error {
	o.catchUp()
	v := o.verifier
	next := v.summedUp()
	asked := next // for blocks before it; by nobody else, so that none is asked for twice
	data := make([]byte, blockBytes)
	for ; next*blockBytes < o.found.size; next++ {
		asked = o.fetchFrom(max(asked, next))
		end := (next/requestBlocks + 1) * requestBlocks * blockBytes // of the request that it would come by
		piece := data[:o.sizeOf(next)]
		if _, err := o.readBlock(ctx, piece, next*blockBytes, min(end, o.found.size)); err != nil {
			return err
		}
		v.mu.Lock()
		v.addLocked(next, piece) // unless it was as it came
		v.mu.Unlock()
	}
	return nil
}

// fetchFrom has blocks fetched from one on, as long as there is room for requests of the
// usual size, and gives the first that it has not.
func (o *object) fetchFrom(index int64) int64 {
	a := &aheadRun{object: o}
	defer a.flush()
	for index*blockBytes < o.found.size && (len(a.run) > 0 || o.store.blocks.roomy()) && a.take(index, o.sizeOf(index)) {
		index++
	}
	return index
}

// corrupted words that bytes came as no store has them.
func corrupted(err error) error {
	if errors.Is(err, errDiffers) {
		return fmt.Errorf("%w: %w; run again, and let the store speak TLS", format.ErrDamaged, err)
	}
	return err
}

var _ dataset.Verified = (*object)(nil)
