package models

import (
	"encoding/binary"
	"math"
)

// encode writes the layout that engine/ort/forest.c reads: words of 4 bytes,
// little-endian.
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
func (f *forest) encode() []byte {
	var b []byte
	word := func(v uint32) { b = binary.LittleEndian.AppendUint32(b, v) }
	flag := func(v bool, bit uint32) uint32 {
		if v {
			return bit
		}
		return 0
	}
	most := 0
	for i := range f.trees {
		most = max(most, len(f.trees[i].nodes))
	}
	b = append(b, "MRF1"...)
	for _, v := range []uint32{
		uint32(f.width), uint32(f.targets), uint32(len(f.trees)),
		flag(f.average, 1) | flag(f.classifier, 2) | flag(f.binary, 4) | flag(f.positive, 8),
		f.transform, uint32(len(f.base)), uint32(most), 0, 0, 0, 0,
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
	for i := range f.trees {
		t := &f.trees[i]
		word(uint32(len(t.nodes)))
		word(uint32(t.leaves))
		word(uint32(len(t.targets)))
		for _, id := range t.targets {
			word(uint32(id))
		}
		for _, n := range t.nodes {
			word(n.feature | uint32(n.kind)<<24 | flag(n.or, 1<<31))
			word(math.Float32bits(n.threshold))
		}
		for _, values := range t.values {
			for _, v := range values {
				word(math.Float32bits(v))
			}
		}
	}
	return b
}
