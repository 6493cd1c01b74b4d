package models

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/models/onnxpb"
)

const mlDomain = "ai.onnx.ml"

// MLTensors says how MLToTensors goes about it; the zero value keeps every
// output.
type MLTensors struct {
	// DropLabels takes predicted labels that are strings off the outputs, since
	// no device holds strings, where another output stays.
	DropLabels bool
}

// MLToTensors gives a model whose operators of ai.onnx.ml are the tensor
// operators of ai.onnx that compute the same, for which every execution provider
// has kernels: ONNX Runtime has those of ai.onnx.ml on the CPU alone. These are
// Scaler, Imputer, Binarizer, Normalizer, FeatureVectorizer,
// ArrayFeatureExtractor, LinearRegressor and LinearClassifier, and OneHotEncoder
// and LabelEncoder of numbers. Tree ensembles are not looked at, and not named.
//
// Imputer, Binarizer, OneHotEncoder, LabelEncoder and Scaler give the values
// that ONNX Runtime's operators give, but for the sign of a zero, which its Where
// loses on the CPU; sums of the others may be added in another order and differ
// in their last bits. Where the operator fails a whole run for
// one value, the tensors cannot: an unknown category of a OneHotEncoder with
// zeros=0 and a NaN in a Binarizer give NaN.
//
// Only nodes of the main graph are rewritten that are understood in full; left
// says of each other, in one sentence, what it is and why it was left. The
// imported version of ai.onnx is raised where it is too old and the model has
// only operators that did not change meanwhile. Names of values stay. m is not
// changed; changed is false, and the model m itself, when nothing is rewritten.
func MLToTensors(m *Model, opts MLTensors) (rewritten *Model, changed bool, left []string, err error) {
	if !m.hasML() {
		return m, false, nil, nil
	}
	rewritten, changed, err = m.reparsed(withMLTensors(opts, &left))
	return rewritten, changed, left, err
}

// hasML says whether withMLTensors could find something.
func (m *Model) hasML() bool {
	return slices.ContainsFunc(m.Operators, func(o Operator) bool { return o.Domain == mlDomain }) ||
		slices.ContainsFunc(m.Outputs, func(v Value) bool { return v.Elem == String })
}

// withMLTensors is the rewriter of MLToTensors; it appends to left.
func withMLTensors(opts MLTensors, left *[]string) rewriter {
	return func(m *Model, p *onnxpb.ModelProto) (changed bool, err error) {
		g := p.GetGraph()
		// A function may bear the name of an operator and mean something else.
		if len(p.GetFunctions()) > 0 || len(g.GetNode()) > maxKernelNodes {
			*left = append(*left, "the whole model: it has functions of its own, or too many nodes")
			return false, nil
		}
		var rewrites []string
		if opts.DropLabels {
			rewrites = dropLabels(m, g)
		}
		r := newMLRewriter(p)
		r.run()
		*left = append(*left, r.left...)
		rewrites = append(rewrites, r.rewrites...)
		if len(rewrites) == 0 {
			return false, nil
		}
		r.imports()
		m.Opsets = opsetsOf(p)
		m.Rewrites = slices.Concat(m.Rewrites, rewrites)
		return true, nil
	}
}

// mlRewriter replaces nodes of one graph by tensor operators.
type mlRewriter struct {
	proto    *onnxpb.ModelProto
	types    *typeTracer
	names    *freshNames
	used     map[string]int // a graph output counts as well
	mlOpset  int64
	opset    int64 // of ai.onnx, as imported or to be imported
	raisable bool  // up to maxRaised
	rewrites []string
	left     []string
}

// mlRewrites are the operators that are rewritten. Each appends to b what
// computes a node's outputs, or says why the node is left.
var mlRewrites = map[string]func(r *mlRewriter, n *onnxpb.NodeProto, b *tensorBuilder) (why string){
	"Scaler": scalerTensors, "Imputer": imputerTensors, "Binarizer": binarizerTensors, "Normalizer": normalizerTensors,
	"FeatureVectorizer": vectorizerTensors, "ArrayFeatureExtractor": extractorTensors,
	"OneHotEncoder": oneHotTensors, "LabelEncoder": labelEncoderTensors,
	"LinearRegressor": regressorTensors, "LinearClassifier": classifierTensors,
}

func newMLRewriter(p *onnxpb.ModelProto) *mlRewriter {
	g := p.GetGraph()
	r := &mlRewriter{proto: p, types: newTypeTracer(g), names: newFreshNames(g), used: countUses(g), mlOpset: 1}
	for _, o := range g.GetOutput() {
		r.used[o.GetName()]++
	}
	for _, o := range p.GetOpsetImport() {
		switch plainDomain(o.GetDomain()) {
		case "":
			r.opset = o.GetVersion()
		case mlDomain:
			r.mlOpset = o.GetVersion()
		}
	}
	if r.opset == 0 { // then there is no operator of it
		r.opset = opsetWhenNone
	}
	r.raisable = raisable(g, r.opset)
	return r
}

func (r *mlRewriter) run() {
	g := r.proto.GetGraph()
	nodes := make([]*onnxpb.NodeProto, 0, len(g.GetNode()))
	for _, n := range g.GetNode() {
		r.inner(n)
		made, why := r.replacement(n)
		r.types.node(n)
		if why != "" {
			r.left = append(r.left, fmt.Sprintf("%s of %.80q: %s", n.GetOpType(), mainOutput(n), why))
		}
		if made == nil {
			nodes = append(nodes, n)
			continue
		}
		nodes = append(nodes, made...)
		r.declare(made, n.GetOutput())
		r.rewrites = append(r.rewrites, fmt.Sprintf("%s of %.80q runs on tensor operators", n.GetOpType(), mainOutput(n)))
	}
	g.Node = nodes
}

// declare writes down the types of a replaced node's outputs, which are harder to
// tell from tensor operators.
func (r *mlRewriter) declare(made []*onnxpb.NodeProto, outputs []string) {
	g := r.proto.GetGraph()
	for _, name := range outputs {
		isMade := slices.ContainsFunc(made, func(n *onnxpb.NodeProto) bool { return slices.Contains(n.GetOutput(), name) })
		if _, declared := r.types.declared[name]; isMade && !declared {
			if info := r.types.of(name).info(name); info != nil {
				g.ValueInfo = append(g.ValueInfo, info)
			}
		}
	}
}

// replacement gives the nodes that take n's place, or why it is left; neither
// for nodes that need none.
func (r *mlRewriter) replacement(n *onnxpb.NodeProto) ([]*onnxpb.NodeProto, string) {
	if plainDomain(n.GetDomain()) != mlDomain || treeOperators[n.GetOpType()] {
		return nil, ""
	}
	rewrite := mlRewrites[n.GetOpType()]
	if rewrite == nil {
		return nil, "there are no tensor operators for it"
	}
	if slices.Contains(n.GetInput(), "") || slices.Contains(n.GetOutput(), "") || len(n.GetOutput()) == 0 || len(n.GetInput()) == 0 {
		return nil, "an input or output of it is left out"
	}
	b := &tensorBuilder{names: r.names, opset: r.opset, base: mainOutput(n)}
	if why := rewrite(r, n, b); why != "" {
		return nil, why
	}
	if b.needs > r.opset {
		if !r.raisable || b.needs > maxRaised {
			return nil, fmt.Sprintf("it takes operators of ai.onnx %d; the model imports %d, and has operators that changed since", b.needs, r.opset)
		}
		r.opset = b.needs
	}
	return b.nodes, ""
}

// mainOutput names a node to a person: its last output, which for classifiers is
// the scores.
func mainOutput(n *onnxpb.NodeProto) string {
	if out := n.GetOutput(); len(out) > 0 {
		return out[len(out)-1]
	}
	return n.GetName()
}

// inner names the operators inside a node's graphs, which are left.
func (r *mlRewriter) inner(n *onnxpb.NodeProto) {
	for _, a := range n.GetAttribute() {
		for _, g := range append(slices.Clone(a.GetGraphs()), a.GetG()) {
			for _, in := range g.GetNode() {
				if plainDomain(in.GetDomain()) == mlDomain && !treeOperators[in.GetOpType()] {
					r.left = append(r.left, fmt.Sprintf("%s of %.80q: it stands in a graph inside %s", in.GetOpType(), mainOutput(in), n.GetOpType()))
				}
				r.inner(in)
			}
		}
	}
}

// input is what is known of a node's one input.
func (r *mlRewriter) input(n *onnxpb.NodeProto, outputs int) (x tensorType, why string) {
	if len(n.GetInput()) != 1 || len(n.GetOutput()) != outputs {
		return x, "it has another number of inputs or outputs than the operator"
	}
	x = r.types.of(n.GetInput()[0])
	switch x.elem {
	case Undefined:
		return x, "the type of its input is not known"
	case String:
		return x, whyStrings
	}
	return x, ""
}

const (
	whyStrings    = "it takes strings, which no device holds"
	whyAttributes = "its attributes are not those of the operator"
	whyRank       = "its input is not known to have one or two dimensions"
	whyColumns    = "the number of its columns is not known"
)

func whyType(t ElementType) string { return "it takes " + t.String() }
