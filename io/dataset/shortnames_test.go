package dataset

import (
	"maps"
	"testing"
)

func TestShortNames(t *testing.T) {
	for name, want := range map[string]map[string]string{
		"a file of its own name is that name": {"/d/a.parquet": "a.parquet", "s3://b/d/c.parquet": "c.parquet"},
		"two of one name have their folders":  {"/d/x/p.parquet": "x/p.parquet", "/d/y/p.parquet": "y/p.parquet", "/d/y/q.parquet": "q.parquet"},
		"as many folders as tell them apart":  {"/1/x/p": "1/x/p", "/2/x/p": "2/x/p", "/2/y/p": "y/p"},
		"a path that another ends in":         {"p": "p", "x/p": "x/p"},
		"a path from the root and one beside": {"/p": "/p", "q/p": "q/p"},
		"a difference far up":                 {"/1/a/b/c/d/e/f/g/p": "/1/a/b/c/d/e/f/g/p", "/2/a/b/c/d/e/f/g/p": "/2/a/b/c/d/e/f/g/p"},
		"none":                                {},
	} {
		var paths []string
		for p := range want {
			paths = append(paths, p, p)
		}
		if got := ShortNames(paths); !maps.Equal(got, want) {
			t.Errorf("%s: ShortNames(%q) = %q; want %q", name, paths, got, want)
		}
	}
}
