package models

import (
	"encoding/binary"
	"math"
)

// forestLayout is what engine/ort/forest.c reads: words of 4 bytes, little-endian.
//
//	head       magic "MRF1", width, targets, trees, flags, transform,
//	           base values, most nodes of a tree, 4 words 0
//	           base values  [targets]  float32, 0 where there are none
//	           has          [targets]  1 or 0
//	each tree  nodes, leaves, targets
//	           target ids   [targets]
//	           nodes        [nodes]    feature | kind << 24 | or << 31, threshold
//	           values       [targets][leaves]  float32
//
// Nodes lie root first, each followed by its true side and then its false side,
// so that no index is stored, and none can be wrong. A split with or is followed by its false
// side alone, a split on equality whose true side it has, too.
type forestLayout struct {
	bytes []byte
	tree  int // where the tree begins that is written
	nodes int // of that tree so far
	most  int // nodes of a tree
}

const headWords, treeWords = 12, 3

// newForestLayout has room for the trees, unless nodes are in them more than once, and for a head of
// so many targets, which is written last.
func newForestLayout(targets, trees, nodes, weights int) forestLayout {
	head := headWords + 2*targets
	words := head + trees*treeWords + min(trees*targets, weights) + 2*nodes + weights
	return forestLayout{bytes: make([]byte, 4*head, 4*words)}
}

func (l *forestLayout) word(v uint32) { l.bytes = binary.LittleEndian.AppendUint32(l.bytes, v) }

// begin begins a tree of some targets, by ascending id.
func (l *forestLayout) begin(targets []int32) {
	l.tree, l.nodes = len(l.bytes), 0
	l.word(0) // nodes
	l.word(0) // leaves
	l.word(uint32(len(targets)))
	for _, id := range targets {
		l.word(uint32(id))
	}
}

func (l *forestLayout) node(n treeNode) {
	head := n.feature | uint32(n.kind)<<24 | flag(n.or, 1<<31)
	l.bytes = binary.LittleEndian.AppendUint64(l.bytes, uint64(head)|uint64(math.Float32bits(n.threshold))<<32)
	l.nodes++
}

// values gives the tree room for its leaves' values, which are 0: of each target, one after the other.
func (l *forestLayout) values(targets, leaves int) []byte {
	binary.LittleEndian.PutUint32(l.bytes[l.tree:], uint32(l.nodes))
	binary.LittleEndian.PutUint32(l.bytes[l.tree+4:], uint32(leaves))
	l.most = max(l.most, l.nodes)
	at := len(l.bytes)
	l.bytes = append(l.bytes, make([]byte, 4*targets*leaves)...)
	return l.bytes[at:]
}

// encode completes the layout by its head.
func (f *forest) encode() []byte {
	b := []byte("MRF1")
	word := func(v uint32) { b = binary.LittleEndian.AppendUint32(b, v) }
	for _, v := range []uint32{
		uint32(f.width), uint32(f.targets), uint32(f.trees),
		flag(f.average, 1) | flag(f.classifier, 2) | flag(f.binary, 4) | flag(f.positive, 8),
		f.transform, uint32(len(f.base)), uint32(f.layout.most), 0, 0, 0, 0,
	} {
		word(v)
	}
	for i := range f.targets {
		base := float32(0)
		if i < len(f.base) {
			base = f.base[i]
		}
		word(math.Float32bits(base))
	}
	for _, has := range f.has {
		word(flag(has, 1))
	}
	copy(f.layout.bytes, b)
	return f.layout.bytes
}

func flag(v bool, bit uint32) uint32 {
	if v {
		return bit
	}
	return 0
}
