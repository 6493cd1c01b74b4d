package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/io/postgres/pgtest"
)

// Runs into a table have pages, too: they know the run before, and say where rejects are.
func TestReportOfTable(t *testing.T) {
	server := pgtest.Start(t) // skips where there is none
	t.Setenv(ort.EnvVariable, libraryPath(t))
	dir := t.TempDir()
	writeFixtures(t, dir)
	page, output := filepath.Join(dir, "run.html"), server.URI("reported", "")
	for _, start := range []struct {
		data string
		want []string
	}{
		{"good.parquet", []string{"Published: 3 rows", "It is the first run of this output"}},
		{"nulls.parquet", []string{"Published: 2 rows", "Against the run before (", "The rejected rows are here: "}},
	} {
		var said bytes.Buffer
		args := []string{
			"score", "--model", filepath.Join(dir, "named.onnx"), "--input", filepath.Join(dir, start.data), "--ids", "id", "--nulls", "reject",
			"--output", output, "--if-exists", "replace", "--report", page, "--quiet",
		}
		if code := run(t.Context(), args, nil, &said, &said); code != exitOK {
			t.Fatalf("%s: exit %d: %s", start.data, code, said.String())
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range start.want {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s: the page does not say %q", start.data, want)
			}
		}
	}
	var first bytes.Buffer
	if code := run(t.Context(), []string{"report", output}, nil, &first, &first); code != exitOK || !strings.Contains(first.String(), "Published: 2 rows") {
		t.Errorf("report of the table: exit %d: %.200s", code, first.String())
	}
}
