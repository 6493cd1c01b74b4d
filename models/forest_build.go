package models

import (
	"encoding/binary"
	"math"
	"slices"
)

// treeBuilder writes trees into the layout, true side first. Nodes with two parents are laid
// out twice, within a budget, which a cycle exceeds; but for those of chains. LightGBM
// has 32 categories in a split by default, and a chain of them nested in others would
// have a hundred thousand copies.
type treeBuilder struct {
	f       *forest
	t       *sourceTree
	shared  sharedSides
	weights int // of all trees
	cells   int // of values in trees so far

	stack, leaves, targets []int32
	seen                   int     // leaves that were looked at
	stamp                  []int   // by target: the last leaf, as counted by seen, that has it
	column                 []int32 // by target: where it is among the tree's, plus 1
	filled                 []int   // by target of the tree: leaves that have it
	some                   []bool  // by target: a tree has it
}

// build writes the tree.
func (b *treeBuilder) build() bool {
	if !b.findTargets() {
		return false
	}
	b.f.layout.begin(b.targets)
	if !b.layOut() {
		return false
	}
	// A table of leaves that each have another target would be mostly empty.
	b.cells += len(b.targets) * len(b.leaves)
	if b.cells > maxTreeValues && b.cells > 8*b.weights {
		return false
	}
	b.f.leaves += len(b.leaves)
	b.fill()
	return true
}

// findTargets lists the tree's targets, also of leaves that no row reaches. It is false where a leaf
// has two values of one; and with one target where a leaf has not one value: ONNX Runtime
// takes the first then, or, where there is none, the node's.
func (b *treeBuilder) findTargets() bool {
	w := &b.t.weights
	b.targets = b.targets[:0]
	for i, mode := range b.t.modes {
		if mode != modeLeaf {
			continue
		}
		numbers := w.order[w.first[i]:w.first[i+1]]
		if b.f.targets == 1 && len(numbers) != 1 {
			return false
		}
		b.seen++
		for _, k := range numbers {
			target := w.targets[k]
			if b.stamp[target] == b.seen {
				return false
			}
			b.stamp[target] = b.seen
			if b.column[target] == 0 {
				b.column[target] = 1
				b.targets = append(b.targets, target)
			}
		}
	}
	slices.Sort(b.targets)
	for k, id := range b.targets {
		b.column[id] = int32(k + 1)
	}
	return true
}

// layOut writes the nodes, and lists the leaves.
func (b *treeBuilder) layOut() bool {
	modes, budget := b.t.modes, 4*len(b.t.modes)+64
	b.leaves, b.stack = b.leaves[:0], append(b.stack[:0], 0)
	for len(b.stack) > 0 {
		i := b.stack[len(b.stack)-1]
		b.stack = b.stack[:len(b.stack)-1]
		if budget--; budget < 0 {
			return false
		}
		if modes[i] == modeLeaf {
			b.f.layout.node(treeNode{kind: leafKind})
			b.leaves = append(b.leaves, i)
			continue
		}
		if b.losesNaN(i) {
			return false
		}
		c := b.t.children[i]
		node, sides := b.t.split(i)
		switch sides {
		case onlyTrue:
			b.stack = append(b.stack, c[0])
		case onlyFalse:
			b.stack = append(b.stack, c[1])
		case swapped:
			b.f.layout.node(node)
			b.stack = append(b.stack, c[0], c[1])
		case asIs:
			if node.or = b.goesOn(i); node.or {
				b.stack = append(b.stack, c[1])
			} else {
				b.stack = append(b.stack, c[1], c[0])
			}
			b.f.layout.node(node)
		}
	}
	return true
}

// fill gives the leaves their values.
func (b *treeBuilder) fill() {
	w := &b.t.weights
	clear(b.filled[:len(b.targets)])
	values := b.f.layout.values(len(b.targets), len(b.leaves))
	for j, i := range b.leaves {
		for _, k := range w.order[w.first[i]:w.first[i+1]] {
			at := int(b.column[w.targets[k]]) - 1
			binary.LittleEndian.PutUint32(values[4*(at*len(b.leaves)+j):], math.Float32bits(w.values[k]))
			b.filled[at]++
		}
	}
	for k, id := range b.targets {
		b.some[id] = true
		b.f.has[id] = b.f.has[id] || b.filled[k] == len(b.leaves)
		b.column[id] = 0
	}
}

// alwaysOrNever says that the trees give something, and each target of which a leaf has a value gets one
// of each row. One that some rows' leaves have a value for and others' have not makes ONNX Runtime's finish
// differ from row to row. Where other trees give it to all, a leaf without one adds 0.
func (b *treeBuilder) alwaysOrNever() bool {
	return slices.Equal(b.some, b.f.has) && slices.Contains(b.some, true)
}

// linked says whether a node asks for equality, and its false side, next, does too and has the
// same true side.
func (b *treeBuilder) linked(i int32) (next int32, ok bool) {
	modes, sides := b.t.modes, b.t.children[i]
	next = sides[1]
	return next, modes[i] == modeEqual && modes[next] == modeEqual && sides[0] == b.t.children[next][0]
}

// goesOn says whether a node is a link of a chain that stays one.
func (b *treeBuilder) goesOn(i int32) bool {
	next, ok := b.linked(i)
	if !ok || b.shared != inChains {
		return false
	}
	_, sides := b.t.split(next)
	return sides == asIs // not so, where it asks for equality with NaN
}

// losesNaN says whether a node sends NaN on to the next link, which asks the same column, and
// that to the true side. ONNX Runtime makes one test of such a chain, for some values, and asks
// the first node alone about NaN.
func (b *treeBuilder) losesNaN(i int32) bool {
	t := b.t
	next, ok := b.linked(i)
	return ok && len(t.missing) > 0 && t.features[i] == t.features[next] && t.missing[i] != 1 && t.missing[next] == 1
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
func (s *sourceTree) split(i int32) (treeNode, sides) {
	t, nan := s.values[i], len(s.missing) > 0 && s.missing[i] == 1
	node := func(kind splitKind, threshold float32) treeNode {
		return treeNode{kind: kind, feature: uint32(s.features[i]), threshold: threshold}
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
	mode := s.modes[i]
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
