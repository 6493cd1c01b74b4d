package sink

import "testing"

func TestShown(t *testing.T) {
	for _, c := range []struct{ what, output, want string }{
		{"a path is as it is", "out/scores.parquet", "out/scores.parquet"},
		{"a path that looks odd is too", "a:b?c=d@e", "a:b?c=d@e"},
		{"a password is left out", "postgres://me:secret@host:5432/db", "postgres://me@host:5432/db"},
		{"so is a query, which may have one", "postgres://host/db?user=me&password=secret", "postgres://host/db"},
		{"but the table is part of the place", "postgres://host/db?password=secret&table=a.b", "postgres://host/db?table=a.b"},
		{"a URI of parameters alone is one still", "postgres://?service=x&table=a", "postgres:///?table=a"},
		{"and what follows #", "s3://bucket/out#secret", "s3://bucket/out"},
		{"escapes stay", "s3://bucket/a%2Fb/c%20d", "s3://bucket/a%2Fb/c%20d"},
		{"of what is no URI nothing is told", "postgres://me:sec%zzret@host/db", "postgres://…"},
	} {
		if got := Shown(c.output); got != c.want {
			t.Errorf("%s: Shown(%q) = %q; want %q", c.what, c.output, got, c.want)
		}
	}
}

func TestLocalPath(t *testing.T) {
	for output, want := range map[string]string{
		"file:///data/out": "/data/out", "FILE:///a b%20": "/a b%20", "file://host/out": "file://host/out", "file://": "file://",
		"out/": "out/", "s3://b/out": "s3://b/out", "": "",
	} {
		if got := LocalPath(output); got != want {
			t.Errorf("LocalPath(%q) = %q; want %q", output, got, want)
		}
	}
}

func TestScheme(t *testing.T) {
	for output, want := range map[string]string{
		"s3://bucket/out": "s3", "S3://bucket/out": "s3", "gs+x://b": "gs+x",
		"out/": "", "://x": "", "a b://x": "", "sqlite:scores.db": "", "/tmp/s3://x": "", "": "",
	} {
		if got, ok := Scheme(output); got != want || ok != (want != "") {
			t.Errorf("Scheme(%q) = %q, %v; want %q", output, got, ok, want)
		}
	}
}
