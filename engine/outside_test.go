package engine

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestOutside refuses outputs that would take the place of an input, wherever they lie.
func TestOutside(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in", "a.parquet")
	if err := os.MkdirAll(filepath.Dir(in), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		output, input string
		holds         bool
	}{
		{in, in, true},
		{filepath.Dir(in), in, true},
		{dir, in, true},
		{filepath.Join(dir, "in", "out"), in, false},
		{filepath.Join(dir, "i"), in, false},
		{"s3://bucket/day/a.parquet", "s3://bucket/day/a.parquet", true},
		{"s3://bucket/day", "s3://bucket/day/a.parquet", true},
		{"s3://bucket/day/", "s3://bucket/day/x/a.parquet", true},
		{"S3://bucket", "s3://bucket/day/a.parquet", true},
		{"s3://bucket/da", "s3://bucket/day/a.parquet", false},
		{"s3://bucket/day/out", "s3://bucket/day/a.parquet", false},
		{"s3://other/day", "s3://bucket/day/a.parquet", false},
		{"gs://bucket/day", "s3://bucket/day/a.parquet", false},
		{"s3://bucket/day", in, false},
		{"postgres://host/db?table=t", "s3://bucket/day/a.parquet", false},
		{dir, "s3://bucket/day/a.parquet", false},
		{StreamName, in, false},
	} {
		if err := outside(c.output, []string{c.input}); (err != nil) != c.holds || err != nil && !errors.Is(err, ErrUsage) {
			t.Errorf("outside(%q, %q) = %v; want it to be refused: %v", c.output, c.input, err, c.holds)
		}
	}
}
