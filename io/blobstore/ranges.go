package blobstore

import (
	"context"
	"fmt"
	"io"
	"iter"

	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// tailBytes is what is fetched of an object's end when that is first read: most footers
// fit into it.
const tailBytes = 512 << 10

var (
	_ dataset.Beginner = (*object)(nil)
	_ dataset.Streamed = (*object)(nil)
)

// ReadAt implements format.Source: it waits for blocks that are coming, and fetches others.
func (o *object) ReadAt(ctx context.Context, p []byte, off int64) (n int, err error) {
	if off < 0 || off > o.found.size {
		return 0, fmt.Errorf("%s: read at %d of %d bytes", o.at, off, o.found.size)
	}
	if off+int64(len(p)) > o.found.size {
		p = p[:o.found.size-off]
		err = io.EOF
	}
	for n < len(p) {
		k, readErr := o.readBlock(ctx, p[n:], off+int64(n), off+int64(len(p)))
		if n += k; readErr != nil {
			return n, readErr
		}
	}
	return n, err
}

// readBlock reads what one block has of it. Where it has to be fetched, those after it up to
// end are too.
func (o *object) readBlock(ctx context.Context, p []byte, off, end int64) (int, error) {
	return o.useBlock(ctx, p, off, end, o.store.blocks.read)
}

// useBlock is readBlock; used is told of the bytes.
func (o *object) useBlock(ctx context.Context, p []byte, off, end int64, used func(b *block, bytes int64)) (int, error) {
	index := off / blockBytes
	b := o.urgent(index, end)
	defer o.store.blocks.put(b)
	select {
	case <-b.ready:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	if b.err != nil {
		return 0, b.err
	}
	n := copy(p, b.data[off-index*blockBytes:])
	used(b, int64(n))
	return n, nil
}

// objectBytes are all bytes of an object.
type objectBytes struct {
	ctx    context.Context //nolint:containedctx // a reader has no other way to end
	object *object
	off    int64
}

// Bytes implements dataset.Streamed. What is held for who reads rows stays so.
func (o *object) Bytes(ctx context.Context) io.ReadCloser { return &objectBytes{ctx: ctx, object: o} }

// Read implements io.Reader.
func (r *objectBytes) Read(p []byte) (int, error) {
	size := r.object.found.size
	if r.off >= size {
		return 0, io.EOF
	}
	const request = requestBlocks * blockBytes
	n, err := r.object.useBlock(r.ctx, p, r.off, min((r.off/request+1)*request, size), func(*block, int64) {})
	r.off += int64(n)
	return n, err
}

// Close implements io.Closer.
func (*objectBytes) Close() error { return nil }

// urgent gives a block that is read now. Where it is not even coming, it is fetched with
// those after it up to end, and with the rest of the object where that is a short way: a
// footer is read from its end.
func (o *object) urgent(index, end int64) *block {
	b, mine := o.store.blocks.get(blockID{o, index}, o.sizeOf(index), true)
	if !mine {
		return b
	}
	run := []*block{b}
	footer := false
	if from := (o.found.size - tailBytes) / blockBytes; index >= from {
		end, footer = o.found.size, true
		for i := index - 1; i >= max(from, 0); i-- { // the footer is longer than its last bytes
			before, mine := o.store.blocks.get(blockID{o, i}, o.sizeOf(i), true)
			if !mine {
				o.store.blocks.put(before)
				break
			}
			run = append([]*block{before}, run...)
		}
	}
	for i := index + 1; i*blockBytes < end && len(run) < requestBlocks; i++ {
		next, mine := o.store.blocks.get(blockID{o, i}, o.sizeOf(i), true)
		if !mine {
			o.store.blocks.put(next)
			break
		}
		run = append(run, next)
	}
	for _, other := range run {
		if footer {
			o.store.blocks.footer(other)
		}
		if other != b {
			o.store.blocks.put(other) // whoever fetches it has it until then
		}
	}
	o.launch(run)
	return b
}

func (o *object) sizeOf(index int64) int64 {
	return min(blockBytes, o.found.size-index*blockBytes)
}

// launch fetches blocks beside each other, which are all its own to fetch, in the
// background.
func (o *object) launch(run []*block) {
	if o.life.Err() != nil {
		for _, b := range run {
			o.store.blocks.came(b, fmt.Errorf("%s: %w", o.at, errClosed))
		}
		return
	}
	o.fetchs.Go(func() { o.fetchRun(run) })
}

// fetchRun fetches blocks beside each other: each is there as soon as its bytes are.
func (o *object) fetchRun(run []*block) {
	came := 0
	err := o.store.attempt(o.life, func(ctx context.Context, made *progress) error {
		n, err := o.requestRun(ctx, run[came:])
		came += n
		made.did = int64(n)
		return err
	})
	err = corrupted(changed(o.at, err))
	for _, b := range run[came:] {
		o.store.blocks.came(b, err)
	}
}

// requestRun asks for the bytes of blocks once, and says how many blocks came whole.
func (o *object) requestRun(ctx context.Context, run []*block) (came int, err error) {
	off, size := run[0].id.index*blockBytes, int64(0)
	for _, b := range run {
		size += int64(len(b.data))
	}
	r, err := o.bucket.NewRangeReader(ctx, o.at.Key, off, size, o.found.ifVersion(o.at))
	if err != nil {
		return 0, err
	}
	defer func() { _ = r.Close() }() // it was only read
	if err := o.found.check(o.at.Scheme, r, off); err != nil {
		return 0, err
	}
	for _, b := range run {
		if _, err := io.ReadFull(r, b.data); err != nil {
			return came, bodyError(err)
		}
		if o.verifier == nil {
			o.store.blocks.came(b, nil)
		} else if err := o.sumUpAndPass(b); err != nil {
			return came, err
		}
		came++
	}
	return came, nil
}

// Begin implements dataset.Beginner: it fetches what one request brings, unless that comes
// with the footer.
func (o *object) Begin() {
	var run []*block
	for i := int64(0); i < requestBlocks && (i+1)*blockBytes <= o.found.size-tailBytes; i++ {
		b, mine := o.store.blocks.get(blockID{o, i}, o.sizeOf(i), false)
		if b == nil {
			break
		}
		o.store.blocks.put(b) // whoever fetches it has it until then
		if !mine {
			break
		}
		run = append(run, b)
	}
	if len(run) > 0 {
		o.watch() // so that it is known how to sum up what comes when it does
		o.launch(run)
	}
}

// Ahead implements dataset.Ranged.
func (o *object) Ahead(ctx context.Context, ranges []format.Range) error {
	o.watch()
	a := &aheadRun{object: o}
	defer a.flush()
	for _, r := range ranges {
		for i, n := range blocksOf(r) {
			if err := a.add(ctx, i, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// blocksOf are the blocks that have bytes of a range, and how many.
func blocksOf(r format.Range) iter.Seq2[int64, int64] {
	return func(yield func(index, bytes int64) bool) {
		end := r.Offset + r.Length
		for i := r.Offset / blockBytes; i*blockBytes < end; i++ {
			if !yield(i, min(end, (i+1)*blockBytes)-max(r.Offset, i*blockBytes)) {
				return
			}
		}
	}
}

// aheadRun gathers blocks beside each other into requests.
type aheadRun struct {
	object *object
	run    []*block
}

// add has a block fetched, when there is room for it.
func (a *aheadRun) add(ctx context.Context, index, bytes int64) error {
	o := a.object
	switch {
	case o.life.Err() != nil:
		return errClosed
	case index*blockBytes >= o.found.size: // a chunk may be said to end behind its file
		return nil
	}
	if o.verifier != nil {
		a.fill(index)
	}
	for !a.take(index, bytes) {
		a.flush() // what was gathered must not wait
		if err := o.store.blocks.waitForRoom(ctx); err != nil {
			return err
		}
	}
	return nil
}

// take has a block fetched, and says whether there was room for it.
func (a *aheadRun) take(index, bytes int64) bool {
	o := a.object
	b, mine := o.store.blocks.get(blockID{o, index}, o.sizeOf(index), false)
	if b == nil {
		return false
	}
	o.store.blocks.want(b, bytes)
	o.store.blocks.put(b) // wanted, it is kept
	if mine {
		a.join(index)
		a.run = append(a.run, b)
	}
	return true
}

// fill fetches what the verifier needs besides, up to a block.
func (a *aheadRun) fill(index int64) {
	o := a.object
	o.filled.Lock()
	next := max(o.filled.next, o.verifier.summedUp())
	o.filled.next = max(o.filled.next, index+1)
	o.filled.Unlock()
	for ; next < index; next++ {
		b, mine := o.store.blocks.get(blockID{o, next}, o.sizeOf(next), false)
		if b == nil {
			return // it is fetched in the end
		}
		o.store.blocks.put(b)
		if mine {
			a.join(next)
			a.run = append(a.run, b)
		}
	}
}

// join makes sure that the run ends right before a block.
func (a *aheadRun) join(index int64) {
	o := a.object
	for n := len(a.run); n > 0 && n < requestBlocks; n++ {
		next := a.run[n-1].id.index + 1
		if next == index {
			return
		}
		if next > index || index-next > gapBlocks {
			break
		}
		b, mine := o.store.blocks.get(blockID{o, next}, o.sizeOf(next), false)
		if b != nil {
			o.store.blocks.put(b)
		}
		if !mine {
			break
		}
		a.run = append(a.run, b)
	}
	a.flush()
}

func (a *aheadRun) flush() {
	if len(a.run) > 0 {
		a.object.launch(a.run)
		a.run = nil
	}
}

// Done implements dataset.Ranged.
func (o *object) Done(ranges []format.Range) {
	for _, r := range ranges {
		for i, n := range blocksOf(r) {
			o.store.blocks.done(blockID{o, i}, n)
		}
	}
}
