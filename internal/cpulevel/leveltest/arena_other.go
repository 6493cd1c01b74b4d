//go:build !linux

package leveltest

import "testing"

// guardedArena has no guard here; the tests compare values only.
func guardedArena(tb testing.TB, n int) []byte {
	tb.Helper()
	return make([]byte, n)
}
