package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A profile that is a pipe is not waited for, one that is a folder not read, and neither is
// replaced.
func TestProfileThatIsNoFile(t *testing.T) {
	key := NewProfile("ab", "cpu", "1.31.1").ProfileKey
	for about, place := range map[string]func(path string) error{
		"a pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a folder": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		dir := t.TempDir()
		if err := place(key.path(dir)); err != nil {
			t.Fatal(err)
		}
		_, _, err := LoadProfile(dir, key)
		if !errors.Is(err, ErrProfile) || !strings.Contains(err.Error(), filepath.Base(key.path(dir))+" is not a regular file") {
			t.Errorf("LoadProfile of %s = %v; want an error that names it", about, err)
		}
		before, _ := os.Lstat(key.path(dir))
		_, err = NewProfile("ab", "cpu", "1.31.1").Save(dir)
		if after, _ := os.Lstat(key.path(dir)); !errors.Is(err, ErrProfile) || !os.SameFile(before, after) {
			t.Errorf("Save in place of %s = %v, leaving %v; want an error, and it kept", about, err, after)
		}
	}
}
