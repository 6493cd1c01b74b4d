package blobstore

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"hash/crc32"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/crc64nvme"
)

// digest sums an object up as its store did: all bytes or, of an object that was uploaded
// in parts, the parts' sums.
// Source: AWS, "Checking object integrity": ETags of multipart uploads, composite checksums.
type digest struct {
	want []byte
	part int64 // bytes of each part but the last; 0 where all are summed up as one
	left int64 // of the part
	sum  hash.Hash
	all  []byte // sums of the parts before
	// sure says that want is a checksum for certain, which an ETag need not be.
	sure bool
}

func (d *digest) write(p []byte) {
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

// result is the sum of the bytes written, which must be all; after it begins another.
func (d *digest) result() []byte {
	defer d.restart()
	if d.part == 0 {
		return d.sum.Sum(nil)
	}
	if d.left < d.part {
		d.all = d.sum.Sum(d.all)
	}
	d.sum.Reset()
	d.sum.Write(d.all)
	return d.sum.Sum(nil)
}

func (d *digest) restart() {
	d.sum.Reset()
	d.left, d.all = d.part, nil
}

// fits says whether the bytes written, which must be all, are those that the store has.
func (d *digest) fits() bool { return bytes.Equal(d.result(), d.want) }

// Write implements io.Writer.
func (d *digest) Write(p []byte) (int, error) {
	d.write(p)
	return len(p), nil
}

// askedBytes is how large an object is for which the store is asked for a checksum that is
// faster to make than the MD5 that is its ETag: 4 MiB take 6 ms of a core.
const askedBytes = 4 << 20

// byETag is the digest that the object's ETag is, where no request is needed to know; nil
// where one is.
func (o *object) byETag() *digest {
	if len(o.found.md5) == 0 || o.at.Scheme == S3 && o.found.size > askedBytes {
		return nil
	}
	return &digest{want: o.found.md5, sum: md5.New()}
}

// digestOf finds out how the store's checksum is made; nil where it has none that is known.
func (o *object) digestOf(ctx context.Context) *digest {
	if d := o.byETag(); d != nil {
		return d
	}
	if d := o.byChecksum(ctx); d != nil {
		return d
	}
	if len(o.found.md5) > 0 {
		return &digest{want: o.found.md5, sum: md5.New()}
	}
	want, parts := ofParts(o.found.version, hex.DecodeString)
	if o.at.Scheme != S3 || len(want) != md5.Size || parts == 0 {
		return nil
	}
	return o.inParts(&digest{want: want, sum: md5.New()}, parts)
}

// byChecksum asks S3 for a checksum that processors have instructions for. A server that
// has none, or does not let us see it, is no fault: there is the ETag.
func (o *object) byChecksum(ctx context.Context) *digest {
	var client *s3.Client
	if o.at.Scheme != S3 || !o.bucket.As(&client) {
		return nil
	}
	if _, parts := ofParts(o.found.version, hex.DecodeString); parts > 0 { // and so has the checksum, as a rule
		var asking sync.WaitGroup
		defer asking.Wait()
		asking.Go(func() { o.firstPart() })
	}
	out, err := o.askHead(ctx, client, &s3.HeadObjectInput{IfMatch: aws.String(`"` + o.found.version + `"`), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		return nil
	}
	for _, c := range []struct {
		text *string
		sum  func() hash.Hash
	}{
		{out.ChecksumCRC64NVME, func() hash.Hash { return crc64nvme.New() }},
		{out.ChecksumCRC32C, func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }},
		{out.ChecksumCRC32, func() hash.Hash { return crc32.NewIEEE() }},
	} {
		if c.text == nil {
			continue
		}
		want, parts := ofParts(*c.text, base64.StdEncoding.DecodeString)
		d := &digest{want: want, sum: c.sum(), sure: true}
		if len(want) != d.sum.Size() {
			return nil
		}
		if parts == 0 {
			return d
		}
		return o.inParts(d, parts)
	}
	return nil
}

// ofParts reads SUM-COUNT, the sum of the sums of so many parts; a count of 0 stands for SUM
// alone. The sum is empty where the text is neither.
func ofParts(text string, decode func(string) ([]byte, error)) (sum []byte, parts int64) {
	text, count, ok := strings.Cut(text, "-")
	sum, err := decode(text)
	if err != nil {
		return nil, 0
	}
	if !ok {
		return sum, 0
	}
	if parts, err = strconv.ParseInt(count, 10, 32); err != nil || parts < 1 {
		return nil, 0
	}
	return sum, parts
}

// askHead asks for an object's headers, as often as for its bytes.
func (o *object) askHead(ctx context.Context, client *s3.Client, in *s3.HeadObjectInput) (out *s3.HeadObjectOutput, err error) {
	in.Bucket, in.Key = &o.at.Bucket, &o.at.Key
	err = o.store.attempt(ctx, func(ctx context.Context, _ *progress) (err error) {
		out, err = client.HeadObject(ctx, in)
		return err
	})
	return out, err
}

// inParts makes a digest one of the sums of parts; nil where their size is not known.
func (o *object) inParts(d *digest, parts int64) *digest {
	d.part = o.partBytes(parts)
	if d.part <= 0 || (o.found.size+d.part-1)/d.part != parts {
		return nil
	}
	d.left = d.part
	return d
}

// partBytes is the size of the first of an object's parts. Where the server does not say, most
// programs upload in parts of whole MiB: the only such size that fits is taken.
func (o *object) partBytes(parts int64) int64 {
	if bytes, count := o.firstPart(); count == parts {
		return bytes
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

// askFirstPart asks for the size of an object's first part, and how many there are; 0 where the
// server does not say.
func (o *object) askFirstPart() (bytes, parts int64) {
	var client *s3.Client
	if !o.bucket.As(&client) {
		return 0, 0
	}
	out, err := o.askHead(o.life, client, &s3.HeadObjectInput{PartNumber: aws.Int32(1)})
	if err != nil {
		return 0, 0
	}
	return aws.ToInt64(out.ContentLength), int64(aws.ToInt32(out.PartsCount))
}
