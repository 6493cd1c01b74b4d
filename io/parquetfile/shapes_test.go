package parquetfile

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
)

// pythonWithPyarrow is TEST_PYTHON or the repository's own environment; the
// test is skipped without pyarrow.
func pythonWithPyarrow(t *testing.T) string {
	t.Helper()
	python := os.Getenv("TEST_PYTHON")
	if python == "" {
		python = filepath.Join("..", "..", ".venv", "bin", "python")
	}
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import pyarrow").CombinedOutput(); err != nil {
		t.Skipf("no pyarrow: set TEST_PYTHON to a Python that has it (%v %s)", err, out)
	}
	return python
}

// Files of every encoding, codec, share of nulls, page version and page size
// that pyarrow writes have the values that it reads, whatever the chunk.
func TestShapesOfPyarrow(t *testing.T) {
	if testing.Short() {
		t.Skip("a Python process and more than a hundred files")
	}
	python, dir := pythonWithPyarrow(t), t.TempDir()
	cmd := exec.CommandContext(t.Context(), python, "testdata/shapes.py", dir)
	cmd.Stderr = os.Stderr
	table, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	expected := filepath.Join(dir, "expected.tsv")
	if err := os.WriteFile(expected, table, 0o600); err != nil {
		t.Fatal(err)
	}
	files, columns := 0, 0
	for name, want := range readExpected(t, expected) {
		chunkRows := []int{1000, 61}[len(name)%2]
		mem := memory.NewCheckedAllocator(&soiled{})
		o := readColumns(filepath.Join(dir, name), format.ReadOptions{Allocator: mem, ChunkRows: chunkRows, Decoders: make(chan struct{}, 2)})
		mem.AssertSize(t, 0)
		if o.err != nil {
			t.Errorf("%s: %v", name, o.err)
			continue
		}
		n, _ := compare(t, name, o, want)
		columns += n
		files++
	}
	if files < 130 {
		t.Errorf("%d files; want 130 or more", files)
	}
	t.Logf("pyarrow's shapes: %d files, %d columns compared", files, columns)
}
