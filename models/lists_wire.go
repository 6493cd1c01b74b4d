package models

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Lists of fewer elements are parsed like everything else, and so are those in more pieces
// than writers make.
const (
	leastApart = 4096
	mostPieces = 256
)

// Field numbers of onnx-ml.proto.
const (
	modelGraph, graphNode                          = 7, 1
	nodeOpType, nodeAttribute, nodeDomain          = 4, 5, 7
	attributeName, attributeBytes                  = 1, 4
	attributeFloats, attributeInts, attributeTexts = 7, 8, 9
)

// wireList is a repeated field in wire format, well formed.
type wireList struct {
	field  protowire.Number
	pieces []piece
	n      int // elements
}

// piece is some elements in a row: packed, or each behind a tag of one byte.
type piece struct {
	bytes  []byte
	packed bool
}

// of gives the list where it is of a field, else none.
func (l wireList) of(field protowire.Number) wireList {
	if l.field != field {
		return wireList{}
	}
	return l
}

func (l wireList) reader() wireReader { return wireReader{left: l.pieces} }

// wireReader takes elements off the front of a list, of which so many must be left.
type wireReader struct {
	piece
	left []piece // behind it
}

// skipTag goes to the next element's value.
func (r *wireReader) skipTag() {
	for len(r.bytes) == 0 {
		r.piece, r.left = r.left[0], r.left[1:]
	}
	if !r.packed {
		r.bytes = r.bytes[1:]
	}
}

func (r *wireReader) ints(to []int64) {
	for i := range to {
		r.skipTag()
		n := 1
		if v := r.bytes[0]; v < 0x80 {
			to[i] = int64(v)
		} else {
			var v uint64
			v, n = protowire.ConsumeVarint(r.bytes)
			to[i] = int64(v)
		}
		r.bytes = r.bytes[n:]
	}
}

func (r *wireReader) floats(to []float32) {
	for i := range to {
		r.skipTag()
		to[i] = math.Float32frombits(binary.LittleEndian.Uint32(r.bytes))
		r.bytes = r.bytes[4:]
	}
}

func (r *wireReader) text() []byte {
	r.skipTag()
	text, n := protowire.ConsumeBytes(r.bytes)
	r.bytes = r.bytes[n:]
	return slices.Clip(text)
}

// cutter takes long lists of tree ensembles out of a model's main graph, and layouts that
// UseKernels put there. A file may have the graph in pieces, which the parser puts
// together: nodes are counted through all.
type cutter struct {
	found []apartList
	nodes int
}

// apartList is a list and the place of its attribute.
type apartList struct {
	node, attribute int
	list            wireList
}

func (c *cutter) graph(b []byte) []byte { return replaced(b, graphNode, c.node) }

func (c *cutter) node(b []byte) []byte {
	node := c.nodes
	c.nodes++
	if len(b) < leastApart {
		return b
	}
	cut := cutList
	switch domain, op := operatorOf(b); {
	case domain == KernelDomain:
		cut = cutLayout
	case plainDomain(domain) != mlDomain || !strings.HasPrefix(op, "TreeEnsemble"):
		return b
	}
	attribute := -1
	return replaced(b, nodeAttribute, func(b []byte) []byte {
		attribute++
		rest, list := cut(b)
		if list.n > 0 {
			c.found = append(c.found, apartList{node: node, attribute: attribute, list: list})
		}
		return rest
	})
}

// operatorOf reads what a node is. Of a field that stands twice the last counts.
func operatorOf(node []byte) (domain, op string) {
	eachField(node, func(num protowire.Number, typ protowire.Type, content []byte, _, _ int) {
		switch {
		case typ != protowire.BytesType:
		case num == nodeDomain:
			domain = string(content)
		case num == nodeOpType:
			op = string(content)
		}
	})
	return domain, op
}

// eachField visits a message's fields, which lie from at to end; content is that of bytes. It stops
// where the message is damaged.
func eachField(b []byte, visit func(num protowire.Number, typ protowire.Type, content []byte, at, end int)) {
	for at := 0; at < len(b); {
		num, typ, tag := protowire.ConsumeTag(b[at:])
		if tag < 0 {
			return
		}
		n := protowire.ConsumeFieldValue(num, typ, b[at+tag:])
		if n < 0 {
			return
		}
		var content []byte
		if typ == protowire.BytesType {
			content, _ = protowire.ConsumeBytes(b[at+tag:])
		}
		visit(num, typ, content, at, at+tag+n)
		at += tag + n
	}
}

// replaced gives a message in which other messages, of one field, are shorter; the same bytes where
// none is.
func replaced(b []byte, field protowire.Number, shorter func(content []byte) []byte) []byte {
	var out []byte
	done := 0
	eachField(b, func(num protowire.Number, typ protowire.Type, content []byte, at, end int) {
		if num != field || typ != protowire.BytesType {
			return
		}
		if now := shorter(content); len(now) < len(content) {
			out = append(out, b[done:at]...)
			out = protowire.AppendTag(out, num, typ)
			out = protowire.AppendBytes(out, now)
			done = end
		}
	})
	if done == 0 {
		return b
	}
	return append(out, b[done:]...)
}

// cutLayout takes an attribute's bytes out of it.
func cutLayout(attribute []byte) (rest []byte, list wireList) {
	rest = attribute
	times := 0
	eachField(attribute, func(num protowire.Number, typ protowire.Type, content []byte, at, end int) {
		if num != attributeBytes || typ != protowire.BytesType {
			return
		}
		times++
		if len(content) >= leastApart && attribute[at] < 0x80 {
			rest = slices.Concat(attribute[:at], attribute[end:])
			list = wireList{field: num, pieces: []piece{{bytes: attribute[at:end]}}, n: 1}
		}
	})
	if times > 1 { // of which the parser takes the last
		return attribute, wireList{}
	}
	return rest, list
}

// cutList takes an attribute's list out of it, where that is a long one of nodes or weights, and the only one.
// Others, those of classes among them, are for all who look at a graph.
func cutList(attribute []byte) (rest []byte, list wireList) {
	if len(attribute) < leastApart {
		return attribute, list
	}
	var name string
	for at := 0; at < len(attribute); {
		b := attribute[at:]
		num, typ, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return attribute, wireList{}
		}
		if num != attributeInts && num != attributeFloats && num != attributeTexts {
			n := protowire.ConsumeFieldValue(num, typ, b[tag:])
			if n < 0 {
				return attribute, wireList{}
			}
			if num == attributeName && typ == protowire.BytesType {
				content, _ := protowire.ConsumeBytes(b[tag:])
				name = string(content)
			}
			rest = append(rest, b[:tag+n]...)
			at += tag + n
			continue
		}
		p, size, elements := pieceOf(b, num, typ, tag)
		if size == 0 || list.n > 0 && list.field != num || len(list.pieces) == mostPieces {
			return attribute, wireList{}
		}
		list.field, list.n = num, list.n+elements
		list.pieces = append(list.pieces, p)
		at += size
	}
	if list.n < leastApart || !ofForest(name) {
		return attribute, wireList{}
	}
	return rest, list
}

func ofForest(name string) bool {
	for _, prefix := range []string{"nodes_", "target_", "class_", "leaf_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// pieceOf gives the elements of a list that a message begins with, and the size of all in it; 0 for what
// the parser should judge.
func pieceOf(b []byte, num protowire.Number, typ protowire.Type, tag int) (p piece, size, elements int) {
	switch {
	case tag != 1:
		return p, 0, 0
	case typ == protowire.BytesType && num != attributeTexts:
		content, n := protowire.ConsumeBytes(b[tag:])
		if n < 0 {
			return p, 0, 0
		}
		p, size = piece{bytes: content, packed: true}, tag+n
		if num == attributeFloats {
			if len(content)%4 != 0 {
				return p, 0, 0
			}
			return p, size, len(content) / 4
		}
		for len(content) > 0 {
			_, n := protowire.ConsumeVarint(content)
			if n < 0 {
				return p, 0, 0
			}
			content = content[n:]
			elements++
		}
		return p, size, elements
	case num == attributeInts && typ != protowire.VarintType, num == attributeFloats && typ != protowire.Fixed32Type, num == attributeTexts && typ != protowire.BytesType:
		return p, 0, 0 // a field that is not known
	}
	for size < len(b) && b[size] == b[0] {
		n := valueSize(b[size+1:], typ)
		if n < 0 {
			break
		}
		size += 1 + n
		elements++
	}
	return piece{bytes: b[:size]}, size, elements
}

// valueSize is protowire.ConsumeFieldValue of short values, which trees have millions of.
func valueSize(b []byte, typ protowire.Type) int {
	switch {
	case typ == protowire.Fixed32Type && len(b) >= 4:
		return 4
	case typ == protowire.VarintType && len(b) > 0 && b[0] < 0x80:
		return 1
	case typ == protowire.BytesType && len(b) > 0 && b[0] < 0x80 && len(b) > int(b[0]):
		return 1 + int(b[0])
	}
	return protowire.ConsumeFieldValue(0, typ, b)
}
