package blobstore

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	azblobblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
)

// openAzure opens a container of the account AZURE_STORAGE_ACCOUNT, by its key
// (AZURE_STORAGE_KEY), a shared access signature (AZURE_STORAGE_SAS_TOKEN), a connection
// string (AZURE_STORAGE_CONNECTION_STRING) or, without any of them, Azure's default
// credentials.
func openAzure(ctx context.Context, name string, o *Options) (*blob.Bucket, error) {
	opts := &container.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport:       httpClient(o),
		PerCallPolicies: []policy.Policy{plainKeys{}},
		Retry:           policy.RetryOptions{MaxRetries: int32(o.Attempts - 1), RetryDelay: 100 * time.Millisecond, MaxRetryDelay: mostPause},
	}}
	if o.Attempts == 1 {
		opts.Retry.MaxRetries = -1 // 0 means 3
	}
	client, err := azureClient(name, o.Endpoint, opts)
	if err != nil {
		return nil, err
	}
	return azureblob.OpenBucket(ctx, client, nil)
}

func azureClient(name, endpoint string, opts *container.ClientOptions) (*container.Client, error) {
	if text := os.Getenv("AZURE_STORAGE_CONNECTION_STRING"); text != "" {
		return container.NewClientFromConnectionString(text, name, opts)
	}
	account, key, signature := os.Getenv("AZURE_STORAGE_ACCOUNT"), os.Getenv("AZURE_STORAGE_KEY"), os.Getenv("AZURE_STORAGE_SAS_TOKEN")
	if account == "" {
		return nil, errors.New("AZURE_STORAGE_ACCOUNT is not set: it names the account; see docs/stores.md")
	}
	service := azureblob.NewDefaultServiceURLOptions()
	service.SASToken = "" // it is put behind the container's name
	base, err := azureblob.NewServiceURL(service)
	if err != nil {
		return nil, err
	}
	if endpoint != "" { // an emulator has the account in the path
		base = azureblob.ServiceURL(strings.TrimSuffix(endpoint, "/") + "/" + account)
	}
	at, err := url.JoinPath(string(base), name)
	switch {
	case err != nil:
		return nil, err
	case key != "":
		shared, err := azblobblob.NewSharedKeyCredential(account, key)
		if err != nil {
			return nil, errors.New("AZURE_STORAGE_KEY is no base64")
		}
		return container.NewClientWithSharedKeyCredential(at, shared, opts)
	case signature != "":
		return container.NewClientWithNoCredential(at+"?"+strings.TrimPrefix(signature, "?"), opts)
	}
	credential, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return nil, err
	}
	return container.NewClient(at, credential, opts)
}

// plainKeys has requests name blobs by their keys as they are: the driver writes some characters
// in a way of its own (% as __0x25__), by which no other program finds the blob. Azure takes
// them, and Spark writes folders with percent signs.
type plainKeys struct{}

// Do implements policy.Policy. It comes before requests are signed.
func (plainKeys) Do(request *policy.Request) (*http.Response, error) {
	raw := request.Raw()
	at, err := url.Parse(plainKey(raw.URL.EscapedPath()))
	if err != nil {
		return nil, err
	}
	raw.URL.Path, raw.URL.RawPath = at.Path, at.RawPath
	query := strings.Split(raw.URL.RawQuery, "&")
	for i, parameter := range query {
		if strings.HasPrefix(parameter, "prefix=") {
			query[i] = plainKey(parameter)
		}
	}
	raw.URL.RawQuery = strings.Join(query, "&")
	for name, values := range raw.Header { // which the client writes in lower case
		if strings.EqualFold(name, "x-ms-copy-source") {
			raw.Header[name] = []string{plainKey(values[0])}
		}
	}
	return request.Next()
}

// escapedByDriver are the characters that Azure takes after all: a quote, # % ? and _, which stands
// before what looks as if it were written so. Others (../ and control characters) stay.
var escapedByDriver = regexp.MustCompile(`__0x(22|23|25|3f|5f)__`)

// plainKey writes them as URLs do.
func plainKey(escaped string) string {
	return escapedByDriver.ReplaceAllStringFunc(escaped, func(sequence string) string {
		return "%" + strings.ToUpper(sequence[4:6])
	})
}

// azureKey is the key of a listed blob as the store has it.
func azureKey(o *blob.ListObject) (key string, ok bool) {
	var item container.BlobItem
	if !o.As(&item) || item.Name == nil {
		return "", false
	}
	return *item.Name, true
}

// azureVersion is the ETag of a listed blob.
func azureVersion(o *blob.ListObject) string {
	var item container.BlobItem
	if !o.As(&item) || item.Properties == nil || item.Properties.ETag == nil {
		return ""
	}
	return string(*item.Properties.ETag)
}

// azureIfVersion asks for one version.
func azureIfVersion(as func(any) bool, version string) bool {
	var opts *azblobblob.DownloadStreamOptions
	if !as(&opts) {
		return false
	}
	tag := azcore.ETag(`"` + version + `"`)
	opts.AccessConditions = &azblobblob.AccessConditions{ModifiedAccessConditions: &azblobblob.ModifiedAccessConditions{IfMatch: &tag}}
	return true
}
