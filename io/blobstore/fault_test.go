package blobstore_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/io/blobstore"
	"github.com/millrace/millrace/io/blobstore/blobtest"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// rowsOf reads all rows of inputs as text, as a run reads them.
func rowsOf(ctx context.Context, inputs []string, stores map[string]dataset.Store, columns ...string) (text string, err error) {
	l, err := dataset.ListIn(ctx, inputs, stores)
	if err != nil {
		return "", err
	}
	d, err := dataset.Open(ctx, l.Files, dataset.Options{Stores: stores, Partitions: dataset.Partitions{Auto: true}})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	var refs []dataset.SpanRef
	for _, part := range d.Parts(1) {
		refs = append(refs, part.Spans...)
	}
	defer d.ReadAhead(ctx, refs, columns)()
	var b strings.Builder
	for _, ref := range refs {
		err := d.ReadSpan(ctx, ref, columns, func(r arrow.RecordBatch) error {
			for _, c := range r.Columns() {
				fmt.Fprintln(&b, c)
			}
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	return b.String(), cmp.Or(d.Verify(ctx), d.Changed())
}

func storesOf(o blobstore.Options) map[string]dataset.Store {
	s := blobstore.New(o)
	return map[string]dataset.Store{"s3": s, "gs": s, "az": s}
}

const sample = "../../testdata/flights-sample.parquet"

// Every fault, at every request, gives the same rows or an error that names the object.
func TestFaults(t *testing.T) {
	gateway := blobtest.Start(t)
	gateway.PutFile(t, "f/sample.parquet", sample)
	proxy := blobtest.NewProxy(t, gateway.URL)
	columns := sampleColumns(t)
	want, err := rowsOf(t.Context(), []string{sample}, nil, columns...)
	if err != nil || want == "" {
		t.Fatal(err)
	}
	inputs := []string{"s3://bucket/f/*.parquet"}
	read := func() (string, error) {
		return rowsOf(t.Context(), inputs, storesOf(blobstore.Options{Endpoint: proxy.URL, Attempts: 3, Stall: 150 * time.Millisecond}), columns...)
	}
	proxy.Set(0, nil)
	got, err := read()
	if err != nil || got != want {
		t.Fatalf("without faults: %v; rows are equal: %t", err, got == want)
	}
	requests := proxy.Requests()
	for _, fault := range blobtest.Faults() {
		for k := 1; k <= requests; k++ {
			proxy.Set(0, func(n int, _ *http.Request) blobtest.Fault {
				if n == k {
					return fault
				}
				return blobtest.None
			})
			got, err := read()
			switch {
			case err == nil && got != want:
				t.Errorf("%s at request %d of %d: other rows", fault, k, requests)
			case err != nil && !strings.Contains(err.Error(), "s3://bucket/f/"):
				t.Errorf("%s at request %d: %v; want an error that names the object", fault, k, err)
			case err != nil:
				t.Logf("%s at request %d: %v", fault, k, err)
			}
		}
		// And for good: a clear error, in a limited number of requests.
		proxy.Set(0, func(_ int, r *http.Request) blobtest.Fault {
			if r.URL.Query().Has("list-type") {
				return blobtest.None
			}
			return fault
		})
		got, err := read()
		if err == nil && got != want {
			t.Errorf("%s at every request: other rows", fault)
		}
		if err != nil && !errors.Is(err, dataset.ErrInput) || errors.Is(err, format.ErrChanged) {
			t.Errorf("%s at every request: %v; want ErrInput", fault, err)
		}
		t.Logf("%s at all of %d requests: %v", fault, proxy.Requests(), err)
	}
}

func sampleColumns(t *testing.T) []string {
	t.Helper()
	d, err := dataset.Open(t.Context(), []string{sample}, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var names []string
	for _, f := range d.Schema().Fields() {
		names = append(names, f.Name)
	}
	return names
}

// An object that changes under a run is found at the next request.
func TestChangeUnderTheRun(t *testing.T) {
	gateway := blobtest.Start(t)
	data, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	columns := sampleColumns(t)
	for name, change := range map[string]func(){
		"other bytes": func() { gateway.Put(t, "f/x.parquet", append(bytes.Clone(data), 0)) },
		"fewer bytes": func() { gateway.Put(t, "f/x.parquet", append([]byte{}, data[:len(data)-1]...)) },
		"no object": func() {
			if err := gateway.Bucket.Delete(t.Context(), "f/x.parquet"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		gateway.Put(t, "f/x.parquet", data)
		stores := storesOf(blobstore.Options{Endpoint: gateway.URL, Attempts: 2, BufferBytes: 1})
		d, err := dataset.Open(t.Context(), []string{"s3://bucket/f/x.parquet"}, dataset.Options{Stores: stores})
		if err != nil {
			t.Fatal(err)
		}
		change()
		err = d.ReadSpan(t.Context(), dataset.SpanRef{}, columns, func(arrow.RecordBatch) error { return nil })
		if !errors.Is(err, format.ErrChanged) || !errors.Is(err, dataset.ErrInput) || !strings.Contains(err.Error(), "s3://bucket/f/x.parquet") {
			t.Errorf("%s: ReadSpan() = %v; want ErrChanged that names it", name, err)
		}
		if err := d.Changed(); !errors.Is(err, format.ErrChanged) {
			t.Errorf("%s: Changed() = %v; want ErrChanged", name, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}
