package models

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/millrace/millrace/models/onnxpb"
)

// StripZipMap gives a model whose ZipMap outputs are the tensors they were made
// from. A ZipMap turns scores [N,C] into a sequence of N maps from label to
// score, one allocation after another; the tensor holds the same numbers, and
// OutputLabels the labels of its columns.
//
// Each ZipMap that ends, by way of Identity operators at most, in graph outputs
// alone becomes an Identity, which ONNX Runtime removes, so every name in the
// graph stays. A ZipMap whose maps are used otherwise is left, and its output
// is still a sequence of maps. m is not changed; changed is false, and the
// model m itself, when there is nothing to strip.
func StripZipMap(m *Model) (stripped *Model, changed bool, err error) {
	if !m.hasZipMap() {
		return m, false, nil
	}
	return m.reparsed(withoutZipMap)
}

// hasZipMap says whether withoutZipMap could find something.
func (m *Model) hasZipMap() bool {
	return slices.ContainsFunc(m.Outputs, func(v Value) bool { return v.Kind == SequenceOfMaps })
}

// withoutZipMap is the rewriter of StripZipMap.
func withoutZipMap(m *Model, p *parsedModel) (changed bool, err error) {
	outputs := stripZipMaps(p.ModelProto)
	if len(outputs) == 0 {
		return false, nil
	}
	m.Outputs = slices.Clone(m.Outputs)
	m.Rewrites = slices.Clone(m.Rewrites)
	for i, v := range m.Outputs {
		if !outputs[v.Name] {
			continue
		}
		_, out, err := signature(&onnxpb.GraphProto{Output: p.GetGraph().GetOutput()[i : i+1]})
		if err != nil {
			return false, fmt.Errorf("strip ZipMap: %w", err)
		}
		m.Outputs[i] = out[0]
		m.Rewrites = append(m.Rewrites, fmt.Sprintf("ZipMap taken off output %.80q", v.Name))
	}
	return true, nil
}

// stripZipMaps changes the graph and names the outputs that became tensors.
func stripZipMaps(p *onnxpb.ModelProto) map[string]bool {
	g := p.GetGraph()
	s := zipMapStripper{
		used: countUses(g), identities: map[string][]string{}, isOutput: map[string]bool{},
		declared: map[string][]*onnxpb.ValueInfoProto{}, types: typesOf(g),
	}
	for _, o := range g.GetOutput() {
		s.isOutput[o.GetName()] = true
	}
	for _, list := range [][]*onnxpb.ValueInfoProto{g.GetValueInfo(), g.GetInput(), g.GetOutput()} {
		for _, v := range list {
			s.declared[v.GetName()] = append(s.declared[v.GetName()], v)
		}
	}
	for _, n := range g.GetNode() {
		if isOp(n, "", "Identity") && len(n.GetInput()) == 1 && len(n.GetOutput()) == 1 {
			s.identities[n.GetInput()[0]] = append(s.identities[n.GetInput()[0]], n.GetOutput()[0])
		}
	}
	changed := map[string]bool{}
	for _, n := range g.GetNode() {
		if !isOp(n, "ai.onnx.ml", "ZipMap") || len(n.GetInput()) != 1 || len(n.GetOutput()) != 1 {
			continue
		}
		names, ok := s.endsInOutputs(n.GetOutput()[0])
		if !ok {
			continue
		}
		typ, ok := s.scoresType(n)
		if !ok {
			continue
		}
		n.OpType, n.Domain, n.Attribute = new("Identity"), nil, nil
		for name := range names {
			for _, v := range s.declared[name] {
				v.Type = proto.CloneOf(typ)
			}
			if s.isOutput[name] {
				changed[name] = true
			}
		}
	}
	if len(changed) > 0 {
		importDefaultOpset(p)
	}
	return changed
}

// zipMapStripper is what stripZipMaps knows of the graph.
type zipMapStripper struct {
	used       map[string]int      // how often a value is taken
	identities map[string][]string // a value's names after one Identity
	isOutput   map[string]bool
	declared   map[string][]*onnxpb.ValueInfoProto
	types      *typeTracer
}

// endsInOutputs gives the names a value has on its way through Identity
// operators, and whether that way ends nowhere but in graph outputs.
func (s *zipMapStripper) endsInOutputs(name string) (names map[string]bool, ok bool) {
	names = map[string]bool{name: true}
	queue := []string{name}
	for len(queue) > 0 {
		name, queue = queue[0], queue[1:]
		ok = ok || s.isOutput[name]
		if s.used[name] != len(s.identities[name]) {
			return nil, false
		}
		for _, next := range s.identities[name] {
			if !names[next] {
				names[next] = true
				queue = append(queue, next)
			}
		}
	}
	return names, ok
}

// scoresType is the type of a ZipMap's input: as the graph declares it, else
// [?,C] of what its operators give, or where that is not known of what its maps are
// declared to hold. Exporters write maps to double over a pipeline in double, which
// ZipMap itself does not take, so that only the stripped model can run; and over trees
// in it, which give floats. It is false for a declared width that is not the number of
// classes, which ONNX Runtime's ZipMap would refuse and an Identity let pass.
func (s *zipMapStripper) scoresType(zipMap *onnxpb.NodeProto) (*onnxpb.TypeProto, bool) {
	classes := labelsOf(zipMap).Len()
	for _, v := range s.declared[zipMap.GetInput()[0]] {
		if t := v.GetType().GetTensorType(); t != nil {
			dims := t.GetShape().GetDim()
			if len(dims) == 0 {
				return v.GetType(), true
			}
			width, known := dims[len(dims)-1].GetValue().(*onnxpb.TensorShapeProto_Dimension_DimValue)
			return v.GetType(), !known || width.DimValue == int64(classes)
		}
	}
	elem := s.types.of(zipMap.GetInput()[0]).elem
	if elem != Float32 && elem != Float64 {
		elem = s.mapValues(zipMap.GetOutput()[0])
	}
	columns := &onnxpb.TensorShapeProto_Dimension{}
	if classes > 0 {
		columns.Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: int64(classes)}
	}
	return &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: &onnxpb.TypeProto_Tensor{
		ElemType: new(int32(elem)),
		Shape:    &onnxpb.TensorShapeProto{Dim: []*onnxpb.TensorShapeProto_Dimension{{}, columns}},
	}}}, true
}

// mapValues is the type that the maps of a ZipMap's output are declared to hold.
func (s *zipMapStripper) mapValues(output string) ElementType {
	for _, v := range s.declared[output] {
		maps := v.GetType().GetSequenceType().GetElemType().GetMapType()
		if ElementType(maps.GetValueType().GetTensorType().GetElemType()) == Float64 {
			return Float64
		}
	}
	return Float32
}

// countUses counts how often nodes take a value, in the graph and in all graphs
// inside it; an inner graph's own output counts too, for it may be an outer
// value.
func countUses(g *onnxpb.GraphProto) map[string]int {
	used := map[string]int{}
	eachGraph(g, func(in *onnxpb.GraphProto) {
		for _, n := range in.GetNode() {
			for _, name := range n.GetInput() {
				used[name]++
			}
		}
		if in != g {
			countOutputs(in, used)
		}
	})
	return used
}

// countTaken counts the graph's own outputs, too.
func countTaken(g *onnxpb.GraphProto) map[string]int {
	used := countUses(g)
	countOutputs(g, used)
	return used
}

func countOutputs(g *onnxpb.GraphProto, used map[string]int) {
	for _, o := range g.GetOutput() {
		used[o.GetName()]++
	}
}

// importDefaultOpset makes Identity available. A model that does not import
// ai.onnx uses none of its operators, so any version with Identity does.
func importDefaultOpset(p *onnxpb.ModelProto) {
	for _, o := range p.GetOpsetImport() {
		if plainDomain(o.GetDomain()) == "" {
			return
		}
	}
	p.OpsetImport = append(p.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: new(""), Version: proto.Int64(9)})
}
