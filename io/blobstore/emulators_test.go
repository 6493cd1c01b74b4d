package blobstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	azblobblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/millrace/millrace/io/blobstore"
	"github.com/millrace/millrace/io/blobstore/blobtest"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// Stores of all schemes give what was put: by ranges and whole, below a folder and by
// pattern, in the version that was seen first, and say what is gone.
func TestStoresOfAllSchemes(t *testing.T) {
	data, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	columns := sampleColumns(t)
	want, err := rowsOf(t.Context(), []string{sample}, nil, columns)
	if err != nil {
		t.Fatal(err)
	}
	defer release(want)
	for _, c := range []struct {
		scheme string
		start  func(t *testing.T) string
	}{
		{blobstore.S3, func(t *testing.T) string { t.Helper(); return blobtest.Start(t).URL }},
		{blobstore.Azure, func(t *testing.T) string { t.Helper(); return blobtest.StartAzure(t) }},
		{blobstore.GS, func(t *testing.T) string { t.Helper(); return blobtest.StartGoogle(t) }},
	} {
		t.Run(c.scheme, func(t *testing.T) {
			opts := blobstore.Options{Endpoint: c.start(t), Attempts: 2, Checks: blobstore.ChecksAlways}
			bucket, err := blobstore.OpenBucket(t.Context(), blobstore.Location{Scheme: c.scheme, Bucket: "bucket"}, opts)
			if err != nil {
				t.Fatal(err)
			}
			defer bucket.Close()
			put := func(key string, data []byte) {
				t.Helper()
				if err := bucket.WriteAll(t.Context(), key, data, nil); err != nil {
					t.Fatal(err)
				}
			}
			for _, key := range []string{"d/of 1/a b+c%20é.parquet", "d/_tmp/x.parquet", "d/.crc"} {
				put(key, data)
			}
			uri := func(key string) string { return c.scheme + "://bucket/" + key }
			for _, input := range []string{"d", "d/", "d/of*/*.parquet", "d/of 1/a b+c%20é.parquet"} {
				rows, err := rowsOf(t.Context(), []string{uri(input)}, storesOf(opts), columns)
				if err != nil || !equalRows(rows, want) {
					t.Errorf("rowsOf(%q) has other rows (%v)", uri(input), err)
				}
				release(rows)
			}
			for input, says := range map[string]error{"none": dataset.ErrNoMatch, "d/none*": dataset.ErrNoMatch} {
				if _, err := dataset.ListIn(t.Context(), []string{uri(input)}, storesOf(opts)); !errors.Is(err, says) {
					t.Errorf("ListIn(%q) = %v; want %v", uri(input), err, says)
				}
			}
			if _, err := dataset.ListIn(t.Context(), []string{c.scheme + "://nobody-has-this/x"}, storesOf(opts)); err == nil || strings.Contains(err.Error(), os.Getenv("AZURE_STORAGE_KEY")) && c.scheme == blobstore.Azure {
				t.Errorf("ListIn() of no bucket = %v", err)
			}

			large := bytes.Repeat([]byte("0123456789abcdef"), 700_000) // several requests
			for what, change := range map[string]func(key string){
				"an object that is written over": func(key string) { put(key, append(large[1:len(large):len(large)], 'x')) },
				"an object that is removed": func(key string) {
					if err := bucket.Delete(t.Context(), key); err != nil {
						t.Fatal(err)
					}
				},
			} {
				key := fmt.Sprintf("large/%.12s", what)
				put(key, large)
				store := blobstore.New(opts)
				opened, err := store.Open(t.Context(), uri(key))
				if err != nil {
					t.Fatal(err)
				}
				object := opened.(dataset.Ranged)
				got := make([]byte, 100_000)
				if _, err := object.ReadAt(t.Context(), got, 1000); err != nil || !bytes.Equal(got, large[1000:101_000]) {
					t.Errorf("ReadAt() has other bytes (%v)", err)
				}
				if err := object.Changed(); err != nil {
					t.Errorf("Changed() = %v", err)
				}
				change(key)
				if _, err := object.ReadAt(t.Context(), got, 8_000_000); !errors.Is(err, format.ErrChanged) {
					t.Errorf("%s: ReadAt() = %v; want %v", what, err, format.ErrChanged)
				}
				if err := object.Changed(); !errors.Is(err, format.ErrChanged) {
					t.Errorf("%s: Changed() = %v; want %v", what, err, format.ErrChanged)
				}
				if err := errors.Join(object.Close(), store.Close()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// Keys of Azure's may have any character that URLs write otherwise: they are read, listed, written
// and copied as other programs know them.
func TestKeysOfAzure(t *testing.T) {
	opts := blobstore.Options{Endpoint: blobtest.StartAzure(t), Attempts: 2}
	account := os.Getenv("AZURE_STORAGE_ACCOUNT")
	secret, err := azblobblob.NewSharedKeyCredential(account, os.Getenv("AZURE_STORAGE_KEY"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := container.NewClientWithSharedKeyCredential(opts.Endpoint+"/"+account+"/bucket", secret, nil) // another program
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := blobstore.OpenBucket(t.Context(), blobstore.Location{Scheme: blobstore.Azure, Bucket: "bucket"}, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	for i, name := range []string{"100%", "E%2FU", "ha#sh", "qu?estion", `quo"te`, "a+b c", "__0x25__", "___0x25__", "日本"} {
		t.Run(name, func(t *testing.T) {
			key := fmt.Sprintf("%d/region=%s/a.parquet", i, name)
			if _, err := client.NewBlockBlobClient(key).UploadBuffer(t.Context(), numbers(t, 0, 100), nil); err != nil {
				t.Fatal(err)
			}
			for _, input := range []string{key, fmt.Sprintf("%d/", i), fmt.Sprintf("%d/region=%s/", i, name)} {
				if strings.ContainsAny(input, "?") && input != key { // a wildcard, which fits itself
					continue
				}
				rows, err := rowsOf(t.Context(), []string{"az://bucket/" + input}, storesOf(opts), []string{"n"})
				if err != nil || len(rows) == 0 || rows[0].NumRows() != 100 {
					t.Errorf("rowsOf(%q) = %d batches, %v", input, len(rows), err)
				}
				release(rows)
			}
			written, copied := fmt.Sprintf("w%d/%s", i, name), fmt.Sprintf("c%d/%s", i, name)
			if err := bucket.WriteAll(t.Context(), written, []byte("words"), nil); err != nil {
				t.Fatal(err)
			}
			if err := bucket.Copy(t.Context(), copied, written, nil); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{written, copied} {
				prefix := want[:strings.Index(want, "/")+1]
				page, err := client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &prefix}).NextPage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if items := page.Segment.BlobItems; len(items) != 1 || *items[0].Name != want {
					t.Errorf("%d blobs below %s; want %q", len(items), prefix, want)
				}
			}
		})
	}
}
