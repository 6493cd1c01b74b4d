package dataset

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestKeysOfPaths(t *testing.T) {
	for _, c := range []struct{ sentence, path, want string }{
		{"folders are read from the outside in", "data/date=2026-11-22/region=EU/part-0.parquet", "date:2026-11-22 region:EU"},
		{"others are passed over", "/srv/date=2026-11-22/new/part-0.parquet", "date:2026-11-22"},
		{"the file's own name is none", "data/date=1.parquet", ""},
		{"a value may have the sign in it", "a=b=c/x", "a:b=c"},
		{"and be empty, which is not null", "a=/x", "a:"},
		{"a key may not be empty", "=1/x", ""},
		{"percent signs are decoded in values and keys", "a%20b=1%2F2%3D3/x", "a b:1/2=3"},
		{"in either case", "a=%2f%2F/x", "a://"},
		{"and stay where no digits follow", "a=100%/b=5%zz/c=%4/x", "a:100% b:5%zz c:%4"},
		{"text of any script is itself", "città=Zürich/日=本/x", "città:Zürich 日:本"},
		{"null has a name of its own", "a=__HIVE_DEFAULT_PARTITION__/x", "a:null"},
		{"which is not null when it is escaped", "a=%5F_HIVE_DEFAULT_PARTITION__/x", "a:__HIVE_DEFAULT_PARTITION__"},
		{"a database's file lies in folders", "sqlite:/data/day=2026-11-28/a.db?table=t", "day:2026-11-28"},
		{"and what a query divides is none", "duckdb:/data/a.db?query=SELECT a/b=c/d ORDER BY 1", ""},
		{"nor is where a server's socket lies", "postgres:///db?host=/run/pg=15/s&table=t", ""},
		{"no value leads anywhere", "a=../b=%2E%2E%2Fetc/x", "a:.. b:../etc"},
	} {
		keys, err := pathKeys(c.path)
		if err != nil {
			t.Errorf("%s: pathKeys(%q) = %v", c.sentence, c.path, err)
		}
		var got []string
		for _, k := range keys {
			if k.null {
				k.value = "null"
			}
			got = append(got, k.name+":"+k.value)
		}
		if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s: pathKeys(%q) (-want +got):\n%s", c.sentence, c.path, diff)
		}
	}
	for _, path := range []string{"a=%FF/x", "%C3=1/x", "a=\xff/x"} {
		if _, err := pathKeys(path); !errors.Is(err, ErrInput) {
			t.Errorf("pathKeys(%q) = %v; want ErrInput, since it is no text", path, err)
		}
	}
}

// What Hive escapes: common/FileUtils.java, charToEscape.
func TestEscapedPartitions(t *testing.T) {
	for _, c := range []struct{ sentence, column, value, want string }{
		{"plain text stays", "region", "EU west.1", "region=EU west.1"},
		{"separators and signs do not", "a", `/=:%?*"'#\{[]^`, "a=%2F%3D%3A%25%3F%2A%22%27%23%5C%7B%5B%5D%5E"},
		{"nor control characters", "a", "\x00\t\n\x1f\x7f", "a=%00%09%0A%1F%7F"},
		{"nor what is no text", "a", "é\xff", "a=é%FF"},
		{"the empty text is null, as in Hive", "a", "", "a=__HIVE_DEFAULT_PARTITION__"},
		{"names are escaped like values", "a/b=c", "1", "a%2Fb%3Dc=1"},
	} {
		if got := EscapePartition(c.column, c.value, false); got != c.want {
			t.Errorf("%s: EscapePartition(%q, %q) = %q; want %q", c.sentence, c.column, c.value, got, c.want)
		}
	}
	if got := EscapePartition("a", "x", true); got != "a=__HIVE_DEFAULT_PARTITION__" {
		t.Errorf("EscapePartition of null = %q", got)
	}
}

func TestPartitionsComeBackFromTheirFolder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		column, value := rapid.StringN(1, -1, -1).Draw(t, "column"), rapid.StringN(1, -1, -1).Draw(t, "value")
		checkFolder(t, column, value)
	})
}

func FuzzPartitionFolder(f *testing.F) {
	f.Add("date", "2026-11-22")
	f.Add("..", "../../etc")
	f.Add("a=b", "%2F%")
	f.Fuzz(func(t *testing.T, column, value string) { checkFolder(t, column, value) })
}

// checkFolder makes sure that a value's folder is one, whatever the value, and that the
// value comes back from it.
func checkFolder(t interface{ Fatalf(string, ...any) }, column, value string) {
	folder := EscapePartition(column, value, false)
	if strings.ContainsAny(folder, "/\x00") || filepath.Base(folder) != folder || !filepath.IsLocal(folder) {
		t.Fatalf("EscapePartition(%q, %q) = %q, which is no one folder", column, value, folder)
	}
	if column == "" || value == "" || value == NullPartition {
		return
	}
	keys, err := pathKeys(filepath.Join("root", folder, "x"))
	if err != nil { // what is not UTF-8
		return
	}
	if want := (pathKey{name: column, value: value}); len(keys) != 1 || keys[0] != want {
		t.Fatalf("pathKeys(%q) = %+v; want %+v", folder, keys, want)
	}
}

func TestParsePartitions(t *testing.T) {
	for _, text := range []string{"auto", "none", "date=date", "date=date,region=string,n=int32", "a%2Cb=float64", "x%3Dy=timestamp"} {
		p, err := ParsePartitions(text)
		if err != nil || p.String() != text {
			t.Errorf("ParsePartitions(%q) = %v, %v; want the same text", text, p, err)
		}
	}
	for text, want := range map[string]string{
		"":              "must be auto, none or COLUMN=TYPE",
		"date":          "must be auto, none or COLUMN=TYPE",
		"=date":         "must be auto, none or COLUMN=TYPE",
		"a=date,":       "must be auto, none or COLUMN=TYPE",
		"a=day":         `column "a" cannot have the type "day": it must be one of bool, int8`,
		"a=date,a=1":    `cannot have the type "1"`,
		"a=int8,a=int8": `column "a" is named twice`,
	} {
		if _, err := ParsePartitions(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParsePartitions(%q) = %v; want %q", text, err, want)
		}
	}
}

func FuzzParsePartitions(f *testing.F) {
	f.Add("date=date,region=string")
	f.Add("a%2Cb=int8")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePartitions(text)
		if err != nil {
			return
		}
		again, err := ParsePartitions(p.String())
		if err != nil || fmt.Sprint(again) != fmt.Sprint(p) {
			t.Fatalf("ParsePartitions(%q) is %v, and its text gives %v, %v", text, p, again, err)
		}
	})
}
