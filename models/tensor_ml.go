package models

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/models/onnxpb"
)

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
	return func(m *Model, p *parsedModel) (changed bool, err error) {
		if !rewritable(p.ModelProto) {
			leaveAll(left)
			return false, nil
		}
		rewrites := foldLeaves(newKernelRewriter(p, m.folder))
		if opts.DropLabels {
			rewrites = append(rewrites, dropLabels(m, p.GetGraph())...)
		}
		r := newMLRewriter(p.ModelProto)
		r.run(isML, r.replace)
		*left = append(*left, r.left...)
		rewrites = append(rewrites, r.rewrites...)
		if len(rewrites) == 0 {
			return false, nil
		}
		importTensors(m, p.ModelProto, r.opset)
		m.Rewrites = slices.Concat(m.Rewrites, rewrites)
		return true, nil
	}
}

// isML says whether a node is of ai.onnx.ml, and no trees.
func isML(n *onnxpb.NodeProto) bool {
	return plainDomain(n.GetDomain()) == mlDomain && !treeOperators[n.GetOpType()]
}

// mlRewriter replaces operators of ai.onnx.ml but for trees.
type mlRewriter struct {
	*tensorRewriter
	changed string // an operator that keeps ai.onnx from being raised to mlOpsetMost
}

// mlRewrites are the operators that are rewritten. Each appends to b what
// computes a node's outputs, or says why the node is left.
var mlRewrites = map[string]func(r *mlRewriter, n *onnxpb.NodeProto, b *graphBuilder) (why string){
	"Scaler": scalerTensors, "Imputer": imputerTensors, "Binarizer": binarizerTensors, "Normalizer": normalizerTensors,
	"FeatureVectorizer": vectorizerTensors, "ArrayFeatureExtractor": extractorTensors,
	"OneHotEncoder": oneHotTensors, "LabelEncoder": labelEncoderTensors,
	"LinearRegressor": regressorTensors, "LinearClassifier": classifierTensors,
}

func newMLRewriter(p *onnxpb.ModelProto) *mlRewriter {
	r := &mlRewriter{tensorRewriter: newTensorRewriter(p)}
	if r.opset == 0 { // then there is no operator of it
		r.opset = opsetWhenNone
	}
	r.changed = changedOp(r.graph, r.opset, mlOpsetMost)
	return r
}

// replace fills b with what takes n's place, or says why it is left.
func (r *mlRewriter) replace(n *onnxpb.NodeProto, b *graphBuilder) (why string) {
	rewrite := mlRewrites[n.GetOpType()]
	if rewrite == nil {
		return "there are no tensor operators for it"
	}
	if slices.Contains(n.GetInput(), "") || slices.Contains(n.GetOutput(), "") || len(n.GetOutput()) == 0 || len(n.GetInput()) == 0 {
		return "an input or output of it is left out"
	}
	if why := rewrite(r, n, b); why != "" {
		return why
	}
	if b.needs > r.opset {
		if r.changed != "" || b.needs > mlOpsetMost {
			return fmt.Sprintf("it takes operators of ai.onnx %d; the model imports %d, and its %s may have changed since", b.needs, r.opset, r.changed)
		}
		r.opset = b.needs
	}
	r.say("%s of %.80q runs on tensor operators", n.GetOpType(), mainOutput(n))
	return ""
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
