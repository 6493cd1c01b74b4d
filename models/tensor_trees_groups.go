package models

import (
	"cmp"
	"slices"
)

// TreeForm is how a tree becomes tensor operators.
type TreeForm string

// The forms. None has a loop: each level of a tree is so many nodes of the graph.
const (
	// FormAuto chooses for each ensemble: the matrix form for trees of at most 7
	// splits, where there are many of them; for the others the perfect form to
	// depth 10, where it pads them to less than 4 times their nodes; else the
	// traversal.
	FormAuto TreeForm = "auto"
	// FormGEMM evaluates all splits of a tree at once and multiplies the results
	// with powers of two, which gives the row of a table. It is for trees of at
	// most 7 splits; others are traversed.
	FormGEMM TreeForm = "gemm"
	// FormPerfect pads trees to all nodes of their depth and finds children by
	// arithmetic. It is for trees of depth 12 at most; others are traversed.
	FormPerfect TreeForm = "perfect"
	// FormTraversal finds children in a table; leaves are their own children.
	FormTraversal TreeForm = "traversal"
)

const (
	maxGEMMSplits    = 7
	maxPerfectDepth  = 10
	maxForcedPerfect = 12
	maxPadding       = 4
	// Launching a kernel costs about what it costs to take a batch of rows one
	// level down this many trees.
	treesPerLaunch = 32
)

// treeGroup is trees that go down together.
type treeGroup struct {
	form  TreeForm
	depth int // of the deepest; of the matrix form: splits of the largest
	trees []*tensorTree
}

// groupTrees deals trees into groups of one form and about one depth.
func groupTrees(trees []*tensorTree, form TreeForm) []treeGroup {
	byForm := map[TreeForm][]*tensorTree{}
	for _, t := range trees {
		f := FormTraversal
		switch {
		case form == FormGEMM && t.splits <= maxGEMMSplits, form == FormPerfect && t.depth <= maxForcedPerfect:
			f = form
		}
		byForm[f] = append(byForm[f], t)
	}
	if form == FormAuto {
		byForm = chooseForms(trees)
	}
	groups := make([]treeGroup, 0, 3)
	for _, f := range []TreeForm{FormGEMM, FormPerfect, FormTraversal} {
		size := func(t *tensorTree) int { return max(1, t.depth) }
		if f == FormGEMM {
			size = matrixSize
		}
		groups = append(groups, groupBySize(f, byForm[f], size)...)
	}
	return groups
}

// matrixSize is how many splits a tree is padded to in the matrix form: 1, 3 or 7.
func matrixSize(t *tensorTree) int {
	size := 1
	for size < t.splits {
		size = 2*size + 1
	}
	return size
}

func chooseForms(trees []*tensorTree) map[TreeForm][]*tensorTree {
	var shallow, deep []*tensorTree
	nodes, slots, depth := 0, 0, 0
	add := func(t *tensorTree) {
		deep = append(deep, t)
		nodes += 2*t.splits + 1
		slots += 2 << min(t.depth, 32)
		depth = max(depth, t.depth)
	}
	for _, t := range trees {
		if t.splits <= maxGEMMSplits {
			shallow = append(shallow, t)
		} else {
			add(t)
		}
	}
	// A few shallow trees ride along with the others.
	if len(deep) > 0 && len(shallow) < treesPerLaunch {
		for _, t := range shallow {
			add(t)
		}
		shallow = nil
	}
	form := FormTraversal
	if depth <= maxPerfectDepth && slots < maxPadding*nodes {
		form = FormPerfect
	}
	return map[TreeForm][]*tensorTree{FormGEMM: shallow, form: deep}
}

// groupBySize cuts the trees, sorted by size, where the sum over groups of size
// times trees and launches is least.
func groupBySize(form TreeForm, trees []*tensorTree, size func(*tensorTree) int) []treeGroup {
	sorted := slices.Clone(trees)
	slices.SortStableFunc(sorted, func(a, b *tensorTree) int { return cmp.Compare(size(a), size(b)) })
	var ends []int // of runs of trees of one size
	for i := range sorted {
		if i+1 == len(sorted) || size(sorted[i]) != size(sorted[i+1]) {
			ends = append(ends, i+1)
		}
	}
	best, from := make([]int, len(ends)+1), make([]int, len(ends)+1)
	start := func(run int) int {
		if run == 0 {
			return 0
		}
		return ends[run-1]
	}
	for j := 1; j <= len(ends); j++ {
		for i := range j {
			cost := best[i] + size(sorted[ends[j-1]-1])*(start(j)-start(i)+treesPerLaunch)
			if i == 0 || cost < best[j] {
				best[j], from[j] = cost, i
			}
		}
	}
	var groups []treeGroup
	for j := len(ends); j > 0; j = from[j] {
		group := sorted[start(from[j]):start(j)]
		groups = append(groups, treeGroup{form: form, depth: size(group[len(group)-1]), trees: group})
	}
	slices.Reverse(groups)
	return groups
}
