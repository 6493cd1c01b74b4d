package blobstore_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gocloud.dev/blob"

	"github.com/millrace/millrace/io/blobstore"
)

// Credentials that expire in the middle are looked for anew, where they were from: what another
// program wrote there meanwhile is used, for what is read and for what is written.
func TestCredentialsThatExpire(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	give := func(token string) {
		text := fmt.Sprintf("[default]\naws_access_key_id = AKIA\naws_secret_access_key = s\naws_session_token = %s\n", token)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_CONFIG_FILE": "/nowhere", "AWS_EC2_METADATA_DISABLED": "true", "AWS_SHARED_CREDENTIALS_FILE": file} {
		t.Setenv(name, value)
	}
	for _, renewed := range []bool{true, false} {
		give("first")
		objects := &keyServer{key: "one.parquet", data: numbers(t, 0, 100)}
		var mu sync.Mutex
		requests, refusals, written := 0, 0, ""
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			body, _ := io.ReadAll(r.Body)
			requests++
			if requests > 1 && r.Header.Get("X-Amz-Security-Token") == "first" {
				if refusals++; renewed {
					give("second")
				}
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, "<Error><Code>ExpiredToken</Code><Message>The token has expired.</Message></Error>")
				return
			}
			if r.Method == http.MethodPut {
				written = string(body)
				w.Header().Set("ETag", `"v1"`)
				return
			}
			objects.ServeHTTP(w, r)
		}))
		bucket, err := blobstore.OpenBucket(t.Context(), blobstore.Location{Scheme: blobstore.S3, Bucket: "bucket"}, blobstore.Options{Endpoint: server.URL, Attempts: 3})
		if err != nil {
			t.Fatal(err)
		}
		requests = 1 // the writer's first is refused, too
		err = bucket.Upload(t.Context(), "key", strings.NewReader("some bytes"), &blob.WriterOptions{ContentType: "text/plain"})
		if (err == nil) != renewed || renewed && written != "some bytes" {
			t.Errorf("Upload() = %v, and %q is there; want it to go on: %v", err, written, renewed)
		}
		give("first")
		requests, refusals = 0, 0
		rows, err := rowsOf(t.Context(), []string{"s3://bucket/one.parquet"}, storesOf(blobstore.Options{Endpoint: server.URL, Attempts: 3}), []string{"n"})
		if (err == nil && len(rows) == 1) != renewed || !renewed && (!strings.Contains(err.Error(), "ExpiredToken") || !strings.Contains(err.Error(), file)) {
			t.Errorf("rowsOf() = %d batches, %v; want it to go on: %v", len(rows), err, renewed)
		}
		if refusals == 0 || refusals > 4 {
			t.Errorf("%d requests were refused; want some, and few", refusals)
		}
		release(rows)
		_ = bucket.Close()
		server.Close()
	}
}

// TestNothingIsLogged: what is wrong with credentials is said by errors, and not by lines of the
// SDK's own on stderr. It asks an instance's service for them, which here does not know it.
func TestNothingIsLogged(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
		"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": server.URL,
	} {
		t.Setenv(name, value)
	}
	said, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = said
	defer func() { os.Stderr = stderr }()
	bucket, err := blobstore.OpenBucket(t.Context(), blobstore.Location{Scheme: blobstore.S3, Bucket: "bucket"}, blobstore.Options{Endpoint: server.URL, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.ReadAll(t.Context(), "key"); err == nil {
		t.Error("it was read without credentials")
	}
	_ = bucket.Close()
	os.Stderr = stderr
	if text, err := os.ReadFile(said.Name()); err != nil || len(text) > 0 {
		t.Errorf("stderr has %q, %v", text, err)
	}
}
