package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob/fileblob"

	"github.com/millrace/millrace/io/blobstore"
	"github.com/millrace/millrace/io/blobstore/blobtest"
)

// gateway is a versitygw, which is a real S3 server over a folder, and a proxy before it
// that can fail.
type gateway struct {
	proxy  string // its URL
	scheme string // of the store's URIs; s3 if empty
	direct *store // past the proxy
	folder string // of a store that is a folder, without server and proxy

	mu     sync.Mutex
	count  int
	faulty func(request int, r *http.Request) fault
	slow   sync.WaitGroup // of requests that are slow or held
	hold   chan struct{}  // closed when requests that are held may go on
}

// fault is what becomes of a request.
type fault int

const (
	fine    fault = iota
	reset         // the connection breaks, and the server never hears of it
	unsaid        // the server does it, and its answer is lost
	busy          // 503
	limited       // 429
	slow          // the server does it a little later, also if nobody waits for the answer any more
	held          // the server hears of it when hold is closed
	denied        // 403
)

// eachStore runs a test with a folder for a store, as drivers without uploads in pieces are,
// and with a gateway, where there is one.
func eachStore(t *testing.T, test func(t *testing.T, g *gateway)) {
	t.Helper()
	t.Run("folder", func(t *testing.T) {
		g := &gateway{folder: t.TempDir()}
		var err error
		if g.direct, err = openFolder(g.folder); err != nil {
			t.Fatal(err)
		}
		test(t, g)
	})
	eachServer(t, test)
}

// eachServer runs a test with a server of each kind of store, of those that there are.
func eachServer(t *testing.T, test func(t *testing.T, g *gateway)) {
	t.Helper()
	t.Run("versitygw", func(t *testing.T) { test(t, startGateway(t)) })
	t.Run("azurite", func(t *testing.T) { test(t, emulated(t, blobstore.Azure, blobtest.StartAzure(t))) })
	t.Run("fake-gcs-server", func(t *testing.T) { test(t, emulated(t, blobstore.GS, blobtest.StartGoogle(t))) })
}

// emulated is an emulator without a proxy before it.
func emulated(t *testing.T, scheme, at string) *gateway {
	t.Helper()
	g := &gateway{proxy: at, scheme: scheme}
	var err error
	if g.direct, err = g.destination(4).open(t.Context(), g.place(t, g.in("s3://bucket/"), false)); err != nil {
		t.Fatal(err)
	}
	return g
}

// in is an output in this store.
func (g *gateway) in(output string) string {
	if g.scheme == "" {
		return output
	}
	return g.scheme + strings.TrimPrefix(output, "s3")
}

func openFolder(dir string) (*store, error) {
	bucket, err := fileblob.OpenBucket(dir, &fileblob.Options{Metadata: fileblob.MetadataDontWrite})
	return &store{bucket: bucket}, err
}

// startGateway starts both; the test is skipped where there is no versitygw.
func startGateway(t *testing.T) *gateway {
	t.Helper()
	server := blobtest.Start(t)
	g := &gateway{}
	g.startProxy(t, strings.TrimPrefix(server.URL, "http://"))
	direct := &Destination{Buckets: blobstore.Options{Endpoint: server.URL}}
	var err error
	if g.direct, err = direct.open(t.Context(), g.place(t, "s3://bucket/", false)); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *gateway) startProxy(t *testing.T, address string) {
	t.Helper()
	target := &url.URL{Scheme: "http", Host: address}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { // the signature is of the host that was asked
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.count++
		what := fine
		if g.faulty != nil {
			what = g.faulty(g.count, r)
		}
		g.mu.Unlock()
		switch what {
		case denied:
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>`)
		case held:
			g.late(forward, w, r, func() { <-g.hold })
		case reset:
			panic(http.ErrAbortHandler)
		case busy, limited:
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(map[fault]int{busy: http.StatusServiceUnavailable, limited: http.StatusTooManyRequests}[what])
		case slow:
			g.late(forward, w, r, func() { time.Sleep(100 * time.Millisecond) }) // less than a beat waits for
		case unsaid:
			forward.ServeHTTP(nowhere{http.Header{}}, r)
			panic(http.ErrAbortHandler)
		default:
			forward.ServeHTTP(w, r)
		}
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	g.proxy = "http://" + l.Addr().String()
}

// late does a request a while after it came, also if nobody waits for the answer any more.
func (g *gateway) late(forward http.Handler, w http.ResponseWriter, r *http.Request, wait func()) {
	g.slow.Add(1)
	defer g.slow.Done()
	body, err := io.ReadAll(r.Body)
	if err != nil { // it was broken off before it was all said
		panic(http.ErrAbortHandler)
	}
	wait()
	late := r.Clone(context.WithoutCancel(r.Context()))
	late.Body = io.NopCloser(bytes.NewReader(body))
	forward.ServeHTTP(w, late)
}

// nowhere takes an answer that nobody gets.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header       { return n.header }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}

// fail sets what becomes of requests, and counts them from 1.
func (g *gateway) fail(faulty func(request int, r *http.Request) fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faulty, g.count = faulty, 0
}

// requests is how many there were since fail.
func (g *gateway) requests() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count
}

// destination is the store through the proxy.
func (g *gateway) destination(attempts int) *Destination {
	if g.folder != "" {
		return &Destination{Lease: 400 * time.Millisecond, opener: func(context.Context, *place) (*store, error) { return openFolder(g.folder) }}
	}
	lease := 400 * time.Millisecond
	if g.scheme != "" { // emulators take their time: a beat that is given up may come later
		lease = 2 * time.Second
	}
	return &Destination{Buckets: blobstore.Options{Endpoint: g.proxy, Attempts: attempts}, Lease: lease}
}

func (g *gateway) place(t *testing.T, output string, single bool) *place {
	t.Helper()
	p, err := parsePlace(output, single)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// objects are the bytes of all objects below a prefix, by key.
func (g *gateway) objects(t *testing.T, prefix string) map[string][]byte {
	t.Helper()
	found, err := g.direct.all(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, o := range found {
		data, err := g.direct.get(t.Context(), o.key, maxSmallBytes)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		all[o.key] = data
	}
	return all
}

// uploads counts the unfinished uploads of the whole bucket.
func (g *gateway) uploads(t *testing.T) int {
	t.Helper()
	b, ok := g.direct.multi.(*s3Bucket)
	if !ok {
		return 0
	}
	page, err := b.client.ListMultipartUploads(context.WithoutCancel(t.Context()), &s3.ListMultipartUploadsInput{Bucket: &b.name})
	if err != nil {
		t.Fatal(err)
	}
	return len(page.Uploads)
}

// left lists what runs have staged and not removed.
func (g *gateway) left(t *testing.T) (keys []string) {
	t.Helper()
	found, err := g.direct.all(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range found {
		if strings.Contains(o.key, "/"+stagingName) {
			keys = append(keys, fmt.Sprintf("%s (%d bytes)", o.key, o.size))
		}
	}
	return keys
}
