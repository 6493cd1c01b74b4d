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
	out, one := filepath.Join(dir, "out"), filepath.Join(dir, "one.csv")
	inside := filepath.Join(out, "date=2026-11-29")
	if err := errors.Join(os.MkdirAll(filepath.Join(out, ownName), 0o700), os.Mkdir(inside, 0o700), os.WriteFile(one, nil, 0o600),
		os.Mkdir(filepath.Join(dir, sideName("one.csv")), 0o700), os.Symlink(inside, filepath.Join(dir, "to"))); err != nil {
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
		{"it lies in an output", filepath.Join(out, "page.html"), false},
		{"it lies in a folder of an output", filepath.Join(inside, "page.html"), false},
		{"it lies in an output by a link", filepath.Join(dir, "to", "page.html"), false},
		{"it is an output of one file", one, false},
		{"it lies beside outputs", filepath.Join(dir, "out.html"), true},
	} {
		err := Replaceable(c.path)
		if got := err == nil; got != c.want || err != nil && !errors.Is(err, ErrOutput) {
			t.Errorf("%s: Replaceable(%q) = %v; want it to be replaceable: %v", c.sentence, c.path, err, c.want)
		}
	}
}
