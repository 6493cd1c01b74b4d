package blobstore

import (
	"context"
	"errors"
	"net/url"
	"os"
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
		Transport: httpClient(o),
		Retry:     policy.RetryOptions{MaxRetries: int32(o.Attempts - 1), RetryDelay: 100 * time.Millisecond, MaxRetryDelay: mostPause},
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
