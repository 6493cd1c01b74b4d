package mapped_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/io/mapped"
	"github.com/millrace/millrace/io/mapped/mappedtest"
)

// flagsOf are the VmFlags of a file's mapping.
func flagsOf(t *testing.T, path string) string {
	t.Helper()
	for _, line := range mappedtest.Smaps(t, path) {
		if flags, ok := strings.CutPrefix(line, "VmFlags:"); ok {
			return flags
		}
	}
	t.Fatalf("%s is not mapped", path)
	return ""
}

func TestAdviceIsOfTheMapping(t *testing.T) {
	if !mapped.HugeFaults() {
		t.Skip("this kernel reads no huge pages for a fault")
	}
	path := filepath.Join(t.TempDir(), "advised")
	if err := os.WriteFile(path, make([]byte, 3*mapped.BlockBytes), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := mapped.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Release()
	for _, step := range []struct {
		advice mapped.Advice
		want   string
	}{{mapped.Dense, " hg "}, {mapped.Sparse, " nh "}} {
		if err := f.Advise(0, f.Size(), step.advice); err != nil {
			t.Errorf("Advise(%d) = %v", step.advice, err)
		}
		flags := flagsOf(t, path)
		if random := strings.Contains(flags, " rr "); random != (step.advice == mapped.Dense) {
			t.Errorf("after Advise(%d) the mapping has %q, rr = %t", step.advice, flags, random)
		}
		if !strings.Contains(flags, step.want) {
			t.Errorf("after Advise(%d) the mapping has %q; want %q", step.advice, flags, step.want)
		}
	}
}

// touch reads a byte of every page.
func touch(b []byte) (sum byte) {
	for i := 0; i < len(b); i += 4096 {
		sum += b[i]
	}
	return sum
}

// What was touched around views, by metadata or by the kernel, goes with views of
// its block, some blocks at a time, and nothing of a block that has one.
func TestPagesGoWithTheViewsOfTheirBlocks(t *testing.T) {
	const block = mapped.BlockBytes
	const blocks = mapped.MostBlocks + 3
	path := filepath.Join(t.TempDir(), "blocks")
	if err := os.WriteFile(path, make([]byte, blocks*block+4096), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := mapped.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Release()
	data := f.Bytes()
	first, second := f.Buffer(data[4096:block+4096]), f.Buffer(data[block+8192:block+12288])
	rest := f.Buffer(data[2*block : mapped.MostBlocks*block+1])
	if touch(data) != 0 {
		t.Fatal("zeros are not zeros")
	}
	whole := blocks*block + 4096
	if got := mappedtest.Resident(t, path); got != whole>>10 {
		t.Fatalf("%d KiB resident after all was touched; want %d", got, whole>>10)
	}
	steps := []struct {
		about string
		do    func()
		want  int
	}{
		{"the first block has no view, and waits for others; the second still has one", first.Release, whole},
		{"so many have none, and all but the second go", rest.Release, whole - mapped.MostBlocks*block},
		{"the second waits", second.Release, whole - mapped.MostBlocks*block},
		{"blocks that lie in the range by a part stay", func() { f.DropUnused((blocks-1)*block+1, blocks*block+1) }, whole - mapped.MostBlocks*block},
		{"those without views go, the short last one too", func() { f.DropUnused(0, int64(len(data))) }, 0},
	}
	for _, s := range steps {
		s.do()
		if got := mappedtest.Resident(t, path); got != s.want>>10 {
			t.Errorf("%s: %d KiB resident; want %d", s.about, got, s.want>>10)
		}
	}
	again := f.Buffer(data[2*block : 5*block])
	if touch(data[:5*block]) != 0 {
		t.Fatal("zeros are not zeros")
	}
	f.DropUnused(0, int64(len(data)))
	if got := mappedtest.Resident(t, path); got != 3*block>>10 {
		t.Errorf("%d KiB resident with views of three blocks; want theirs, %d", got, 3*block>>10)
	}
	again.Release()
}

// A file that is unmapped while blocks of it wait takes them along: what is mapped
// in its place later keeps its pages.
func TestUnmappedFilesLeaveNoBlocks(t *testing.T) {
	const block = mapped.BlockBytes
	for range 3 * mapped.MostBlocks {
		path := filepath.Join(t.TempDir(), "short")
		if err := os.WriteFile(path, make([]byte, block), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := mapped.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		f.Buffer(f.Bytes()).Release()
		f.Release()
		if n := mapped.Unviewed(); n != 0 {
			t.Fatalf("%d blocks wait of files that are unmapped", n)
		}
	}
}
