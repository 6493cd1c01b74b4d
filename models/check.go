package models

import (
	"cmp"
	"maps"
	"slices"

	"github.com/millrace/millrace/models/onnxpb"
)

// maxOpset and maxIRVersion are far above what exists (opset 27 and IR 14 in
// 2026); a larger number is not a version but damage.
const (
	maxOpset     = 1000
	maxIRVersion = 1000
)

// knownDomains are the operator domains ONNX and ONNX Runtime bring
// (https://github.com/microsoft/onnxruntime/blob/main/include/onnxruntime/core/graph/constants.h).
var knownDomains = map[string]bool{
	"": true, "ai.onnx.ml": true, "ai.onnx.training": true, "ai.onnx.preview.training": true, "ai.onnx.preview": true,
	"com.microsoft": true, "com.microsoft.experimental": true, "com.microsoft.nchwc": true,
	"com.ms.internal.nhwc": true, "org.pytorch.aten": true,
}

// plainDomain gives the default domain its one spelling, the empty one.
func plainDomain(d string) string {
	if d == "ai.onnx" {
		return ""
	}
	return d
}

// checker walks a parsed model once. It checks what would make ONNX Runtime
// read outside the file, allocate without bound or fail obscurely; whether
// operators are used as their specification says is left to ONNX Runtime.
type checker struct {
	proto    *onnxpb.ModelProto
	opts     Options
	nodes    int
	ops      map[Operator]int // Nodes is zero in the key
	external []externalRef
	// ours says that the graph was rewritten by UseKernels, and so may use
	// KernelDomain, which no file may.
	ours bool
}

func newChecker(p *onnxpb.ModelProto, opts Options) *checker {
	return &checker{proto: p, opts: opts, ops: map[Operator]int{}}
}

func (c *checker) model() error {
	p := c.proto
	if v := p.GetIrVersion(); v < 1 || v > maxIRVersion {
		return damagedf("IR version %d", v)
	}
	// Operator sets came with IR version 3.
	if len(p.GetOpsetImport()) == 0 && p.GetIrVersion() >= 3 {
		return damagedf("it imports no operator set (cut short?)")
	}
	seen := map[string]int64{}
	for _, o := range p.GetOpsetImport() {
		d := plainDomain(o.GetDomain())
		if d == KernelDomain && !c.ours {
			return errKernelDomain
		}
		if v := o.GetVersion(); v < 1 || v > maxOpset {
			return damagedf("operator set %.80q has version %d", o.GetDomain(), v)
		}
		// skl2onnx imports the same version twice at times.
		if v, ok := seen[d]; ok && v != o.GetVersion() {
			return damagedf("operator set %.80q is imported in versions %d and %d", o.GetDomain(), v, o.GetVersion())
		}
		seen[d] = o.GetVersion()
	}
	if err := c.graph(p.GetGraph(), nil, 0); err != nil {
		return err
	}
	// ONNX Runtime takes its latest version of a domain that is not imported.
	// For its own domain that is custom; for these two the file was cut, and
	// the latest version may compute something else.
	for op := range c.ops {
		if (op.Domain == "" || op.Domain == "ai.onnx.ml") && seen[op.Domain] == 0 && p.GetIrVersion() >= 3 {
			return damagedf("it uses %s but imports no operator set of %q (cut short?)", op, op.Domain)
		}
	}
	return nil
}

// scope is the names a graph defines, inside those of the graphs around it.
type scope struct {
	names map[string]bool
	outer *scope
}

func (s *scope) has(name string) bool {
	for ; s != nil; s = s.outer {
		if s.names[name] {
			return true
		}
	}
	return false
}

func (c *checker) graph(g *onnxpb.GraphProto, outer *scope, depth int) error {
	if depth > c.opts.MaxGraphDepth {
		return unsafef("graphs nest deeper than %d", c.opts.MaxGraphDepth)
	}
	s := &scope{names: map[string]bool{}, outer: outer}
	if err := c.inputs(g, s); err != nil {
		return err
	}
	for _, n := range g.GetNode() {
		for _, name := range n.GetOutput() {
			if name == "" { // an optional output left out
				continue
			}
			if s.names[name] {
				return damagedf("value %.80q is defined twice", name)
			}
			s.names[name] = true
		}
	}
	outputs := map[string]bool{}
	for _, o := range g.GetOutput() {
		name := o.GetName()
		switch {
		case name == "":
			return damagedf("a graph output has no name")
		case outputs[name]:
			return damagedf("graph output %.80q is listed twice", name)
		case !s.has(name):
			return damagedf("no node gives the graph output %.80q", name)
		}
		outputs[name] = true
	}
	return c.nodesOf(g.GetNode(), s, depth)
}

// inputs checks a graph's inputs and initializers and adds their names to s.
// An initializer may share a graph input's name, being its default.
func (c *checker) inputs(g *onnxpb.GraphProto, s *scope) error {
	for _, in := range g.GetInput() {
		name := in.GetName()
		if name == "" {
			return damagedf("a graph input has no name")
		}
		if s.names[name] {
			return damagedf("graph input %.80q is listed twice", name)
		}
		s.names[name] = true
	}
	constants := map[string]bool{}
	constant := func(name string) error {
		if name == "" {
			return damagedf("an initializer has no name")
		}
		if constants[name] {
			return damagedf("initializer %.80q is listed twice", name)
		}
		constants[name], s.names[name] = true, true
		return nil
	}
	for _, t := range g.GetInitializer() {
		if err := constant(t.GetName()); err != nil {
			return err
		}
		if err := c.tensor(t); err != nil {
			return err
		}
	}
	for _, t := range g.GetSparseInitializer() {
		if err := constant(t.GetValues().GetName()); err != nil {
			return err
		}
		if err := c.sparse(t); err != nil {
			return err
		}
	}
	return nil
}

// nodesOf checks nodes; s is nil for a function's, whose names are its own.
func (c *checker) nodesOf(nodes []*onnxpb.NodeProto, s *scope, depth int) error {
	if c.nodes += len(nodes); c.nodes > c.opts.MaxNodes {
		return unsafef("it has more than %d nodes", c.opts.MaxNodes)
	}
	for _, n := range nodes {
		if n.GetOpType() == "" {
			return damagedf("node %.80q has no operator", n.GetName())
		}
		if n.GetDomain() == KernelDomain && !c.ours {
			return errKernelDomain
		}
		c.ops[Operator{Domain: plainDomain(n.GetDomain()), Name: n.GetOpType()}]++
		if s != nil {
			for _, name := range n.GetInput() {
				if name != "" && !s.has(name) {
					return damagedf("node %.80q (%s) takes %.80q, which nothing gives", n.GetName(), n.GetOpType(), name)
				}
			}
		}
		if err := c.attributes(n, s, depth); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) attributes(n *onnxpb.NodeProto, s *scope, depth int) error {
	for _, a := range n.GetAttribute() {
		graphs, tensors, sparse := a.GetGraphs(), a.GetTensors(), a.GetSparseTensors()
		if a.GetG() != nil {
			graphs = append([]*onnxpb.GraphProto{a.G}, graphs...)
		}
		if a.GetT() != nil {
			tensors = append([]*onnxpb.TensorProto{a.T}, tensors...)
		}
		if a.GetSparseTensor() != nil {
			sparse = append([]*onnxpb.SparseTensorProto{a.SparseTensor}, sparse...)
		}
		for _, t := range tensors {
			if err := c.tensor(t); err != nil {
				return err
			}
		}
		for _, t := range sparse {
			if err := c.sparse(t); err != nil {
				return err
			}
		}
		for _, g := range graphs {
			if s == nil { // inside a function: inputs may be the function's
				if err := c.loose(g, depth+1); err != nil {
					return err
				}
			} else if err := c.graph(g, s, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// loose checks a graph inside a function: its tensors and nodes, not its names.
func (c *checker) loose(g *onnxpb.GraphProto, depth int) error {
	if depth > c.opts.MaxGraphDepth {
		return unsafef("graphs nest deeper than %d", c.opts.MaxGraphDepth)
	}
	if err := c.inputs(g, &scope{names: map[string]bool{}}); err != nil {
		return err
	}
	return c.nodesOf(g.GetNode(), nil, depth)
}

// operators lists what was seen, and of it what nobody defines.
func (c *checker) operators() (all, custom []Operator) {
	functions := map[Operator]bool{}
	for _, f := range c.proto.GetFunctions() {
		functions[Operator{Domain: plainDomain(f.GetDomain()), Name: f.GetName()}] = true
	}
	for op := range maps.Keys(c.ops) {
		counted := op
		counted.Nodes = c.ops[op]
		all = append(all, counted)
		if !knownDomains[op.Domain] && !functions[op] && op.Domain != KernelDomain {
			custom = append(custom, counted)
		}
	}
	order := func(a, b Operator) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Name, b.Name))
	}
	slices.SortFunc(all, order)
	slices.SortFunc(custom, order)
	return all, custom
}
