package engine

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// TestPeakMemoryIsOfTheProcessAlone starts this program from one that holds 256 MiB: what
// a Python that started a run held is not the run's.
func TestPeakMemoryIsOfTheProcessAlone(t *testing.T) {
	const child, held = "MILLRACE_TEST_PEAK", 256 << 20
	if os.Getenv(child) != "" {
		t.Logf("peak %d end", PeakMemory())
		return
	}
	before := PeakMemory()
	b := make([]byte, held)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	runtime.KeepAlive(b)
	_, text, _ := strings.Cut(string(out), "peak ")
	text, _, _ = strings.Cut(text, " end")
	got, err := strconv.ParseInt(text, 10, 64)
	if err != nil || got <= 0 || got >= held {
		t.Errorf("the child's peak is %q (%v); want less than the %d bytes of its parent", text, err, held)
	}
	if after := PeakMemory(); after < before || after < held {
		t.Errorf("the parent's peak is %d; want %d at least", after, held)
	}
}
