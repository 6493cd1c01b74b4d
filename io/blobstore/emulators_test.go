package blobstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

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
