package arrowfile

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"go.uber.org/goleak"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/mapped"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(&checked{m}) }

// checked fails a run that leaves a mapping behind.
type checked struct{ m *testing.M }

func (c *checked) Run() int {
	code := c.m.Run()
	if live := mapped.Live(); len(live) > 0 {
		fmt.Fprintf(os.Stderr, "live mappings:\n%s\n", strings.Join(live, "\n"))
		return 1
	}
	return code
}

// checkedAllocator fails the test when memory from it is left at its end.
func checkedAllocator(t *testing.T) *memory.CheckedAllocator {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	t.Cleanup(func() { mem.AssertSize(t, 0) })
	return mem
}

func mustOpen(tb testing.TB, path string, opts format.ReadOptions) *reader {
	tb.Helper()
	r, err := Open(path, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			tb.Error(err)
		}
	})
	return r.(*reader)
}

// all lists the indexes of every column.
func all(r format.Reader) []int {
	columns := make([]int, r.Schema().NumFields())
	for i := range columns {
		columns[i] = i
	}
	return columns
}

// readAll gives every batch of every span to yield, and fails the test on
// errors.
func readAll(tb testing.TB, r format.Reader, yield func(arrow.RecordBatch)) {
	tb.Helper()
	for span := range r.Spans() {
		if err := r.ReadSpan(context.Background(), span, all(r), func(b arrow.RecordBatch) error { yield(b); return nil }); err != nil {
			tb.Fatal(err)
		}
	}
}

// batchesOf reads a whole file. The batches are released with the test.
func batchesOf(t *testing.T, r format.Reader) []arrow.RecordBatch {
	t.Helper()
	var batches []arrow.RecordBatch
	readAll(t, r, func(b arrow.RecordBatch) {
		b.Retain()
		batches = append(batches, b)
	})
	t.Cleanup(func() {
		for _, b := range batches {
			b.Release()
		}
	})
	return batches
}

// seeds are the files that pyarrow wrote, by name.
func seeds(tb testing.TB) map[string][]byte {
	tb.Helper()
	paths, err := filepath.Glob("testdata/pyarrow/*")
	if err != nil || len(paths) == 0 {
		tb.Fatalf("testdata/pyarrow: %d files, %v", len(paths), err)
	}
	files := make(map[string][]byte)
	for _, p := range paths {
		if files[filepath.Base(p)], err = os.ReadFile(p); err != nil {
			tb.Fatal(err)
		}
	}
	return files
}

// file writes data to a file and returns its path.
func file(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data.arrow")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
