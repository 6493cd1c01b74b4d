package ledger

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReadHistoryOrder(t *testing.T) {
	h, err := ReadHistory(appended(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Problems) > 0 {
		t.Fatalf("problems: %q", lines(h.Problems))
	}
	got := make([]string, 0, len(h.Runs))
	for i, r := range h.Runs {
		state := "replaced"
		if r.Live {
			state = "live"
		}
		if whole := len(r.Manifest.Outputs) > 0; whole != r.Live {
			t.Errorf("run %d, %s, has outputs: %v", i, state, whole)
		}
		got = append(got, r.Run+" "+state)
	}
	want := []string{runNumber(4) + " live", runNumber(3) + " live", runNumber(2) + " live", runNumber(1) + " replaced"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	if h.Newest().Run != runNumber(4) {
		t.Errorf("Newest() is %s", h.Newest().Run)
	}
}

// Run ids sort by start, and two runs can start in one second, or finish in
// another order: parents decide.
func TestReadHistoryFollowsParentsNotNames(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	madeOutput(t, out, madeRun{run: runNumber(9), mode: ModeFresh, parts: 1}, madeRun{run: runNumber(5), mode: ModeReplace, parts: 1})
	h, err := ReadHistory(out)
	if err != nil {
		t.Fatal(err)
	}
	if h.Newest().Run != runNumber(5) || len(h.Live()) != 1 {
		t.Errorf("newest is %s and %d are live; want %s alone", h.Newest().Run, len(h.Live()), runNumber(5))
	}
}

// TestNewestOfTwo has two runs that nobody names as parent, as after somebody was at the
// manifests: who reads the output and who replaces it take the same for the newest, the
// one that finished last.
func TestNewestOfTwo(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	madeOutput(t, out,
		madeRun{run: runNumber(1), mode: ModeFresh, parts: 1, set: func(m *Manifest) { m.Finished = m.Started.Add(100 * 24 * time.Hour) }},
		madeRun{run: runNumber(2), mode: ModeFresh, parts: 1, set: func(m *Manifest) { m.Parent = nil }})
	h, err := ReadHistory(out)
	if err != nil {
		t.Fatal(err)
	}
	if h.Newest().Run != runNumber(1) || len(h.Problems) == 0 {
		t.Errorf("newest is %s, with problems %q; want %s, and one", h.Newest().Run, lines(h.Problems), runNumber(1))
	}
	opts := StageOptions{Output: out, IfExists: IfExistsReplace, RunID: runNumber(3)}
	s := stage(t, opts)
	if live := s.mu.before.live; len(live) != 1 || live[0].Run != runNumber(1) {
		t.Errorf("%d live runs to who replaces the output, the newest %s; want %s alone", len(live), live[0].Run, runNumber(1))
	}
}

func TestFindHistories(t *testing.T) {
	root := t.TempDir()
	run := func(n int) madeRun { return madeRun{run: runNumber(n), mode: ModeFresh, parts: 1} }
	madeOutput(t, filepath.Join(root, "a", "scores"), run(1))
	madeOutput(t, filepath.Join(root, "b.parquet"), run(2))
	madeOutput(t, filepath.Join(root, ".scores.millrace-"+runNumber(3)), run(3)) // being written
	put(t, filepath.Join(root, "_failed.millrace", runNumber(4), rejectsName), nil)
	elsewhere := filepath.Join(t.TempDir(), "linked")
	madeOutput(t, elsewhere, run(5))
	if err := os.Symlink(elsewhere, filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(root, filepath.Join(root, "a", "circle")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path string
		want       []string
	}{
		{"below a folder", root, []string{"a/scores", "b.parquet"}},
		{"a directory output itself", filepath.Join(root, "a", "scores"), []string{"a/scores"}},
		{"a single file itself", filepath.Join(root, "b.parquet"), []string{"b.parquet"}},
	}
	for _, test := range tests {
		found, err := FindHistories(context.Background(), test.path)
		if err != nil {
			t.Errorf("%s: FindHistories() = %v", test.name, err)
			continue
		}
		var got []string
		for _, h := range found.Histories {
			rel, err := filepath.Rel(root, h.Output)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, rel)
		}
		if diff := cmp.Diff(test.want, got); diff != "" || len(found.Unread) > 0 {
			t.Errorf("%s: FindHistories() (-want +got):\n%s, unread %q", test.name, diff, lines(found.Unread))
		}
	}
	for path, says := range map[string]string{
		filepath.Join(root, "a", "scores", "_millrace"): "no output is in",
		filepath.Join(root, "nowhere"):                  "no such file or directory",
	} {
		if _, err := FindHistories(context.Background(), path); !errors.Is(err, ErrNoOutput) || !strings.Contains(err.Error(), says) {
			t.Errorf("FindHistories(%s) = %v; want ErrNoOutput with %q", path, err, says)
		}
	}
}

func TestFindHistoriesIsBounded(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, strings.Repeat("d/", maxFindDepth+2))
	put(t, filepath.Join(deep, "x"), nil)
	if _, err := FindHistories(context.Background(), root); !errors.Is(err, ErrNoOutput) || !strings.Contains(err.Error(), "closer to the outputs") {
		t.Errorf("FindHistories() of deep folders = %v; want ErrNoOutput that says what to do", err)
	}
}

func TestHistoryPath(t *testing.T) {
	out := appended(t)
	put(t, filepath.Join(filepath.Dir(out), "secret"), nil)
	for link, to := range map[string]string{"link.parquet": "part-00000.parquet", "up": ".."} {
		if err := os.Symlink(to, filepath.Join(out, link)); err != nil {
			t.Fatal(err)
		}
	}
	h, err := ReadHistory(out)
	if err != nil {
		t.Fatal(err)
	}
	if path, err := h.Path("part-00000.parquet"); err != nil || path != filepath.Join(out, "part-00000.parquet") {
		t.Errorf("Path(part-00000.parquet) = %q, %v", path, err)
	}
	for _, name := range []string{"../secret", "/etc/passwd", "up/secret", "link.parquet", "nowhere", "_millrace", "", "a\x00b"} {
		if path, err := h.Path(name); !errors.Is(err, ErrUnsound) {
			t.Errorf("Path(%q) = %q, %v; want ErrUnsound", name, path, err)
		}
	}
}

func TestInputChanged(t *testing.T) {
	name := filepath.Join(t.TempDir(), "in")
	tests := []struct {
		name    string
		digest  bool // in the manifest
		change  func()
		changed string
	}{
		{"as it was", false, func() {}, ""},
		{"another time", false, func() { touch(t, name) }, "its time was set"},
		{"another time, the same bytes", true, func() { touch(t, name) }, ""},
		{"another time, other bytes", true, func() { put(t, name, []byte("SCORES")) }, "its sha256 is"},
		{"another size", true, func() { put(t, name, []byte("more scores")) }, "has 11 bytes and had 6"},
		{"gone", true, func() { remove(t, name) }, "is gone"},
	}
	for _, test := range tests {
		o := put(t, name, []byte("scores"))
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		in := Input{Path: name, Bytes: o.Bytes, ModTime: info.ModTime()}
		if test.digest {
			in.Digest = "sha256:" + o.SHA256
		}
		test.change()
		err = in.Changed(t.Context(), nil)
		if (err == nil) != (test.changed == "") || err != nil && !strings.Contains(err.Error(), test.changed) {
			t.Errorf("%s: Changed() = %v; want %q", test.name, err, test.changed)
		}
	}
}

func touch(t *testing.T, name string) {
	t.Helper()
	at := day(t, runNumber(1))
	if err := os.Chtimes(name, at, at); err != nil {
		t.Fatal(err)
	}
}
