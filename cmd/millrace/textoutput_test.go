package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/engine/ort/orttest"
)

// What is written as CSV and JSON Lines, pyarrow, DuckDB, pandas and Polars read as the
// values of the input: every type, texts that must be quoted, nulls beside empty texts.
func TestTextsForOthers(t *testing.T) {
	slow(t)
	if testing.Short() {
		t.Skip("two Python processes")
	}
	python, dir, model := pythonOfPeers(t), t.TempDir(), t.TempDir()
	writeFixtures(t, model)
	orttest.Library(t)
	ask := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), python, append([]string{"testdata/textoutput.py"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("textoutput.py %v: %v\n%s", args, err, out)
		}
	}
	ask("write", dir)
	outputs := []struct {
		output string
		args   []string
	}{
		{"one.csv", nil},
		{"one.tsv", []string{"--part-rows", "1000"}},
		{"one.csv.gz", []string{"--part-rows", "1000"}},
		{"one.jsonl", nil},
		{"one.jsonl.gz", nil},
		{"one.ndjson.zst", []string{"--part-rows", "1000"}},
		{"csv-semicolon", []string{"--output-format", "csv", "--output-delimiter", ";", "--part-rows", "1000"}},
		{"csv-zstd", []string{"--output-format", "csv", "--compression", "zstd", "--target-file-size", "40KB"}},
		{"json-gzip", []string{"--output-format", "jsonl", "--compression", "gzip", "--part-rows", "1000"}},
		{"safe.csv", []string{"--spreadsheet-safe"}},
	}
	compare := append(make([]string, 0, 2+len(outputs)), "compare", dir)
	for _, tc := range outputs {
		var stderr bytes.Buffer
		args := append([]string{
			"score", "--model", filepath.Join(model, "named.onnx"), "--input", filepath.Join(dir, "in.parquet"), "--output", filepath.Join(dir, tc.output), "--quiet", "--features", "a,b",
			"--ids", "id", "--keep", "text,word,flag,u,x,odd,day,at,utc,money,bytes,list,struct",
		}, tc.args...)
		if code := run(t.Context(), args, nil, &stderr, &stderr); code != 0 {
			t.Fatalf("millrace %v exits %d\n%s", args, code, stderr.String())
		}
		compare = append(compare, tc.output)
	}
	ask(compare...)
}
