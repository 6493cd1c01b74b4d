// Package leveltest runs vector kernels of every level that a machine has, on
// memory that ends where the values do.
package leveltest

import (
	"os"
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
			g := NewGuards(t, arenas)
			rapid.Check(t, func(t *rapid.T) {
				g.Reset()
				property(t, l, g)
			})
		})
	}
}

// Choice checks a package's levels, of which the first is its plain one, and that the one
// used, by name, is that which the process chose.
func Choice[L interface {
	comparable
	cpulevel.Named
}](t *testing.T, all []L, plain L, used string) {
	t.Helper()
	last := all[len(all)-1]
	if all[0] != plain {
		t.Errorf("the first level is %s; want plain, which every machine has", all[0].Name())
	}
	if want := cpulevel.Choose(all, os.Getenv(cpulevel.Variable)).Name(); used != want {
		t.Errorf("the level is %s; want %s", used, want)
	}
	for name, want := range map[string]L{"": last, "no such level": last, "avx1024": last, "plain": plain} {
		if got := cpulevel.Choose(all, name); got != want {
			t.Errorf("choose(%q) = %s; want %s", name, got.Name(), want.Name())
		}
	}
	for _, l := range all {
		t.Logf("tested here: %s", l.Name())
	}
}
