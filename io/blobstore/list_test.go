package blobstore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// memory is a store whose one bucket lies in memory.
func memory(t *testing.T, o Options) (*Store, *blob.Bucket) {
	t.Helper()
	b := memblob.OpenBucket(nil)
	s := New(o)
	s.open = func(context.Context, Location, Options) (*blob.Bucket, error) { return b, nil }
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, b
}

// tree is what both a folder and a bucket hold.
var tree = map[string]string{
	"flights/date=2026-11-21/a.parquet":          "PAR1",
	"flights/date=2026-11-21/b.parquet":          "PAR1",
	"flights/date=2026-11-22/a.parquet":          "PAR1",
	"flights/date=2026-11-22/_SUCCESS":           "",
	"flights/date=2026-11-22/_temporary/x.arrow": "ARROW1",
	"flights/date=2026-11-22/.b.parquet.crc":     "crc",
	"flights/date=2026-12-01/deep/er/c.arrow":    "ARROW1",
	"flights/readme.txt":                         "words",
	"flights/no-extension":                       "PAR1 and more",
	"flights/_old/a.parquet":                     "PAR1",
	"flights.parquet":                            "PAR1",
	"flights-old/a.parquet":                      "PAR1",
	"odd/a[1].parquet":                           "PAR1",
	"odd/a1.parquet":                             "PAR1",
	"odd/text":                                   "words",
	"text/a.csv":                                 "n\n1\n",
	"text/day=1/b.jsonl.gz":                      "\x1f\x8b",
	"text/c.tsv.zst":                             "\x28\xb5\x2f\xfd",
	"text/export.2026":                           "n\n1\n",
	"text/d.parquet":                             "PAR1",
	"lake/delta/_delta_log/00.json":              "{}",
	"lake/delta/day=1/a.parquet":                 "PAR1",
	"lake/ice/metadata/v1.metadata.json":         "{}",
	"lake/ice/data/a.parquet":                    "PAR1",
}

// Inputs stand for the same objects of a bucket as for files of a folder.
func TestListAsFiles(t *testing.T) {
	store, bucket := memory(t, Options{})
	dir := t.TempDir()
	for key, data := range tree {
		if err := bucket.WriteAll(t.Context(), key, []byte(data), nil); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, key)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(data), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	stores := map[string]dataset.Store{S3: store}
	for _, input := range []string{
		"flights", "flights/", "flights.parquet", "flights/date=2026-11-21/a.parquet", "flights/date=2026-11-22",
		"flights/*", "flights/*.parquet", "flights/date=*", "flights/date=*/*.parquet", "flights/date=2026-1[12]-*/*", "flights/date=2026-11-2?/a.parquet",
		"flights/**", "flights/**/a.parquet", "**/c.arrow", "[^l]*", "[!l]*", "flights/_*/*.parquet", "flights/date=2026-11-22/_*", "flights/**/*",
		"text", "text/*", "text/*.csv", "text/day=*", "text as csv", "text/ as jsonl", "text/* as csv", "flights as csv",
		"odd/a[1].parquet", "odd/a[12].parquet", "odd/text", "odd", "none", "none/*", "flights/date=2026-11-22/_temporary", "flights/readme.txt", "flights/date=2026-11-2?",
		"lake", "lake/delta", "lake/d*", "lake/delta/day=1", "lake/delta/*/*.parquet", "lake/delta/**", "lake/ice/", "lake/ice/data", "lake/**/*.parquet",
	} {
		input, asked, _ := strings.Cut(input, " as ")
		lister := dataset.Lister{Stores: stores, Format: format.Name(asked)}
		want, wantErr := lister.List(t.Context(), []string{filepath.Join(dir, input)})
		got, err := lister.List(t.Context(), []string{"s3://bucket/" + input})
		local := func(uris []string) []string {
			paths := make([]string, len(uris))
			for i, uri := range uris {
				paths[i] = filepath.Join(dir, strings.TrimPrefix(uri, "s3://bucket/"))
			}
			return paths
		}
		if (err == nil) != (wantErr == nil) || err != nil && !errors.Is(err, dataset.ErrInput) {
			t.Errorf("%s: List() = %v; and of files %v", input, err, wantErr)
			continue
		}
		if files, skipped := local(got.Files), local(got.Skipped); !slices.Equal(files, want.Files) || !slices.Equal(skipped, want.Skipped) {
			t.Errorf("%s: List() = %q, skipped %q; and of files %q, %q", input, files, skipped, want.Files, want.Skipped)
		}
	}
}

// Only what begins like a pattern is listed.
func TestListAsksForThePrefixAlone(t *testing.T) {
	store, bucket := memory(t, Options{})
	for _, key := range []string{"a/date=1/x.parquet", "a/date=2/x.parquet", "b/x.parquet"} {
		if err := bucket.WriteAll(t.Context(), key, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	w := &listing{store: store, bucket: bucket, at: Location{S3, "bucket", "a/date=*/x.parquet"}}
	var seen []string
	if err := w.walk(t.Context(), "a/date=", func(o *blob.ListObject) { seen = append(seen, o.Key) }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a/date=1/x.parquet", "a/date=2/x.parquet"}; !slices.Equal(seen, want) {
		t.Errorf("walk() saw %q; want %q", seen, want)
	}
	if err := w.list(t.Context()); err != nil || len(w.Files) != 2 {
		t.Errorf("list() = %q, %v", w.Files, err)
	}
}
