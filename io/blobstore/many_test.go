package blobstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/millrace/millrace/io/blobstore"
	"github.com/millrace/millrace/io/blobstore/blobtest"
	"github.com/millrace/millrace/io/dataset"
)

// numberBatch has one column, n, of numbers.
func numberBatch(first, rows int64) arrow.RecordBatch {
	b := array.NewInt64Builder(memory.DefaultAllocator)
	defer b.Release()
	for i := range rows {
		b.Append(first + i)
	}
	column := b.NewArray()
	defer column.Release()
	return array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}}, nil), []arrow.Array{column}, rows)
}

// numbers is a small Parquet file.
func numbers(t *testing.T, first, rows int64) []byte {
	t.Helper()
	batch := numberBatch(first, rows)
	defer batch.Release()
	var file bytes.Buffer
	w, err := pqarrow.NewFileWriter(batch.Schema(), &file, nil, pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(batch); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// Of many small objects several are opened at once, and several are on their way while one
// is read; a way to the store and back for each would be most of the time.
func TestManySmallObjectsAtOnce(t *testing.T) {
	g := blobtest.Start(t)
	proxy := blobtest.NewProxy(t, g.URL)
	const objects, rows = 60, 50_000
	for i := range int64(objects) {
		g.Put(t, fmt.Sprintf("many/%02d.parquet", i), numbers(t, i*rows, rows))
	}
	// They are not held from when they were opened.
	stores := storesOf(blobstore.Options{Endpoint: proxy.URL, BufferBytes: 8 << 20})
	list, err := dataset.ListIn(t.Context(), []string{"s3://bucket/many"}, stores)
	if err != nil {
		t.Fatal(err)
	}
	proxy.Set(20*time.Millisecond, nil)
	d, err := dataset.Open(t.Context(), list.Files, dataset.Options{Stores: stores})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if n := proxy.AtOnce(); len(list.Files) != objects || n < objects/3 {
		t.Errorf("%d of %d objects are opened at once; want a third at least", n, len(list.Files))
	}
	refs := spansOf(d)
	proxy.Set(20*time.Millisecond, nil)
	defer d.ReadAhead(t.Context(), refs, []string{"n"})()
	var next int64
	for _, ref := range refs {
		err := d.ReadSpan(t.Context(), ref, []string{"n"}, func(r arrow.RecordBatch) error {
			for _, n := range r.Column(0).(*array.Int64).Int64Values() {
				if n != next {
					t.Fatalf("row %d has %d", next, n)
				}
				next++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := proxy.AtOnce(); next != objects*rows || n < 4 {
		t.Errorf("%d rows came, of %d objects at once; want %d of 4 at least", next, n, objects*rows)
	}
}

// Whether objects changed is asked as soon as the last row is read, once.
func TestChangedIsAskedEarly(t *testing.T) {
	g := blobtest.Start(t)
	proxy := blobtest.NewProxy(t, g.URL)
	g.Put(t, "one.parquet", numbers(t, 0, 1000))
	d, err := dataset.Open(t.Context(), []string{"s3://bucket/one.parquet"}, dataset.Options{Stores: storesOf(blobstore.Options{Endpoint: proxy.URL})})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	refs := d.Parts(1)[0].Spans
	read := func() {
		t.Helper()
		if err := d.ReadSpan(t.Context(), refs[0], []string{"n"}, func(arrow.RecordBatch) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	stop := d.ReadAhead(t.Context(), refs, []string{"n"})
	read()
	stop()
	for range 200 { // until the question is there
		if proxy.Requests() > 2 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	before := proxy.Requests()
	if err := d.Changed(); err != nil || proxy.Requests() != before {
		t.Errorf("Changed() = %v, with %d more requests; want none", err, proxy.Requests()-before)
	}
	g.Put(t, "one.parquet", numbers(t, 1, 1000))
	if err := d.Changed(); err == nil {
		t.Error("Changed() = nil of an object that was written later")
	}
}

// Of objects that are fetched whole the next one is fetched while one is read.
func TestNextWholeObject(t *testing.T) {
	g := blobtest.Start(t)
	proxy := blobtest.NewProxy(t, g.URL)
	const objects = 12 // more than are kept
	for i := range int64(objects) {
		g.Put(t, fmt.Sprintf("whole/%02d.arrow", i), arrowNumbers(t, i*1000, 1000))
	}
	stores := storesOf(blobstore.Options{Endpoint: proxy.URL})
	d := openIn(t, "s3://bucket/whole", dataset.Options{Stores: stores, IdleFiles: 1, Parallel: 1})
	refs := spansOf(d)
	asked := make(chan string, 100)
	proxy.Set(0, func(_ int, r *http.Request) blobtest.Fault {
		asked <- r.Method + " " + r.URL.Path
		return blobtest.None
	})
	defer d.ReadAhead(t.Context(), refs, []string{"n"})()
	rows := int64(0)
	read := func(ref dataset.SpanRef) {
		t.Helper()
		err := d.ReadSpan(t.Context(), ref, []string{"n"}, func(r arrow.RecordBatch) error {
			rows += r.NumRows()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	read(refs[0])
	for got := ""; got != "GET /bucket/whole/01.arrow"; {
		select {
		case got = <-asked:
		case <-time.After(10 * time.Second):
			t.Fatal("the second object is not fetched while nobody reads it")
		}
	}
	for _, ref := range refs[1:] {
		read(ref)
	}
	if rows != objects*1000 {
		t.Errorf("%d rows came; want %d", rows, objects*1000)
	}
}

// arrowNumbers is a small Arrow file.
func arrowNumbers(t *testing.T, first, rows int64) []byte {
	t.Helper()
	batch := numberBatch(first, rows)
	defer batch.Release()
	var file bytes.Buffer
	w, err := ipc.NewFileWriter(&file, ipc.WithSchema(batch.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(batch), w.Close()); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// The first rows of the first object come along with its footer, and no others before it is
// known what is read.
func TestFirstRowsComeWithTheFooter(t *testing.T) {
	g := blobtest.Start(t)
	proxy := blobtest.NewProxy(t, g.URL)
	const rows = 500_000
	for i := range int64(2) {
		g.Put(t, fmt.Sprintf("begun/%d.parquet", i), numbers(t, i*rows, rows))
	}
	asked := make(chan string, 100)
	proxy.Set(20*time.Millisecond, func(_ int, r *http.Request) blobtest.Fault {
		if bytes := r.Header.Get("Range"); r.Method == http.MethodGet {
			asked <- r.URL.Path + " " + bytes[:min(len(bytes), len("bytes=0-"))]
		}
		return blobtest.None
	})
	d, err := dataset.Open(t.Context(), []string{"s3://bucket/begun/0.parquet", "s3://bucket/begun/1.parquet"},
		dataset.Options{Stores: storesOf(blobstore.Options{Endpoint: proxy.URL})})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	begun := map[string]int{}
	for range len(asked) {
		begun[<-asked]++
	}
	if begun["/bucket/begun/0.parquet bytes=0-"] != 1 || begun["/bucket/begun/1.parquet bytes=0-"] != 0 {
		t.Errorf("Open() asked for %v; want the first bytes of the first object", begun)
	}
}

// A model of any size, and one that is not there, take one way to the store at most where it
// is small.
func TestReadAllByOneRequest(t *testing.T) {
	g := blobtest.Start(t)
	proxy := blobtest.NewProxy(t, g.URL)
	store := blobstore.New(blobstore.Options{Endpoint: proxy.URL})
	t.Cleanup(func() { _ = store.Close() })
	for _, c := range []struct {
		name     string
		bytes    int
		requests int
	}{
		{"empty", 0, 3}, // a range of nothing is refused
		{"small", 1000, 1},
		{"of one piece", 4 << 20, 1},
		{"of three", 9<<20 + 1, 3},
	} {
		data := bytes.Repeat([]byte("0123456789abcdef"), c.bytes/16+1)[:c.bytes]
		g.Put(t, "m?%20 é.onnx", data)
		proxy.Set(0, nil)
		got, err := store.ReadAll(t.Context(), "s3://bucket/m?%20 é.onnx", 10<<20)
		if err != nil || !bytes.Equal(got, data) || proxy.Requests() > c.requests {
			t.Errorf("%s: ReadAll() = %d bytes, %v, by %d requests; want %d by %d", c.name, len(got), err, proxy.Requests(), c.bytes, c.requests)
		}
	}
	if _, err := store.ReadAll(t.Context(), "s3://bucket/m?%20 é.onnx", 9<<20); !errors.Is(err, blobstore.ErrTooLarge) {
		t.Errorf("ReadAll() of too many bytes = %v; want %v", err, blobstore.ErrTooLarge)
	}
	for _, uri := range []string{"s3://bucket", "s3://bucket/", "s3://bucket/folder/"} {
		if _, err := store.ReadAll(t.Context(), uri, 9<<20); !errors.Is(err, blobstore.ErrURI) {
			t.Errorf("ReadAll(%q) = %v; want %v", uri, err, blobstore.ErrURI)
		}
	}
	if _, err := store.ReadAll(t.Context(), "s3://bucket/none.onnx", 9<<20); !errors.Is(err, dataset.ErrNoSuchFile) {
		t.Errorf("ReadAll() of nothing = %v; want %v", err, dataset.ErrNoSuchFile)
	}
}
