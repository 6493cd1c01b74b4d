package blobstore

import (
	"cmp"
	"context"
	"crypto/md5"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
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
	signer := &renewing{look: func(ctx context.Context) (aws.CredentialsProvider, error) {
		cfg, err := loadAWS(ctx, o)
		return cfg.Credentials, err
	}}
	cfg, err := loadAWS(ctx, o, config.WithRetryer(func() aws.Retryer {
		return retry.NewStandard(func(r *retry.StandardOptions) {
			r.MaxAttempts, r.MaxBackoff, r.RateLimiter = o.Attempts, mostPause, ratelimit.None
			r.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(signer.retryable), retry.IsErrorRetryableFunc(retryable)}, r.Retryables...)
		})
	}))
	if err != nil {
		return nil, err
	}
	if cfg.Credentials != nil {
		signer.now, cfg.Credentials = cfg.Credentials, signer
	}
	cfg.Region = cmp.Or(cfg.Region, defaultRegion)
	if strings.Trim(cfg.Region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return nil, fmt.Errorf("%w: AWS_REGION, or the region of ~/.aws, is %q; a region is called as eu-central-1 is", ErrOptions, cfg.Region)
	}
	client := s3.NewFromConfig(cfg, func(s *s3.Options) {
		s.APIOptions = append(s.APIOptions, checkListings)
		if cfg.Credentials != nil {
			s.APIOptions = append(s.APIOptions, noteSigner(signer))
		}
		if o.Endpoint != "" {
			s.BaseEndpoint = aws.String(o.Endpoint)
		}
		// A server at an address has no names of buckets before it.
		s.UsePathStyle = s.BaseEndpoint != nil
		// Asking whether a body may be sent takes as long as sending a piece does.
		s.ContinueHeaderThresholdBytes = -1
	})
	return s3blob.OpenBucket(ctx, client, name, nil)
}

// loadAWS takes what the AWS tools take.
func loadAWS(ctx context.Context, o *Options, more ...func(*config.LoadOptions) error) (aws.Config, error) {
	// Of this type, so that AWS_CA_BUNDLE can be added to it.
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { setTransport(t, o) })
	// What it would log, to stderr and in a form of its own, errors say.
	return config.LoadDefaultConfig(ctx, append(more, config.WithHTTPClient(client), config.WithLogger(logging.Nop{}))...)
}

// retryable has the client's own attempts be made for all that may be gone at another one.
func retryable(err error) aws.Ternary {
	if passing(err) {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

// errNoListing says that what answered a listing is none, such as a page that asks for a login.
// Taken for one it would say that there are no more objects.
var errNoListing = errors.New("the answer is no listing of a bucket: a proxy, or a page that asks for a login, may stand before the store")

// errOldListing says that a listing is cut off, and by what it goes on only an older way of asking
// would tell.
var errOldListing = fmt.Errorf("%w: the listing is cut off and has no NextContinuationToken: the server does not know ListObjectsV2", ErrOptions)

// errNoObject says that a listing has an object without what the driver takes for granted.
var errNoObject = errors.New("a listing has an object without a key or a time of change")

// checkListings finds such answers out: a listing names its bucket, and whether it is cut off.
func checkListings(stack *middleware.Stack) error {
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("millrace:listing", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleDeserialize(ctx, in)
		list, ok := out.Result.(*s3.ListObjectsV2Output)
		switch {
		case err != nil || !ok:
		case list.Name == nil && list.IsTruncated == nil:
			err = errNoListing
		case aws.ToBool(list.IsTruncated) && list.NextContinuationToken == nil:
			err = errOldListing
		case slices.ContainsFunc(list.Contents, func(o types.Object) bool { return o.Key == nil || o.LastModified == nil }):
			err = errNoObject
		}
		return out, metadata, err
	}), middleware.Before)
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

// s3Key is the key of a listed object as the store has it: the driver takes its own way to
// write some characters out of keys, which others may have meant.
func s3Key(o *blob.ListObject) (key string, ok bool) {
	var object types.Object
	if !o.As(&object) {
		return "", false
	}
	return aws.ToString(object.Key), true
}

// s3List has a listing take a prefix as it is, and begin behind a key.
func s3List(prefix, after string) func(as func(any) bool) error {
	return func(as func(any) bool) error {
		var in *s3.ListObjectsV2Input
		if as(&in) {
			in.Prefix = &prefix
			if after != "" {
				in.StartAfter = &after
			}
		}
		return nil
	}
}

// s3Attributes asks for an object by its key as it is; ok is false where the driver is
// another.
func s3Attributes(ctx context.Context, b *blob.Bucket, l Location) (f found, ok bool, err error) {
	var client *s3.Client
	if !b.As(&client) {
		return f, false, nil
	}
	out, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &l.Bucket, Key: &l.Key})
	if err != nil {
		return f, true, err
	}
	f = found{size: aws.ToInt64(out.ContentLength), modTime: aws.ToTime(out.LastModified), version: aws.ToString(out.ETag)}
	f.md5 = md5OfETag(f.version)
	return f.known(), true, nil
}

// s3First asks for an object's first bytes, and takes what is known of it from the answer.
func s3First(ctx context.Context, b *blob.Bucket, l Location) (f found, first []byte, err error) {
	var client *s3.Client
	if l.Scheme != S3 || !b.As(&client) {
		return f, nil, errNoCondition
	}
	asItIs := &blob.ReaderOptions{BeforeRead: func(as func(any) bool) error {
		var in *s3.GetObjectInput
		if as(&in) {
			in.Key = &l.Key
		}
		return nil
	}}
	r, err := b.NewRangeReader(ctx, l.Key, 0, pieceBytes, asItIs)
	if err != nil {
		return f, nil, err
	}
	defer func() { _ = r.Close() }() // it was only read
	var out s3.GetObjectOutput
	if !r.As(&out) {
		return f, nil, errNoCondition
	}
	f = found{size: r.Size(), modTime: r.ModTime(), version: aws.ToString(out.ETag)}
	f.md5 = md5OfETag(f.version)
	f = f.known()
	if err := f.check(S3, r, 0); err != nil {
		return f, nil, err
	}
	first = make([]byte, min(f.size, pieceBytes))
	_, err = io.ReadFull(r, first)
	return f, first, err
}

// md5OfETag is the MD5 that the ETag of an object is which was uploaded at once; empty
// where it is none.
func md5OfETag(tag string) []byte {
	sum, err := hex.DecodeString(strings.Trim(tag, `"`))
	if err != nil || len(sum) != md5.Size {
		return nil
	}
	return sum
}

// s3IfVersion asks for one version of the object with this key, as it is.
func s3IfVersion(as func(any) bool, key, version string) bool {
	var in *s3.GetObjectInput
	if !as(&in) {
		return false
	}
	in.Key, in.IfMatch = &key, aws.String(`"`+version+`"`)
	return true
}
