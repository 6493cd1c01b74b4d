package models

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/models/onnxpb"
)

// dropLabels takes predicted labels that are strings off a graph's outputs, and
// of its nodes those that served them alone. It keeps the last output, and
// notes in m what is left.
func dropLabels(m *Model, g *onnxpb.GraphProto) (rewrites []string) {
	t := newTracer(g)
	drop := map[string]bool{}
	for i := range m.Outputs {
		if len(drop) < len(m.Outputs)-1 && t.isStringLabel(m.Outputs[i].Name) {
			drop[m.Outputs[i].Name] = true
			rewrites = append(rewrites, fmt.Sprintf("output %.80q left out: labels that are strings", m.Outputs[i].Name))
		}
	}
	if len(drop) == 0 {
		return nil
	}
	var outputs []Value
	var labels []ClassLabels
	for i, v := range m.Outputs {
		if !drop[v.Name] {
			outputs, labels = append(outputs, v), append(labels, m.labels[i])
		}
	}
	m.Outputs, m.labels = outputs, labels
	g.Output = slices.DeleteFunc(g.GetOutput(), func(o *onnxpb.ValueInfoProto) bool { return drop[o.GetName()] })
	dropUnused(g, t, drop)
	return rewrites
}

// isStringLabel says whether a value is, by way of operators that keep values,
// the label of a classifier, or one picked from a list, that is a string.
func (t *tracer) isStringLabel(name string) bool {
	for range maxTrace {
		n := t.producer[name]
		switch {
		case n == nil || len(n.GetInput()) == 0:
			return false
		case isOp(n, "", "Identity"), isOp(n, "", "Reshape"), isOp(n, "", "Squeeze"), isOp(n, "", "Flatten"):
			name = n.GetInput()[0]
		case isOp(n, "", "Cast"):
			if ElementType(attribute(n, "to").GetI()) != String {
				return false
			}
			name = n.GetInput()[0]
		case isOp(n, mlDomain, "ArrayFeatureExtractor"), isOp(n, "", "Gather"):
			c := t.constants[n.GetInput()[0]]
			return c != nil && ElementType(c.GetDataType()) == String
		case isOp(n, mlDomain, "LabelEncoder"):
			return encodedType(n) == String
		case isOp(n, mlDomain, "TreeEnsembleClassifier"), isOp(n, mlDomain, "LinearClassifier"), isOp(n, mlDomain, "SVMClassifier"):
			return n.GetOutput()[0] == name && len(attribute(n, "classlabels_strings").GetStrings()) > 0
		default:
			return false
		}
	}
	return false
}

// dropUnused deletes the nodes, and of those initializers, that only values
// named in from came of.
func dropUnused(g *onnxpb.GraphProto, t *tracer, from map[string]bool) {
	used := countTaken(g)
	gone := map[*onnxpb.NodeProto]bool{}
	queue := make([]string, 0, len(from))
	for name := range from {
		queue = append(queue, name)
	}
	touched := map[string]bool{}
	for len(queue) > 0 {
		name := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		n := t.producer[name]
		if n == nil || gone[n] || slices.ContainsFunc(n.GetOutput(), func(o string) bool { return used[o] > 0 }) {
			continue
		}
		gone[n] = true
		for _, in := range n.GetInput() {
			used[in]--
			touched[in] = true
			if used[in] == 0 {
				queue = append(queue, in)
			}
		}
	}
	g.Node = slices.DeleteFunc(g.GetNode(), func(n *onnxpb.NodeProto) bool { return gone[n] })
	unused := func(name string) bool { return (touched[name] || from[name]) && used[name] == 0 }
	g.Initializer = slices.DeleteFunc(g.GetInitializer(), func(c *onnxpb.TensorProto) bool {
		return unused(c.GetName()) && !slices.ContainsFunc(g.GetInput(), func(v *onnxpb.ValueInfoProto) bool { return v.GetName() == c.GetName() })
	})
	g.ValueInfo = slices.DeleteFunc(g.GetValueInfo(), func(v *onnxpb.ValueInfoProto) bool { return unused(v.GetName()) })
}
