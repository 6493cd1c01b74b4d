package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/io/dataset"
)

func TestContentOf(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, change int) dataset.FileInfo {
		data := bytes.Repeat([]byte("millrace"), 40<<10)
		if change >= 0 {
			data[change]++
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return dataset.FileInfo{Path: path, Size: int64(len(data)), Rows: 7}
	}
	type files = []dataset.FileInfo
	a, other := file("a", -1), file("other", 5)
	columns := []string{"x", "y"}
	want := contentOf(files{a, other}, columns)
	for _, c := range []struct {
		name  string
		files files
		same  bool
	}{
		{"copies under other names, and so in another order", files{file("1", 5), file("2", -1)}, true},
		{"a byte at the beginning is another", files{file("3", 6), a}, false},
		{"a byte in the middle is another", files{file("4", 160<<10), other}, false},
		{"the last byte is another", files{file("5", 320<<10-1), other}, false},
		{"a file is missing", files{a}, false},
	} {
		if got := contentOf(c.files, columns); got == "" || (got == want) != c.same {
			t.Errorf("%s: contentOf = %s beside %s; want same %t", c.name, got, want, c.same)
		}
	}
	if got := contentOf(files{a, other}, columns[:1]); got == want {
		t.Error("other columns give the same content")
	}
	if got := contentOf(files{a, {Path: "s3://bucket/a"}}, columns); got != "" {
		t.Errorf("contentOf an object = %q; want none", got)
	}
}
