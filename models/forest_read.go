package models

import (
	"cmp"
	"slices"

	"github.com/millrace/millrace/models/onnxpb"
)

// forestReader makes trees of an ensemble's lists, one after the other: each a run of nodes with one
// tree id, the root first. Its tables are as large as the largest tree, and not maps: reading a model
// is part of every run.
type forestReader struct {
	f      *forest
	shared sharedSides

	ids, features, onTrue, onFalse, missing intList
	values                                  floatList
	modes                                   textList
	nodes                                   []treeRun // of trees
	w                                       weights   // in the order of trees
	weights                                 []treeRun // of the same trees

	t  sourceTree
	at []int32 // by node id: its node, as of the last tree that has it
	b  treeBuilder
}

// treeRun is how many nodes or weights in a row are of one tree.
type treeRun struct{ id, n int32 }

// sourceTree is one tree as the lists have it.
type sourceTree struct {
	ids, features []int32
	values        []float32
	modes         []splitMode
	missing       []int32    // empty where the ensemble has no such list
	children      [][2]int32 // of splits the nodes on the true and the false side
	weights       leafWeights
}

// leafWeights are the weights of one tree. Those of a node are in order, by their number, from
// first[node] to first[node+1].
type leafWeights struct {
	nodes, targets []int32
	values         []float32
	first, order   []int32
}

type splitMode uint8

const (
	modeLeaf splitMode = iota
	modeLessEqual
	modeLess
	modeGreaterEqual
	modeGreater
	modeEqual
	modeNotEqual
)

func splitModeOf(text []byte) (mode splitMode, ok bool) {
	switch string(text) {
	case "LEAF":
		mode = modeLeaf
	case "BRANCH_LEQ":
		mode = modeLessEqual
	case "BRANCH_LT":
		mode = modeLess
	case "BRANCH_GTE":
		mode = modeGreaterEqual
	case "BRANCH_GT":
		mode = modeGreater
	case "BRANCH_EQ":
		mode = modeEqual
	case "BRANCH_NEQ":
		mode = modeNotEqual
	default:
		return 0, false
	}
	return mode, true
}

func newForestReader(f *forest, a map[string]*onnxpb.AttributeProto, apart lists, w weights) (*forestReader, bool) {
	trees := apart.ints(a["nodes_treeids"])
	r := &forestReader{
		f: f, ids: apart.ints(a["nodes_nodeids"]), features: apart.ints(a["nodes_featureids"]),
		onTrue: apart.ints(a["nodes_truenodeids"]), onFalse: apart.ints(a["nodes_falsenodeids"]),
		missing: apart.ints(a["nodes_missing_value_tracks_true"]), values: apart.floats(a["nodes_values"]),
		modes: apart.texts(a["nodes_modes"]), w: w,
	}
	n := trees.len
	for _, length := range []int{r.ids.len, r.features.len, r.onTrue.len, r.onFalse.len, r.values.len, r.modes.len} {
		if length != n {
			return nil, false
		}
	}
	if n == 0 || n > maxForestNodes || r.missing.len != 0 && r.missing.len != n {
		return nil, false
	}
	r.nodes, _ = runsOf(trees, n)
	return r, distinct(r.nodes) && r.groupWeights()
}

// runsOf cuts a list of tree ids into runs; false when those are more than most.
func runsOf(ids intList, most int) (runs []treeRun, ok bool) {
	var some [256]int32
	for left := ids.len; left > 0; left -= len(some) {
		next := some[:min(left, len(some))]
		ids.read(next)
		for _, id := range next {
			if len(runs) > 0 && runs[len(runs)-1].id == id {
				runs[len(runs)-1].n++
				continue
			}
			if len(runs) == most {
				return nil, false
			}
			runs = append(runs, treeRun{id: id, n: 1})
		}
	}
	return runs, true
}

// distinct says that runs are of one tree each, which has an id that a tree can have.
func distinct(runs []treeRun) bool {
	seen := make(map[int32]bool, len(runs))
	for _, r := range runs {
		if r.id < 0 || seen[r.id] {
			return false
		}
		seen[r.id] = true
	}
	return true
}

// groupWeights finds each tree's weights. Nearly all writers put them in the order of the trees; else
// they are sorted. It is false where a tree has none, or one is of no tree.
func (r *forestReader) groupWeights() bool {
	runs, ok := runsOf(r.w.trees, len(r.nodes))
	if ok && slices.EqualFunc(runs, r.nodes, func(a, b treeRun) bool { return a.id == b.id }) {
		r.weights = runs
		return true
	}
	place := make(map[int32]int32, len(r.nodes))
	r.weights = make([]treeRun, len(r.nodes))
	for i, run := range r.nodes {
		place[run.id], r.weights[i] = int32(i), treeRun{id: run.id}
	}
	n := r.w.values.len
	trees, targets, nodes, values := make([]int32, n), make([]int32, n), make([]int32, n), make([]float32, n)
	r.w.trees.read(trees)
	r.w.targets.read(targets)
	r.w.nodes.read(nodes)
	r.w.values.read(values)
	order := make([]int32, n)
	for i, id := range trees {
		at, ok := place[id]
		if !ok {
			return false
		}
		r.weights[at].n++
		order[i], trees[i] = int32(i), at
	}
	if slices.ContainsFunc(r.weights, func(run treeRun) bool { return run.n == 0 }) {
		return false
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(trees[a], trees[b]) })
	r.w.targets, r.w.nodes, r.w.values = intList{len: n}, intList{len: n}, floatList{len: n}
	for _, i := range order {
		r.w.targets.values = append(r.w.targets.values, int64(targets[i]))
		r.w.nodes.values = append(r.w.nodes.values, int64(nodes[i]))
		r.w.values.values = append(r.w.values.values, values[i])
	}
	return true
}

// read reads and builds the trees.
func (r *forestReader) read() bool {
	f := r.f
	f.width, f.trees, f.has = 1, len(r.nodes), make([]bool, f.targets)
	f.layout = newForestLayout(f.targets, len(r.nodes), r.ids.len, r.w.values.len)
	r.b = treeBuilder{f: f, t: &r.t, shared: r.shared, weights: r.w.values.len, stamp: make([]int, f.targets), column: make([]int32, f.targets), some: make([]bool, f.targets), filled: make([]int, f.targets)}
	r.makeRoom()
	for i, run := range r.nodes {
		if !r.nextTree(int(run.n)) || !r.nextWeights(int(r.weights[i].n)) || !laidOut(r.t.children, r.t.modes) || !r.b.build() {
			return false
		}
	}
	return r.b.alwaysOrNever()
}

// makeRoom makes the tables as large as the largest tree needs them.
func (r *forestReader) makeRoom() {
	most := func(runs []treeRun) (n int32) {
		for _, run := range runs {
			n = max(n, run.n)
		}
		return n
	}
	n, weights := most(r.nodes), most(r.weights)
	r.at = make([]int32, n) // ids count up from 0 as a rule
	r.t = sourceTree{
		ids: make([]int32, n), features: make([]int32, n), values: make([]float32, n), modes: make([]splitMode, n), children: make([][2]int32, n),
		weights: leafWeights{
			nodes: make([]int32, weights), targets: make([]int32, weights), values: make([]float32, weights),
			first: make([]int32, n+1), order: make([]int32, weights),
		},
	}
	if r.missing.len > 0 {
		r.t.missing = make([]int32, n)
	}
	r.b.leaves = make([]int32, 0, n/2+1)
}

// nextTree reads the nodes of the next tree.
func (r *forestReader) nextTree(n int) bool {
	t := &r.t
	t.ids, t.features, t.values, t.modes, t.children = t.ids[:n], t.features[:n], t.values[:n], t.modes[:n], t.children[:n]
	r.ids.read(t.ids)
	r.features.read(t.features)
	r.values.read(t.values)
	if r.missing.len > 0 {
		t.missing = t.missing[:n]
		r.missing.read(t.missing)
	}
	for i := range n {
		mode, ok := splitModeOf(r.modes.next())
		id, feature := t.ids[i], t.features[i]
		if !ok || id < 0 || int(id) >= r.ids.len || feature == tooLarge || feature >= maxForestWidth || mode != modeLeaf && feature < 0 {
			return false
		}
		t.modes[i] = mode
		r.f.width = max(r.f.width, int(feature)+1) // of leaves too, as ONNX Runtime counts
		if int(id) >= len(r.at) {
			r.at = append(r.at, make([]int32, int(id)+1-len(r.at))...)
		}
		if _, twice := r.node(id, i); twice {
			return false
		}
		r.at[id] = int32(i)
	}
	return r.nextSides()
}

// node is the node of an id, among the first n of the tree; false when it has none.
func (r *forestReader) node(id int32, n int) (int32, bool) {
	if id < 0 || int(id) >= len(r.at) {
		return 0, false
	}
	i := r.at[id]
	return i, int(i) < n && r.t.ids[i] == id
}

// nextSides finds the children of the tree's splits.
func (r *forestReader) nextSides() bool {
	var yes, no [256]int32
	for first, n := 0, len(r.t.ids); first < n; first += len(yes) {
		some := min(n-first, len(yes))
		r.onTrue.read(yes[:some])
		r.onFalse.read(no[:some])
		for k := range some {
			i := int32(first + k)
			if r.t.modes[i] == modeLeaf {
				continue
			}
			onTrue, ok := r.node(yes[k], n)
			onFalse, ok2 := r.node(no[k], n)
			if !ok || !ok2 || onTrue == i || onFalse == i {
				return false
			}
			r.t.children[i] = [2]int32{onTrue, onFalse}
		}
	}
	return true
}

// nextWeights reads the weights of the tree's leaves; false when one is of a node that is no
// leaf, or not there.
func (r *forestReader) nextWeights(n int) bool {
	nodes, w := len(r.t.ids), &r.t.weights
	w.nodes, w.targets, w.values, w.order, w.first = w.nodes[:n], w.targets[:n], w.values[:n], w.order[:n], w.first[:nodes+1]
	r.w.nodes.read(w.nodes)
	r.w.targets.read(w.targets)
	r.w.values.read(w.values)
	clear(w.first)
	for i, id := range w.nodes {
		node, ok := r.node(id, nodes)
		if !ok || r.t.modes[node] != modeLeaf || w.targets[i] < 0 || int(w.targets[i]) >= r.f.targets || w.values[i] != w.values[i] {
			return false
		}
		w.nodes[i] = node
		w.first[node+1]++
	}
	for i := range nodes {
		w.first[i+1] += w.first[i]
	}
	// From the last on, each goes to the last free place of its node's, before which they are.
	for i, node := range slices.Backward(w.nodes) {
		w.first[node+1]--
		w.order[w.first[node+1]] = int32(i)
	}
	copy(w.first, w.first[1:])
	w.first[nodes] = int32(n)
	return true
}

// laidOut says whether ONNX Runtime takes the tree: it lays nodes out false side
// first, each node once, and demands that a false side was not laid out before.
// A true side may have been, as in the chains of BRANCH_EQ that some exporters
// make of one test of membership; and every node must be reached.
func laidOut(children [][2]int32, modes []splitMode) bool {
	done := make([]bool, len(children))
	type visit struct {
		node int32
		once bool
	}
	count := 0
	for stack := []visit{{0, true}}; len(stack) > 0; {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if done[v.node] {
			if v.once {
				return false
			}
			continue
		}
		done[v.node] = true
		count++
		if modes[v.node] != modeLeaf {
			c := children[v.node]
			stack = append(stack, visit{c[0], false}, visit{c[1], true})
		}
	}
	return count == len(children)
}
