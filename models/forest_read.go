package models

import (
	"cmp"
	"math"
	"slices"

	"github.com/millrace/millrace/models/onnxpb"
)

// forestReader makes trees of an ensemble's lists of nodes. Its tables are by
// node, target or weight, and not maps: reading a model is part of every run.
type forestReader struct {
	f        *forest
	treeIDs  []int64
	nodeIDs  []int64
	features []int64
	onTrue   []int64
	onFalse  []int64
	missing  []int64
	values   []float32
	modes    []splitMode

	shared  sharedSides
	w       *weights
	byTree  map[int64][]int32 // weights, by number
	weights [][]leafWeight    // by node
	at      []int32           // by node id: its node, as of the tree that was read last
	cells   int               // of values in trees so far
	stamp   []int             // by target: the last node that was seen to have it, plus 1
	column  []int32           // by target: where it is among a tree's targets, plus 1
}

type leafWeight struct {
	target int
	value  float32
}

type splitMode int

const (
	modeLeaf splitMode = iota
	modeLessEqual
	modeLess
	modeGreaterEqual
	modeGreater
	modeEqual
	modeNotEqual
)

var splitModes = map[string]splitMode{
	"LEAF": modeLeaf, "BRANCH_LEQ": modeLessEqual, "BRANCH_LT": modeLess, "BRANCH_GTE": modeGreaterEqual,
	"BRANCH_GT": modeGreater, "BRANCH_EQ": modeEqual, "BRANCH_NEQ": modeNotEqual,
}

func newForestReader(f *forest, a map[string]*onnxpb.AttributeProto, w *weights) (*forestReader, bool) {
	r := &forestReader{
		f: f, treeIDs: a["nodes_treeids"].GetInts(), nodeIDs: a["nodes_nodeids"].GetInts(), features: a["nodes_featureids"].GetInts(),
		onTrue: a["nodes_truenodeids"].GetInts(), onFalse: a["nodes_falsenodeids"].GetInts(),
		missing: a["nodes_missing_value_tracks_true"].GetInts(), values: a["nodes_values"].GetFloats(),
		w: w,
	}
	n := len(r.treeIDs)
	modes := a["nodes_modes"].GetStrings()
	for _, length := range []int{len(r.nodeIDs), len(r.features), len(r.onTrue), len(r.onFalse), len(r.values), len(modes)} {
		if length != n {
			return nil, false
		}
	}
	if n == 0 || n > maxForestNodes || len(r.missing) != 0 && len(r.missing) != n {
		return nil, false
	}
	r.modes, r.stamp, r.column = make([]splitMode, n), make([]int, f.targets), make([]int32, f.targets)
	r.weights, r.at = make([][]leafWeight, n), make([]int32, n)
	for i, text := range modes {
		mode, ok := splitModes[string(text)]
		if !ok || r.treeIDs[i] < 0 || r.treeIDs[i] > math.MaxInt32 || r.nodeIDs[i] < 0 || r.nodeIDs[i] >= int64(n) ||
			r.features[i] >= maxForestWidth || mode != modeLeaf && r.features[i] < 0 {
			return nil, false
		}
		r.modes[i] = mode
		f.width = max(f.width, int(r.features[i])+1) // of leaves too, as ONNX Runtime counts
	}
	f.width = max(f.width, 1)
	for _, id := range w.targets {
		if id < 0 || id >= int64(f.targets) {
			return nil, false
		}
	}
	r.groupWeights()
	return r, true
}

// groupWeights lists the weights of each tree, in their order.
func (r *forestReader) groupWeights() {
	r.byTree = map[int64][]int32{}
	order := make([]int32, len(r.w.trees))
	for i := range order {
		order[i] = int32(i)
	}
	if !slices.IsSorted(r.w.trees) {
		slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(r.w.trees[a], r.w.trees[b]) })
	}
	for first := 0; first < len(order); {
		id, last := r.w.trees[order[first]], first+1
		for last < len(order) && r.w.trees[order[last]] == id {
			last++
		}
		r.byTree[id] = order[first:last]
		first = last
	}
}

// read makes the trees: each a run of nodes with one tree id, the root first.
func (r *forestReader) read() bool {
	seen := map[int64]bool{}
	for first := 0; first < len(r.treeIDs); {
		last := first + 1
		for last < len(r.treeIDs) && r.treeIDs[last] == r.treeIDs[first] {
			last++
		}
		if seen[r.treeIDs[first]] {
			return false
		}
		seen[r.treeIDs[first]] = true
		t, ok := r.tree(first, last)
		if !ok {
			return false
		}
		r.f.trees = append(r.f.trees, *t)
		first = last
	}
	for id := range r.byTree {
		if !seen[id] { // a weight of a tree that is not there
			return false
		}
	}
	return true
}

// node is the node of an id in the tree whose nodes are first to last-1; false
// when it has none. r.at may still hold nodes of other trees.
func (r *forestReader) node(id int64, first, last int) (int, bool) {
	if id < 0 || id >= int64(len(r.at)) {
		return 0, false
	}
	i := int(r.at[id])
	return i, i >= first && i < last && r.nodeIDs[i] == id
}

// weigh gives the leaves of a tree their weights; false when one is of a node
// that is no leaf, or not there.
func (r *forestReader) weigh(first, last int) bool {
	all := r.byTree[r.treeIDs[first]]
	memory := make([]leafWeight, 0, len(all)) // of one weight a leaf, as most have
	for _, i := range all {
		node, ok := r.node(r.w.nodes[i], first, last)
		if !ok || r.modes[node] != modeLeaf {
			return false
		}
		w := leafWeight{target: int(r.w.targets[i]), value: r.w.values[i]}
		if r.weights[node] == nil {
			memory = append(memory, w)
			r.weights[node] = memory[len(memory)-1 : len(memory) : len(memory)]
			continue
		}
		r.weights[node] = append(r.weights[node], w)
	}
	return true
}

// tree makes one tree of nodes first to last-1.
func (r *forestReader) tree(first, last int) (*decisionTree, bool) {
	for i := first; i < last; i++ {
		if _, twice := r.node(r.nodeIDs[i], first, i); twice {
			return nil, false
		}
		r.at[r.nodeIDs[i]] = int32(i)
	}
	if !r.weigh(first, last) {
		return nil, false
	}
	children := make([][2]int, last-first) // true, false
	for i := first; i < last; i++ {
		if r.modes[i] == modeLeaf {
			continue
		}
		onTrue, ok := r.node(r.onTrue[i], first, last)
		onFalse, ok2 := r.node(r.onFalse[i], first, last)
		if !ok || !ok2 || onTrue == i || onFalse == i {
			return nil, false
		}
		children[i-first] = [2]int{onTrue, onFalse}
	}
	if !laidOut(children, first, r.modes) {
		return nil, false
	}
	b := treeBuilder{reader: r, first: first, children: children, budget: 4*(last-first) + 64}
	return b.build()
}

// laidOut says whether ONNX Runtime takes the tree: it lays nodes out false side
// first, each node once, and demands that a false side was not laid out before.
// A true side may have been, as in the chains of BRANCH_EQ that some exporters
// make of one test of membership; and every node must be reached.
func laidOut(children [][2]int, first int, modes []splitMode) bool {
	done := make([]bool, len(children))
	type visit struct {
		node int
		once bool
	}
	count := 0
	for stack := []visit{{first, true}}; len(stack) > 0; {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if done[v.node-first] {
			if v.once {
				return false
			}
			continue
		}
		done[v.node-first] = true
		count++
		if modes[v.node] != modeLeaf {
			c := children[v.node-first]
			stack = append(stack, visit{c[0], false}, visit{c[1], true})
		}
	}
	return count == len(children)
}

// treeBuilder lays a tree out, true side first. Nodes with two parents are laid
// out twice, within a budget, which a cycle exceeds; but for those of chains. LightGBM
// has 32 categories in a split by default, and a chain of them nested in others would
// have a hundred thousand copies.
type treeBuilder struct {
	reader   *forestReader
	first    int
	children [][2]int
	budget   int
	t        decisionTree
	leaves   []int
}

func (b *treeBuilder) build() (*decisionTree, bool) {
	r := b.reader
	for stack := []int{b.first}; len(stack) > 0; {
		i := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if b.budget--; b.budget < 0 {
			return nil, false
		}
		if r.modes[i] == modeLeaf {
			b.t.nodes = append(b.t.nodes, treeNode{kind: leafKind})
			b.leaves = append(b.leaves, i)
			continue
		}
		if b.losesNaN(i) {
			return nil, false
		}
		c := b.children[i-b.first]
		node, sides := r.split(i)
		switch sides {
		case onlyTrue:
			stack = append(stack, c[0])
		case onlyFalse:
			stack = append(stack, c[1])
		case swapped:
			b.t.nodes = append(b.t.nodes, node)
			stack = append(stack, c[0], c[1])
		case asIs:
			if node.or = b.goesOn(i); node.or {
				stack = append(stack, c[1])
			} else {
				stack = append(stack, c[1], c[0])
			}
			b.t.nodes = append(b.t.nodes, node)
		}
	}
	return &b.t, b.fill()
}

// linked says whether a node asks for equality, and its false side, next, does too and has the
// same true side.
func (b *treeBuilder) linked(i int) (next int, ok bool) {
	modes, sides := b.reader.modes, b.children[i-b.first]
	next = sides[1]
	return next, modes[i] == modeEqual && modes[next] == modeEqual && sides[0] == b.children[next-b.first][0]
}

// goesOn says whether a node is a link of a chain that stays one.
func (b *treeBuilder) goesOn(i int) bool {
	next, ok := b.linked(i)
	if !ok || b.reader.shared != inChains {
		return false
	}
	_, sides := b.reader.split(next)
	return sides == asIs // not so, where it asks for equality with NaN
}

// losesNaN says whether a node sends NaN on to the next link, which asks the same column, and
// that to the true side. ONNX Runtime makes one test of such a chain, for some values, and asks
// the first node alone about NaN.
func (b *treeBuilder) losesNaN(i int) bool {
	r := b.reader
	next, ok := b.linked(i)
	return ok && len(r.missing) > 0 && r.features[i] == r.features[next] && r.missing[i] != 1 && r.missing[next] == 1
}

// sides says where the true side of a simplified split goes.
type sides int

const (
	asIs sides = iota
	swapped
	onlyTrue // always true
	onlyFalse
)

// split reduces a node's condition to one of the four kinds. For floats,
// x < t is x <= the float below t; x >= t and x > t are the opposites of
// x < t and x <= t for all but NaN, which the kind says where to send; and a
// comparison with a NaN threshold is false but for !=.
func (r *forestReader) split(i int) (treeNode, sides) {
	t, nan := r.values[i], len(r.missing) > 0 && r.missing[i] == 1
	node := func(kind splitKind, threshold float32) treeNode {
		return treeNode{kind: kind, feature: uint32(r.features[i]), threshold: threshold}
	}
	atMost := func(nan bool) splitKind {
		if nan {
			return atMostNaNTrue
		}
		return atMostNaNFalse
	}
	inf := float32(math.Inf(1))
	// Holds for NaN and nothing else.
	onlyNaN := func() (treeNode, sides) {
		if nan {
			return node(atMostNaNFalse, inf), swapped
		}
		return treeNode{}, onlyFalse
	}
	mode := r.modes[i]
	switch {
	case t != t && mode == modeNotEqual:
		return treeNode{}, onlyTrue
	case t != t, t == -inf && mode == modeLess:
		return onlyNaN()
	case t == -inf && mode == modeGreaterEqual:
		if nan {
			return treeNode{}, onlyTrue
		}
		return node(atMostNaNFalse, inf), asIs
	}
	switch mode {
	case modeLess:
		return node(atMost(nan), math.Nextafter32(t, -inf)), asIs
	case modeGreaterEqual:
		return node(atMost(!nan), math.Nextafter32(t, -inf)), swapped
	case modeGreater:
		return node(atMost(!nan), t), swapped
	case modeEqual:
		if nan {
			return node(equalNaNTrue, t), asIs
		}
		return node(equalNaNFalse, t), asIs
	case modeNotEqual: // NaN differs from everything, whatever the node says of it
		return node(equalNaNFalse, t), swapped
	default:
		return node(atMost(nan), t), asIs
	}
}

// fill gives the leaves their values.
func (b *treeBuilder) fill() bool {
	r, t := b.reader, &b.t
	t.leaves = len(b.leaves)
	for i := range b.children { // also of leaves that no row reaches
		w := r.weights[b.first+i]
		if r.modes[b.first+i] != modeLeaf {
			continue
		}
		// With one target ONNX Runtime takes the first value, or, where there is
		// none, the node's.
		if r.f.targets == 1 && len(w) != 1 {
			return false
		}
		for _, v := range w {
			if r.stamp[v.target] == b.first+i+1 {
				return false
			}
			r.stamp[v.target] = b.first + i + 1
			if r.column[v.target] == 0 {
				r.column[v.target] = 1
				t.targets = append(t.targets, v.target)
			}
		}
	}
	// A table of leaves that each have another target would be mostly empty.
	r.cells += len(t.targets) * t.leaves
	if len(t.targets) == 0 || r.cells > maxTreeValues && r.cells > 8*len(r.w.values) {
		return false
	}
	slices.Sort(t.targets)
	t.values = make([][]float32, len(t.targets))
	for k, id := range t.targets {
		r.column[id] = int32(k + 1)
		t.values[k] = make([]float32, t.leaves)
		for j := range t.values[k] {
			t.values[k][j] = missing
		}
	}
	for j, i := range b.leaves {
		for _, w := range r.weights[i] {
			t.values[r.column[w.target]-1][j] = w.value
		}
	}
	for _, id := range t.targets {
		r.column[id] = 0
	}
	return true
}
