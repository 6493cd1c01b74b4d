package models

import (
	"encoding/binary"

	"github.com/millrace/millrace/models/onnxpb"
)

// maxTrace bounds how far a value is followed, and maxPicked how many picked
// labels are looked at, so that a hostile graph takes no longer than a large
// one. Exporters need about ten steps and one pick per classifier.
const (
	maxTrace  = 256
	maxPicked = 64
)

// tracer follows values of the main graph back to what made them.
type tracer struct {
	producer  map[string]*onnxpb.NodeProto
	constants map[string]*onnxpb.TensorProto
	nodes     []*onnxpb.NodeProto
}

func newTracer(g *onnxpb.GraphProto) *tracer {
	t := &tracer{
		producer: map[string]*onnxpb.NodeProto{}, constants: map[string]*onnxpb.TensorProto{}, nodes: g.GetNode(),
	}
	for _, c := range g.GetInitializer() {
		t.constants[c.GetName()] = c
	}
	for _, n := range g.GetNode() {
		for _, name := range n.GetOutput() {
			t.producer[name] = n
		}
		if isOp(n, "", "Constant") && len(n.GetOutput()) == 1 {
			if c := attribute(n, "value").GetT(); c != nil {
				t.constants[n.GetOutput()[0]] = c
			}
		}
	}
	return t
}

// outputLabels gives each output's class labels, found by three signs, which
// cover what skl2onnx and onnxmltools write: the output comes, by way of
// operators that keep columns where they are, from a ZipMap or from the scores
// of a classifier of ai.onnx.ml, each of which lists its classes; or the
// predicted label is picked from a constant list by the ArgMax of the same
// scores (skl2onnx for classifiers without an operator of their own).
func outputLabels(g *onnxpb.GraphProto, outputs []Value) []ClassLabels {
	t := newTracer(g)
	picks := t.picks()
	all := make([]ClassLabels, len(outputs))
	for i, v := range outputs {
		labels, seen := t.trace(v.Name)
		if labels.Len() == 0 {
			labels = picked(picks, seen)
		}
		// A binary decision function has one column for two classes.
		if v.Kind == Tensor && len(v.Shape) > 0 {
			if c := v.Shape[len(v.Shape)-1].Size; len(v.Shape) > 1 && c >= 0 && c != int64(labels.Len()) {
				labels = ClassLabels{}
			}
		}
		all[i] = labels
	}
	return all
}

// trace walks back from a value through operators that keep columns in place.
// It gives the labels of the classifier it arrives at, if any, and the nodes'
// outputs it came through.
func (t *tracer) trace(name string) (ClassLabels, map[string]bool) {
	seen := map[string]bool{}
	for {
		n := t.producer[name]
		if n == nil || seen[name] || len(seen) == maxTrace {
			return ClassLabels{}, seen
		}
		seen[name] = true
		switch {
		case isOp(n, "ai.onnx.ml", "ZipMap"):
			return labelsOf(n), seen
		case isOp(n, "ai.onnx.ml", "TreeEnsembleClassifier"), isOp(n, "ai.onnx.ml", "LinearClassifier"),
			isOp(n, "ai.onnx.ml", "SVMClassifier"):
			if out := n.GetOutput(); len(out) > 1 && out[1] == name {
				return labelsOf(n), seen
			}
			return ClassLabels{}, seen
		}
		next := t.through(n)
		if next == "" {
			return ClassLabels{}, seen
		}
		name = next
	}
}

// through is the input whose columns a node's output keeps, or "".
func (t *tracer) through(n *onnxpb.NodeProto) string {
	in := n.GetInput()
	if len(in) == 0 {
		return ""
	}
	if isOp(n, "ai.onnx.ml", "Normalizer") {
		return in[0]
	}
	if plainDomain(n.GetDomain()) != "" {
		return ""
	}
	switch n.GetOpType() {
	case "Identity", "Cast", "CastLike", "Softmax", "LogSoftmax", "Sigmoid", "Clip", "Exp", "Log", "Neg", "Dropout",
		"Reshape", "Flatten":
		return in[0]
	case "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min":
		// With a constant, or by something of the scores themselves, such as
		// their sum.
		if len(in) == 2 && t.constants[in[0]] != nil {
			return in[1]
		}
		return in[0]
	}
	return ""
}

// pick is a predicted label's list of classes and the values that hold the
// scores it is picked by.
type pick struct {
	labels ClassLabels
	scores map[string]bool
}

// picks finds ArrayFeatureExtractor(classes, ArgMax(scores)).
func (t *tracer) picks() (all []pick) {
	for _, n := range t.nodes {
		if !isOp(n, "ai.onnx.ml", "ArrayFeatureExtractor") || len(n.GetInput()) != 2 {
			continue
		}
		classes := t.constants[n.GetInput()[0]]
		if classes == nil {
			continue
		}
		_, indices := t.trace(n.GetInput()[1])
		for name := range indices {
			if arg := t.producer[name]; isOp(arg, "", "ArgMax") && len(arg.GetInput()) == 1 {
				_, scores := t.trace(arg.GetInput()[0])
				all = append(all, pick{labels: tensorLabels(classes), scores: scores})
			}
		}
		if len(all) >= maxPicked {
			return all
		}
	}
	return all
}

// picked gives the labels picked by scores that are, or are kept by, one of the
// values seen.
func picked(picks []pick, seen map[string]bool) ClassLabels {
	for _, p := range picks {
		for name := range seen {
			if p.scores[name] {
				return p.labels
			}
		}
	}
	return ClassLabels{}
}

// labelsOf reads a node's classes; operators disagree on the name for integers.
func labelsOf(n *onnxpb.NodeProto) ClassLabels {
	if s := attribute(n, "classlabels_strings").GetStrings(); len(s) > 0 {
		return stringLabels(s)
	}
	for _, name := range []string{"classlabels_int64s", "classlabels_ints"} {
		if v := attribute(n, name).GetInts(); len(v) > 0 {
			return ClassLabels{Ints: v}
		}
	}
	return ClassLabels{}
}

// tensorLabels reads a constant list of classes: strings, int64 or int32.
func tensorLabels(t *onnxpb.TensorProto) ClassLabels {
	raw := t.GetRawData()
	switch ElementType(t.GetDataType()) {
	case String:
		return stringLabels(t.GetStringData())
	case Int64:
		ints := t.GetInt64Data()
		for i := 0; i+8 <= len(raw); i += 8 {
			ints = append(ints, int64(binary.LittleEndian.Uint64(raw[i:])))
		}
		return ClassLabels{Ints: ints}
	case Int32:
		var ints []int64
		for _, v := range t.GetInt32Data() {
			ints = append(ints, int64(v))
		}
		for i := 0; i+4 <= len(raw); i += 4 {
			ints = append(ints, int64(int32(binary.LittleEndian.Uint32(raw[i:]))))
		}
		return ClassLabels{Ints: ints}
	}
	return ClassLabels{}
}

func stringLabels(values [][]byte) ClassLabels {
	labels := ClassLabels{Strings: make([]string, len(values))}
	for i, s := range values {
		labels.Strings[i] = string(s)
	}
	return labels
}

func isOp(n *onnxpb.NodeProto, domain, op string) bool {
	return n.GetOpType() == op && plainDomain(n.GetDomain()) == domain
}

func attribute(n *onnxpb.NodeProto, name string) *onnxpb.AttributeProto {
	for _, a := range n.GetAttribute() {
		if a.GetName() == name {
			return a
		}
	}
	return nil
}
