// Package mappedtest tells tests what Linux says of a file's mapping.
package mappedtest

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// Smaps are the lines that tell of a file's mapping (proc_pid_smaps(5)). The test is skipped
// where there are none.
func Smaps(tb testing.TB, path string) (lines []string) {
	tb.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		tb.Skip(err)
	}
	ours := false
	for line := range strings.Lines(string(smaps)) {
		if first, _, _ := strings.Cut(line, " "); !strings.HasSuffix(first, ":") {
			ours = strings.HasSuffix(strings.TrimSpace(line), path)
		}
		if ours {
			lines = append(lines, line)
		}
	}
	return lines
}

// Resident is how many KiB of a file's mapping are in this process.
func Resident(tb testing.TB, path string) (kib int) {
	tb.Helper()
	for _, line := range Smaps(tb, path) {
		var n int
		if _, err := fmt.Sscanf(line, "Rss: %d kB", &n); err == nil {
			kib += n
		}
	}
	return kib
}
