// Package blobtest starts an S3 server for tests, and a proxy before it that does what
// networks and busy servers do.
package blobtest

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"gocloud.dev/blob"

	"github.com/millrace/millrace/io/blobstore"
)

// GatewayVariable names the program of the server; otherwise it is .tools/versitygw.
const GatewayVariable = "MILLRACE_VERSITYGW"

// Keys of the server's account.
const (
	AccessKey = "AKIAMILLRACETEST"
	SecretKey = "not-a-secret-of-anybody-0123456789"
)

// Gateway is a versitygw (S3 over a folder), which ends with the test.
type Gateway struct {
	URL    string
	Bucket *blob.Bucket // for the test's own use, called "bucket"
	Dir    string       // of the server: a folder for each bucket
}

// Start starts a server with one bucket, and points the AWS variables to its account. It
// skips the test where there is no server to start: make test-stores gets one.
func Start(t testing.TB) *Gateway {
	t.Helper()
	program := os.Getenv(GatewayVariable)
	if program == "" {
		_, here, _, _ := runtime.Caller(0)
		program = filepath.Join(filepath.Dir(here), "../../../.tools/versitygw")
	}
	if _, err := os.Stat(program); err != nil {
		t.Skipf("SKIPPED FOR WANT OF AN S3 SERVER: run make test-stores (%v)", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", SecretKey)
	for _, name := range []string{"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/nowhere")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	g := &Gateway{Dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(g.Dir, "bucket"), 0o755); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	g.URL = "http://" + address
	server := exec.CommandContext(context.Background(), program, "--port", address, "--quiet", "posix", g.Dir)
	server.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill() // it has nothing to save
		_ = server.Wait()
	})
	g.await(t)
	var err error
	if g.Bucket, err = blobstore.OpenBucket(t.Context(), blobstore.Location{Scheme: blobstore.S3, Bucket: "bucket"}, blobstore.Options{Endpoint: g.URL}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Bucket.Close() })
	return g
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// await waits until the server answers.
func (g *Gateway) await(t testing.TB) {
	t.Helper()
	for range 200 {
		if r, err := http.Get(g.URL); err == nil {
			_ = r.Body.Close()
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatal("the S3 server does not answer")
}

// Put writes an object.
func (g *Gateway) Put(t testing.TB, key string, data []byte) {
	t.Helper()
	if err := g.Bucket.WriteAll(t.Context(), key, data, nil); err != nil {
		t.Fatal(err)
	}
}

// PutFile writes a file's bytes.
func (g *Gateway) PutFile(t testing.TB, key, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	g.Put(t, key, data)
}
