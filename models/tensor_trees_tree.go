package models

import (
	"math"
	"slices"
)

// A tensor form of a tree has one kind of split: x <= threshold goes to the yes
// side, all else to the no side, and NaN where the split says. The other modes of
// ai.onnx.ml become splits of that kind, see addSplit; so do tests of membership.

// sourceNode is a node of an ensemble as the file has it.
type sourceNode struct {
	mode            splitMode
	feature         int
	value           float64
	members         []float64 // of modeMember
	nanTrue         bool
	onTrue, onFalse int32
	weights         []sourceWeight // of leaves
}

type sourceWeight struct {
	target int
	value  float64
}

// modeMember is the test of membership that TreeEnsemble has.
const modeMember splitMode = modeNotEqual + 1

// tensorTree is a tree, simplified: its nodes are splits and leaves, some of them
// reached on several ways.
type tensorTree struct {
	nodes  []tensorNode
	root   int32
	splits int
	depth  int // splits on the longest way
}

type tensorNode struct {
	leaf      int32 // in the ensemble's nodes; -1 for a split
	feature   int32
	nanYes    bool
	threshold float64
	yes, no   int32
	height    int // splits on the longest way from here, itself included
}

// maxTensorDepth bounds the levels that are unrolled, each of 7 nodes.
const maxTensorDepth = 1000

// treeSimplifier makes tensorTrees.
type treeSimplifier struct {
	nodes  []sourceNode
	narrow bool // thresholds and data are float32
	done   map[int32]int32
	sets   int // values of tests of membership so far, which bounds what nodes in several chains cost
	t      tensorTree
}

// simplify makes the tree below a root, which has no cycle; false when it is too
// deep.
func (s *treeSimplifier) simplify(root int32) (tensorTree, bool) {
	s.done, s.t = map[int32]int32{}, tensorTree{}
	s.t.root = s.node(root)
	s.t.nodes, s.t.root = reachable(s.t.nodes, s.t.root)
	for i := range s.t.nodes {
		if s.t.nodes[i].leaf < 0 {
			s.t.splits++
		}
	}
	s.t.depth = s.t.nodes[s.t.root].height
	return s.t, s.t.depth <= maxTensorDepth
}

func (s *treeSimplifier) node(i int32) int32 {
	if at, ok := s.done[i]; ok {
		return at
	}
	var at int32
	if s.nodes[i].mode == modeLeaf {
		at = s.append(tensorNode{leaf: i})
	} else {
		at = s.addSplit(&s.nodes[i])
	}
	s.done[i] = at
	return at
}

func (s *treeSimplifier) append(n tensorNode) int32 {
	s.t.nodes = append(s.t.nodes, n)
	return int32(len(s.t.nodes) - 1)
}

// atMost adds a split, but for one whose sides are the same or that holds always.
func (s *treeSimplifier) atMost(feature int, threshold float64, nanYes bool, yes, no int32) int32 {
	if yes == no || nanYes && math.IsInf(threshold, 1) {
		return yes
	}
	return s.append(tensorNode{
		leaf: -1, feature: int32(feature), threshold: threshold, nanYes: nanYes, yes: yes, no: no,
		height: 1 + max(s.t.nodes[yes].height, s.t.nodes[no].height),
	})
}

// ifNaN adds a split that NaN alone goes to one side of.
func (s *treeSimplifier) ifNaN(feature int, nan, other int32) int32 {
	return s.atMost(feature, math.Inf(1), false, other, nan)
}

// addSplit adds what a node says. x < t is x <= the number below t; x >= t and
// x > t are the opposites of x < t and x <= t for all but NaN; and a comparison
// with a threshold that is NaN is false but for !=.
func (s *treeSimplifier) addSplit(n *sourceNode) int32 {
	if n.mode == modeEqual || n.mode == modeMember {
		return s.addMembers(n)
	}
	yes, no, t := s.node(n.onTrue), s.node(n.onFalse), n.value
	below := t
	if n.mode == modeLess || n.mode == modeGreaterEqual {
		below = s.below(t)
	}
	lowest := math.IsInf(t, -1)
	switch {
	case n.mode == modeNotEqual: // NaN differs from everything, whatever the node says of it
		return s.member(n.feature, []float64{t}, no, yes, yes)
	case math.IsNaN(t), lowest && n.mode == modeLess:
		if n.nanTrue {
			return s.ifNaN(n.feature, yes, no)
		}
		return no
	case lowest && n.mode == modeGreaterEqual:
		if n.nanTrue {
			return yes
		}
		return s.ifNaN(n.feature, no, yes)
	case n.mode == modeGreaterEqual, n.mode == modeGreater:
		return s.atMost(n.feature, below, !n.nanTrue, no, yes)
	default:
		return s.atMost(n.feature, below, n.nanTrue, yes, no)
	}
}

// below is the largest number less than v, of the data's type.
func (s *treeSimplifier) below(v float64) float64 {
	if s.narrow {
		return float64(math.Nextafter32(float32(v), float32(math.Inf(-1))))
	}
	return math.Nextafter(v, math.Inf(-1))
}

// addMembers adds a test of membership, with all that follow it on the false side
// and have the same feature and true side: exporters write sets as such chains.
func (s *treeSimplifier) addMembers(n *sourceNode) int32 {
	first, nan := n, false
	var values []float64
	for {
		if n.mode == modeEqual {
			values = append(values, n.value)
		}
		values = append(values, n.members...)
		nan = nan || n.nanTrue
		next := &s.nodes[n.onFalse]
		same := next.feature == first.feature && next.onTrue == first.onTrue
		if next.mode != modeEqual && next.mode != modeMember || !same || s.sets > 4*len(s.nodes) {
			break
		}
		n = next
	}
	s.sets += len(values)
	yes, no := s.node(first.onTrue), s.node(n.onFalse)
	if nan {
		return s.member(first.feature, values, yes, no, yes)
	}
	return s.member(first.feature, values, yes, no, no)
}

// member adds a test whether x is among values, none of which NaN equals; NaN
// goes to a side of its own. It is a search for the interval that x lies in.
func (s *treeSimplifier) member(feature int, values []float64, yes, no, nan int32) int32 {
	values = slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	slices.Sort(values)
	values = slices.Compact(values) // 0 is -0
	// Intervals end at these numbers, included; the last ends nowhere.
	var ends []float64
	var sides []int32
	for _, v := range values {
		if n := len(ends); !math.IsInf(v, -1) {
			if b := s.below(v); n > 0 && ends[n-1] == b {
				ends, sides = ends[:n-1], sides[:n-1]
			} else {
				ends, sides = append(ends, b), append(sides, no)
			}
		}
		ends, sides = append(ends, v), append(sides, yes)
	}
	if n := len(ends); n > 0 && math.IsInf(ends[n-1], 1) {
		ends = ends[:n-1]
	} else {
		sides = append(sides, no)
	}
	// NaN passes on one side of every split, and so comes out at an end.
	switch nan {
	case sides[len(sides)-1]:
		return s.search(feature, ends, sides, false)
	case sides[0]:
		return s.search(feature, ends, sides, true)
	}
	return s.ifNaN(feature, nan, s.search(feature, ends, sides, false))
}

func (s *treeSimplifier) search(feature int, ends []float64, sides []int32, nanYes bool) int32 {
	if len(ends) == 0 {
		return sides[0]
	}
	m := len(ends) / 2
	yes := s.search(feature, ends[:m], sides[:m+1], nanYes)
	no := s.search(feature, ends[m+1:], sides[m+1:], nanYes)
	return s.atMost(feature, ends[m], nanYes, yes, no)
}

// reachable drops nodes that no way leads to, as tests of membership leave them.
func reachable(nodes []tensorNode, root int32) ([]tensorNode, int32) {
	used := make([]bool, len(nodes))
	used[root] = true
	for i, n := range slices.Backward(nodes) { // children lie before their parents
		if used[i] && n.leaf < 0 {
			used[n.yes], used[n.no] = true, true
		}
	}
	at := make([]int32, len(nodes))
	kept := nodes[:0]
	for i, n := range nodes {
		if !used[i] {
			continue
		}
		if n.leaf < 0 {
			n.yes, n.no = at[n.yes], at[n.no]
		}
		at[i] = int32(len(kept))
		kept = append(kept, n)
	}
	return kept, at[root]
}
