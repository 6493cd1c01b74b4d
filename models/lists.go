package models

import (
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/millrace/millrace/models/onnxpb"
)

// parsedModel is a parsed model of which the long lists of tree ensembles, and the layouts that
// UseKernels makes of them, are left in the file's bytes. A number of a list is a byte or two and its
// tag there, and 8 bytes in a Go slice; the name of a node's mode 12 bytes, and 48. Who reads trees in
// their order takes them from there; who wants the attributes themselves makes them whole first.
type parsedModel struct {
	*onnxpb.ModelProto
	apart lists
}

// lists are those that attributes, which are empty meanwhile, are without.
type lists map[*onnxpb.AttributeProto]wireList

// unmarshal parses the bytes of a model that scan has let pass, or that was written here.
func unmarshal(data []byte) (*parsedModel, error) {
	c := cutter{}
	rest := replaced(data, modelGraph, c.graph)
	p := &parsedModel{ModelProto: new(onnxpb.ModelProto)}
	if err := (proto.UnmarshalOptions{RecursionLimit: maxMessageDepth + 1}).Unmarshal(rest, p.ModelProto); err != nil {
		return nil, err
	}
	if len(c.found) > 0 {
		p.apart = make(lists, len(c.found))
	}
	for _, f := range c.found {
		p.apart[p.GetGraph().GetNode()[f.node].GetAttribute()[f.attribute]] = f.list
	}
	return p, nil
}

// whole puts every list into its attribute, as if none had been apart.
func (p *parsedModel) whole() {
	p.apart.whole(p.GetGraph().GetNode()...)
	p.apart = nil // of nodes that were replaced
}

// whole puts the lists of nodes into their attributes. Texts and layouts are the very bytes of the file.
func (l lists) whole(nodes ...*onnxpb.NodeProto) {
	if len(l) == 0 {
		return
	}
	for _, n := range nodes {
		for _, a := range n.GetAttribute() {
			list, ok := l[a]
			if !ok {
				continue
			}
			delete(l, a)
			r := list.reader()
			switch list.field {
			case attributeInts:
				a.Ints = make([]int64, list.n)
				r.ints(a.Ints)
			case attributeFloats:
				a.Floats = make([]float32, list.n)
				r.floats(a.Floats)
			case attributeBytes:
				a.S = r.text()
			case attributeTexts:
				a.Strings = make([][]byte, list.n)
				for i := range a.Strings {
					a.Strings[i] = r.text()
				}
			}
		}
	}
}

// ints, floats and texts give an attribute's list to be read, wherever it lies.
func (l lists) ints(a *onnxpb.AttributeProto) intList {
	list := l[a].of(attributeInts)
	return intList{len: len(a.GetInts()) + list.n, values: a.GetInts(), wire: list.reader()}
}

func (l lists) floats(a *onnxpb.AttributeProto) floatList {
	list := l[a].of(attributeFloats)
	return floatList{len: len(a.GetFloats()) + list.n, values: a.GetFloats(), wire: list.reader()}
}

func (l lists) texts(a *onnxpb.AttributeProto) textList {
	list := l[a].of(attributeTexts)
	return textList{len: len(a.GetStrings()) + list.n, values: a.GetStrings(), wire: list.reader()}
}

// Lists are read from the front: len is of the whole. Who reads one twice reads copies.
type (
	intList struct {
		len    int
		values []int64
		wire   wireReader
	}
	floatList struct {
		len    int
		values []float32
		wire   wireReader
	}
	textList struct {
		len    int
		values [][]byte
		wire   wireReader
	}
)

// tooLarge is what a number above those of int32 is read as.
const tooLarge = math.MinInt32

// read takes numbers, as many as there is room for, which must be left. Below 0 all are -1: nothing
// that trees are made of is.
func (l *intList) read(to []int32) {
	var some [256]int64
	for len(to) > 0 {
		next := some[:min(len(some), len(to))]
		if len(l.values) > 0 {
			l.values = l.values[copy(next, l.values):]
		} else {
			l.wire.ints(next)
		}
		for i, v := range next {
			switch {
			case v < 0:
				v = -1
			case v > math.MaxInt32:
				v = tooLarge
			}
			to[i] = int32(v)
		}
		to = to[len(next):]
	}
}

func (l *floatList) read(to []float32) {
	if len(l.values) > 0 {
		l.values = l.values[copy(to, l.values):]
		return
	}
	l.wire.floats(to)
}

func (l *textList) next() []byte {
	if len(l.values) > 0 {
		text := l.values[0]
		l.values = l.values[1:]
		return text
	}
	return l.wire.text()
}
