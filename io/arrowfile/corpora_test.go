package arrowfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
)

// corpora returns a folder of the format projects' own files, which are too
// many to stand in this repository.
func corpora(t *testing.T, folder string) string {
	t.Helper()
	root := os.Getenv("MILLRACE_CORPORA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "corpora")
	}
	path := filepath.Join(root, folder)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no corpora (set MILLRACE_CORPORA to their folder): %v", err)
	}
	return path
}

// arrowFiles lists the Arrow files below root, relative to it.
func arrowFiles(t *testing.T, root string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".json.gz") || strings.HasSuffix(path, ".md") {
			return err
		}
		rel, err := filepath.Rel(root, path)
		files = append(files, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// unsupportedGood are good files that are refused, with what the error names.
var unsupportedGood = map[string]string{}

// Every good file reads as pyarrow reads it, or is refused by name.
func TestCorporaGood(t *testing.T) {
	root := corpora(t, "arrow-ipc-good")
	want := expected(t, "testdata/corpora.tsv")
	files := arrowFiles(t, root)
	var ok, refused int
	for _, name := range files {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(root, name)
			if feature, listed := unsupportedGood[name]; listed {
				_, err := Open(path, format.ReadOptions{})
				if !errors.Is(err, format.ErrUnsupported) || !strings.Contains(err.Error(), feature) {
					t.Errorf("Open = %v; want ErrUnsupported that names %q", err, feature)
				}
				refused++
				return
			}
			lines, known := want[name]
			if !known {
				t.Fatal("testdata/corpora.tsv does not have it; run testdata/expect.py")
			}
			compare(t, mustOpen(t, path, format.ReadOptions{Allocator: checkedAllocator(t)}), lines)
			if !t.Failed() {
				ok++
			}
		})
	}
	t.Logf("corpora: %d files: ok=%d unsupported=%d refused=0", len(files), ok, refused)
	if ok+refused != len(files) {
		t.Errorf("%d of %d good files are neither read nor listed as unsupported", len(files)-ok-refused, len(files))
	}
}

// Limits that the corpora's README sets for damaged files.
const (
	badSeconds = 10
	badBytes   = 2 << 30
)

// Every damaged file gives rows or an error that names it, in time and memory.
func TestCorporaBad(t *testing.T) {
	root := corpora(t, "arrow-ipc-bad")
	files := arrowFiles(t, root)
	var ok, refused, unsupported int
	for _, name := range files {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			err := exhaust(t, filepath.Join(root, name), checkedAllocator(t))
			runtime.ReadMemStats(&after)
			if took := time.Since(start); took > badSeconds*time.Second {
				t.Errorf("took %s", took)
			}
			// All that was ever allocated bounds what was held.
			if took := after.TotalAlloc - before.TotalAlloc; took > badBytes {
				t.Errorf("allocated %d bytes", took)
			}
			switch {
			case err == nil:
				ok++
			case errors.Is(err, format.ErrUnsupported):
				unsupported++
			default:
				refused++
			}
		})
	}
	t.Logf("corpora: %d files: ok=%d unsupported=%d refused=%d", len(files), ok, unsupported, refused)
	if ok+unsupported+refused != len(files) {
		t.Errorf("%d of %d damaged files have no outcome", len(files)-ok-unsupported-refused, len(files))
	}
}

// exhaust reads a file to its end, looks at every value, and returns the error
// that stops it, which must be of a known kind and name the file.
func exhaust(t *testing.T, path string, mem memory.Allocator) error {
	t.Helper()
	known := func(err error) error {
		for _, kind := range []error{format.ErrDamaged, format.ErrUnsupported, format.ErrBudget} {
			if errors.Is(err, kind) && strings.Contains(err.Error(), path) {
				return err
			}
		}
		t.Errorf("error %q is of no known kind or does not name %q", err, path)
		return err
	}
	r, err := Open(path, format.ReadOptions{Allocator: mem, BudgetBytes: 64 << 20})
	if err != nil {
		if r != nil {
			t.Error("Open gives a reader and an error")
		}
		return known(err)
	}
	defer r.Close()
	for span, s := range r.Spans() {
		var rows int64
		err := r.ReadSpan(t.Context(), span, all(r), func(b arrow.RecordBatch) error {
			rows += b.NumRows()
			look(b)
			return nil
		})
		if err != nil {
			return known(err)
		}
		if rows != s.Rows {
			t.Errorf("span %d gives %d rows of %d without an error", span, rows, s.Rows)
		}
	}
	return nil
}

// look reads the values of a batch as consumers do. A few bytes may stand for
// very many rows (nulls, runs); the first are enough.
func look(b arrow.RecordBatch) {
	if b.NumRows() > 1<<14 {
		b = b.NewSlice(0, 1<<14)
		defer b.Release()
	}
	for _, c := range b.Columns() {
		if small(c.Data()) {
			rowsOf(c)
		}
	}
}

// small reports whether the children of an array can be rendered in no time.
func small(d arrow.ArrayData) bool {
	for _, c := range d.Children() {
		if c != nil && (c.Len() > 1<<16 || !small(c)) {
			return false
		}
	}
	return true
}
