package leveltest

import (
	"testing"

	"golang.org/x/sys/unix"
)

// guardedArena maps n bytes, and after them a page that nobody may touch.
func guardedArena(tb testing.TB, n int) []byte {
	tb.Helper()
	page := unix.Getpagesize()
	n = (n + page - 1) / page * page
	memory, err := unix.Mmap(-1, 0, n+page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := unix.Munmap(memory); err != nil {
			tb.Error(err)
		}
	})
	if err := unix.Mprotect(memory[n:], unix.PROT_NONE); err != nil {
		tb.Fatal(err)
	}
	return memory[:n:n]
}
