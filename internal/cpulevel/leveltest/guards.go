package leveltest

import (
	"testing"
	"unsafe"
)

// arenaBytes is what a guarded slice may have.
const arenaBytes = 20 << 10

// Guards hands out slices that end where memory does: one byte read or written
// beyond them is a fault. The memory before them is filled with canary bytes.
type Guards struct {
	arenas [][]byte
	used   int
}

// Canary is what fills the memory before a slice, and a slice that is not written yet.
const Canary = 0xc5

// NewGuards maps memory for so many slices at a time, until the test ends.
func NewGuards(tb testing.TB, arenas int) *Guards {
	tb.Helper()
	g := &Guards{}
	for range arenas {
		g.arenas = append(g.arenas, guardedArena(tb, arenaBytes))
	}
	return g
}

// Reset takes all slices back.
func (g *Guards) Reset() { g.used = 0 }

// Slice takes a slice of n values from an arena of its own.
func Slice[T any](g *Guards, n int) []T {
	arena := g.arenas[g.used]
	g.used++
	for i := range arena {
		arena[i] = Canary
	}
	if n == 0 {
		return nil
	}
	tail := arena[len(arena)-n*int(unsafe.Sizeof(*new(T))):]
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(tail))), n)
}

// Intact reports whether the memory before the last slice taken, of n values,
// is as it was.
func Intact[T any](g *Guards, n int) bool {
	arena := g.arenas[g.used-1]
	for _, b := range arena[:len(arena)-n*int(unsafe.Sizeof(*new(T)))] {
		if b != Canary {
			return false
		}
	}
	return true
}
