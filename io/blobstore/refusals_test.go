package blobstore_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/io/blobstore"
	"github.com/millrace/millrace/io/blobstore/blobtest"
)

// profiles are some that give no credentials.
const profiles = `[profile sso]
sso_session = s
sso_account_id = 1
sso_role_name = r
[sso-session s]
sso_start_url = https://127.0.0.1:1/
sso_region = us-east-1
[profile failing]
credential_process = sh -c "echo topsecret; exit 3"
[profile talking]
credential_process = echo topsecret
[profile role]
role_arn = arn:aws:iam::1:role/x
source_profile = source
region = us-east-1
[profile source]
aws_access_key_id = AKIASOURCE
aws_secret_access_key = topsecretofsource
`

// What a store refuses is said with what to do about it, whose credentials it was about, and
// none of their values.
func TestRefusals(t *testing.T) {
	g := blobtest.Start(t)
	g.Put(t, "r/one.parquet", numbers(t, 0, 100))
	proxy := blobtest.NewProxy(t, g.URL)
	home := t.TempDir()
	file := filepath.Join(home, "credentials")
	if err := os.WriteFile(file, []byte("[other]\naws_access_key_id = AKIAOTHEROTHER\naws_secret_access_key = topsecretofother\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(home, "config")
	if err := os.WriteFile(config, []byte(profiles), 0o600); err != nil {
		t.Fatal(err)
	}
	profile := func(name string) map[string]string {
		return map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": name, "AWS_CONFIG_FILE": config, "HOME": home, "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1"}
	}
	fault := func(f blobtest.Fault) func(int, *http.Request) blobtest.Fault {
		return func(int, *http.Request) blobtest.Fault { return f }
	}
	for _, c := range []struct {
		name     string
		env      map[string]string
		endpoint string
		rule     func(int, *http.Request) blobtest.Fault
		says     []string
		requests int // at most
	}{
		{"no right to list", nil, "", fault("403 AccessDenied"), []string{"ListObjectsV2 was refused: AccessDenied", "AWS_ACCESS_KEY_ID", "docs/stores.md"}, 1},
		{"no right to read", nil, "", func(_ int, r *http.Request) blobtest.Fault {
			if r.URL.Query().Has("list-type") {
				return blobtest.None
			}
			return "403 AccessDenied"
		}, []string{"s3://bucket/r/one.parquet", "GetObject was refused: AccessDenied"}, 2},
		{"the credentials of a profile", map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "other", "AWS_SHARED_CREDENTIALS_FILE": file}, "", nil, []string{file}, 1},
		{"a wrong key", map[string]string{"AWS_SECRET_ACCESS_KEY": "topsecretofnobody"}, "", nil, []string{"SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"}, 1},
		{"a token that has expired", map[string]string{"AWS_SESSION_TOKEN": "topsecrettoken"}, "", fault("400 ExpiredToken"), []string{"ExpiredToken", "docs/stores.md"}, 1},
		{"no credentials at all", map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "", nil, []string{"no credentials were found", "AWS_ACCESS_KEY_ID"}, 0},
		{"a session that nobody began", profile("sso"), "", nil, []string{"no credentials: ", "aws sso login"}, 0},
		{"a program that fails", profile("failing"), "", nil, []string{"no credentials: ", "credential_process failed: exit status 3"}, 0},
		{"a program that prints something else", profile("talking"), "", nil, []string{"no credentials: ", "credential_process gave none"}, 0},
		{"a role that cannot be asked for", profile("role"), "", nil, []string{"no credentials: STS, AssumeRole: ", "refused"}, 0},
		{"a region that is none", map[string]string{"AWS_REGION": "eu west"}, "", nil, []string{"AWS_REGION", `"eu west"`}, 0},
		{"a bucket of another region", nil, "", fault("301 PermanentRedirect"), []string{"AWS_REGION"}, 1},
		{"a server that redirects, in whatever way", nil, redirecting(t, http.StatusMovedPermanently, "", "https://127.0.0.1:1/x?secret=topsecret"), nil, []string{"HTTP 301", "the answer leads to 127.0.0.1:1): set AWS_REGION, or --endpoint"}, 0},
		{"a bucket whose region the answer says", nil, redirecting(t, http.StatusMovedPermanently, "eu-central-1", ""), nil, []string{"HTTP 301", "the bucket lies in the region eu-central-1: set AWS_REGION=eu-central-1"}, 0},
		{"a redirect that is followed, and not signed for", nil, redirecting(t, http.StatusTemporaryRedirect, "eu-central-1", strings.Replace(g.URL, "127.0.0.1", "localhost", 1)+"/bucket?list-type=2"), nil, []string{"AccessDenied", "the bucket lies in the region eu-central-1: set AWS_REGION=eu-central-1"}, 0},
		{"a request that is signed for another region", nil, redirecting(t, http.StatusBadRequest, "eu-central-1", ""), nil, []string{"HTTP 400", "set AWS_REGION=eu-central-1"}, 0},
		{"clocks that differ", nil, "", fault("403 RequestTimeTooSkewed"), []string{"clocks", "tried 2 times"}, 2},
		{"TLS to a server without", nil, strings.Replace(g.URL, "http:", "https:", 1), nil, []string{"write http://"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			proxy.Set(0, c.rule)
			endpoint := c.endpoint
			if endpoint == "" {
				endpoint = proxy.URL
			}
			_, err := rowsOf(t.Context(), []string{"s3://bucket/r/"}, storesOf(blobstore.Options{Endpoint: endpoint, Attempts: 2}), []string{"n"})
			if err == nil {
				t.Fatal("rowsOf() = nil")
			}
			for _, says := range c.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("rowsOf() = %v; want %q in it", err, says)
				}
			}
			for _, secret := range []string{"topsecret", blobtest.SecretKey, blobtest.AccessKey} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("rowsOf() = %v has a credential", err)
				}
			}
			if n := proxy.Requests(); n > c.requests {
				t.Errorf("it took %d requests; want at most %d", n, c.requests)
			}
		})
	}
}

// redirecting is the URL of a server that sends all requests elsewhere.
func redirecting(t *testing.T, status int, region, location string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if region != "" {
			w.Header().Set("X-Amz-Bucket-Region", region)
		}
		if location != "" {
			w.Header().Set("Location", location)
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// A bucket may be read and not listed: who names an object has it, and who names a folder is told.
func TestReadWithoutTheRightToList(t *testing.T) {
	g := blobtest.Start(t)
	g.Put(t, "r/one.parquet", numbers(t, 0, 100))
	proxy := blobtest.NewProxy(t, g.URL)
	proxy.Set(0, func(_ int, r *http.Request) blobtest.Fault {
		if r.URL.Query().Has("list-type") {
			return "403 AccessDenied"
		}
		return blobtest.None
	})
	for input, want := range map[string]int64{"s3://bucket/r/one.parquet": 100, "s3://bucket/r/": 0, "s3://bucket/r": 0, "s3://bucket/r/*": 0, "s3://bucket/r/none.parquet": 0} {
		rows, err := rowsOf(t.Context(), []string{input}, storesOf(blobstore.Options{Endpoint: proxy.URL}), []string{"n"})
		var got int64
		for _, r := range rows {
			got += r.NumRows()
		}
		if got != want || want == 0 && (err == nil || !strings.Contains(err.Error(), "ListObjectsV2 was refused")) || want > 0 && err != nil {
			t.Errorf("rowsOf(%q) = %d rows, %v; want %d", input, got, err, want)
		}
		release(rows)
	}
}

// keyServer is an S3 server that has one object and notes the keys that are asked for: the
// server over a folder has no key that cannot be a path.
type keyServer struct {
	key  string
	data []byte

	mu    sync.Mutex
	asked []string
}

func (s *keyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"v1"`)
	w.Header().Set("Last-Modified", "Sat, 28 Nov 2026 00:00:00 GMT")
	if q := r.URL.Query(); q.Has("list-type") {
		contents := ""
		if strings.HasPrefix(s.key, q.Get("prefix")) {
			contents = fmt.Sprintf("<Contents><Key>%s</Key><Size>%d</Size><ETag>&quot;v1&quot;</ETag><LastModified>2026-11-28T00:00:00Z</LastModified></Contents>", s.key, len(s.data))
		}
		_, _ = fmt.Fprintf(w, `<ListBucketResult>%s<IsTruncated>false</IsTruncated></ListBucketResult>`, contents)
		return
	}
	key := strings.TrimPrefix(r.URL.Path, "/bucket/")
	s.mu.Lock()
	s.asked = append(s.asked, key)
	s.mu.Unlock()
	if key != s.key {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	http.ServeContent(w, r, "", time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC), strings.NewReader(string(s.data)))
}

// A key is asked for as it is in the URI or the listing, also where it has what no path has.
func TestKeysAsTheyAre(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", blobtest.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", blobtest.SecretKey)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for _, c := range []struct{ key, input string }{
		{"a//b.parquet", "s3://bucket/a//b.parquet"},
		{"a//b.parquet", "s3://bucket/a/"},
		{"a/../b.parquet", "s3://bucket/a/../b.parquet"},
		{"a/x__0x41__.parquet", "s3://bucket/a/x__0x41__.parquet"},
		{"a/x__0x41__.parquet", "s3://bucket/a/*.parquet"},
		{"/lead.parquet", "s3://bucket//lead.parquet"},
		{"a b/100%25+?.parquet", "s3://bucket/a b/*"},
	} {
		server := &keyServer{key: c.key, data: numbers(t, 0, 100)}
		front := httptest.NewServer(server)
		stores := storesOf(blobstore.Options{Endpoint: front.URL, Attempts: 1})
		rows, err := rowsOf(t.Context(), []string{c.input}, stores, []string{"n"})
		if err != nil || len(rows) != 1 || rows[0].NumRows() != 100 {
			t.Errorf("rowsOf(%q) = %d batches, %v; the server was asked for %q", c.input, len(rows), err, slices.Compact(server.asked))
		}
		release(rows)
		if object, err := stores["s3"].Open(t.Context(), "s3://bucket/"+c.key); err != nil {
			t.Errorf("Open(%q) = %v", c.key, err)
		} else if err := object.Close(); err != nil {
			t.Error(err)
		}
		front.Close()
	}
}
