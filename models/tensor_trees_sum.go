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
	for i := range trees {
		clear(count)
		leaves := 0
		for _, n := range trees[i].nodes {
			if n.leaf < 0 {
				continue
			}
			leaves++
			for _, w := range s.nodes[n.leaf].weights {
				count[w.target]++
				some[w.target] = true
			}
		}
		for target, n := range count {
			has[target] = has[target] || n == leaves
		}
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
// leaf, so that each target has as many; nil where a tree has several targets, or
// most trees would be empty.
func (b *treeSum) blocks(trees []*tensorTree) []*tensorTree {
	if b.source.targets == 1 {
		return trees
	}
	if b.reduction() != "ReduceSum" { // a tree that is none would need values by target
		return nil
	}
	by := make([][]*tensorTree, b.source.targets)
	most := 0
	for _, t := range trees {
		target, ok := b.onlyTarget(t)
		if !ok {
			return nil
		}
		by[target] = append(by[target], t)
		most = max(most, len(by[target]))
	}
	if most*len(by) > 2*len(trees) {
		return nil
	}
	for i := range by {
		for len(by[i]) < most {
			by[i] = append(by[i], &tensorTree{nodes: []tensorNode{{leaf: noLeaf}}})
		}
	}
	return slices.Concat(by...)
}

// noLeaf is the leaf of a tree that stands for no tree.
const noLeaf = math.MaxInt32

func (b *treeSum) reduction() string {
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
	combine := map[string]string{"ReduceMin": "Min", "ReduceMax": "Max", "ReduceSum": "Add"}[b.reduction()]
	total := ""
	for i := range groups {
		scores := b.group(groups[i])
		if total == "" {
			total = scores
			continue
		}
		total = b.op(combine, in(total, scores))
	}
	return total
}

// group gives the scores of one group's trees.
func (b *treeSum) group(g treeGroup) string {
	k := int64(b.source.targets)
	blocks := b.blocks(g.trees)
	if blocks != nil {
		g.trees = blocks
	}
	forms := map[TreeForm]func(*treeGroup) (string, []int32){FormGEMM: b.gemm, FormPerfect: b.perfect, FormTraversal: b.traversal}
	at, leaves := forms[g.form](&g)
	trees := int64(len(g.trees))
	if blocks == nil {
		b.most = max(b.most, int(trees*k))
		values := b.gather(b.table(leaves, b.source.targets), at, 0) // [N,T,targets] or [T,N,targets]
		return b.reduce(b.reduction(), values, b.features(), 0)
	}
	values := b.gather(b.table(leaves, 1), at, 0)
	switch {
	case k == 1 && b.transposed:
		return b.reshape(b.reduce(b.reduction(), values, 0, 0), -1, 1)
	case k == 1:
		return b.reduce(b.reduction(), values, 1, 1)
	case b.transposed:
		return b.transpose(b.reduce(b.reduction(), b.reshape(values, k, trees/k, -1), 1, 0))
	default:
		return b.reduce(b.reduction(), b.reshape(values, 0, k, trees/k), 2, 0)
	}
}

// maxTableValues bounds the constants of an ensemble, far below the 2 GiB that a
// model can have.
const maxTableValues = 1 << 26

// tableValues is how many values the tables of the groups have at most.
func (b *treeSum) tableValues(groups []treeGroup) int {
	total := 0
	for i := range groups {
		g, places := &groups[i], 0
		for _, t := range g.trees {
			switch g.form {
			case FormTraversal:
				places += 2*t.splits + 1
			default:
				places += 1 << g.depth
			}
		}
		if b.blocks(g.trees) != nil {
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
