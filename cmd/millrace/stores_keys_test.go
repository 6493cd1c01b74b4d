package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/io/blobstore/blobtest"
)

// Whatever a store takes for a key is read by that key, alone; and what lies in a folder
// beside data does not matter.
func TestKeysOfObjects(t *testing.T) {
	g := blobtest.Start(t)
	data, err := os.ReadFile("../../testdata/nyc-sample.parquet")
	if err != nil {
		t.Fatal(err)
	}
	const rows = 48111
	inspect := func(input string, want int64) {
		t.Helper()
		code, stdout, stderr := millrace(t, "inspect", input, "--endpoint", g.URL, "--json")
		var said struct{ Rows int64 }
		if err := json.Unmarshal([]byte(stdout), &said); code != 0 || err != nil || said.Rows != want {
			t.Errorf("inspect %q exits %d with %d rows: %s; want %d", input, code, said.Rows, stderr, want)
		}
	}
	for _, key := range []string{
		"with space", "100%", "100%25", "a+b", "what?", "what?x=1&y=2", "sharp#1", "größe-日本-🙂", "quote'\"", "semi;comma,colon:",
		"[set]", "back\\slash", "star*", strings.Repeat("0123456789abcdef/", 55) + "deep", "..dots", "-dash", "~tilde", "x-a%2Fb/f",
	} {
		key = "keys/" + key + ".parquet"
		g.Put(t, key, data)
		inspect("s3://bucket/"+key, rows)
	}
	inspect("s3://bucket/keys/", 17*rows) // "..dots" is hidden

	for _, name := range []string{"a.parquet", "sub/b.parquet", ".hidden.parquet", "_tmp/c.parquet", "sub/_d.parquet"} {
		g.Put(t, "mix/"+name, data)
	}
	for _, name := range []string{"_SUCCESS", "sub/", "sub2/", "README.md"} {
		g.Put(t, "mix/"+name, nil)
	}
	for input, files := range map[string]int64{"mix": 2, "mix/": 2, "mix/*.parquet": 1, "mix/**/*.parquet": 2, "mi?/s*": 1, "mix/[a-c].parquet": 1, "mix/_tmp/*": 1} {
		inspect("s3://bucket/"+input, files*rows)
	}
	g.Put(t, "empty/zero.parquet", nil)
	for input, says := range map[string]string{
		"s3://bucket/empty/": "s3://bucket/empty/zero.parquet", "s3://bucket/mi": "no file to read", "s3://bucket/mix/[": "pattern",
		"s3://bucket/mix/none*": "no file to read", "s3:///mix": "there is no bucket", "s3://": "there is no bucket",
	} {
		if code, _, stderr := millrace(t, "inspect", input, "--endpoint", g.URL); code != 4 || !strings.Contains(stderr, says) {
			t.Errorf("inspect %q exits %d: %s; want 4, and %q", input, code, stderr, says)
		}
	}
}
