package models

import (
	"maps"
	"slices"
	"testing"
)

func tensorTreesOf(shapes map[[2]int]int) (trees []*tensorTree) {
	for _, shape := range slices.SortedFunc(maps.Keys(shapes), func(a, b [2]int) int { return a[1] - b[1] }) {
		for range shapes[shape] {
			trees = append(trees, &tensorTree{splits: shape[0], depth: shape[1]})
		}
	}
	return trees
}

func TestGroupTrees(t *testing.T) {
	for name, test := range map[string]struct {
		form   TreeForm
		shapes map[[2]int]int // trees by splits and depth
		want   string
	}{
		"shallow trees":                    {FormAuto, map[[2]int]int{{7, 3}: 100, {1, 1}: 100}, "100 gemm of 1 splits, 100 gemm of 7 splits"},
		"a few stumps ride along":          {FormAuto, map[[2]int]int{{7, 3}: 100, {1, 1}: 2}, "102 gemm of 7 splits"},
		"perfect trees":                    {FormAuto, map[[2]int]int{{255, 8}: 500}, "500 perfect of 8 levels"},
		"sparse trees":                     {FormAuto, map[[2]int]int{{30, 10}: 500}, "500 traversal of 10 levels"},
		"deep trees":                       {FormAuto, map[[2]int]int{{2047, 11}: 500}, "500 traversal of 11 levels"},
		"few shallow among deep":           {FormAuto, map[[2]int]int{{255, 8}: 500, {3, 2}: 5}, "505 perfect of 8 levels"},
		"many shallow beside deep":         {FormAuto, map[[2]int]int{{255, 8}: 500, {3, 2}: 50}, "50 gemm of 3 splits, 500 perfect of 8 levels"},
		"depths far apart":                 {FormAuto, map[[2]int]int{{100, 12}: 200, {200, 60}: 40}, "200 traversal of 12 levels, 40 traversal of 60 levels"},
		"depths nearly the same":           {FormAuto, map[[2]int]int{{100, 12}: 50, {100, 13}: 50, {100, 14}: 50}, "150 traversal of 14 levels"},
		"a form, where it is possible":     {FormGEMM, map[[2]int]int{{255, 8}: 5, {3, 2}: 5}, "5 gemm of 3 splits, 5 traversal of 8 levels"},
		"perfect, however much is padding": {FormPerfect, map[[2]int]int{{30, 12}: 5, {30, 20}: 5}, "5 perfect of 12 levels, 5 traversal of 20 levels"},
		"a leaf":                           {FormTraversal, map[[2]int]int{{0, 0}: 1}, "1 traversal of 1 levels"},
	} {
		if got := describe(groupTrees(tensorTreesOf(test.shapes), test.form)); got != test.want {
			t.Errorf("%s: %s; want %s", name, got, test.want)
		}
	}
}

// A chain of equal tests is one search among its values.
func TestChainsBecomeSearches(t *testing.T) {
	const n = 100
	nodes := make([]sourceNode, 0, n+2)
	for i := range n {
		nodes = append(nodes, sourceNode{mode: modeEqual, value: float64(3 * i), onTrue: n, onFalse: int32(i + 1)})
	}
	nodes[n-1].onFalse = n + 1
	nodes = append(nodes, sourceNode{mode: modeLeaf}, sourceNode{mode: modeLeaf})
	s := treeSimplifier{nodes: nodes, narrow: true}
	tree, ok := s.simplify(0)
	if !ok || tree.depth > 8 || tree.splits != 2*n {
		t.Fatalf("depth %d, %d splits, %v; want at most 8, and 2 for each value", tree.depth, tree.splits, ok)
	}
	for x := -1; x < 3*n+1; x++ {
		k := tree.root
		for tree.nodes[k].leaf < 0 {
			if float64(x) <= tree.nodes[k].threshold {
				k = tree.nodes[k].yes
			} else {
				k = tree.nodes[k].no
			}
		}
		if want := x >= 0 && x < 3*n && x%3 == 0; (tree.nodes[k].leaf == n) != want {
			t.Errorf("%d is a member: %v; want %v", x, !want, want)
		}
	}
}
