package models

import "slices"

// traversal takes rows down trees of any shape, D levels. One table holds the
// nodes of all trees; the two children of a node lie beside each other, the yes
// side second, so that one number finds both. What several nodes lead to is there
// once for each of them, but not what lies below it. A leaf has itself for its no
// side, and no row leaves it on the other.
//
// It gives the places [N,T] or [T,N] in the table, and the leaf of each; -1 for a
// split.
func (b *treeGraph) traversal(g *treeGroup) (at string, leaves []int32) {
	w := traversalTable{graph: b}
	first := newLevelTable(len(g.trees))
	starts := make([]int32, len(g.trees))
	for i, t := range g.trees {
		if root := &t.nodes[t.root]; root.leaf >= 0 {
			starts[i] = w.record(root)
			continue
		}
		b.set(first, i, &t.nodes[t.root])
		starts[i] = w.tree(t)
	}
	b.most = max(b.most, len(g.trees))
	second := slices.Clone(starts)
	for i := range second {
		if first.thresholds[i] == first.thresholds[i] {
			second[i]++
		}
	}
	at = b.choose(b.firstLevel(first), second, starts)
	if g.depth > 1 {
		l := b.lookup(w.levelTable)
		children := b.int32s([]int64{int64(len(w.children))}, w.children...)
		for range g.depth - 1 {
			at = b.add(b.gather(children, at, 0), b.cast(b.level(l, at), Int32))
		}
	}
	return at, w.leaves
}

type traversalTable struct {
	levelTable
	graph    *treeGraph
	children []int32 // the place of the no side
	leaves   []int32
}

// record appends a node; a split's children are filled in later.
func (w *traversalTable) record(n *tensorNode) int32 {
	at := int32(len(w.children))
	one := newLevelTable(1)
	if n.leaf < 0 {
		w.graph.set(one, 0, n)
	}
	w.columns, w.thresholds = append(w.columns, one.columns[0]), append(w.thresholds, one.thresholds[0])
	w.children, w.leaves = append(w.children, at), append(w.leaves, n.leaf)
	return at
}

// tree appends all nodes below a root, level by level, and gives the place of its
// children.
func (w *traversalTable) tree(t *tensorTree) int32 {
	type parent struct{ node, place int32 } // place -1 for the root
	pairs := map[int32]int32{}              // places of the children of nodes
	start := int32(len(w.children))
	for queue := []parent{{t.root, -1}}; len(queue) > 0; queue = queue[1:] {
		p := queue[0]
		pair, done := pairs[p.node]
		if !done {
			pair = int32(len(w.children))
			pairs[p.node] = pair
			for _, child := range []int32{t.nodes[p.node].no, t.nodes[p.node].yes} {
				place := w.record(&t.nodes[child])
				if t.nodes[child].leaf < 0 {
					queue = append(queue, parent{child, place})
				}
			}
		}
		if p.place >= 0 {
			w.children[p.place] = pair
		}
	}
	return start
}
