package table

// InOrder puts runs after those that they followed. They come in the order of the clock, which
// is another where that was set back between two of them.
func InOrder(runs []Run) []Run {
	waits := make(map[string]bool, len(runs)) // for its turn
	for _, r := range runs {
		waits[r.ID] = true
	}
	ordered := make([]Run, 0, len(runs))
	for rest := runs; len(rest) > 0; {
		var later []Run
		for _, r := range rest {
			if r.Parent != r.ID && waits[r.Parent] {
				later = append(later, r)
				continue
			}
			delete(waits, r.ID)
			ordered = append(ordered, r)
		}
		if len(later) == len(rest) { // a circle, which somebody made
			return append(ordered, later...)
		}
		rest = later
	}
	return ordered
}
