package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProfileThatIsNotWhole: a full disk cuts a profile off, of which its writer
// says nothing.
func TestProfileThatIsNotWhole(t *testing.T) {
	dir := t.TempDir()
	var stderr bytes.Buffer
	s := streams{In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: &stderr}
	o := &commonOptions{Profile: "mem", ProfileTo: dir, LogFormat: "text"}
	stop, err := o.startProfile(s)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	path := filepath.Join(dir, "mem.pprof")
	if !strings.Contains(stderr.String(), "profile written") || !strings.Contains(stderr.String(), path) {
		t.Errorf("a whole profile: %q; want to be told where it is", stderr.String())
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 5, len(whole) / 2, len(whole) - 1} {
		if err := os.WriteFile(path, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := checkProfile(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%d of %d bytes: %v; want an error with the file's name", size, len(whole), err)
		}
	}
	if err := checkProfile(filepath.Join(dir, "none")); err == nil {
		t.Error("a profile that is not there is whole")
	}
}
