package blobstore_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace/io/blobstore"
	"github.com/millrace/millrace/io/blobstore/blobtest"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// textRows is how many rows the texts below have: some 10 MB, which are three spans.
const textRows = 200_000

// csvText has numbers, and texts with quotes, delimiters and ends of lines in some.
func csvText(rows int) []byte {
	var text bytes.Buffer
	text.WriteString("n,text\n")
	for i := range rows {
		fmt.Fprintf(&text, "%d,%s\n", i, strings.ReplaceAll(textOf(i), "row", `"row, ""x""`+"\n")+strings.Repeat(`"`, (i+1)%2))
	}
	return text.Bytes()
}

// textOf is the text of a row; csvText writes its "row" in quotes, where it has one.
func textOf(i int) string {
	if i%2 == 0 {
		return fmt.Sprintf("row %040d", i)
	}
	return fmt.Sprintf("plain %035d", i)
}

func jsonText() []byte {
	var text bytes.Buffer
	for i := range textRows {
		fmt.Fprintf(&text, "{\"n\": %d, \"text\": %q}\n", i, strings.ReplaceAll(textOf(i), "row", "row, \"x\"\n"))
	}
	return text.Bytes()
}

func compressed(t *testing.T, text []byte, writer func(io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := writer(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Text in a store is read by ranges of one version, in little memory and without a file of
// this machine but for what was compressed.
func TestLinesByRanges(t *testing.T) {
	if testing.Short() {
		t.Skip("tens of megabytes are slow under the race detector; TestLateBadLineOfAnObject reads some")
	}
	gateway := blobtest.Start(t)
	proxy := blobtest.NewProxy(t, gateway.URL)
	gzipped := func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }
	zstandard := func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }
	for _, c := range []struct {
		name  string
		key   string
		data  []byte
		times int64 // that its bytes are fetched at most, besides more
		more  int64 // of its sample, in blocks
	}{
		{"CSV is read once to find its rows and once for them", "a.csv", csvText(textRows), 2, 10 << 20},
		{"JSON Lines too", "a.jsonl", jsonText(), 2, 10 << 20},
		{"gzip is read once", "a.csv.gz", compressed(t, csvText(textRows), gzipped), 1, 1 << 19},
		{"zstd too", "a.jsonl.zst", compressed(t, jsonText(), zstandard), 1, 1 << 19},
	} {
		gateway.Put(t, c.key, c.data)
		var odd atomic.Int64
		proxy.Set(0, func(_ int, r *http.Request) blobtest.Fault {
			if r.Method == http.MethodGet && !r.URL.Query().Has("list-type") && (r.Header.Get("Range") == "" || r.Header.Get("If-Match") == "") {
				odd.Add(1)
			}
			return blobtest.None
		})
		// Whole objects would go into a folder that is not there.
		stores := storesOf(blobstore.Options{Endpoint: proxy.URL, BufferBytes: 4 << 20, TempDir: "/nowhere"})
		rows, err := rowsOf(t.Context(), []string{"s3://bucket/" + c.key}, stores, []string{"n", "text"})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if n := compareText(rows); n != textRows {
			t.Errorf("%s: %d rows are as they were written; want %d", c.name, n, textRows)
		}
		release(rows)
		if most := c.times*int64(len(c.data)) + c.more; odd.Load() > 0 || proxy.Bytes() > most {
			t.Errorf("%s: %d requests without range or version, %d bytes fetched; want 0 and at most %d", c.name, odd.Load(), proxy.Bytes(), most)
		}
	}
}

// compareText counts rows up to the first that is another than the one written.
func compareText(rows []arrow.RecordBatch) (same int) {
	for _, b := range rows {
		n, text := b.Column(0).(*array.Int64), b.Column(1).(*array.String)
		for i := range int(b.NumRows()) {
			if n.Value(i) != int64(same) || text.Value(i) != strings.ReplaceAll(textOf(same), "row", "row, \"x\"\n") {
				return same
			}
			same++
		}
	}
	return same
}

// The number of a bad line late in a text is known without reading what is before it again.
func TestLateBadLineOfAnObject(t *testing.T) {
	gateway := blobtest.Start(t)
	proxy := blobtest.NewProxy(t, gateway.URL)
	text := append(csvText(textRows), "x,bad\n"...)
	want := fmt.Sprintf("line %d", bytes.Count(text, []byte{'\n'}))
	gateway.Put(t, "late.csv", text)
	d, err := dataset.Open(t.Context(), []string{"s3://bucket/late.csv"}, dataset.Options{Stores: storesOf(blobstore.Options{Endpoint: proxy.URL, BufferBytes: 1})})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.CheckLines([]string{"n"})
	parts := d.Parts(1)
	last := parts[len(parts)-1].Spans[0]
	proxy.Set(0, nil)
	err = d.ReadSpan(t.Context(), last, []string{"n"}, func(arrow.RecordBatch) error { return nil })
	if !errors.Is(err, format.ErrDamaged) || !strings.Contains(err.Error(), want) || proxy.Bytes() > 6<<20 {
		t.Errorf("ReadSpan() = %v after %d bytes; want ErrDamaged with %q after those of a span", err, proxy.Bytes(), want)
	}
}

// Every fault, at every request for text, gives the same rows or an error that names the object.
func TestFaultsOfLines(t *testing.T) {
	if testing.Short() {
		t.Skip("TestFaults has the same faults")
	}
	gateway := blobtest.Start(t)
	proxy := blobtest.NewProxy(t, gateway.URL)
	const rowsOfText = 10_000 // three blocks of what is fetched
	text := csvText(rowsOfText)
	for key, data := range map[string][]byte{
		"f/a.csv":     text,
		"f/a.csv.zst": compressed(t, text, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }),
	} {
		gateway.Put(t, key, data)
		eachFault(t, proxy, "s3://bucket/"+key, func() (wrong string, err error) {
			stores := storesOf(blobstore.Options{Endpoint: proxy.URL, Attempts: 3, Stall: 150 * time.Millisecond, BufferBytes: 1})
			rows, err := rowsOf(t.Context(), []string{"s3://bucket/" + key}, stores, []string{"n", "text"})
			defer release(rows)
			if n := compareText(rows); err == nil && n != rowsOfText {
				wrong = fmt.Sprintf("%d rows; want %d", n, rowsOfText)
			}
			return wrong, err
		})
	}
}
