package models

// perfect takes rows down trees that have all nodes of depth D. A level's tables
// hold its nodes tree by tree, so that the children of node i, whichever tree it
// is of, are 2i and, on the yes side, 2i+1 of the next level.
//
// It gives the places [N,T] or [T,N] in the level of leaves, and the leaf of each.
func (b *treeGraph) perfect(g *treeGroup) (at string, leaves []int32) {
	trees := len(g.trees)
	levels := make([]levelTable, g.depth)
	for l := range levels {
		levels[l] = newLevelTable(trees << l)
	}
	leaves = make([]int32, trees<<g.depth)
	for i, t := range g.trees {
		b.pad(t, t.root, 0, i, levels, leaves)
	}
	b.most = max(b.most, trees)
	at = b.add(b.firstLevel(levels[0]), b.steps(trees, 2))
	for _, l := range levels[1:] {
		at = b.add(b.add(at, at), b.level(b.lookup(l), at))
	}
	return at, leaves
}

// pad puts a node of a tree, and all below it, in place i of a level.
func (b *treeGraph) pad(t *tensorTree, k int32, level, i int, levels []levelTable, leaves []int32) {
	n := &t.nodes[k]
	if n.leaf >= 0 {
		for j := i << (len(levels) - level); j < (i+1)<<(len(levels)-level); j++ {
			leaves[j] = n.leaf
		}
		return
	}
	b.set(levels[level], i, n)
	b.pad(t, n.no, level+1, 2*i, levels, leaves)
	b.pad(t, n.yes, level+1, 2*i+1, levels, leaves)
}
