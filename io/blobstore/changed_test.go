package blobstore_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/io/blobstore"
	"github.com/millrace/millrace/io/blobstore/blobtest"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// Whether many objects changed is asked by pages of listings, also where others lie between
// them, and what those do not confirm is asked for by itself.
func TestManyAreAskedForByListing(t *testing.T) {
	g := blobtest.Start(t)
	proxy := blobtest.NewProxy(t, g.URL)
	const objects = 40
	name := func(i int) string { return fmt.Sprintf("lake/day=%02d/é-%d.parquet", i/4, i%4) }
	for i := range objects {
		g.Put(t, name(i), numbers(t, int64(i), 10))
		g.Put(t, fmt.Sprintf("lake/day=%02d/_SUCCESS", i/4), nil)
	}
	for _, c := range []struct {
		name   string
		change func()
		heads  int32
		want   string // what the error names; empty for none
	}{
		{"nothing changed", func() {}, 0, ""},
		{"one was written again", func() { g.Put(t, name(7), numbers(t, 1000, 10)) }, 1, name(7)},
		{"one is gone", func() {
			if err := g.Bucket.Delete(t.Context(), name(objects-1)); err != nil {
				t.Fatal(err)
			}
		}, 1, name(objects - 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			stores := storesOf(blobstore.Options{Endpoint: proxy.URL})
			d := openIn(t, "s3://bucket/lake", dataset.Options{Stores: stores, Partitions: dataset.Partitions{Auto: true}})
			c.change()
			var heads atomic.Int32
			proxy.Set(0, func(_ int, r *http.Request) blobtest.Fault {
				if r.Method == http.MethodHead {
					heads.Add(1)
				}
				return blobtest.None
			})
			err := d.Changed()
			if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, format.ErrChanged) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("Changed() = %v; want it to name %q", err, c.want)
			}
			if n := heads.Load(); n != c.heads || proxy.Requests() > int(c.heads)+1 {
				t.Errorf("%d requests, %d of them about one object; want a page and %d", proxy.Requests(), n, c.heads)
			}
		})
	}
}

// Small objects are fetched when they are opened, and those that found no room once more, as
// they are read: the first ones are still there then.
func TestSmallObjectsAreFetchedTwiceAtMost(t *testing.T) {
	g := blobtest.Start(t)
	proxy := blobtest.NewProxy(t, g.URL)
	const objects, rows = 100, 5_000
	for i := range int64(objects) {
		g.Put(t, fmt.Sprintf("small/%03d.parquet", i), numbers(t, i*rows, rows))
	}
	stores := storesOf(blobstore.Options{Endpoint: proxy.URL, BufferBytes: 2 << 20})
	d := openIn(t, "s3://bucket/small", dataset.Options{Stores: stores, IdleFiles: 4, Parallel: 1})
	refs := spansOf(d)
	proxy.Set(0, nil)
	defer d.ReadAhead(t.Context(), refs, []string{"n"})()
	var read int64
	for _, ref := range refs {
		err := d.ReadSpan(t.Context(), ref, []string{"n"}, func(r arrow.RecordBatch) error {
			read += r.NumRows()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := proxy.Requests(); read != objects*rows || n > objects {
		t.Errorf("%d rows of %d came by %d more requests; want %d at most", read, objects*rows, n, objects)
	}
}

// A listing of which a page does not come, or is something else, is an error and never a
// shorter one; what comes at another attempt is the whole.
func TestListingsAreWhole(t *testing.T) {
	g := blobtest.Start(t)
	proxy := blobtest.NewProxy(t, g.URL)
	const objects = 1001 // a page has 1000
	folder := filepath.Join(g.Dir, "bucket", "listed")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range objects {
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%04d.parquet", i)), []byte("PAR1"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, fault := range []blobtest.Fault{blobtest.End, blobtest.Page, blobtest.Truncate, blobtest.Reset} {
		for page, of := range map[string]func(r *http.Request) bool{
			"first":  func(r *http.Request) bool { return !r.URL.Query().Has("continuation-token") },
			"second": func(r *http.Request) bool { return r.URL.Query().Has("continuation-token") },
		} {
			for _, times := range []int32{1, 1000} {
				t.Run(fmt.Sprintf("%s, %s page, %d times", fault, page, times), func(t *testing.T) {
					var n atomic.Int32
					proxy.Set(0, func(_ int, r *http.Request) blobtest.Fault {
						if of(r) && n.Add(1) <= times {
							return fault
						}
						return blobtest.None
					})
					list, err := dataset.ListIn(t.Context(), []string{"s3://bucket/listed/"}, storesOf(blobstore.Options{Endpoint: proxy.URL, Attempts: 3}))
					switch {
					case times == 1 && (err != nil || len(list.Files) != objects):
						t.Errorf("ListIn() = %d files, %v; want %d", len(list.Files), err, objects)
					case times > 1 && (err == nil || errors.Is(err, dataset.ErrNoMatch) || !strings.Contains(err.Error(), "tried 3 times")):
						t.Errorf("ListIn() = %d files, %v; want an error of the third attempt", len(list.Files), err)
					}
				})
			}
		}
	}
}

// An answer to a request for bytes that is something else says so, and not that the object changed.
func TestAnswersWithoutAVersion(t *testing.T) {
	g := blobtest.Start(t)
	proxy := blobtest.NewProxy(t, g.URL)
	g.Put(t, "a/one.parquet", numbers(t, 0, 100))
	for _, times := range []int32{1, 1000} {
		var n atomic.Int32
		proxy.Set(0, func(_ int, r *http.Request) blobtest.Fault {
			if strings.HasSuffix(r.URL.Path, ".parquet") && n.Add(1) <= times {
				return blobtest.Page
			}
			return blobtest.None
		})
		rows, err := rowsOf(t.Context(), []string{"s3://bucket/a/"}, storesOf(blobstore.Options{Endpoint: proxy.URL, Attempts: 2}), []string{"n"})
		release(rows)
		if times == 1 && err != nil || times > 1 && (err == nil || errors.Is(err, format.ErrChanged) || !strings.Contains(err.Error(), "names no version")) {
			t.Errorf("%d times: rowsOf() = %v", times, err)
		}
	}
}

// Listings that servers should not give are errors: one of a server that only knows the older way
// to list says that it is cut off and not how it goes on.
func TestOddListings(t *testing.T) {
	blobtest.Start(t) // for its credentials
	for answer, says := range map[string]string{
		`<Name>bucket</Name><IsTruncated>true</IsTruncated><NextMarker>a.parquet</NextMarker><Contents><Key>a.parquet</Key><Size>4</Size><LastModified>2026-11-22T00:00:00Z</LastModified></Contents>`: "ListObjectsV2",
		`<Name>bucket</Name><IsTruncated>false</IsTruncated><Contents><Key>a.parquet</Key><Size>4</Size></Contents>`:                                                                                   "time of change",
		`<Name>bucket</Name><IsTruncated>false</IsTruncated><Contents><Size>4</Size><LastModified>2026-11-22T00:00:00Z</LastModified></Contents>`:                                                      "without a key",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<ListBucketResult>"+answer+"</ListBucketResult>")
		}))
		list, err := dataset.ListIn(t.Context(), []string{"s3://bucket/"}, storesOf(blobstore.Options{Endpoint: server.URL, Attempts: 2}))
		server.Close()
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("ListIn() by %s = %v, %v; want an error that says %q", answer, list.Files, err, says)
		}
	}
}
