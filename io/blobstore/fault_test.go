package blobstore_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/io/blobstore"
	"github.com/millrace/millrace/io/blobstore/blobtest"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// rowsOf reads all rows of inputs, as a run reads them. The caller releases them.
func rowsOf(ctx context.Context, inputs []string, stores map[string]dataset.Store, columns []string) (rows []arrow.RecordBatch, err error) {
	l, err := dataset.ListIn(ctx, inputs, stores)
	if err != nil {
		return nil, err
	}
	d, err := dataset.Open(ctx, l.Files, dataset.Options{Stores: stores, Partitions: dataset.Partitions{Auto: true}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	var refs []dataset.SpanRef
	for _, part := range d.Parts(1) {
		refs = append(refs, part.Spans...)
	}
	defer d.ReadAhead(ctx, refs, columns)()
	for _, ref := range refs {
		err := d.ReadSpan(ctx, ref, columns, func(r arrow.RecordBatch) error {
			r.Retain()
			rows = append(rows, r)
			return nil
		})
		if err != nil {
			return rows, err
		}
	}
	return rows, cmp.Or(d.Verify(ctx), d.Changed())
}

func equalRows(got, want []arrow.RecordBatch) bool {
	return slices.EqualFunc(got, want, func(a, b arrow.RecordBatch) bool {
		return array.RecordApproxEqual(a, b, array.WithNaNsEqual(true), array.WithAbsTolerance(0))
	})
}

func release(rows []arrow.RecordBatch) {
	for _, r := range rows {
		r.Release()
	}
}

func storesOf(o blobstore.Options) map[string]dataset.Store {
	s := blobstore.New(o)
	return map[string]dataset.Store{"s3": s, "gs": s, "az": s}
}

// openIn opens what lies in a folder of a store, until the test ends.
func openIn(t *testing.T, folder string, opts dataset.Options) *dataset.Dataset {
	t.Helper()
	list, err := dataset.ListIn(t.Context(), []string{folder}, opts.Stores)
	if err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Open(t.Context(), list.Files, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// spansOf are all spans of a dataset, in order.
func spansOf(d *dataset.Dataset) (refs []dataset.SpanRef) {
	for _, part := range d.Parts(1) {
		refs = append(refs, part.Spans...)
	}
	return refs
}

const sample = "../../testdata/flights-sample.parquet"

// eachFault has every fault once at every request of a read, which says what is wrong with
// what it got: nothing is, or there is an error that names the object.
func eachFault(t *testing.T, proxy *blobtest.Proxy, object string, read func() (wrong string, err error)) {
	t.Helper()
	proxy.Set(0, nil)
	if wrong, err := read(); err != nil || wrong != "" {
		t.Fatalf("%s without faults: %v; %s", object, err, wrong)
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
			switch wrong, err := read(); {
			case err == nil && wrong != "":
				t.Errorf("%s: %s at request %d of %d: %s", object, fault, k, requests, wrong)
			case err != nil && (!errors.Is(err, dataset.ErrInput) || !strings.Contains(err.Error(), object)):
				t.Errorf("%s: %s at request %d: %v; want ErrInput that names the object", object, fault, k, err)
			case err != nil && !slices.Contains(final, fault):
				t.Errorf("%s: %s at request %d: %v; want it to be asked for again", object, fault, k, err)
			}
		}
	}
}

// Every fault, at every request, gives the same rows or an error that names the object.
func TestFaults(t *testing.T) {
	gateway := blobtest.Start(t)
	gateway.PutFile(t, "f/sample.parquet", sample)
	proxy := blobtest.NewProxy(t, gateway.URL)
	columns := sampleColumns(t)
	want, err := rowsOf(t.Context(), []string{sample}, nil, columns)
	if err != nil || len(want) == 0 {
		t.Fatal(err)
	}
	defer release(want)
	// read says what is wrong with the rows.
	read := func() (wrong string, err error) {
		stores := storesOf(blobstore.Options{Endpoint: proxy.URL, Attempts: 3, Stall: 150 * time.Millisecond})
		got, err := rowsOf(t.Context(), []string{"s3://bucket/f/*.parquet"}, stores, columns)
		defer release(got)
		if err == nil && !equalRows(got, want) {
			wrong = "other rows"
		}
		return wrong, err
	}
	eachFault(t, proxy, "s3://bucket/f/", read)
	for _, fault := range blobtest.Faults() {
		// And for good: a clear error, in a limited number of requests.
		proxy.Set(0, func(_ int, r *http.Request) blobtest.Fault {
			if r.URL.Query().Has("list-type") {
				return blobtest.None
			}
			return fault
		})
		if _, err := read(); !errors.Is(err, dataset.ErrInput) || errors.Is(err, format.ErrChanged) {
			t.Errorf("%s at every request: %v; want ErrInput", fault, err)
		}
		if n := proxy.Requests(); n > 40 {
			t.Errorf("%s at every request: %d requests were made", fault, n)
		}
	}
}

// final are the faults that another request does not mend: bytes that came otherwise may
// have been read, and a range is a part of what is signed.
var final = []blobtest.Fault{blobtest.Corrupt, blobtest.Whole}

func sampleColumns(t *testing.T) []string {
	t.Helper()
	d, err := dataset.Open(t.Context(), []string{sample}, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	names := make([]string, 0, d.Schema().NumFields())
	for _, f := range d.Schema().Fields() {
		names = append(names, f.Name)
	}
	return names
}

// A server that knows no conditions says of an object that has become shorter only that it has no
// such bytes.
func TestShorterObjectOfAServerWithoutConditions(t *testing.T) {
	g := blobtest.Start(t)
	g.PutFile(t, "f/x.parquet", sample)
	proxy := blobtest.NewProxy(t, g.URL)
	proxy.Set(0, func(_ int, r *http.Request) blobtest.Fault {
		if r.Header.Get("Range") != "" {
			return "416 InvalidRange"
		}
		return blobtest.None
	})
	_, err := rowsOf(t.Context(), []string{"s3://bucket/f/x.parquet"}, storesOf(blobstore.Options{Endpoint: proxy.URL, Attempts: 2}), sampleColumns(t))
	if !errors.Is(err, format.ErrChanged) || !strings.Contains(err.Error(), "s3://bucket/f/x.parquet") {
		t.Errorf("rowsOf() = %v; want ErrChanged that names the object", err)
	}
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
		gateway.Put(t, "f/a.parquet", data) // whose first bytes come when it is opened
		gateway.Put(t, "f/x.parquet", data)
		stores := storesOf(blobstore.Options{Endpoint: gateway.URL, Attempts: 2, BufferBytes: 1})
		d, err := dataset.Open(t.Context(), []string{"s3://bucket/f/a.parquet", "s3://bucket/f/x.parquet"}, dataset.Options{Stores: stores})
		if err != nil {
			t.Fatal(err)
		}
		change()
		err = d.ReadSpan(t.Context(), dataset.SpanRef{File: 1}, columns, func(arrow.RecordBatch) error { return nil })
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
