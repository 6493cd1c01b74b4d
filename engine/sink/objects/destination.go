package objects

import (
	"context"
	"net/url"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	gcaws "gocloud.dev/aws"
	"gocloud.dev/blob/s3blob"

	"github.com/millrace/millrace/engine/sink"
)

// Destination are object stores.
type Destination struct {
	// Lease is how long a run may not have been heard of before another takes it for dead;
	// 12 s if zero.
	Lease time.Duration
}

// Traits says that parts are files.
func (*Destination) Traits() sink.Traits { return sink.Traits{} }

// Check says what of the URI cannot be.
func (*Destination) Check(opts *sink.Options) error {
	_, err := parsePlace(opts.Output, opts.Single)
	return err
}

// CheckFields finds nothing: formats say what they hold.
func (*Destination) CheckFields([]arrow.Field) error { return nil }

// Held looks for a third of a lease, unless nobody says that it holds the output.
func (d *Destination) Held(ctx context.Context, output string) error {
	p, err := parsePlace(output, false)
	if err != nil {
		return nil //nolint:nilerr // Check says it
	}
	_ = p
	return nil
}

// Stage takes the output for a run.
func (d *Destination) Stage(ctx context.Context, opts sink.Options) (sink.Staging, error) {
	if d.Lease == 0 {
		d = &Destination{Lease: defaultLease}
	}
	return d.stage(ctx, &opts)
}

// open opens the bucket.
func (*Destination) open(ctx context.Context, p *place) (*store, error) {
	u, err := url.Parse(p.bucket)
	if err != nil {
		return nil, err
	}
	q := u.Query()
	q.Del("use_path_style")
	cfg, err := gcaws.V2ConfigFromURLParams(ctx, q)
	if err != nil {
		return nil, err
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	bucket, err := s3blob.OpenBucket(ctx, client, u.Host, nil)
	if err != nil {
		return nil, err
	}
	return &store{bucket: bucket, multi: &s3Bucket{client: client, name: u.Host, copied: 512 << 20}}, nil
}
