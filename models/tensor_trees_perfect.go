package models

// perfect takes rows down trees that have all nodes of depth D. Each level has a
// table of 2^D places for each tree, of which it uses the first 2^level: a node's
// place is made of the ways that lead to it, the lowest bit first, so that the no
// side of place i is i in the next table, and the yes side i + 2^level. That is
// one addition; in the usual order it would be two.
//
// It gives the places [N,T] or [T,N] of leaves, and the leaf of each.
func (b *treeGraph) perfect(g *treeGroup) (at string, leaves []int32) {
	trees, places := len(g.trees), 1<<g.depth
	levels := make([]levelTable, g.depth)
	for l := range levels {
		levels[l] = newLevelTable(trees * places)
	}
	leaves = make([]int32, trees*places)
	for i, t := range g.trees {
		b.pad(t, t.root, 0, i*places, levels, leaves)
	}
	b.most = max(b.most, trees)
	first := newLevelTable(trees)
	for i := range trees {
		first.columns[i], first.thresholds[i] = levels[0].columns[i*places], levels[0].thresholds[i*places]
	}
	at = b.choose(b.firstLevel(first), steps(trees, places, 1), steps(trees, places, 0))
	for l := 1; l < g.depth; l++ {
		yes := b.level(b.lookup(levels[l]), at)
		at = b.add(at, b.one("Where", yes, b.int32s(nil, 1<<l), b.int32s(nil, 0)))
	}
	return at, leaves
}

// pad puts a node of a tree, and all below it, in place i of a level and places
// of the next.
func (b *treeGraph) pad(t *tensorTree, k int32, level, i int, levels []levelTable, leaves []int32) {
	n := &t.nodes[k]
	if n.leaf >= 0 {
		for j := range 1 << (len(levels) - level) {
			leaves[i+j<<level] = n.leaf
		}
		return
	}
	b.set(levels[level], i, n)
	b.pad(t, n.no, level+1, i, levels, leaves)
	b.pad(t, n.yes, level+1, i+1<<level, levels, leaves)
}
