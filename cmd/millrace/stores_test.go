package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/io/blobstore/blobtest"
)

// millrace runs a command in this process.
func millrace(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, nil, &out, &errs)
	return code, out.String(), errs.String()
}

// A run of objects by a model in a bucket gives the bytes of one of files, its manifest
// names URIs and versions, and its commands know them; none says a credential.
func TestScoreFromABucket(t *testing.T) {
	t.Setenv(ort.EnvVariable, libraryPath(t))
	gateway := blobtest.Start(t)
	proxy := blobtest.NewProxy(t, gateway.URL)
	dir := t.TempDir()
	const model, sample = "../../models/reference/flights_gbdt.onnx", "../../testdata/flights-sample.parquet"
	data, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	gateway.PutFile(t, "models/gbdt.onnx", model)
	for _, day := range []string{"2026-11-21", "2026-11-22"} {
		gateway.Put(t, "flights/date="+day+"/part-0.parquet", data)
		local := filepath.Join(dir, "flights", "date="+day)
		if err := os.MkdirAll(local, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(local, "part-0.parquet"), data)
	}
	args := func(command, model, input, output string) []string {
		return []string{command, "--model", model, "--input", input, "--nulls", "nan", "--ids", "id", "--keep", "date", "--output", filepath.Join(dir, output), "--endpoint", proxy.URL, "--json", "--batch-size", "4096"}
	}
	must := func(args []string) string {
		t.Helper()
		code, stdout, stderr := millrace(t, args...)
		if code != 0 {
			t.Fatalf("millrace %q exits %d: %s", args, code, stderr)
		}
		if all := stdout + stderr; strings.Contains(all, blobtest.SecretKey) || strings.Contains(all, blobtest.AccessKey) {
			t.Errorf("millrace %q says a credential: %s", args, all)
		}
		return stdout
	}
	const remoteModel, remoteInput = "s3://bucket/models/gbdt.onnx", "s3://bucket/flights/date=*/*.parquet"
	must(args("score", model, filepath.Join(dir, "flights/date=*/*.parquet"), "local"))
	must(args("score", remoteModel, remoteInput, "remote"))
	want, err := os.ReadFile(filepath.Join(dir, "local/part-00000.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "remote/part-00000.parquet")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the output has other bytes than that of files (%v)", err)
	}
	h, err := ledger.ReadHistory(filepath.Join(dir, "remote"))
	if err != nil {
		t.Fatal(err)
	}
	m := h.Live()[0].Manifest
	if m.Model.Path != remoteModel || len(m.Inputs) != 2 || m.Inputs[0].Path != "s3://bucket/flights/date=2026-11-21/part-0.parquet" || m.Inputs[0].Version == "" {
		t.Errorf("the manifest has the model %+v and inputs %+v", m.Model, m.Inputs)
	}

	// A filter on folders reads no object of others, but for their footers.
	proxy.Set(0, nil)
	must(append(args("score", model, remoteInput, "filtered"), "--where", `date == date("2026-11-22")`))
	if read := proxy.Bytes(); read > int64(len(data))+(1<<20)+1<<19 {
		t.Logf("%d bytes were read of two objects of %d", read, len(data))
	}

	must([]string{"verify", filepath.Join(dir, "remote"), "--inputs", "--endpoint", proxy.URL})
	must([]string{"replay", filepath.Join(dir, "remote"), "--where", "id=60", "--tolerance", "0", "--endpoint", proxy.URL})
	must(append(args("plan", remoteModel, "s3://bucket/flights/", "planned"), "--memory-limit", "512MiB"))
	var inspected struct{ Rows int64 }
	if err := json.Unmarshal([]byte(must([]string{"inspect", "s3://bucket/flights", "--endpoint", proxy.URL, "--json"})), &inspected); err != nil || inspected.Rows != 100_000 {
		t.Errorf("inspect says %+v, %v; want 100,000 rows", inspected, err)
	}
	must([]string{"inspect", remoteModel, "--endpoint", proxy.URL})
	var rewritten struct {
		OutputSHA256 string `json:"output_sha256"`
	}
	digests := map[string]bool{}
	for i, from := range []string{remoteModel, model} {
		stdout := must([]string{"rewrite", "--model", from, "--output", filepath.Join(dir, fmt.Sprint(i, ".onnx")), "--check-rows", "0", "--endpoint", proxy.URL, "--json"})
		if err := json.Unmarshal([]byte(stdout), &rewritten); err != nil {
			t.Error(err)
		}
		digests[rewritten.OutputSHA256] = true
	}
	if len(digests) != 1 || digests[""] {
		t.Errorf("a model of the bucket and its file are rewritten to %v; want one digest", digests)
	}

	// A job file names the server too.
	job := filepath.Join(dir, "job.yaml")
	write(t, job, []byte("model: "+remoteModel+"\ninput: "+remoteInput+"\nnulls: nan\nids: id\nkeep: date\noutput: "+dir+"/jobbed\nendpoint: "+proxy.URL+"\n"))
	must([]string{"score", "--job", job, "--batch-size", "4096"})
	if got, err := os.ReadFile(filepath.Join(dir, "jobbed/part-00000.parquet")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the output of the job file has other bytes than that of flags (%v)", err)
	}
	write(t, job, []byte("model: m.onnx\ninput: x\noutput: y\nendpoint: http://me:topsecret@server\n"))
	if code, _, stderr := millrace(t, "score", "--job", job); code != 2 || !strings.Contains(stderr, "endpoint") || strings.Contains(stderr, "topsecret") {
		t.Errorf("an endpoint with credentials: exit %d: %s", code, stderr)
	}

	for _, c := range []struct {
		name  string
		args  []string
		fault func(int, *http.Request) blobtest.Fault
		code  int
		says  string
	}{
		{"no such object", args("score", model, "s3://bucket/none.parquet", "none"), nil, 4, "s3://bucket/none.parquet"},
		{"no such bucket", args("score", model, "s3://nobody-has-this/none.parquet", "none"), nil, 4, "NoSuchBucket"},
		{"no such model", args("score", "s3://bucket/none.onnx", remoteInput, "none"), nil, 5, "s3://bucket/none.onnx"},
		{"credentials in a URI", args("score", model, "s3://me:topsecret@bucket/none", "none"), nil, 2, "credentials"},
		{"a scheme that is not known", args("score", model, "s4://bucket/none", "none"), nil, 4, `did you mean "s3"`},
		{"an endpoint that is none", append(args("score", model, remoteInput, "none"), "--endpoint", "nowhere"), nil, 2, "--endpoint"},
		{"a server that is busy for good", append(args("score", model, remoteInput, "none"), "--store-attempts", "2"), func(int, *http.Request) blobtest.Fault { return blobtest.Busy }, 4, "tried 2 times"},
		{"an object that changes under the run", args("score", model, remoteInput, "none"), func(n int, _ *http.Request) blobtest.Fault {
			if n == 4 {
				gateway.Put(t, "flights/date=2026-11-22/part-0.parquet", data[:len(data)-1])
			}
			return blobtest.None
		}, 4, "changed"},
	} {
		proxy.Set(0, c.fault)
		code, stdout, stderr := millrace(t, c.args...)
		if code != c.code || !strings.Contains(stderr, c.says) || strings.Contains(stdout+stderr, "topsecret") || strings.Contains(stderr, blobtest.SecretKey) {
			t.Errorf("%s: exit %d: %s; want exit %d that says %q", c.name, code, stderr, c.code, c.says)
		}
		if _, err := os.Stat(filepath.Join(dir, "none", "_SUCCESS")); err == nil {
			t.Errorf("%s: it is published", c.name)
		}
	}
}

// What a listing says of objects is not asked of each of them again: to find that nothing is
// new takes the listing alone, and what is new is opened by what the listing said.
func TestOnlyNewAsksNoObject(t *testing.T) {
	t.Setenv(ort.EnvVariable, libraryPath(t))
	gateway := blobtest.Start(t)
	proxy := blobtest.NewProxy(t, gateway.URL)
	models := t.TempDir()
	writeFixtures(t, models)
	const objects = 12
	csv := func(i int) []byte { return fmt.Appendf(nil, "id,a,b\n%d,1,2\n", i) }
	for i := range objects {
		gateway.Put(t, fmt.Sprintf("new/%02d.csv", i), csv(i))
	}
	out := filepath.Join(t.TempDir(), "out")
	const latency = 20 * time.Millisecond
	var lists, heads, gets, early atomic.Int32 // early: before an answer to the question before can have come
	var last time.Time                         // of a question
	score := func(from, says string) {
		t.Helper()
		lists.Store(0)
		heads.Store(0)
		gets.Store(0)
		early.Store(0)
		proxy.Set(latency, func(_ int, r *http.Request) blobtest.Fault {
			switch {
			case r.URL.Query().Has("list-type"):
				lists.Add(1)
			case r.Method == http.MethodHead:
				heads.Add(1)
				if time.Since(last) < latency {
					early.Add(1)
				}
				last = time.Now()
			default:
				gets.Add(1)
			}
			return blobtest.None
		})
		code, stdout, stderr := millrace(t, "score", "--model", filepath.Join(models, "named.onnx"), "--input", "s3://bucket/"+from+"/", "--types", "a=float32,b=float32",
			"--ids", "id", "--output", out, "--if-exists", "append", "--only-new", "--endpoint", proxy.URL, "--store-checks", "never")
		if code != 0 || !strings.Contains(stdout, says) {
			t.Errorf("score exits %d with %q, %s; want %q", code, stdout, stderr, says)
		}
	}
	few := func(reads bool) {
		t.Helper()
		if (gets.Load() > 0) != reads || lists.Load() > 4 || heads.Load() > 1 { // and whether the last one changed
			t.Errorf("%d listings, %d questions about an object, and %d reads; want few of the first two", lists.Load(), heads.Load(), gets.Load())
		}
	}
	score("new", "scored     12 rows")
	few(true)
	score("new", "nothing new")
	few(false)
	gateway.Put(t, "new/more.csv", csv(objects))
	score("new", "scored     1 row")
	few(true)
	// Where others of the same bytes lay is asked of several at a time.
	for i := range objects {
		gateway.Put(t, fmt.Sprintf("moved/%02d.csv", i), csv(i))
	}
	gateway.Put(t, "moved/gone.csv", csv(objects))
	score("moved", "scored     13 rows")
	if n := early.Load(); n < objects/2 {
		t.Errorf("%d questions about where objects lay, of which %d did not wait for the one before; want %d", heads.Load(), n, objects/2)
	}
}
