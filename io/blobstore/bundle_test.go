package blobstore_test

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/io/blobstore"
)

// AWS_CA_BUNDLE names a file of certificates that servers are trusted by, or opening says
// what is wrong with it.
func TestCertificatesOfABundle(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("rows")) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail here
	server.StartTLS()
	defer server.Close()
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
	for _, c := range []struct{ what, bundle, says string }{
		{"the server's", file("good.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})), ""},
		{"none", "", "certificate signed by unknown authority"},
		{"a file that is not there", filepath.Join(dir, "none.pem"), "AWS_CA_BUNDLE"},
		{"a folder", dir, "AWS_CA_BUNDLE"},
		{"a file without certificates", file("bad.pem", []byte("hello")), "AWS_CA_BUNDLE"},
	} {
		t.Setenv("AWS_CA_BUNDLE", c.bundle)
		got, err := readThrough(t.Context(), server.URL)
		if c.says == "" && (err != nil || got != "rows") {
			t.Errorf("%s: %q, %v; want the object", c.what, got, err)
		}
		if c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || c.bundle != "" && !strings.Contains(err.Error(), c.bundle)) {
			t.Errorf("%s: %v; want it to say %q and %q", c.what, err, c.says, c.bundle)
		}
	}
}

// readThrough opens a bucket and reads an object.
func readThrough(ctx context.Context, endpoint string) (string, error) {
	b, err := blobstore.OpenBucket(ctx, blobstore.Location{Scheme: blobstore.S3, Bucket: "bucket"}, blobstore.Options{Endpoint: endpoint, Attempts: 1})
	if err != nil {
		return "", err
	}
	defer b.Close()
	data, err := b.ReadAll(ctx, "object")
	return string(data), blobstore.Clean(err)
}
