package jobfile

import (
	"os"
	"testing"
)

// FuzzJob decodes anything: a job or an error, never both, and no panic.
//
//	go test ./engine/jobfile -run '^$' -fuzz FuzzJob -fuzztime 5m -parallel 1 -fuzzminimizetime 10x
func FuzzJob(f *testing.F) {
	for _, file := range []string{"testdata/everything.json", "testdata/everything.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, "2026-11-22")
	}
	for _, text := range []string{
		"", "- ", "a: &x [*x]", "<<: {}", "? a\n: b", "--- !!map\n...", "a: |\n  b\nc: >-\n  d", "'a': \"\\x41\\u0042\"", "{a: [b, {c: d}], e}",
		"input: ${x}$${y}${Z}\n", "nulls: {'*': 0}\n", "features:\n- a\n- from: b\n- {column: c, transforms: [fill: .inf, clip: {min: -.INF}]}\n", "\t", "a:\tb", "a: 'b''c'\n#d\n",
	} {
		f.Add([]byte(text), "a b")
	}
	f.Fuzz(func(t *testing.T, text []byte, parameter string) {
		job, err := Decode("job.yaml", text, Given{
			Parameters: map[string]string{"x": parameter},
			LookupEnv:  func(name string) (string, bool) { return name, len(name) < 5 },
			ReadFile:   func(string, int64) ([]byte, error) { return text, nil },
		})
		if (job == nil) == (err == nil) {
			t.Fatalf("Decode(%q) = %v, %v; want one of both", text, job, err)
		}
		if err != nil && err.Error() == "" {
			t.Fatalf("Decode(%q): an error without a word", text)
		}
	})
}
