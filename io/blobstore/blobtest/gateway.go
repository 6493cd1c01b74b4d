// Package blobtest starts an S3 server for tests, and a proxy before it that does what
// networks and busy servers do.
package blobtest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"gocloud.dev/blob"

	"github.com/millrace/millrace/io/blobstore"
)

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
func Start(tb testing.TB) *Gateway {
	tb.Helper()
	program := tool(tb, "versitygw")
	tb.Setenv("AWS_ACCESS_KEY_ID", AccessKey)
	tb.Setenv("AWS_SECRET_ACCESS_KEY", SecretKey)
	for _, name := range []string{"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE"} {
		tb.Setenv(name, "")
	}
	tb.Setenv("AWS_CONFIG_FILE", "/nowhere")
	tb.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
	tb.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	g := &Gateway{Dir: tb.TempDir()}
	if err := os.Mkdir(filepath.Join(g.Dir, "bucket"), 0o755); err != nil {
		tb.Fatal(err)
	}
	address := freeAddress(tb)
	g.URL = "http://" + address
	server := exec.CommandContext(context.Background(), program, "--port", address, "--quiet", "--keep-alive", "posix", g.Dir)
	server.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
	start(tb, g.URL, server)
	var err error
	if g.Bucket, err = blobstore.OpenBucket(tb.Context(), blobstore.Location{Scheme: blobstore.S3, Bucket: "bucket"}, blobstore.Options{Endpoint: g.URL}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = g.Bucket.Close() })
	return g
}

func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Put writes an object.
func (g *Gateway) Put(tb testing.TB, key string, data []byte) {
	tb.Helper()
	if err := g.Bucket.WriteAll(tb.Context(), key, data, nil); err != nil {
		tb.Fatal(err)
	}
}

// PutFile writes a file's bytes.
func (g *Gateway) PutFile(tb testing.TB, key, path string) {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	g.Put(tb, key, data)
}
