package kernel

import (
	"testing"
	"unsafe"
)

// arenaBytes is what a guarded slice may have.
const arenaBytes = 16 << 10

// guards hands out slices that end where memory does: one byte read or written
// beyond them is a fault. The memory before them is filled with canary bytes.
type guards struct {
	arenas [][]byte
	used   int
}

const canary = 0xc5

func newGuards(tb testing.TB, arenas int) *guards {
	tb.Helper()
	g := &guards{}
	for range arenas {
		g.arenas = append(g.arenas, guardedArena(tb, arenaBytes))
	}
	return g
}

// reset takes all slices back.
func (g *guards) reset() { g.used = 0 }

// guarded takes a slice of n values from an arena of its own.
func guarded[T any](g *guards, n int) []T {
	arena := g.arenas[g.used]
	g.used++
	for i := range arena {
		arena[i] = canary
	}
	if n == 0 {
		return nil
	}
	tail := arena[len(arena)-n*sizeOf[T]():]
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(tail))), n)
}

// intact reports whether the memory before the last slice taken, of n values,
// is as it was.
func intact[T any](g *guards, n int) bool {
	arena := g.arenas[g.used-1]
	for _, b := range arena[:len(arena)-n*sizeOf[T]()] {
		if b != canary {
			return false
		}
	}
	return true
}
