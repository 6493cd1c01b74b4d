package objects

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/blobstore"
)

// Destination are object stores.
type Destination struct {
	// Buckets say how stores are reached.
	Buckets blobstore.Options
	// Lease is how long a run may not have been heard of before another takes it for dead;
	// 12 s if zero.
	Lease time.Duration

	// Early keeps what Held saw for Stage; nothing if nil.
	Early *Early

	opener func(ctx context.Context, p *place) (*store, error) // of tests; nil outside of them
}

var _ sink.Reader = (*Destination)(nil)

// Traits says that parts are files, and what their uploads hold.
func (*Destination) Traits() sink.Traits { return sink.Traits{FileBytes: heldBytes} }

// Check says what of the URI cannot be.
func (*Destination) Check(opts *sink.Options) error {
	_, err := parsePlace(opts.Output, opts.Single)
	return err
}

// CheckFields finds nothing: formats say what they hold.
func (*Destination) CheckFields([]arrow.Field) error { return nil }

// Held looks for a third of a lease, unless nobody says that it holds the output.
func (d *Destination) Held(ctx context.Context, output string) error {
	lease := cmp.Or(d.Lease, defaultLease)
	p, err := parsePlace(output, isFile(output))
	if err != nil {
		return nil //nolint:nilerr // Check says it
	}
	s, err := d.open(ctx, p)
	if err != nil {
		return nil //nolint:nilerr // Stage says it
	}
	saw, err := s.look(ctx, p)
	if err == nil {
		err = s.alive(ctx, p, &saw.now, lease/3)
	}
	if err == nil && saw.now.idle() && d.Early != nil {
		d.Early.keep(saw)
		return nil
	}
	if saw != nil {
		saw.close()
	} else {
		_ = s.bucket.Close() // nothing was written
	}
	if errors.Is(err, ledger.ErrHeld) {
		return err
	}
	return nil // a store that cannot be asked is Stage's to report
}

// Stage takes the output for a run.
func (d *Destination) Stage(ctx context.Context, opts sink.Options) (sink.Staging, error) {
	if d.Lease == 0 {
		d = &Destination{Buckets: d.Buckets, Lease: defaultLease, Early: d.Early}
	}
	return d.stage(ctx, &opts)
}

// open opens the bucket.
func (d *Destination) open(ctx context.Context, p *place) (*store, error) {
	if d.opener != nil {
		return d.opener(ctx, p)
	}
	bucket, err := blobstore.OpenBucket(ctx, p.at, d.Buckets)
	if err != nil {
		return nil, err
	}
	s := &store{bucket: bucket}
	var client *s3.Client
	if bucket.As(&client) {
		s.multi = &s3Bucket{client: client, name: p.at.Bucket, copied: copiedBytes}
	}
	return s, nil
}

// copiedBytes is a range of an object that is copied in several.
const copiedBytes = 512 << 20
