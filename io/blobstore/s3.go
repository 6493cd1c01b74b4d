package blobstore

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
)

// mostPause bounds the pause between two attempts.
const mostPause = 10 * time.Second

// defaultRegion is what signs requests where nobody names a region: a compatible server
// takes any, and S3 itself names the right one in its refusal.
const defaultRegion = "us-east-1"

// openS3 opens a bucket with what the AWS tools take: variables, ~/.aws, the instance's
// role.
func openS3(ctx context.Context, name string, o *Options) (*blob.Bucket, error) {
	if err := checkBundle(os.Getenv("AWS_CA_BUNDLE")); err != nil {
		return nil, fmt.Errorf("%w: AWS_CA_BUNDLE: %w", ErrOptions, err)
	}
	cfg, err := config.LoadDefaultConfig(ctx,
		// Of this type, so that AWS_CA_BUNDLE can be added to it.
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { setTransport(t, o) })),
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(r *retry.StandardOptions) {
				r.MaxAttempts, r.MaxBackoff, r.RateLimiter = o.Attempts, mostPause, ratelimit.None
			})
		}))
	if err != nil {
		return nil, err
	}
	cfg.Region = cmp.Or(cfg.Region, defaultRegion)
	cfg.Logger = logging.Nop{} // errors say it
	client := s3.NewFromConfig(cfg, func(s *s3.Options) {
		if o.Endpoint != "" {
			s.BaseEndpoint = aws.String(o.Endpoint)
		}
		// A server at an address has no names of buckets before it.
		s.UsePathStyle = s.BaseEndpoint != nil
	})
	return s3blob.OpenBucket(ctx, client, name, nil)
}

// checkBundle says of a file of certificates what the SDK says without its name.
func checkBundle(name string) error {
	if name == "" {
		return nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(data) {
		return errors.New(name + " has no certificates in PEM")
	}
	return nil
}

// s3Version is the ETag of a listed object.
func s3Version(o *blob.ListObject) string {
	var object types.Object
	if !o.As(&object) {
		return ""
	}
	return aws.ToString(object.ETag)
}

// s3IfVersion asks for one version.
func s3IfVersion(as func(any) bool, version string) bool {
	var in *s3.GetObjectInput
	if !as(&in) {
		return false
	}
	in.IfMatch = aws.String(`"` + version + `"`)
	return true
}
