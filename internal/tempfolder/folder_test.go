package tempfolder

import (
	"os"
	"path/filepath"
	"testing"
)

// TestFolder: what a killed process left is removed by the next, what a living one has is not.
func TestFolder(t *testing.T) {
	in := t.TempDir()
	if err := os.Mkdir(filepath.Join(in, "other-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	a, err := New(in, "mine-*")
	if err != nil {
		t.Fatal(err)
	}
	dead, err := New(in, "mine-*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*Folder{a, dead} {
		if err := os.WriteFile(filepath.Join(f.path, "rejects"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := dead.lock.Close(); err != nil { // as the kernel does for who is killed
		t.Fatal(err)
	}
	b, err := New(in, "mine-*")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead.path); !os.IsNotExist(err) {
		t.Errorf("the dead one's folder: %v; want it gone", err)
	}
	for _, f := range []*Folder{a, b} {
		if _, err := os.Stat(f.path); err != nil {
			t.Errorf("a living one's folder: %v", err)
		}
		if err := f.Remove(); err != nil {
			t.Error(err)
		}
	}
	if err := os.Remove(filepath.Join(in, "other-1")); err != nil {
		t.Errorf("a folder of another pattern: %v", err)
	}
	if left, err := os.ReadDir(in); err != nil || len(left) > 0 {
		t.Errorf("%d entries are left, %v", len(left), err)
	}
}

// Another user's folder is left alone, and what is no folder too.
func TestFolderOfOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make folders of other users")
	}
	in := t.TempDir()
	theirs, link := filepath.Join(in, "mine-theirs"), filepath.Join(in, "mine-link")
	kept := filepath.Join(t.TempDir(), "kept")
	for _, dir := range []string{theirs, kept} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(theirs, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(kept, link); err != nil {
		t.Fatal(err)
	}
	f, err := New(in, "mine-*")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Remove(); err != nil {
		t.Error(err)
	}
	for _, path := range []string{theirs, link, kept} {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%v; want it left alone", err)
		}
	}
}
