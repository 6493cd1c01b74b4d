package dataset

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// makeTree makes files with the given contents below a new directory, where
// the test then works, and returns it.
func makeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	return dir
}

func TestList(t *testing.T) {
	dir := makeTree(t, map[string]string{
		"d/b.parquet":               "PAR1",
		"d/a.arrow":                 "damaged, but promised",
		"d/noext":                   "ARROW1\x00\x00",
		"d/README.md":               "text",
		"d/_SUCCESS":                "",
		"d/.b.parquet.crc":          "crc",
		"d/_millrace/r/x.parquet":   "PAR1",
		"d/y=2024/c.parquet":        "PAR1",
		"d/y=2024/_hid.parquet":     "PAR1",
		"d/y=2025/m=1/d.PARQUET":    "PAR1",
		"d/[1].parquet":             "PAR1",
		"none/notes.txt":            "text",
		"hidden/_only.parquet":      "PAR1",
		"dirs.parquet/part.parquet": "PAR1",
	})
	if err := os.Symlink(filepath.Join(dir, "d/y=2024"), filepath.Join(dir, "dirs.parquet", "link")); err != nil {
		t.Fatal(err)
	}
	inD := []string{"d/[1].parquet", "d/a.arrow", "d/b.parquet", "d/noext", "d/y=2024/c.parquet", "d/y=2025/m=1/d.PARQUET"}
	tests := []struct {
		name   string
		inputs []string
		want   []string
	}{
		{"a directory, sorted, hidden names passed over", []string{"d"}, inD},
		{"a directory with a slash", []string{"d/"}, inD},
		{"an absolute directory", []string{dir + "/d/y=2024"}, []string{dir + "/d/y=2024/c.parquet"}},
		{"a file URI", []string{"file://" + dir + "/d/b.parquet"}, []string{dir + "/d/b.parquet"}},
		{"a hidden file that is named", []string{"d/_SUCCESS"}, []string{"d/_SUCCESS"}},
		{"inputs keep their order", []string{"d/b.parquet", "d/a.arrow"}, []string{"d/b.parquet", "d/a.arrow"}},
		{"a file named twice is read twice", []string{"d/b.parquet", "d/b.par*"}, []string{"d/b.parquet", "d/b.parquet"}},
		{"a name with glob characters that exists", []string{"d/[1].parquet"}, []string{"d/[1].parquet"}},
		{"a glob in the last name", []string{"d/?.parquet"}, []string{"d/b.parquet"}},
		{"a glob of other letters, as shells have it", []string{"d/[!b]*.parquet"}, []string{"d/[1].parquet"}},
		{"a glob of other letters, as Go has it", []string{"d/[^b]*.parquet"}, []string{"d/[1].parquet"}},
		{"an escape before other letters", []string{`d/\[[!2]].parquet`}, []string{"d/[1].parquet"}},
		{"an exclamation mark that is not the first", []string{"d/[b!].parquet"}, []string{"d/b.parquet"}},
		{"a glob takes any extension", []string{"d/R*"}, []string{"d/README.md"}},
		{"a glob that asks for hidden names", []string{"d/y=2024/_h*"}, []string{"d/y=2024/_hid.parquet"}},
		{"a glob in a directory's name", []string{"d/y=*/*.parquet"}, []string{"d/y=2024/c.parquet"}},
		{"a glob that matches directories", []string{"d/y=*"}, []string{"d/y=2024/c.parquet", "d/y=2025/m=1/d.PARQUET"}},
		{"any depth, none included", []string{"d/**/*.parquet"}, []string{"d/[1].parquet", "d/b.parquet", "d/y=2024/c.parquet"}},
		{"any depth in the middle, twice", []string{"**/y=2025/**/*"}, []string{"d/y=2025/m=1/d.PARQUET"}},
		{"any depth at the end", []string{"d/**"}, inD},
		{"a linked directory", []string{"dirs.parquet"}, []string{"dirs.parquet/link/c.parquet", "dirs.parquet/part.parquet"}},
		{"an absolute glob", []string{dir + "/d/b*"}, []string{dir + "/d/b.parquet"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Resolve(test.inputs)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Resolve(%q) (-want +got):\n%s", test.inputs, diff)
			}
		})
	}
	l, err := List([]string{"d"})
	if diff := cmp.Diff([]string{"d/README.md"}, l.Skipped); err != nil || diff != "" {
		t.Errorf("Skipped, %v (-want +got):\n%s", err, diff)
	}
}

func TestListErrors(t *testing.T) {
	dir := makeTree(t, map[string]string{
		"none/notes.txt":       "text",
		"hidden/_only.parquet": "PAR1",
		"a.parquet":            "PAR1",
		"loop/x.parquet":       "PAR1",

		"lake/delta/_delta_log/00000000000000000000.json": "{}",
		"lake/delta/day=1/a.parquet":                      "PAR1",
		"ice/metadata/00000-4f2c.metadata.json":           "{}",
		"ice/data/a.parquet":                              "PAR1",
		"hudi/.hoodie/hoodie.properties":                  "",
		"hudi/a.parquet":                                  "PAR1",
	})
	if err := os.Symlink(filepath.Join(dir, "loop"), filepath.Join(dir, "loop", "again")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "dangling.parquet")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		inputs []string
		want   error
		says   string
	}{
		{"nothing", nil, ErrNoMatch, "no input"},
		{"an empty name", []string{""}, ErrNoSuchFile, `""`},
		{"no such file", []string{"gone.parquet"}, ErrNoSuchFile, `"gone.parquet"`},
		{"no such file behind a file", []string{"a.parquet/x"}, ErrInput, `"a.parquet/x"`},
		{"an empty glob", []string{"*.arrow"}, ErrNoMatch, `"*.arrow"`},
		{"a glob in no directory", []string{"gone/*.arrow"}, ErrNoMatch, `"gone/*.arrow"`},
		{"a malformed glob", []string{"[a"}, ErrInput, "syntax"},
		{"a directory without data says what it skipped", []string{"none"}, ErrNoMatch, `"none/notes.txt"`},
		{"a directory of hidden files", []string{"hidden"}, ErrNoMatch, `"hidden"`},
		{"another scheme, its password kept", []string{"s3://user:secret@bucket/x"}, ErrScheme, `"s3://"`},
		{"a link back", []string{"loop"}, ErrInput, "leads back"},
		{"a link back, by any depth", []string{"loop/**/*.parquet"}, ErrInput, "leads back"},
		{"a link to nothing", []string{"d*.parquet"}, ErrNoSuchFile, "dangling.parquet"},
		{"a Delta table below", []string{"lake"}, ErrInput, `"lake/delta" is a table of the format Delta`},
		{"a Delta table by a glob", []string{"lake/d*"}, ErrInput, `"lake/delta" is a table of the format Delta`},
		{"an Iceberg table", []string{"ice"}, ErrInput, `"ice" is a table of the format Iceberg`},
		{"a Hudi table", []string{"hudi/"}, ErrInput, `"hudi" is a table of the format Hudi`},
		{"all problems at once", []string{"gone", "*.arrow"}, ErrNoSuchFile, `"*.arrow"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Resolve(test.inputs)
			if got != nil || !errors.Is(err, test.want) || !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Resolve(%q) = %q, %v; want %v saying %q", test.inputs, got, err, test.want, test.says)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("error tells a secret: %v", err)
			}
		})
	}
}

func TestDetect(t *testing.T) {
	makeTree(t, map[string]string{
		"parquet":       "PAR1....",
		"encrypted":     "PARE....",
		"file":          "ARROW1\x00\x00",
		"stream":        "\xff\xff\xff\xff\x10\x00\x00\x00",
		"old.arrows":    "\xfc\x00\x00\x00\x10\x00\x00\x00",
		"old.txt":       "\xfc\x00\x00\x00\x10\x00\x00\x00",
		"feather":       "FEA1",
		"empty.parquet": "",
		"cut":           "PA",
		"d/x":           "",
	})
	for name, want := range map[string]string{
		"parquet": "parquet", "encrypted": "parquet", "file": "arrow", "stream": "arrow-stream", "old.arrows": "arrow-stream",
		"old.txt": "it starts with", "feather": "Feather version 1", "empty.parquet": "file is empty", "cut": `it starts with "PA"`,
		"d": "is a directory", "gone": "no such file", "/dev/null": "not a regular file",
	} {
		got, err := Detect(name)
		switch {
		case err == nil && string(got) != want:
			t.Errorf("Detect(%q) = %q; want %q", name, got, want)
		case err != nil && (!errors.Is(err, ErrInput) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name)):
			t.Errorf("Detect(%q) = %v; want %q", name, err, want)
		}
	}
}

// TestNoRegularFile: what has the name of data and cannot be read is not passed over; what has
// another is skipped.
func TestNoRegularFile(t *testing.T) {
	dir := makeTree(t, map[string]string{"d/a.parquet": "PAR1", "d/pipes/_b.parquet": "PAR1"})
	for _, c := range []struct{ name, says string }{
		{"pipe", ""},
		{"_pipe.parquet", ""},
		{"b.parquet", "not a regular file (p---------)"},
		{"b.csv.gz", "not a regular file (p---------)"},
	} {
		path := filepath.Join(dir, "d", "pipes", c.name)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		files, err := Resolve([]string{dir + "/d"})
		if c.says == "" && (err != nil || len(files) != 1) || c.says != "" && (!errors.Is(err, ErrInput) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("with %s: %q, %v; want %q", c.name, files, err, c.says)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
