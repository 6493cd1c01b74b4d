// Package leveltest runs vector kernels of every level that a machine has, on
// memory that ends where the values do.
package leveltest

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/internal/cpulevel"
)

// Each runs a property for each level, with a guarded slice from each of so many
// arenas.
func Each[L cpulevel.Named](t *testing.T, all []L, arenas int, property func(t *rapid.T, l L, g *Guards)) {
	t.Helper()
	for _, l := range all {
		t.Run("level="+l.Name(), func(t *testing.T) {
			g := newGuards(t, arenas)
			rapid.Check(t, func(t *rapid.T) {
				g.reset()
				property(t, l, g)
			})
		})
	}
}
