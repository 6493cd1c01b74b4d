package blobstore_test

import (
	"crypto/sha256"
	"errors"
	"io"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/io/blobstore"
	"github.com/millrace/millrace/io/blobstore/blobtest"
	"github.com/millrace/millrace/io/dataset"
)

// A digest of an object is taken of what comes for its rows, and needs no room on this machine.
func TestBytesOfWhatIsRead(t *testing.T) {
	g := blobtest.Start(t)
	proxy := blobtest.NewProxy(t, g.URL)
	const input = "s3://bucket/digest/rows.parquet"
	data := numbers(t, 0, 1_500_000)
	g.Put(t, "digest/rows.parquet", data)
	stores := storesOf(blobstore.Options{Endpoint: proxy.URL, Checks: blobstore.ChecksNever, TempDir: "/dev/null/none"})
	d := openIn(t, input, dataset.Options{Stores: stores})
	refs := spansOf(d)
	defer d.ReadAhead(t.Context(), refs, []string{"n"})()
	bytes, err := d.OpenBytes(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	for i, ref := range refs {
		err := d.ReadSpan(t.Context(), ref, []string{"n"}, func(arrow.RecordBatch) error { return nil })
		most := int64(len(data)) * int64(i+1) / int64(len(refs)) // as a run's digest keeps near to its rows
		if _, copied := io.CopyN(sum, bytes, most-int64(len(data))*int64(i)/int64(len(refs))); err == nil && !errors.Is(copied, io.EOF) {
			err = copied
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := bytes.Close(); err != nil {
		t.Error(err)
	}
	if got, want := sum.Sum(nil), sha256.Sum256(data); string(got) != string(want[:]) {
		t.Errorf("the digest is %x; want %x", got, want)
	}
	if extra := proxy.Bytes() - int64(len(data)); extra > 1<<20 {
		t.Errorf("%d bytes came more than the %d of the object", extra, len(data))
	}
}
