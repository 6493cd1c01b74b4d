// Package nearest finds the name that a person may have meant.
package nearest

import (
	"fmt"
	"strings"
)

// DidYouMean names the candidate nearest to a name, as the end of a sentence;
// empty when none is near.
func DidYouMean(name string, candidates []string) string {
	if near := Name(name, candidates); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	return ""
}

// Name is the candidate with the fewest edits to a name, case aside; empty
// when that takes more than a third of the name's letters.
func Name(name string, candidates []string) string {
	best, limit := "", max(len(name)/3, 1)+1
	for _, c := range candidates {
		if strings.EqualFold(strings.TrimSpace(c), strings.TrimSpace(name)) {
			return c
		}
		if d := edits(strings.ToLower(name), strings.ToLower(c)); d < limit {
			best, limit = c, d
		}
	}
	return best
}

// edits is the Damerau-Levenshtein distance (optimal string alignment), in
// bytes: insertions, deletions, substitutions and swaps of neighbours.
func edits(a, b string) int {
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(above[j]+cost, row[j]+1, above[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
