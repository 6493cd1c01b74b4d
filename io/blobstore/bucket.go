package blobstore

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
)

// ErrOptions says that options are wrong.
var ErrOptions = errors.New("wrong settings of object stores")

// Options say how stores are reached. The zero value is of use.
type Options struct {
	// Endpoint is the URL of a server that speaks as a store does, for all buckets. Empty
	// means the store's own, or what the store's own variables say.
	Endpoint string
	// Attempts is how often a request is made at most, the first time included; 0 means 8.
	Attempts int
	// Stall is how long a connection may give nothing, and take nothing, before it is
	// given up; 0 means 20 seconds.
	Stall time.Duration
	// Requests is how many are under way at a time at most; 0 means 128.
	Requests int
	// BufferBytes is what is read ahead of all objects, in bytes; 0 means 64 MiB.
	BufferBytes int64
	// Checks says when all bytes of an object are fetched and compared with the store's
	// checksum; empty means ChecksAuto.
	Checks Checks
	// TempDir is where objects are kept that are not read by ranges; empty means
	// os.TempDir.
	TempDir string
}

// Checks say when objects are compared with the store's checksums of them.
type Checks string

// The checks.
const (
	ChecksAuto   Checks = "auto" // where the store does not speak TLS
	ChecksAlways Checks = "always"
	ChecksNever  Checks = "never"
)

// EnsureDefaults fills zero fields.
func (o *Options) EnsureDefaults() {
	if o.Attempts == 0 {
		o.Attempts = 8
	}
	if o.Stall == 0 {
		o.Stall = 20 * time.Second
	}
	if o.Requests == 0 {
		o.Requests = 128
	}
	if o.Checks == "" {
		o.Checks = ChecksAuto
	}
	if o.BufferBytes == 0 {
		o.BufferBytes = 64 << 20
	}
}

// Validate joins every problem; its error wraps ErrOptions.
func (o *Options) Validate() error {
	var problems []error
	if o.Endpoint != "" {
		u, err := url.Parse(o.Endpoint)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			problems = append(problems, errors.New("--endpoint must be a URL such as https://minio.example:9000"))
		case u.User != nil || u.RawQuery != "":
			problems = append(problems, errors.New("--endpoint must not have credentials or parameters in it; credentials come from the environment"))
		}
	}
	if o.Attempts < 1 {
		problems = append(problems, fmt.Errorf("--store-attempts (%d) must be >= 1", o.Attempts))
	}
	if !slices.Contains([]Checks{"", ChecksAuto, ChecksAlways, ChecksNever}, o.Checks) {
		problems = append(problems, fmt.Errorf("--store-checks (%s) must be auto, always or never", o.Checks))
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrOptions, errors.Join(problems...))
}

// OpenBucket opens the bucket of a location, with the store's own credentials: it asks
// nothing of the store yet. Every request is made Attempts times at most, with growing
// pauses, by the store's own client. Errors of the bucket are to be passed through Clean.
func OpenBucket(ctx context.Context, l Location, o Options) (*blob.Bucket, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	var b *blob.Bucket
	var err error
	switch l.Scheme {
	case S3:
		b, err = openS3(ctx, l.Bucket, &o)
	case GS:
		b, err = openGS(ctx, l.Bucket, &o)
	case Azure:
		b, err = openAzure(ctx, l.Bucket, &o)
	default:
		return nil, fmt.Errorf("%w: %q", ErrURI, l.Scheme+"://")
	}
	if err != nil {
		return nil, fmt.Errorf("%s://%s: %w", l.Scheme, l.Bucket, Clean(err))
	}
	return b, nil
}

// plain says that a bucket is reached without TLS.
func plain(scheme string, b *blob.Bucket, o *Options) bool {
	endpoint := o.Endpoint
	switch scheme {
	case S3:
		var client *s3.Client
		if b.As(&client) {
			endpoint = aws.ToString(client.Options().BaseEndpoint)
		}
	case GS:
		if host := os.Getenv("STORAGE_EMULATOR_HOST"); endpoint == "" && host != "" {
			return !strings.HasPrefix(host, "https://")
		}
	case Azure:
		if endpoint == "" && os.Getenv("AZURE_STORAGE_PROTOCOL") == "http" {
			return true
		}
	}
	return strings.HasPrefix(endpoint, "http://")
}
