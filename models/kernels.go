package models

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/millrace/millrace/models/onnxpb"
)

// KernelDomain is the domain of the operators that engine/ort brings into a
// session (engine/ort/ops.h). Only UseKernels writes it: their attributes are
// layouts that no file is trusted with, and Open refuses a model that has it.
const KernelDomain = "millrace"

var errKernelDomain = unsafef("it uses the operator domain %q, which is kept for graphs that were rewritten in memory", KernelDomain)

// maxKernelNodes bounds the graphs that are looked at, so that a hostile one
// costs no more than its parsing did.
const maxKernelNodes = 1 << 16

// UseKernels gives a model whose tree ensembles, whose chains of Imputer, Scaler
// and LinearRegressor, and whose chains of dense layers, are operators of ours
// that compute the same faster on the CPU. Trees, Imputer and Scaler give the
// same bits as ONNX Runtime's operators on one thread, trees that foldLeaves puts
// together but for the last bits of a logarithm; the sums of a
// LinearRegressor and of dense layers are added in another order and may differ
// in their last bits.
//
// Only nodes of the main graph are replaced that are understood in full: of
// float32, of known attributes, well formed, and of the cases whose arithmetic
// is known to agree. All else is left to ONNX Runtime, errors included. m is not
// changed; changed is false, and the model m itself, when nothing is replaced.
func UseKernels(m *Model) (rewritten *Model, changed bool, err error) {
	if !m.hasReplaceable() {
		return m, false, nil
	}
	return m.reparsed(withCPUKernels)
}

// hasReplaceable says whether withCPUKernels could find something.
func (m *Model) hasReplaceable() bool {
	return !m.ours && slices.ContainsFunc(m.Operators, replaceable)
}

// withCPUKernels is the rewriter of UseKernels.
func withCPUKernels(m *Model, p *parsedModel) (changed bool, err error) {
	return withKernels(m, p, func(r *kernelRewriter) {
		r.trees(inChains)
		r.chains()
		r.dense()
	})
}

// withDeviceKernels leaves out what has no CUDA kernel: dense layers.
func withDeviceKernels(m *Model, p *parsedModel) (changed bool, err error) {
	return withKernels(m, p, func(r *kernelRewriter) {
		r.trees(copied)
		r.chains()
	})
}

func withKernels(m *Model, p *parsedModel, replace func(*kernelRewriter)) (changed bool, err error) {
	if !rewritable(p.ModelProto) {
		return false, nil
	}
	r := newKernelRewriter(p, m.folder)
	if folded := foldLeaves(r); len(folded) > 0 {
		r = newKernelRewriter(p, m.folder)
		r.rewrites = folded
	}
	replace(r)
	if len(r.rewrites) == 0 {
		return false, nil
	}
	p.OpsetImport = append(p.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: new(KernelDomain), Version: proto.Int64(1)})
	m.ours = true
	m.Rewrites = slices.Concat(m.Rewrites, r.rewrites)
	return true, nil
}

// plainOpset is the version of ai.onnx that a model imports; 0 for none.
func plainOpset(p *onnxpb.ModelProto) (version int64) {
	for _, o := range p.GetOpsetImport() {
		if plainDomain(o.GetDomain()) == "" {
			version = max(version, o.GetVersion())
		}
	}
	return version
}

// mlOpset is the version of ai.onnx.ml that a model imports; 1 for none.
func mlOpset(p *onnxpb.ModelProto) int64 {
	for _, o := range p.GetOpsetImport() {
		if plainDomain(o.GetDomain()) == mlDomain {
			return o.GetVersion()
		}
	}
	return 1
}

func replaceable(o Operator) bool {
	switch o.Name {
	case "TreeEnsembleRegressor", "TreeEnsembleClassifier", "Imputer", "Scaler":
		return o.Domain == mlDomain
	case "MatMul", "Gemm":
		return plainDomain(o.Domain) == ""
	}
	return false
}

// kernelRewriter replaces nodes of one graph.
type kernelRewriter struct {
	graph    *onnxpb.GraphProto
	apart    lists
	opset    int64  // of ai.onnx; 0: none
	mlOpset  int64  // of ai.onnx.ml
	folder   string // of external data
	tracer   *tracer
	used     map[string]int
	isOutput map[string]bool
	types    *typeTracer // of the graph before any was replaced: values keep their names
	rewrites []string
}

func newKernelRewriter(p *parsedModel, folder string) *kernelRewriter {
	g := p.GetGraph()
	r := &kernelRewriter{
		graph: g, apart: p.apart, opset: plainOpset(p.ModelProto), mlOpset: mlOpset(p.ModelProto), folder: folder, tracer: newTracer(g), used: countUses(g), isOutput: map[string]bool{},
		types: typesOf(g),
	}
	for _, o := range g.GetOutput() {
		r.isOutput[o.GetName()] = true
	}
	return r
}

// isFloat32 says whether a value is known to be a tensor of float32.
func (r *kernelRewriter) isFloat32(name string) bool { return r.types.of(name).elem == Float32 }

// columns is the size of a value's second and last dimension; 0 when unknown.
func (r *kernelRewriter) columns(name string) int {
	if t := r.types.of(name); t.rank == 2 {
		return int(max(t.width(), 0))
	}
	return 0
}

func (r *kernelRewriter) say(format string, args ...any) {
	r.rewrites = append(r.rewrites, fmt.Sprintf(format, args...))
}

// attributesOf lists a node's attributes by name; false when one stands twice or
// is not among those known, which then may mean anything.
func attributesOf(n *onnxpb.NodeProto, known map[string]onnxpb.AttributeProto_AttributeType) (map[string]*onnxpb.AttributeProto, bool) {
	all := map[string]*onnxpb.AttributeProto{}
	for _, a := range n.GetAttribute() {
		name := a.GetName()
		if typ, ok := known[name]; !ok || a.GetType() != typ || a.GetRefAttrName() != "" || all[name] != nil {
			return nil, false
		}
		all[name] = a
	}
	return all, true
}

// bytesAttribute is an attribute of any bytes, which ONNX calls a string.
func bytesAttribute(name string, value []byte) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: new(name), Type: onnxpb.AttributeProto_STRING.Enum(), S: value}
}

func intAttribute(name string, value int64) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: new(name), Type: onnxpb.AttributeProto_INT.Enum(), I: new(value)}
}
