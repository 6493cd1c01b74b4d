package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/io/blobstore/blobtest"
)

// TestHeldInStore starts a run while another, whose first part is slow to come to the store,
// works on the same output: it is told who has it, whatever is to be said of its own model and
// input, which are looked at meanwhile.
func TestHeldInStore(t *testing.T) {
	_ = soakRuns(t) // it waits for beats, which are 3 s apart
	g := blobtest.Start(t)
	proxy := blobtest.NewProxy(t, g.URL)
	proxy.Set(0, func(_ int, r *http.Request) blobtest.Fault {
		if strings.Contains(r.URL.Path, "/staging/data/") {
			return blobtest.StallHead
		}
		return blobtest.None
	})
	s, repo := bareSoak(t, "testdata/flights-sample.parquet")
	s.args = []string{"score", "--nulls", "reject", "--ids", "id", "--input", s.input(0)}
	const out = "s3://bucket/held/out"
	model := filepath.Join(repo, "models/reference/flights_gbdt.onnx")
	holder := s.start(out, "--model", model, "--endpoint", proxy.URL)
	waitFor(t, "a start to hold the output", func() bool {
		_, err := os.Stat(filepath.Join(g.Dir, "bucket/held/out/_millrace/log/0000000001"))
		return err == nil
	})
	for name, other := range map[string]string{
		"the same command":          model,
		"a model that is not there": filepath.Join(s.dir, "none.onnx"),
	} {
		code, text := s.start(out, "--model", other, "--endpoint", g.URL).wait(t)
		if code != 75 || !strings.Contains(text, "run "+holding(t, g)) {
			t.Errorf("%s exits %d: %s; want 75, and who has the output", name, code, text)
		}
	}
	if err := holder.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if code, text := holder.wait(t); code != -1 {
		t.Errorf("the holder exits %d: %s; want it to be killed", code, text)
	}
	code, text := s.start(out, "--model", model, "--endpoint", g.URL).wait(t)
	if left := unfinishedUploads(t, g); code != 0 || left != 0 {
		t.Errorf("the next start exits %d: %s, and %d uploads are left", code, text, left)
	}
}

// holding is the run that the log's first entry names.
func holding(t *testing.T, g *blobtest.Gateway) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(g.Dir, "bucket/held/out/_millrace/log/0000000001"))
	if err != nil {
		t.Fatal(err)
	}
	var entry struct{ Run string }
	if err := json.Unmarshal(text, &entry); err != nil {
		t.Fatal(err)
	}
	return entry.Run
}
