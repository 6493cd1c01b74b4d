package models

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// woods are trees whose lists are long enough to be left apart: 9 of 512 leaves, or one of 4,608.
func woods(trees int64) *onnxtest.Trees {
	t := &onnxtest.Trees{}
	leaves := 9 * 512 / trees
	for tree := range trees {
		for i := range 2*leaves - 1 {
			if i >= leaves-1 {
				t.Node(tree, i, "LEAF", -1, 0, -1, 1<<40)
				t.Weight(tree, i, 0, float32(i)/float32(tree+1))
				continue
			}
			mode := []string{"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_NEQ"}[i%5]
			t.Node(tree, i, mode, (i+tree)%300, float32(i-200), 2*i+1, 2*i+2)
		}
	}
	return t
}

// listFields are the fields of an attribute's list, one by one or packed.
func listFields(a *pb.AttributeProto, first, last int, packed bool) (b []byte) {
	var all []byte
	for i := first; i < last; i++ {
		var value []byte
		var field protowire.Number
		var typ protowire.Type
		switch {
		case len(a.Ints) > 0:
			value, field, typ = protowire.AppendVarint(nil, uint64(a.Ints[i])), attributeInts, protowire.VarintType
		case len(a.Floats) > 0:
			value, field, typ = protowire.AppendFixed32(nil, math.Float32bits(a.Floats[i])), attributeFloats, protowire.Fixed32Type
		default:
			b = protowire.AppendBytes(protowire.AppendTag(b, attributeTexts, protowire.BytesType), a.Strings[i])
			continue
		}
		b = append(protowire.AppendTag(b, field, typ), value...)
		all = append(all, value...)
	}
	switch {
	case !packed || len(a.Strings) > 0:
		return b
	case len(a.Ints) > 0:
		return protowire.AppendBytes(protowire.AppendTag(nil, attributeInts, protowire.BytesType), all)
	}
	return protowire.AppendBytes(protowire.AppendTag(nil, attributeFloats, protowire.BytesType), all)
}

func listLength(a *pb.AttributeProto) int { return max(len(a.Ints), len(a.Floats), len(a.Strings)) }

func nameField(name string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, attributeName, protowire.BytesType), name)
}

func typeField(a *pb.AttributeProto) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, 20, protowire.VarintType), uint64(a.GetType()))
}

// writtenAs gives a model's bytes in which the lists of its first node are written otherwise.
func writtenAs(tb testing.TB, p *pb.ModelProto, write func(a *pb.AttributeProto) []byte) []byte {
	tb.Helper()
	p = proto.CloneOf(p)
	n := p.Graph.Node[0]
	var raw []byte
	for _, a := range n.Attribute {
		content, err := proto.Marshal(a)
		if err != nil {
			tb.Fatal(err)
		}
		if listLength(a) >= leastApart {
			content = write(a)
		}
		raw = protowire.AppendBytes(protowire.AppendTag(raw, nodeAttribute, protowire.BytesType), content)
	}
	n.Attribute = nil
	n.ProtoReflect().SetUnknown(raw) // which are written behind the rest as they are
	return onnxtest.Bytes(tb, p)
}

// encodings are ways to write lists, those of other programs and odd ones.
var encodings = map[string]func(a *pb.AttributeProto) []byte{
	"one by one": func(a *pb.AttributeProto) []byte {
		return slices.Concat(nameField(a.GetName()), listFields(a, 0, listLength(a), false), typeField(a))
	},
	"packed": func(a *pb.AttributeProto) []byte {
		return slices.Concat(nameField(a.GetName()), listFields(a, 0, listLength(a), true), typeField(a))
	},
	"in pieces of both kinds": func(a *pb.AttributeProto) []byte {
		n := listLength(a)
		return slices.Concat(listFields(a, 0, 0, true), listFields(a, 0, n/3, true), nameField("x"), listFields(a, n/3, n/2, false), typeField(a), listFields(a, n/2, n, true), nameField(a.GetName()))
	},
	"with fields that are not known": func(a *pb.AttributeProto) []byte {
		odd := protowire.AppendVarint(protowire.AppendTag(nil, 77, protowire.VarintType), 7)
		odd = protowire.AppendTag(protowire.AppendTag(odd, 78, protowire.StartGroupType), 78, protowire.EndGroupType)
		n := listLength(a)
		return slices.Concat(odd, listFields(a, 0, n/2, false), odd, nameField(a.GetName()), listFields(a, n/2, n, false), typeField(a), odd)
	},
	"of a type that the field has not": func(a *pb.AttributeProto) []byte {
		odd := protowire.AppendFixed64(protowire.AppendTag(nil, attributeInts, protowire.Fixed64Type), 7)
		return slices.Concat(nameField(a.GetName()), listFields(a, 0, listLength(a), false), odd, typeField(a))
	},
	"in very many pieces": func(a *pb.AttributeProto) (b []byte) {
		for i := range 2 * mostPieces {
			b = append(b, listFields(a, i, i+1, i%2 == 0)...)
		}
		return slices.Concat(nameField(a.GetName()), b, listFields(a, 2*mostPieces, listLength(a), false), typeField(a))
	},
	"with a tag of two bytes": func(a *pb.AttributeProto) []byte {
		b := listFields(a, 0, listLength(a), false)
		return slices.Concat(nameField(a.GetName()), []byte{b[0] | 0x80, 0}, b[1:], typeField(a))
	},
	"of two kinds": func(a *pb.AttributeProto) []byte {
		more := listFields(&pb.AttributeProto{Floats: make([]float32, leastApart)}, 0, leastApart, false)
		if len(a.Floats) > 0 {
			more = nil
		}
		return slices.Concat(nameField(a.GetName()), listFields(a, 0, listLength(a), false), more, typeField(a))
	},
}

// However lists are written: put back they are what a plain parser makes of them, and so is what the
// model is rewritten into.
func TestListsApart(t *testing.T) {
	labels := make([]string, maxForestTargets) // long, and not apart
	two := woods(9)
	for i := range int64(9 * 512) {
		two.Weight(i%9, 511+i/9, 1, float32(i))
	}
	for kind, p := range map[string]*pb.ModelProto{
		"regressor": woods(9).Regressor(300, 1), "of base values": woods(9).Regressor(300, 1, onnxtest.Floats("base_values", 1)),
		"classifier": two.Classifier(300, onnxtest.Strings("classlabels_strings", labels...)),
	} {
		lists := map[string]int{
			"one by one": 11, "packed": 11, "in pieces of both kinds": 11, "with fields that are not known": 11,
			"of two kinds": 2, "in very many pieces": 1, // of numbers, and of texts
		}
		for name, write := range encodings {
			data := writtenAs(t, p, write)
			got, err := unmarshal(data)
			if err != nil {
				t.Fatalf("%s, %s: %v", kind, name, err)
			}
			if len(got.apart) != lists[name] {
				t.Errorf("%s, %s: %d lists are apart; want %d", kind, name, len(got.apart), lists[name])
			}
			sameWhole(t, data)
			sameRewritten(t, kind+", "+name, data, withCPUKernels)
		}
		if kind != "classifier" { // whose 4,096 classes are too many
			sameRewritten(t, kind+" as tensors", onnxtest.Bytes(t, p), withTensorTrees(TensorTrees{}, new([]string)))
		}
		sameRewritten(t, kind+" that stays", onnxtest.Bytes(t, p), renamed)
	}
	// Whose leaves are put together.
	sum := woods(1).Regressor(300, 1)
	n := proto.CloneOf(sum.Graph.Node[0])
	sum.Graph.Node[0].Output[0], n.Output[0] = "a", "b"
	sum.Graph.Node = append(sum.Graph.Node, n, onnxtest.Node("Sum", onnxtest.Names("a", "b"), onnxtest.Names("y")))
	sameRewritten(t, "a sum", onnxtest.Bytes(t, sum), withCPUKernels)
	if m, _ := use(t, sum); len(m.Rewrites) != 2 {
		t.Errorf("rewrites of a sum are %q; want that of its leaves and of its trees", m.Rewrites)
	}
}

// The layout that trees became is apart as well, when their model is rewritten again.
func TestLayoutsApart(t *testing.T) {
	k, _ := use(t, woods(9).Regressor(300, 1))
	p, err := unmarshal(k.Data())
	if err != nil || len(p.apart) != 1 {
		t.Errorf("%d layouts are apart, %v; want one", len(p.apart), err)
	}
	sameWhole(t, k.Data())
	sameWhole(t, twoLayouts(t))
	sameRewritten(t, "a layout", k.Data(), renamed)
}

// twoLayouts are bytes of a model, made by nobody, in which an attribute has two values.
func twoLayouts(tb testing.TB) []byte {
	tb.Helper()
	field := protowire.AppendTag(nil, attributeBytes, protowire.BytesType)
	a := &pb.AttributeProto{Name: new("forest"), S: make([]byte, 2*leastApart)}
	a.ProtoReflect().SetUnknown(protowire.AppendBytes(field, make([]byte, 8)))
	n := &pb.NodeProto{OpType: new("TreesRegressor"), Domain: new(KernelDomain), Attribute: []*pb.AttributeProto{a}}
	return onnxtest.Bytes(tb, &pb.ModelProto{Graph: &pb.GraphProto{Node: []*pb.NodeProto{n}}})
}

// renamed changes something else.
func renamed(m *Model, p *parsedModel) (bool, error) {
	m.ours = true
	p.ProducerName = new("another")
	return true, nil
}

// sameRewritten compares what a model is rewritten into with what it is without lists apart.
func sameRewritten(t *testing.T, name string, data []byte, rewrite rewriter) {
	t.Helper()
	full := new(pb.ModelProto)
	err := proto.Unmarshal(data, full)
	got, err2 := unmarshal(data)
	if err != nil || err2 != nil {
		t.Fatalf("%s: %v, %v", name, err, err2)
	}
	m := &Model{}
	was, changed, err := m.rewritten(&parsedModel{ModelProto: full}, rewrite)
	is, changedToo, err2 := m.rewritten(got, rewrite)
	if err != nil || err2 != nil || !changed || !changedToo || !bytes.Equal(was.Data(), is.Data()) {
		t.Errorf("%s: rewritten %v, %v, and with lists apart %v, %v, or to other bytes", name, changed, err, changedToo, err2)
	}
}

// sameWhole compares lists that were put back with what a plain parser makes of a model.
func sameWhole(t *testing.T, data []byte) {
	t.Helper()
	full := new(pb.ModelProto)
	err := (proto.UnmarshalOptions{RecursionLimit: maxMessageDepth + 1}).Unmarshal(data, full)
	got, err2 := unmarshal(data)
	if (err == nil) != (err2 == nil) {
		t.Fatalf("a plain parser says %v, and with lists apart it is %v", err, err2)
	}
	if err != nil {
		return
	}
	got.whole()
	if len(got.apart) > 0 {
		t.Errorf("%d lists are apart still", len(got.apart))
	}
	marshal := proto.MarshalOptions{Deterministic: true}
	a, err := marshal.Marshal(full)
	b, err2 := marshal.Marshal(got.ModelProto)
	if err != nil || err2 != nil || !bytes.Equal(a, b) {
		t.Errorf("lists that were put back make another model (%d bytes, and %d; %v, %v)", len(a), len(b), err, err2)
	}
}

// FuzzLists: lists that were apart make the same model as those that never were.
//
//	go test ./models -run '^$' -fuzz FuzzLists -fuzzminimizetime 1x
func FuzzLists(f *testing.F) {
	for _, write := range encodings {
		f.Add(writtenAs(f, woods(9).Regressor(300, 1), write))
	}
	f.Add(twoLayouts(f))
	f.Fuzz(func(t *testing.T, data []byte) { sameWhole(t, data) })
}

// Weights in another order than the trees' are sorted, those of one leaf staying as they were.
func TestWeightsInAnyOrder(t *testing.T) {
	trees := woods(9)
	want, changed := use(t, trees.Regressor(300, 1))
	if !changed {
		t.Fatal("the trees are not taken")
	}
	p := trees.Regressor(300, 1)
	for _, a := range p.Graph.Node[0].Attribute {
		if strings.HasPrefix(a.GetName(), "target_") {
			slices.Reverse(a.Ints)
			slices.Reverse(a.Floats)
		}
	}
	if got, _ := use(t, p); !bytes.Equal(got.Data(), want.Data()) {
		t.Error("weights in another order make other trees")
	}
	for name, without := range map[string]*pb.ModelProto{"no tree": trees.Regressor(300, 1), "none of one": trees.Regressor(300, 2)} {
		for _, a := range without.Graph.Node[0].Attribute {
			if name == "none of one" && strings.HasPrefix(a.GetName(), "target_") {
				a.Ints, a.Floats = a.Ints[:min(len(a.Ints), 8*512)], a.Floats[:min(len(a.Floats), 8*512)]
			} else if a.GetName() == "target_treeids" {
				a.Ints[1000] = 99
			}
		}
		if _, changed := use(t, without); changed {
			t.Errorf("trees are taken with weights of %s", name)
		}
	}
}
