// Package cpulevel chooses which of a package's vector kernels a process uses.
// A level is one set of them: plain loops, or kernels for AVX2 or AVX-512. What a
// level needs of the processor is each package's own to say.
package cpulevel

// Variable is the environment variable that names the best level to be used, for
// measurements and for looking for errors.
const Variable = "MILLRACE_CPU_LEVEL"

// Named is a level.
type Named interface{ Name() string }

// Choose gives the level of that name, else the last, which is the best. There is
// one at least.
func Choose[L Named](all []L, name string) L {
	for _, l := range all {
		if l.Name() == name {
			return l
		}
	}
	return all[len(all)-1]
}
