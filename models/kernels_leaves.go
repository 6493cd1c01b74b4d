package models

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/millrace/millrace/models/onnxpb"
)

// maxLeafValues bounds what is worked out of leaves, so that a hostile graph costs no more
// than its parsing did.
const maxLeafValues = 1 << 24

// foldLeaves puts trees together that a Sum adds up after operators that give the same for all
// rows of a leaf: it works out what they give of each leaf, and makes that the leaf's value in one
// ensemble. So skl2onnx writes IsolationForest, by 27 operators a tree, from the number of
// the leaf that a row is in to how deep it lies. What is worked out is of float32, operator by
// operator, and equal to what ONNX Runtime works out but for Log and Exp, of which it gives the
// last bit otherwise. Trees must be one an ensemble, of one value a leaf, over one input or columns
// chosen of it.
//
// It says what it did; r knows the graph as it was.
func foldLeaves(r *kernelRewriter) (said []string) {
	if !slices.ContainsFunc(r.graph.GetNode(), addsUp) {
		return nil
	}
	f := leafFolder{
		kernelRewriter: r, constants: constantsOnly(r.graph), columns: map[string]chosenColumns{}, values: map[string]leafValue{}, left: maxLeafValues,
	}
	gone := map[string]bool{}
	for i, n := range r.graph.GetNode() {
		f.follow(n)
		if !addsUp(n) {
			continue
		}
		ensemble, trees := f.sum(n)
		if ensemble == nil {
			continue
		}
		for _, name := range n.GetInput() {
			gone[name] = true
		}
		r.graph.Node[i] = ensemble
		said = append(said, fmt.Sprintf("what is computed from the leaves of %d trees before %.80q stands in the leaves", trees, n.GetOutput()[0]))
	}
	if len(said) > 0 {
		dropUnused(r.graph, newTracer(r.graph), gone)
	}
	return said
}

func addsUp(n *onnxpb.NodeProto) bool {
	return isOp(n, "", "Sum") && len(n.GetInput()) >= 2 && len(n.GetOutput()) == 1
}

// leafFolder knows what the values of a graph are of leaves.
type leafFolder struct {
	*kernelRewriter
	constants map[string]*onnxpb.TensorProto
	columns   map[string]chosenColumns
	values    map[string]leafValue
	left      int // leaves times operators, and nodes, that may still be worked out
}

// chosenColumns are columns of a value of two dimensions.
type chosenColumns struct {
	of      string
	indices []int64
}

// leafValue is a value [N, 1] that a row's leaf decides alone: for each leaf, in the order
// of the ensemble's list of values, a number of one type; bools are 0 and 1.
type leafValue struct {
	tree   *onnxpb.NodeProto // nil: a constant, of one number
	elem   ElementType
	floats []float32 // of Float32 and Bool
	ints   []int64   // of Int64
}

func (v *leafValue) len() int { return max(len(v.floats), len(v.ints)) }

// at is a number of float32 or bool; a constant has the same for all.
func (v *leafValue) at(leaf int) float32 { return v.floats[min(leaf, len(v.floats)-1)] }

// follow notes what a node gives, where a row's leaf decides it.
func (f *leafFolder) follow(n *onnxpb.NodeProto) {
	if len(n.GetOutput()) != 1 || len(n.GetInput()) == 0 {
		return
	}
	name := n.GetOutput()[0]
	if isOp(n, "", "Gather") && len(n.GetInput()) == 2 && attribute(n, "axis").GetI() == 1 && f.types.of(n.GetInput()[0]).rank == 2 {
		if c := f.constants[n.GetInput()[1]]; len(c.GetDims()) == 1 {
			if indices := tensorLabels(c).Ints; len(indices) > 0 && slices.Min(indices) >= 0 {
				f.columns[name] = chosenColumns{of: n.GetInput()[0], indices: indices}
			}
		}
		return
	}
	if isOp(n, mlDomain, "TreeEnsembleRegressor") {
		if weights, ok := f.oneTree(n); ok {
			f.values[name] = leafValue{tree: n, elem: Float32, floats: weights}
		}
		return
	}
	var in []leafValue
	var tree *onnxpb.NodeProto
	leaves := 0
	for _, input := range n.GetInput() {
		v, ok := f.values[input]
		if !ok {
			if v, ok = f.scalar(n, input); !ok {
				return
			}
		} else if tree == nil {
			tree, leaves = v.tree, v.len()
		}
		if v.tree != nil && v.tree != tree {
			return
		}
		in = append(in, v)
	}
	if f.left -= leaves; tree == nil || f.left < 0 {
		return
	}
	if v, ok := f.operator(n, in, leaves); ok && !anyNaN(v.floats) {
		v.tree = tree
		f.values[name] = v
	}
}

// oneTree gives the leaves' values of an ensemble of one tree and one target that adds nothing
// to them.
func (f *leafFolder) oneTree(n *onnxpb.NodeProto) ([]float32, bool) {
	if len(n.GetInput()) != 1 || !f.isFloat32(n.GetInput()[0]) {
		return nil, false
	}
	if _, one := runsOf(f.apart.ints(attribute(n, "nodes_treeids")), 1); !one {
		return nil, false // at a glance: reading a large forest takes long
	}
	f.apart.whole(n)
	forest, ok := readForest(n, nil, false, copied)
	if !ok || forest.targets != 1 || forest.trees != 1 || len(forest.base) > 0 || forest.average || forest.transform != 0 {
		return nil, false
	}
	seen := map[int64]bool{}
	for _, id := range attribute(n, "target_nodeids").GetInts() {
		if seen[id] {
			return nil, false // several that are added up
		}
		seen[id] = true
	}
	weights := attribute(n, "target_weights").GetFloats()
	if columns, ok := f.columns[n.GetInput()[0]]; ok && forest.width > len(columns.indices) {
		return nil, false
	}
	return weights, len(weights) > 0
}

// scalar is a constant of one number, of at most as many dimensions as leaves' values have;
// of Reshape the shape, which is read by operator.
func (f *leafFolder) scalar(n *onnxpb.NodeProto, name string) (leafValue, bool) {
	c := f.constants[name]
	if isOp(n, "", "Reshape") {
		return leafValue{}, c != nil && slices.Equal(tensorLabels(c).Ints, []int64{-1, 1})
	}
	floats, ok := f.floats(c, 1)
	return leafValue{elem: Float32, floats: floats}, ok && len(c.GetDims()) <= 2
}

// Operators of float32: of one input, of two or more from the left on, and of two to bool.
var (
	unaryOfLeaves = map[string]func(float32) float32{
		"Neg": func(x float32) float32 { return -x },
		"Abs": func(x float32) float32 { return float32(math.Abs(float64(x))) },
		"Log": func(x float32) float32 { return float32(math.Log(float64(x))) },
		"Exp": func(x float32) float32 { return float32(math.Exp(float64(x))) },
	}
	foldedOfLeaves = map[string]func(x, y float32) float32{
		"Add": func(x, y float32) float32 { return x + y },
		"Sub": func(x, y float32) float32 { return x - y },
		"Mul": func(x, y float32) float32 { return x * y },
		"Div": func(x, y float32) float32 { return x / y },
		"Max": func(x, y float32) float32 { return max(x, y) },
		"Min": func(x, y float32) float32 { return min(x, y) },
	}
	comparedOfLeaves = map[string]func(x, y float32) bool{
		"Equal":          func(x, y float32) bool { return x == y },
		"Less":           func(x, y float32) bool { return x < y },
		"LessOrEqual":    func(x, y float32) bool { return x <= y },
		"Greater":        func(x, y float32) bool { return x > y },
		"GreaterOrEqual": func(x, y float32) bool { return x >= y },
	}
)

// operator works a node out, for each leaf.
func (f *leafFolder) operator(n *onnxpb.NodeProto, in []leafValue, leaves int) (leafValue, bool) {
	x := in[0]
	if isOp(n, mlDomain, "LabelEncoder") {
		return f.encoded(n, x)
	}
	if plainDomain(n.GetDomain()) != "" {
		return leafValue{}, false
	}
	op := n.GetOpType()
	switch op {
	case "Identity", "Reshape":
		return x, x.tree != nil
	case "Cast":
		return cast(x, ElementType(attribute(n, "to").GetI()))
	}
	if slices.ContainsFunc(in, func(v leafValue) bool { return v.elem != Float32 }) {
		return leafValue{}, false
	}
	out := leafValue{elem: Float32, floats: make([]float32, leaves)}
	unary, fold, compare := unaryOfLeaves[op], foldedOfLeaves[op], comparedOfLeaves[op]
	for i := range out.floats {
		switch v := x.at(i); {
		case unary != nil && len(in) == 1:
			out.floats[i] = unary(v)
		case fold != nil && len(in) >= 2:
			for _, y := range in[1:] {
				v = fold(v, y.at(i))
			}
			out.floats[i] = v
		case compare != nil && len(in) == 2:
			out.elem = Bool
			if compare(v, in[1].at(i)) {
				out.floats[i] = 1
			}
		default:
			return leafValue{}, false
		}
	}
	return out, true
}

// cast gives the casts that leaves' numbers take.
func cast(x leafValue, to ElementType) (leafValue, bool) {
	out := leafValue{elem: to}
	switch {
	case to == Float32 && x.elem == Int64:
		for _, v := range x.ints {
			out.floats = append(out.floats, float32(v))
		}
	case to == Float32:
		out.floats = x.floats
	case to == Int64 && x.elem != Int64:
		for _, v := range x.floats {
			if !(math.Abs(float64(v)) < 1<<53) {
				return out, false
			}
			out.ints = append(out.ints, int64(v))
		}
	default:
		return out, false
	}
	return out, true
}

// encoded is a LabelEncoder of integers.
func (f *leafFolder) encoded(n *onnxpb.NodeProto, x leafValue) (out leafValue, ok bool) {
	c, why := readCoding(n, f.mlOpset)
	if why != "" || c.keyType != Int64 || x.elem != Int64 || c.valueType != Int64 && c.valueType != Float32 {
		return out, false
	}
	values, _ := numbersOf(c.values)
	places := make(map[int64]int, len(c.ints))
	for i, key := range c.ints {
		places[key] = i + 1
	}
	out.elem = c.valueType
	for _, v := range x.ints {
		if bits := values[places[v]]; c.valueType == Int64 {
			out.ints = append(out.ints, int64(bits))
		} else {
			out.floats = append(out.floats, float32(floatOfBits(bits, Float32)))
		}
	}
	return out, true
}

// sum is the ensemble that gives what a Sum of leaves' values does; nil where there is none.
func (f *leafFolder) sum(n *onnxpb.NodeProto) (_ *onnxpb.NodeProto, trees int) {
	var input string
	for i, name := range n.GetInput() {
		v, ok := f.values[name]
		if !ok || v.elem != Float32 {
			return nil, 0
		}
		from := f.columnsOf(v).of
		f.left -= len(attribute(v.tree, "nodes_nodeids").GetInts()) // a Sum may have the same tree many times
		if i > 0 && from != input || !f.isFloat32(from) || f.left < 0 {
			return nil, 0
		}
		input = from
	}
	var all ensembleLists
	for i, name := range n.GetInput() {
		v := f.values[name]
		all.add(int64(i), v, f.columnsOf(v).indices)
	}
	return all.node(input, n.GetOutput()[0]), len(n.GetInput())
}

// columnsOf are the columns that a value's tree looks at; of no indices for all of a value.
func (f *leafFolder) columnsOf(v leafValue) chosenColumns {
	from := v.tree.GetInput()[0]
	if c, ok := f.columns[from]; ok {
		return c
	}
	return chosenColumns{of: from}
}

// ensembleLists are the attributes of a TreeEnsembleRegressor of one target that are lists, by
// name.
type ensembleLists struct {
	ints   map[string][]int64
	floats map[string][]float32
	modes  [][]byte
}

// add appends a value's tree as one of a number, of features by number or among columns.
func (e *ensembleLists) add(id int64, v leafValue, columns []int64) {
	if e.ints == nil {
		e.ints, e.floats = map[string][]int64{}, map[string][]float32{}
	}
	ints := func(name string) []int64 { return attribute(v.tree, name).GetInts() }
	nodes := len(ints("nodes_nodeids"))
	for _, name := range []string{"nodes_nodeids", "nodes_truenodeids", "nodes_falsenodeids", "target_nodeids"} {
		e.ints[name] = append(e.ints[name], ints(name)...)
	}
	missing := ints("nodes_missing_value_tracks_true")
	if len(missing) == 0 {
		missing = make([]int64, nodes)
	}
	features := slices.Clone(ints("nodes_featureids"))
	for i, at := range features {
		if columns != nil && at >= 0 {
			features[i] = columns[at]
		}
	}
	e.ints["nodes_featureids"] = append(e.ints["nodes_featureids"], features...)
	e.ints["nodes_missing_value_tracks_true"] = append(e.ints["nodes_missing_value_tracks_true"], missing...)
	e.ints["nodes_treeids"] = append(e.ints["nodes_treeids"], slices.Repeat([]int64{id}, nodes)...)
	e.ints["target_treeids"] = append(e.ints["target_treeids"], slices.Repeat([]int64{id}, v.len())...)
	e.ints["target_ids"] = append(e.ints["target_ids"], make([]int64, v.len())...)
	e.floats["nodes_values"] = append(e.floats["nodes_values"], attribute(v.tree, "nodes_values").GetFloats()...)
	e.floats["target_weights"] = append(e.floats["target_weights"], v.floats...)
	e.modes = append(e.modes, attribute(v.tree, "nodes_modes").GetStrings()...)
}

func (e *ensembleLists) node(input, output string) *onnxpb.NodeProto {
	n := &onnxpb.NodeProto{
		Input: []string{input}, Output: []string{output}, OpType: new("TreeEnsembleRegressor"), Domain: new(mlDomain),
		Attribute: []*onnxpb.AttributeProto{
			intAttribute("n_targets", 1),
			{Name: new("nodes_modes"), Type: stringsType.Enum(), Strings: e.modes},
		},
	}
	for _, name := range slices.Sorted(maps.Keys(e.ints)) {
		n.Attribute = append(n.Attribute, &onnxpb.AttributeProto{Name: new(name), Type: intsType.Enum(), Ints: e.ints[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(e.floats)) {
		n.Attribute = append(n.Attribute, &onnxpb.AttributeProto{Name: new(name), Type: floatsType.Enum(), Floats: e.floats[name]})
	}
	return n
}
