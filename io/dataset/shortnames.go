package dataset

import (
	"slices"
	"strings"
)

// shortElements bounds what a name for people consists of, and the work to find it.
const shortElements = 8

// ShortNames gives each path the fewest of its last elements that no other path ends
// in, such as b/part-0.parquet beside a/part-0.parquet: what tables for people call
// files. Where none do, or more than shortElements would be needed, it is the whole path.
func ShortNames(paths []string) map[string]string {
	names := make(map[string]string, len(paths))
	left := slices.Compact(slices.Sorted(slices.Values(paths)))
	for depth := 1; len(left) > 0; depth++ {
		ending := map[string]int{}
		for _, p := range left {
			ending[lastElements(p, depth)]++
		}
		left = slices.DeleteFunc(left, func(p string) bool {
			name := lastElements(p, depth)
			switch {
			case ending[name] == 1 || name == p:
			case depth == shortElements:
				name = p
			default:
				return false
			}
			names[p] = name
			return true
		})
	}
	return names
}

// lastElements is the end of a path from its n-th last slash on; the path where it has
// fewer.
func lastElements(path string, n int) string {
	at := len(path)
	for range n {
		if at = strings.LastIndexByte(path[:at], '/'); at < 0 {
			return path
		}
	}
	return path[at+1:]
}
