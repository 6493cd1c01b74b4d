package objects

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/ledger"
)

// TestRights takes single rights from a run. It publishes without those that it can do without,
// and says what it did not remove; else its error names what was refused. With all rights the
// next run publishes, and nothing is left.
func TestRights(t *testing.T) {
	g := startGateway(t)
	for _, c := range []struct {
		lacks     string
		which     func(r *http.Request) bool
		published bool
		says      string // empty: nothing
	}{
		{"to delete", func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("delete") }, true, "DeleteObjects was refused"},
		{"to list uploads", func(r *http.Request) bool { return r.Method == http.MethodGet && r.URL.Query().Has("uploads") }, true, ""},
		{"to begin uploads in pieces", func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("uploads") }, false, "CreateMultipartUpload was refused"},
		{"to list", func(r *http.Request) bool { return r.URL.Query().Has("list-type") }, false, "ListObjectsV2 was refused"},
		{"to write", func(r *http.Request) bool { return r.Method == http.MethodPut }, false, "PutObject was refused"},
	} {
		if err := g.wipe(t); err != nil {
			t.Fatal(err)
		}
		g.fail(func(_ int, r *http.Request) fault {
			if c.which(r) {
				return denied
			}
			return fine
		})
		w := work{output: "s3://bucket/rights", job: "j", parts: 2, large: 1}
		_, _, err := w.run(t.Context(), g.destination(2))
		p := g.place(t, w.output, false)
		switch seen := g.visible(t, p); {
		case c.says == "" && err != nil, c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("without the right %s: %v; want %q", c.lacks, err, c.says)
		case (len(seen) > 0) != c.published:
			t.Errorf("without the right %s, %v can be seen", c.lacks, seen)
		}
		g.fail(nil)
		w.job, w.ifExists = "k", ledger.IfExistsReplace
		if _, _, err := w.run(t.Context(), g.destination(2)); err != nil {
			t.Errorf("with the right %s: %v", c.lacks, err)
		}
		g.published(t, "with the right "+c.lacks, p, w.want(0))
	}
}

// TestNamesThatAreEscaped publishes below names of which servers read the source of a copy in
// two ways, unless each of their characters is escaped.
func TestNamesThatAreEscaped(t *testing.T) {
	g := startGateway(t)
	var ambiguous string
	copies := 0
	g.fail(func(_ int, r *http.Request) fault {
		if from := r.Header.Get("X-Amz-Copy-Source"); from != "" {
			asPath, err := url.PathUnescape(from)
			if asQuery, other := url.QueryUnescape(from); err != nil || other != nil || asPath != asQuery {
				ambiguous = from
			}
			copies++
		}
		return fine
	})
	for _, w := range []work{
		{output: "s3://bucket/a b+c%20d/größe=1&2/out", job: "j", parts: 2},
		{output: "s3://bucket/a b+c%20d/one two.parquet", job: "j", parts: 2, single: true},
	} {
		if _, _, err := w.run(t.Context(), g.destination(2)); err != nil {
			t.Errorf("%s: %v", w.output, err)
		}
		g.published(t, w.output, g.place(t, w.output, w.single), w.want(0))
	}
	if ambiguous != "" || copies == 0 {
		t.Errorf("of %d copies one is of %q, which is two names", copies, ambiguous)
	}
}
