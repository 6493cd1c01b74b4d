package objects

import (
	"strings"
	"testing"
)

// Names that a store or its client would take for others are refused; all others are kept
// as they are.
func TestParsePlace(t *testing.T) {
	for _, c := range []struct {
		name, output string
		single       bool
		prefix, own  string
		says         string // where it is refused
	}{
		{"a folder", "s3://bucket/scores/", false, "scores/", "scores/_millrace/", ""},
		{"the bucket", "s3://bucket", false, "", "_millrace/", ""},
		{"a file", "s3://bucket/a/scores.parquet", true, "a/", "a/_scores.parquet.millrace/", ""},
		{"what URLs would escape", "s3://bucket/a b%25+?#ü/", false, "a b%25+?#ü/", "a b%25+?#ü/_millrace/", ""},
		{"two slashes", "s3://bucket/a//b", false, "", "", `".."`},
		{"a way up", "s3://bucket/a/../b", false, "", "", `".."`},
		{"a line break", "s3://bucket/a\nb", false, "", "", "control characters"},
		{"what the driver escapes with", "s3://bucket/a__0x41__", false, "", "", "__0x"},
		{"a run's own folder", "s3://bucket/out/_millrace/x", false, "", "", "keep for themselves"},
		{"a password", "s3://me:secret@bucket/x", false, "", "", "credentials"},
	} {
		p, err := parsePlace(c.output, c.single)
		switch {
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret")):
			t.Errorf("%s: parsePlace(%q) = %v; want %q", c.name, c.output, err, c.says)
		case c.says == "" && (err != nil || p.prefix != c.prefix || p.own != c.own):
			t.Errorf("%s: parsePlace(%q) = %+v, %v; want %q and %q", c.name, c.output, p, err, c.prefix, c.own)
		}
	}
}
