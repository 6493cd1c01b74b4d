package blobstore

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/storage"
	"github.com/googleapis/gax-go/v2"
	"gocloud.dev/blob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/gcp"
	"google.golang.org/api/option"
)

// openGS opens a bucket with Google's default credentials: GOOGLE_APPLICATION_CREDENTIALS,
// gcloud's, or the metadata server's. An emulator, by STORAGE_EMULATOR_HOST or an
// endpoint, gets none.
func openGS(ctx context.Context, name string, o *Options) (*blob.Bucket, error) {
	endpoint := o.Endpoint
	if host := os.Getenv("STORAGE_EMULATOR_HOST"); endpoint == "" && host != "" {
		endpoint = host
		if !strings.Contains(host, "://") {
			endpoint = "http://" + host
		}
	}
	var opts []option.ClientOption
	if endpoint != "" {
		opts = append(opts, option.WithoutAuthentication(), option.WithHTTPClient(httpClient(o)),
			option.WithEndpoint(strings.TrimSuffix(endpoint, "/")+"/storage/v1/"), storage.WithJSONReads())
	} else {
		credentials, err := gcp.DefaultCredentials(ctx)
		if err != nil {
			return nil, err
		}
		client, err := gcp.NewHTTPClient(httpClient(o).Transport, gcp.CredentialsTokenSource(credentials))
		if err != nil {
			return nil, err
		}
		opts = append(opts, option.WithHTTPClient(&client.Client))
	}
	client, err := storage.NewClient(ctx, opts...)
	if err != nil {
		return nil, err
	}
	client.SetRetry(storage.WithMaxAttempts(o.Attempts), storage.WithBackoff(gax.Backoff{Initial: 100 * time.Millisecond, Max: mostPause, Multiplier: 2}))
	return gcsblob.OpenBucket(ctx, nil, name, &gcsblob.Options{Client: client})
}

// gsVersion is the generation of a listed object.
func gsVersion(o *blob.ListObject) string {
	var attrs storage.ObjectAttrs
	if !o.As(&attrs) || attrs.Generation == 0 {
		return ""
	}
	return strconv.FormatInt(attrs.Generation, 10)
}

// gsIfVersion asks for one generation: another that has taken its place is no such object.
func gsIfVersion(as func(any) bool, version string) bool {
	var object **storage.ObjectHandle
	generation, err := strconv.ParseInt(version, 10, 64)
	if err != nil || !as(&object) {
		return false
	}
	*object = (*object).If(storage.Conditions{GenerationMatch: generation})
	return true
}
