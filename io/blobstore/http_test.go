package blobstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob"

	"github.com/millrace/millrace/io/blobstore"
	"github.com/millrace/millrace/io/blobstore/blobtest"
)

// narrow are connections whose other end can send little before it is read.
type narrow struct{ net.Listener }

func (l narrow) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		err = errors.Join(err, tcp.SetReadBuffer(256<<10))
	}
	return c, err
}

func testAccount(t *testing.T) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", blobtest.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", blobtest.SecretKey)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

// A link may be so slow that a piece takes longer than a connection may stall: it does not stall.
func TestSlowUploadIsNoStall(t *testing.T) {
	testAccount(t)
	const size = 8 << 20
	const stall = 800 * time.Millisecond // a busy machine may hold the server up for much of it
	var took time.Duration
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		piece := make([]byte, size/24)
		for {
			if _, err := io.ReadFull(r.Body, piece); err != nil {
				break
			}
			time.Sleep(stall / 8)
		}
		took = time.Since(began)
		w.Header().Set("ETag", `"v1"`)
	}))
	server.Listener = narrow{server.Listener}
	server.Start()
	defer server.Close()
	bucket, err := blobstore.OpenBucket(t.Context(), blobstore.Location{Scheme: blobstore.S3, Bucket: "bucket"}, blobstore.Options{Endpoint: server.URL, Attempts: 1, Stall: stall})
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	if err := bucket.Upload(t.Context(), "key", strings.NewReader(strings.Repeat("x", size)), &blob.WriterOptions{ContentType: "application/octet-stream"}); err != nil {
		t.Errorf("Upload() = %v", err)
	}
	if took < 2*stall {
		t.Errorf("the server took it in %s; want longer than a stall", took)
	}
}

// A server that gives a byte now and then gives nothing.
func TestTrickleIsAStall(t *testing.T) {
	testAccount(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from := 0
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Last-Modified", "Sat, 28 Nov 2026 00:00:00 GMT")
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-9999/10000", from))
		}
		w.Header().Set("Content-Length", strconv.Itoa(10000-from))
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		for r.Method == http.MethodGet {
			if _, err := w.Write([]byte("x")); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	object, err := storesOf(blobstore.Options{Endpoint: server.URL, Attempts: 2, Stall: 100 * time.Millisecond})["s3"].Open(ctx, "s3://bucket/key")
	if err != nil {
		t.Fatal(err)
	}
	_, done, err := object.Local(ctx)
	if err == nil {
		err = errors.Join(errors.New("it came"), done())
	}
	if ctx.Err() != nil || !strings.Contains(err.Error(), "stalled") {
		t.Errorf("Local() = %v; want the connection to be given up", err)
	}
	server.CloseClientConnections()
	if err := object.Close(); err != nil {
		t.Error(err)
	}
}
