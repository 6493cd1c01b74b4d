package table

import (
	"os"
	"path/filepath"
	"testing"
)

// TestFolder: what a killed process left is removed by the next, what a living one has is not.
func TestFolder(t *testing.T) {
	in := t.TempDir()
	a, err := newFolder(in)
	if err != nil {
		t.Fatal(err)
	}
	dead, err := newFolder(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*folder{a, dead} {
		if err := os.WriteFile(filepath.Join(f.path, "rejects"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := dead.lock.Close(); err != nil { // as the kernel does for who is killed
		t.Fatal(err)
	}
	b, err := newFolder(in)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead.path); !os.IsNotExist(err) {
		t.Errorf("the dead one's folder: %v; want it gone", err)
	}
	for _, f := range []*folder{a, b} {
		if _, err := os.Stat(f.path); err != nil {
			t.Errorf("a living one's folder: %v", err)
		}
		if err := f.remove(); err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(in); err != nil || len(left) > 0 {
		t.Errorf("%d entries are left, %v", len(left), err)
	}
}
