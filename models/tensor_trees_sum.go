package models

import (
	"math"
	"slices"
)

// treeSum makes of leaves the score of each target.
type treeSum struct {
	*treeGraph
	source *treeSource
	has    []bool // by target: every row gets a value from some tree; else no row from any
}

// hasTargets fills has. A target that some rows' leaves have a value for and
// others' have not is one that ONNX Runtime treats differently from row to row,
// unless all that it adds is 0; it is false for such.
func hasTargets(s *treeSource, trees []tensorTree) ([]bool, bool) {
	has, some := make([]bool, s.targets), make([]bool, s.targets)
	count := make([]int, s.targets)
	var seen []int // targets of the tree, so that each tree costs what it has
	for i := range trees {
		leaves := 0
		for _, n := range trees[i].nodes {
			if n.leaf < 0 {
				continue
			}
			leaves++
			for _, w := range s.nodes[n.leaf].weights {
				if count[w.target]++; count[w.target] == 1 {
					seen = append(seen, w.target)
				}
				some[w.target] = true
			}
		}
		for _, target := range seen {
			has[target] = has[target] || count[target] == leaves
			count[target] = 0
		}
		seen = seen[:0]
	}
	sums := s.aggregate == "SUM" || s.aggregate == "AVERAGE"
	if !s.classifier && sums && len(s.base) == 0 || s.classifier && s.targets > 2 && len(s.base) > 0 {
		return some, true
	}
	return has, slices.Contains(has, true) && slices.Equal(has, some)
}

// none is what a leaf without a value for a target, or no tree at all, adds.
func (b *treeSum) none(target int) float64 {
	switch {
	case !b.has[target]:
		return 0
	case b.source.aggregate == "MIN":
		return math.Inf(1)
	case b.source.aggregate == "MAX":
		return math.Inf(-1)
	}
	return 0
}

// onlyTarget is the target that all leaves of a tree have their values for;
// false when there are several.
func (b *treeSum) onlyTarget(t *tensorTree) (target int, ok bool) {
	target = -1
	for i := range t.nodes {
		if t.nodes[i].leaf < 0 {
			continue
		}
		for _, w := range b.source.nodes[t.nodes[i].leaf].weights {
			if target >= 0 && w.target != target {
				return 0, false
			}
			target = w.target
		}
	}
	return max(target, 0), true
}

// blocks sorts trees by their one target and fills up with trees of one empty
// leaf, so that each target that has any has as many; nil where a tree has several
// targets, or most trees would be empty.
func (b *treeSum) blocks(trees []*tensorTree) (sorted []*tensorTree, targets []int32) {
	if b.source.targets == 1 {
		return trees, []int32{0}
	}
	if b.reducer() != "ReduceSum" { // a tree that is none would need values by target
		return nil, nil
	}
	by := make([][]*tensorTree, b.source.targets)
	most := 0
	for _, t := range trees {
		target, ok := b.onlyTarget(t)
		if !ok {
			return nil, nil
		}
		by[target] = append(by[target], t)
		most = max(most, len(by[target]))
	}
	for i := range by {
		if len(by[i]) > 0 {
			targets = append(targets, int32(i))
		}
	}
	if most*len(targets) > 2*len(trees) {
		return nil, nil
	}
	for _, i := range targets {
		for len(by[i]) < most {
			by[i] = append(by[i], &tensorTree{nodes: []tensorNode{{leaf: noLeaf}}})
		}
	}
	return slices.Concat(by...), targets
}

// noLeaf is the leaf of a tree that stands for no tree.
const noLeaf = math.MaxInt32

func (b *treeSum) reducer() string {
	switch b.source.aggregate {
	case "MIN":
		return "ReduceMin"
	case "MAX":
		return "ReduceMax"
	}
	return "ReduceSum"
}

// all adds up the groups: [N,targets], of the data's type.
func (b *treeSum) all(groups []treeGroup) string {
	combine := map[string]string{"ReduceMin": "Min", "ReduceMax": "Max", "ReduceSum": "Add"}[b.reducer()]
	total := ""
	for i := range groups {
		scores := b.group(groups[i])
		if total == "" {
			total = scores
			continue
		}
		total = b.one(combine, total, scores)
	}
	return total
}

// group gives the scores of one group's trees.
func (b *treeSum) group(g treeGroup) string {
	blocks, targets := b.blocks(g.trees)
	if blocks != nil {
		g.trees = blocks
	}
	forms := map[TreeForm]func(*treeGroup) (string, []int32){FormGEMM: b.gemm, FormPerfect: b.perfect, FormTraversal: b.traversal}
	at, leaves := forms[g.form](&g)
	if blocks == nil {
		b.most = max(b.most, len(g.trees)*b.source.targets)
		values := b.gather(b.table(leaves, b.source.targets), at, 0) // [N,T,targets] or [T,N,targets]
		return b.reduce(b.reducer(), values, b.features())
	}
	values := b.gather(b.table(leaves, 1), at, 0)
	return b.spread(b.reduceBlocks(values, int64(len(g.trees)), int64(len(targets))), targets)
}

// reduceBlocks makes of [N,T] or [T,N] values, of k targets one after the other,
// scores [N,k].
func (b *treeSum) reduceBlocks(values string, trees, k int64) string {
	switch {
	case k == 1 && b.transposed:
		return b.reshape(b.reduce(b.reducer(), values, 0), -1, 1)
	case k == 1:
		return b.reduceTo1(b.reducer(), values, 1)
	case b.transposed:
		return b.transpose(b.reduce(b.reducer(), b.reshape(values, k, trees/k, -1), 1))
	default:
		return b.reduce(b.reducer(), b.reshape(values, 0, k, trees/k), 2)
	}
}

// spread makes of the scores of some targets those of all, 0 where there is none.
func (b *treeSum) spread(scores string, targets []int32) string {
	n := b.source.targets
	if len(targets) == n {
		return scores
	}
	from, there := make([]int32, n), make([]byte, n)
	for i, target := range targets {
		from[target], there[target] = int32(i), 1
	}
	dims := []int64{1, int64(n)}
	if len(targets) > 1 {
		scores = b.gather(scores, b.int32s(dims[1:], from...), 1)
	}
	return b.one("Where", b.raw(Bool, dims, there), scores, b.scalar(0))
}

// maxTableValues bounds the constants of an ensemble, far below the 2 GiB that a
// model can have.
const maxTableValues = 1 << 26

// tableValues is how many values the tables of the groups have at most.
func (b *treeSum) tableValues(groups []treeGroup) int {
	total := 0
	for i := range groups {
		g, places, tables := &groups[i], 0, 0
		for _, t := range g.trees {
			switch g.form {
			case FormTraversal:
				places += 2*t.splits + 1
			case FormPerfect:
				tables += g.depth << g.depth
				fallthrough
			default:
				places += 1 << g.depth
			}
		}
		total += tables
		if blocks, _ := b.blocks(g.trees); blocks != nil {
			total += 2 * places
		} else {
			total += places * b.source.targets
		}
	}
	return total
}

// table is a constant of leaves' values by place: [places], of the one value that
// each has or else 0, or [places,targets].
func (b *treeSum) table(leaves []int32, targets int) string {
	values := make([]float64, len(leaves)*targets)
	for i, leaf := range leaves {
		if targets > 1 {
			for target := range targets {
				values[i*targets+target] = b.none(target)
			}
		}
		if leaf < 0 || leaf == noLeaf {
			continue
		}
		for _, w := range b.source.nodes[leaf].weights {
			if targets == 1 {
				values[i] = w.value
			} else {
				values[i*targets+w.target] = w.value
			}
		}
	}
	dims := []int64{int64(len(leaves)), int64(targets)}
	if targets == 1 {
		dims = dims[:1]
	}
	return b.reals(dims, values...)
}
