package mapped

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/io/format"
)

// testFile writes n bytes (1, 2, ..., 250, 1, ...) and returns the path.
func testFile(t *testing.T, n int) string {
	t.Helper()
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i%250) + 1
	}
	path := filepath.Join(t.TempDir(), "data.bin")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustOpen(t *testing.T, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatalf("Open(%q): %v", path, err)
	}
	return f
}

func TestOpen(t *testing.T) {
	path := testFile(t, 10_000)
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := mustOpen(t, path)
	defer f.Release()
	if !bytes.Equal(f.Bytes(), want) {
		t.Error("Bytes differs from what os.ReadFile gives")
	}
	if f.Size() != 10_000 || f.Path() != path {
		t.Errorf("Size, Path = %d, %q; want 10000, %q", f.Size(), f.Path(), path)
	}
	if err := errors.Join(f.Err(), f.Changed(), f.Populate(0, 10_000), f.Advise(0, 10_000, Dense),
		f.Advise(5000, 10, WillNeed), f.Populate(-5, 1<<40), f.Populate(20_000, 5)); err != nil {
		t.Errorf("on an unchanged file: %v", err)
	}
}

func TestOpenEmptyFile(t *testing.T) {
	f := mustOpen(t, testFile(t, 0))
	if len(f.Bytes()) != 0 || f.Size() != 0 {
		t.Errorf("an empty file has %d bytes", len(f.Bytes()))
	}
	if err := errors.Join(f.Err(), f.Changed(), f.Populate(0, 1), f.Advise(0, 1, Dense)); err != nil {
		t.Errorf("on an empty file: %v", err)
	}
	f.Release()
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		why, path string
		want      error
	}{
		{"a directory has no bytes", dir, ErrNotRegular},
		{"a FIFO would be waited for", fifo, ErrNotRegular},
		{"a device has no size", "/dev/null", ErrNotRegular},
		{"nothing is there", filepath.Join(dir, "absent"), fs.ErrNotExist},
	} {
		f, err := Open(tc.path)
		if f != nil || !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.path) {
			t.Errorf("%s: Open(%q) = %v, %v; want an error that wraps %v and names the file", tc.why, tc.path, f, err, tc.want)
		}
	}
}

func TestBufferKeepsMappingAlive(t *testing.T) {
	f := mustOpen(t, testFile(t, 8192))
	before := len(Live())
	view := f.Buffer(f.Bytes()[4096:4100])
	f.Retain()
	again := memory.NewBufferWithAllocator(f.Bytes()[:1], f.Allocator())
	f.Release()
	if len(Live()) != before {
		t.Fatal("the mapping went with the opener's reference; two buffers still hold it")
	}
	slice := memory.SliceBuffer(view, 1, 2)
	view.Release()
	if got := slice.Bytes()[0]; got != byte(4097%250)+1 {
		t.Errorf("slice.Bytes()[0] = %d after the parent's Release", got)
	}
	slice.Release()
	again.Release()
	if len(Live()) != before-1 {
		t.Error("the mapping outlives its last buffer")
	}
}

func TestReleaseIsIdempotentAndErrStays(t *testing.T) {
	f := mustOpen(t, testFile(t, 100))
	f.Release()
	if invariants {
		defer func() {
			if recover() == nil {
				t.Error("a Release too many did not panic under the build tag invariants")
			}
		}()
	}
	if err := errors.Join(f.Err(), f.Changed()); err != nil {
		t.Errorf("after the last Release: %v", err)
	}
	f.Release()
}

func TestChanged(t *testing.T) {
	for _, tc := range []struct {
		why  string
		harm func(path string) error
	}{
		{"shorter", func(p string) error { return os.Truncate(p, 10) }},
		{"longer", func(p string) error { return os.Truncate(p, 1<<20) }},
		{"touched", func(p string) error { return os.Chtimes(p, time.Time{}, time.Unix(1, 0)) }},
		{"removed", os.Remove},
		{"replaced", func(p string) error {
			st, err := os.Stat(p)
			if err != nil {
				return err
			}
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			if err := os.WriteFile(p+".new", b, 0o600); err != nil {
				return err
			}
			return errors.Join(os.Chtimes(p+".new", st.ModTime(), st.ModTime()), os.Rename(p+".new", p))
		}},
	} {
		path := testFile(t, 5000)
		f := mustOpen(t, path)
		if err := tc.harm(path); err != nil {
			t.Fatal(err)
		}
		if err := f.Changed(); !errors.Is(err, format.ErrChanged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: Changed() = %v; want an error that wraps ErrChanged and names the file", tc.why, err)
		}
		f.Release()
	}
}

func TestContainsAndAligned(t *testing.T) {
	f := mustOpen(t, testFile(t, 4096))
	defer f.Release()
	if !f.Contains(f.Bytes()[10:20]) || !f.Contains(f.Bytes()) {
		t.Error("Contains is false for parts of the mapping")
	}
	if f.Contains(make([]byte, 10)) || f.Contains(nil) {
		t.Error("Contains is true for other memory")
	}
	if !Aligned(f.Bytes(), 8) || Aligned(f.Bytes()[4:], 8) || !Aligned(f.Bytes()[4:], 4) || !Aligned(nil, 8) {
		t.Error("Aligned is wrong about the mapping, which starts on a page")
	}
}

func TestLiveNamesTheOpener(t *testing.T) {
	f := mustOpen(t, testFile(t, 10))
	live := strings.Join(Live(), "\n")
	if !strings.Contains(live, f.Path()) || !strings.Contains(live, "TestLiveNamesTheOpener") {
		t.Errorf("Live() = %s; want the path and the caller", live)
	}
	f.Release()
}

func TestConcurrentRetainRelease(t *testing.T) {
	f := mustOpen(t, testFile(t, 1<<16))
	var wg sync.WaitGroup
	for range 8 {
		f.Retain()
		wg.Go(func() {
			for range 1000 {
				b := f.Buffer(f.Bytes()[:1])
				_ = f.Err()
				b.Release()
			}
			f.Release()
		})
	}
	f.Release()
	wg.Wait()
}

func TestSinceLinux(t *testing.T) {
	for release, want := range map[string]bool{
		"5.17.15-generic": false, "5.18.0": true, "6.1.0-28-amd64": true, "4.19": false, "6": false, "": false, "10.0-rc1": true,
	} {
		if got := sinceLinux(release, 5, 18); got != want {
			t.Errorf("sinceLinux(%q, 5, 18) = %t; want %t", release, got, want)
		}
	}
}
