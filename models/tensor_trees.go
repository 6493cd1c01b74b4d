package models

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/models/onnxpb"
)

// TensorTrees are the options of TreesToTensors.
type TensorTrees struct {
	Form TreeForm // empty is FormAuto
	// Transposed makes the first operator over an ensemble's input a Transpose to
	// [F,N], in which form columns lie in Arrow, and on a GPU the rows that
	// threads beside each other read; all that follows has rows last.
	Transposed bool
}

// TreesToTensors gives a model whose tree ensembles are operators of ai.onnx on
// tensors, all of which ONNX Runtime's CUDA provider has kernels for, and none of
// which it has for ai.onnx.ml. Every row comes to the same leaves, NaN and
// default directions included; sums of leaves may be added in another order and
// differ in their last bits; post-transforms differ by rounding. A test of
// membership takes equal values alone, as it should; that of ONNX Runtime 1.31.1
// takes 4.5 for 4.
//
// Taken are the TreeEnsembleRegressor, -Classifier and TreeEnsemble of the main
// graph that are understood in full, over inputs whose type and width the graph
// tells. A predicted label is worked out only where something takes it, and then
// must be a number: MLTensors.DropLabels takes others off. left says what stays,
// and why, one sentence each. m is not changed; changed is false, and the model m
// itself, when nothing is rewritten.
//
// Kernels on CUDA count elements in 32 bits: RowElements of the model times the
// rows of a batch must stay below 2^31.
func TreesToTensors(m *Model, opts TensorTrees) (rewritten *Model, changed bool, left []string, err error) {
	if !m.hasTrees() {
		return m, false, nil, nil
	}
	rewritten, changed, err = m.reparsed(withTensorTrees(opts, &left))
	return rewritten, changed, left, err
}

// RowElements is how many elements, for each row of a batch, the largest tensor
// has that TreesToTensors put into the graph; 0 where it put in none.
func (m *Model) RowElements() int { return m.rowElements }

func (m *Model) hasTrees() bool { return slices.ContainsFunc(m.Operators, isTrees) }

func isTrees(o Operator) bool { return o.Domain == "ai.onnx.ml" && treeOperators[o.Name] }

var treeOperators = map[string]bool{"TreeEnsembleRegressor": true, "TreeEnsembleClassifier": true, "TreeEnsemble": true}

// withTensorTrees is the rewriter of TreesToTensors.
func withTensorTrees(opts TensorTrees, left *[]string) rewriter {
	return func(m *Model, p *parsedModel) (changed bool, err error) {
		switch opts.Form {
		case "":
			opts.Form = FormAuto
		case FormAuto, FormGEMM, FormPerfect, FormTraversal:
		default:
			return false, fmt.Errorf("%w: trees have no form %q", ErrModel, opts.Form)
		}
		if !rewritable(p.ModelProto) {
			leaveAll(left)
			return false, nil
		}
		p.whole()
		w := newTreeRewriter(p.ModelProto, opts)
		w.run(isTreeNode, w.replace)
		*left = append(*left, w.left...)
		if len(w.rewrites) == 0 {
			return false, nil
		}
		importTensors(m, p.ModelProto, w.opset)
		m.Rewrites = slices.Concat(m.Rewrites, w.rewrites)
		m.rowElements = max(m.rowElements, w.most)
		return true, nil
	}
}

func isTreeNode(n *onnxpb.NodeProto) bool {
	return plainDomain(n.GetDomain()) == mlDomain && treeOperators[n.GetOpType()]
}

// treeRewriter rewrites the ensembles of one graph.
type treeRewriter struct {
	*tensorRewriter
	opts    TensorTrees
	changed string // an operator that keeps ai.onnx from being raised
	most    int
}

func newTreeRewriter(p *onnxpb.ModelProto, opts TensorTrees) *treeRewriter {
	w := &treeRewriter{tensorRewriter: newTensorRewriter(p), opts: opts}
	if w.opset < treesOpsetLeast {
		w.changed = changedOp(w.graph, w.opset, treesOpset)
		w.opset = treesOpset
	}
	return w
}

// replace fills b with what computes the same as n, or says why it cannot.
func (w *treeRewriter) replace(n *onnxpb.NodeProto, b *graphBuilder) string {
	if w.changed != "" {
		return fmt.Sprintf("the model imports an ai.onnx older than %d, and its %s may differ in a later one", treesOpsetLeast, w.changed)
	}
	outputs := 1
	classifier := n.GetOpType() == "TreeEnsembleClassifier"
	if classifier {
		outputs = 2
	}
	if len(n.GetInput()) != 1 || len(n.GetOutput()) != outputs || slices.Contains(n.GetOutput(), "") {
		return "it has not the inputs and outputs that it should have"
	}
	input := w.types.of(n.GetInput()[0])
	switch input.elem {
	case Float64:
		b.real = Float64
	case Float32, Int64, Int32:
	default:
		return fmt.Sprintf("its input is %s", input.elem)
	}
	s, why := w.read(n, classifier, b.real)
	if why != "" {
		return why
	}
	if input.rank != 2 || input.width() < int64(s.width) {
		return fmt.Sprintf("it splits on %d features, and its input is not known to have them", s.width)
	}
	if len(s.labels.Strings) > 0 && w.used[n.GetOutput()[0]] > 0 {
		return "its labels are strings, which no device holds"
	}
	trees, why := s.simplified(b.real)
	if why != "" {
		return why
	}
	sum := &treeSum{treeGraph: &treeGraph{graphBuilder: b, transposed: w.opts.Transposed}, source: s}
	var ok bool
	if sum.has, ok = hasTargets(s, trees); !ok {
		return "some rows have a value for a target, and some have none"
	}
	all := make([]*tensorTree, len(trees))
	for i := range trees {
		all[i] = &trees[i]
	}
	groups := groupTrees(all, w.opts.Form)
	if sum.tableValues(groups) > maxTableValues { // perfect trees have the largest
		groups = groupTrees(all, FormTraversal)
	}
	if sum.tableValues(groups) > maxTableValues {
		return "its tables would be too large"
	}
	w.write(n, sum, groups, input)
	return ""
}

// read reads the ensemble of any of the three operators.
func (w *treeRewriter) read(n *onnxpb.NodeProto, classifier bool, elem ElementType) (*treeSource, string) {
	if n.GetOpType() == "TreeEnsemble" {
		return readTreeSource5(n, elem)
	}
	return readTreeSource(n, classifier, elem)
}

// simplified gives the trees of the source.
func (s *treeSource) simplified(elem ElementType) ([]tensorTree, string) {
	simplifier := treeSimplifier{nodes: s.nodes, narrow: elem == Float32}
	trees := make([]tensorTree, len(s.roots))
	for i, root := range s.roots {
		var ok bool
		if trees[i], ok = simplifier.simplify(root); !ok {
			return nil, fmt.Sprintf("a tree is more than %d splits deep", maxTensorDepth)
		}
	}
	return trees, ""
}

// write adds the operators from the node's input to its outputs.
func (w *treeRewriter) write(n *onnxpb.NodeProto, b *treeSum, groups []treeGroup, input tensorType) {
	x := n.GetInput()[0]
	if b.transposed {
		x = b.transpose(x)
	}
	b.prepare(b.castFrom(x, input.elem, b.real), int(input.width()), groups)
	finish := treeFinish{treeSum: b}
	scores := b.all(groups)
	if b.source.classifier {
		scores = finish.withBase(scores)
		if label := n.GetOutput()[0]; w.used[label] > 0 {
			b.give(finish.label(scores), label)
		}
		scores = finish.probabilities(scores)
	} else {
		scores = finish.regression(scores)
	}
	if n.GetOpType() != "TreeEnsemble" {
		scores = b.castFrom(scores, b.real, Float32)
	}
	b.give(scores, mainOutput(n))
	w.most = max(w.most, b.most)
	w.say("%s of %.80q (%d trees) became tensor operators: %s", n.GetOpType(), mainOutput(n), len(b.source.roots), describe(groups))
}

// classLabels are the labels that ONNX Runtime gives classes of numbers: of two
// that both have scores, whatever their labels are, 0 and 1.
func (s *treeSource) classLabels() []int64 {
	if s.targets == 2 && !s.binary {
		return []int64{0, 1}
	}
	return s.labels.Ints
}

func describe(groups []treeGroup) string {
	parts := make([]string, len(groups))
	for i, g := range groups {
		what := "levels"
		if g.form == FormGEMM {
			what = "splits"
		}
		parts[i] = fmt.Sprintf("%d %s of %d %s", len(g.trees), g.form, g.depth, what)
	}
	return strings.Join(parts, ", ")
}
