package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/ort/orttest"
)

// pythonOfPeers is TEST_PYTHON or the peers' environment; the test is skipped
// without what it needs of it.
func pythonOfPeers(t *testing.T) string {
	t.Helper()
	python := os.Getenv("TEST_PYTHON")
	if python == "" {
		python = filepath.Join("..", "..", ".venv-peers", "bin", "python")
	}
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import duckdb, polars, pyarrow").CombinedOutput(); err != nil {
		t.Skipf("no duckdb, polars and pyarrow: run make bench-peers-venv (%v %s)", err, out)
	}
	return python
}

// Folders that pyarrow, DuckDB and Polars write are read as the same table that is not
// partitioned, and they read the folders that millrace writes: texts with every sign
// that a path cannot have, nulls, dates and numbers; with rejects, which are Parquet too, below them.
func TestPartitionsOfOthers(t *testing.T) {
	if testing.Short() {
		t.Skip("two Python processes")
	}
	python, dir, model := pythonOfPeers(t), t.TempDir(), t.TempDir()
	writeFixtures(t, model)
	orttest.Library(t)
	ask := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), python, append([]string{"testdata/partitions.py"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("partitions.py %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	score := func(input, output string, args ...string) {
		t.Helper()
		var stderr bytes.Buffer
		args = append([]string{
			"score", "--model", filepath.Join(model, "named.onnx"), "--input", filepath.Join(dir, input), "--output", filepath.Join(dir, output),
			"--ids", "id", "--keep", "day,region,n", "--quiet", "--nulls", "reject",
		}, args...)
		if code := run(t.Context(), args, nil, &stderr, &stderr); code != 0 {
			t.Fatalf("millrace %v exits %d\n%s", args, code, stderr.String())
		}
	}
	writers := strings.Fields(ask("write", dir))
	score("flat.parquet", "plain")
	score("flat.parquet", "by-all", "--partition-by", "day,region,n")
	score("flat.parquet", "by-region", "--partition-by", "region", "--target-file-size", "4KiB", "--part-rows", "1000")
	for _, output := range []string{"by-all", "by-region"} {
		ask("compare", filepath.Join(dir, output), filepath.Join(dir, "plain"))
	}
	for _, writer := range writers {
		score(writer, "of-"+writer)
		ask("compare", filepath.Join(dir, "of-"+writer), filepath.Join(dir, "plain"))
	}
	// What millrace writes, it reads.
	score("by-all", "again", "--features", "id,y", "--output-prefix", "again_")
}
