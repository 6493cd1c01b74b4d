package blobstore

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
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
	digest *etagDigest      // nil until it is known how
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

// etagDigest is what S3 makes an ETag of: the MD5 of the bytes or, of an object that was
// uploaded in parts, that of the parts' MD5s.
// Source: AWS, "Checking object integrity", ETags of multipart uploads.
type etagDigest struct {
	want []byte
	part int64 // bytes of each part but the last; 0 for an object of one
	left int64 // of the part
	sum  hash.Hash
	all  []byte // of the parts before
}

func (d *etagDigest) write(p []byte) {
	for d.part > 0 && int64(len(p)) >= d.left {
		d.sum.Write(p[:d.left])
		d.all = d.sum.Sum(d.all)
		p = p[d.left:]
		d.sum.Reset()
		d.left = d.part
	}
	d.sum.Write(p)
	d.left -= int64(len(p))
}

// fits says whether the bytes written are those that the store has.
func (d *etagDigest) fits() bool {
	if d.part == 0 {
		return bytes.Equal(d.sum.Sum(nil), d.want)
	}
	if d.left < d.part {
		d.all = d.sum.Sum(d.all)
	}
	sum := md5.Sum(d.all)
	return bytes.Equal(sum[:], d.want)
}

// digestOf finds out how the store's checksum is made; nil where it has none that is known.
func (o *object) digestOf(ctx context.Context) *etagDigest {
	if len(o.found.md5) > 0 {
		return &etagDigest{want: o.found.md5, sum: md5.New()}
	}
	text, count, ok := strings.Cut(o.found.version, "-")
	want, err := hex.DecodeString(text)
	parts, countErr := strconv.ParseInt(count, 10, 32)
	if o.at.Scheme != S3 || !ok || err != nil || len(want) != md5.Size || countErr != nil || parts < 1 {
		return nil
	}
	part := o.partBytes(ctx, parts)
	if part <= 0 || (o.found.size+part-1)/part != parts {
		return nil
	}
	return &etagDigest{want: want, part: part, left: part, sum: md5.New()}
}

// partBytes asks for the size of the first of an object's parts. Where the server does not
// say, most programs upload in parts of whole MiB: the only such size that fits is taken.
func (o *object) partBytes(ctx context.Context, parts int64) int64 {
	var client *s3.Client
	if o.bucket.As(&client) {
		out, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(o.at.Bucket), Key: aws.String(o.at.Key), PartNumber: aws.Int32(1)})
		if err == nil && int64(aws.ToInt32(out.PartsCount)) == parts {
			return aws.ToInt64(out.ContentLength)
		}
	}
	if parts == 1 {
		return o.found.size
	}
	least, most := (o.found.size+parts-1)/parts, (o.found.size-1)/(parts-1)
	const mib = 1 << 20
	if first := (least + mib - 1) / mib * mib; first <= most && first+mib > most {
		return first
	}
	return 0
}

// watch begins to sum the object up, unless TLS does better.
func (o *object) watch() {
	if o.verifier == nil || o.life.Err() != nil {
		return
	}
	o.watching.Do(func() {
		o.fetchs.Go(func() {
			digest := o.digestOf(o.life)
			o.verifier.mu.Lock()
			o.verifier.digest, o.verifier.over = digest, digest == nil
			o.verifier.mu.Unlock()
			close(o.watched)
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
		// Either a byte was another on the way, or the ETag is no checksum, as where S3
		// encrypts with keys of its own: then all bytes come again as they came before.
		o.store.blocks.forget(o)
		v.mu.Lock()
		v.next, v.digest = 0, &etagDigest{sum: md5.New()}
		v.mu.Unlock()
		if err := o.sumUp(ctx); err != nil {
			return err
		}
	}
	v.over = true
	return nil
}

// sumUp feeds the digest with all blocks that it waits for.
func (o *object) sumUp(ctx context.Context) error {
	v := o.verifier
	data := make([]byte, blockBytes)
	for first := true; ; first = false {
		v.mu.Lock()
		next := v.next
		v.mu.Unlock()
		off := next * blockBytes
		if off >= o.found.size {
			return nil
		}
		end := (next/requestBlocks + 1) * requestBlocks // of the request that it would come by
		if first || next%requestBlocks == 0 {
			o.fetchs.Go(func() { _ = o.Ahead(o.life, []format.Range{o.some(end)}) }) // ReadAt has its error
		}
		piece := data[:o.sizeOf(next)]
		if _, err := o.readBlock(ctx, piece, off, min(end*blockBytes, o.found.size)); err != nil {
			return err
		}
		v.mu.Lock()
		v.addLocked(next, piece) // unless it was as it came
		v.mu.Unlock()
	}
}

// some are the blocks of one request, from a block on; none at the end.
func (o *object) some(first int64) format.Range {
	off := min(first*blockBytes, o.found.size)
	return format.Range{Offset: off, Length: min(requestBlocks*blockBytes, o.found.size-off)}
}

// corrupted words that bytes came as no store has them.
func corrupted(err error) error {
	if errors.Is(err, errDiffers) {
		return fmt.Errorf("%w: %w; run again, and let the store speak TLS", format.ErrDamaged, err)
	}
	return err
}

var _ dataset.Verified = (*object)(nil)
