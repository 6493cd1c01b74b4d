package hugepage

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"
)

// TestAdvise asks for memory and looks whether the kernel has noted it: "hg" among
// the flags of the mapping (proc_pid_smaps(5)).
func TestAdvise(t *testing.T) {
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage/enabled"); err != nil {
		t.Skip("this kernel has no transparent huge pages")
	}
	b := make([]byte, 3*Bytes)
	Advise(b)
	for _, at := range []int{0, len(b) / 2, len(b) - 1} {
		if flags := flagsOf(t, uintptr(unsafe.Pointer(&b[at]))); !strings.Contains(flags+" ", " hg ") {
			t.Errorf("byte %d: flags of its mapping are %q; want hg among them", at, flags)
		}
		b[at] = 1 // still ours to write
	}
	if b[0] != 1 || b[1] != 0 {
		t.Errorf("bytes = %d, %d; want 1, 0", b[0], b[1])
	}
}

func TestAdviseSmall(t *testing.T) {
	Advise(nil)
	small := make([]byte, Least-1)
	block := uintptr(unsafe.Pointer(&small[0])) / Bytes
	seen := &asked[block%uintptr(len(asked))]
	before := seen.Load()
	seen.Store(0)
	Advise(small)
	if got := seen.Load(); got != 0 {
		t.Errorf("a buffer of %d bytes was asked for", len(small))
	}
	seen.Store(before)
}

// flagsOf is the VmFlags line of the mapping that has an address.
func flagsOf(t *testing.T, address uintptr) string {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skipf("no smaps: %v", err)
	}
	defer func() { _ = f.Close() }()
	inside := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		var from, to uintptr
		if n, _ := fmt.Sscanf(line, "%x-%x ", &from, &to); n == 2 {
			inside = from <= address && address < to
		}
		if flags, ok := strings.CutPrefix(line, "VmFlags:"); ok && inside {
			return flags
		}
	}
	t.Fatalf("no mapping has %#x", address)
	return ""
}
