package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestReplaceable(t *testing.T) {
	dir := t.TempDir()
	file, link, loose := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "loose")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink("/dev/null", link), os.Symlink("nowhere", loose)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		sentence, path string
		want           bool
	}{
		{"nothing is there", filepath.Join(dir, "new"), true},
		{"a file is there", file, true},
		{"a link to nothing is there", loose, true},
		{"a directory is there", dir, false},
		{"a device is there", "/dev/null", false},
		{"a link to a device is there", link, false},
	} {
		err := Replaceable(c.path)
		if got := err == nil; got != c.want || err != nil && !errors.Is(err, ErrOutput) {
			t.Errorf("%s: Replaceable(%q) = %v; want it to be replaceable: %v", c.sentence, c.path, err, c.want)
		}
	}
}
