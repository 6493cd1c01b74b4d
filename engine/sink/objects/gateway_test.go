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
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/millrace/millrace/io/blobstore"
)

// gateway is a versitygw, which is a real S3 server over a folder, and a proxy before it
// that can fail.
type gateway struct {
	proxy  *httptestServer
	direct *store // past the proxy

	mu     sync.Mutex
	count  int
	faulty func(request int, r *http.Request) fault
}

// fault is what becomes of a request.
type fault int

const (
	fine   fault = iota
	reset        // the connection breaks, and the server never hears of it
	unsaid       // the server does it, and its answer is lost
	busy         // 503
)

type httptestServer struct {
	url  string
	stop func()
}

// startGateway starts both; the test is skipped where there is no versitygw.
func startGateway(t *testing.T) *gateway {
	t.Helper()
	program := os.Getenv("MILLRACE_VERSITYGW")
	if program == "" {
		program = filepath.Join("..", "..", "..", ".tools", "versitygw")
	}
	if _, err := os.Stat(program); err != nil {
		t.Skip("no versitygw: see make store-test, or set MILLRACE_VERSITYGW")
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "millrace-test", "AWS_SECRET_ACCESS_KEY": "hush-hush-hush", "AWS_REGION": "us-east-1",
		"AWS_CA_BUNDLE": "", "AWS_EC2_METADATA_DISABLED": "true", "HTTP_PROXY": "", "http_proxy": "",
	} {
		t.Setenv(name, value)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bucket"), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(program, "--port", address, "--quiet", "posix", dir)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY=millrace-test", "ROOT_SECRET_KEY=hush-hush-hush")
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has nothing to save
		_ = cmd.Wait()
	})
	g := &gateway{}
	for deadline := time.Now().Add(20 * time.Second); ; {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("versitygw does not listen: %v: %s", err, said.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
	g.startProxy(t, address)
	bucket := &Destination{Buckets: blobstore.Options{Endpoint: "http://" + address}}
	if g.direct, err = bucket.open(t.Context(), g.place(t, "s3://bucket/", false)); err != nil {
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
		case reset:
			panic(http.ErrAbortHandler)
		case busy:
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusServiceUnavailable)
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
	g.proxy = &httptestServer{url: "http://" + l.Addr().String()}
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
	return &Destination{Buckets: blobstore.Options{Endpoint: g.proxy.url, Attempts: attempts}, Lease: 400 * time.Millisecond}
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
	b := g.direct.multi.(*s3Bucket)
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
