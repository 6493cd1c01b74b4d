package models

import (
	"fmt"
	"math"
	"runtime"

	"google.golang.org/protobuf/proto"

	"github.com/millrace/millrace/models/onnxpb"
)

// Rewrites are what OpenRewritten does to a graph.
type Rewrites struct {
	ZipMap  bool // StripZipMap
	Kernels bool // UseKernels
	Device  bool // Kernels are those that CUDA devices have, too: all but of dense layers
	Tensors bool // MLToTensors and TreesToTensors, of what the rewrites before left

	// Left, unless nil, is where the latter append what stays, and why.
	Left *[]string
}

// OpenRewritten is Open and then the rewrites, of a file that is parsed once: a
// tree ensemble takes longer to parse than to rewrite. Its errors are theirs.
func OpenRewritten(path string, opts Options, do Rewrites) (*Model, error) {
	m, p, err := openFile(path, opts)
	if err != nil {
		return nil, err
	}
	var rewriters []rewriter
	if do.ZipMap && m.hasZipMap() {
		rewriters = append(rewriters, withoutZipMap)
	}
	if do.Kernels && m.hasReplaceable() {
		kernels := withCPUKernels
		if do.Device {
			kernels = withDeviceKernels
		}
		rewriters = append(rewriters, kernels)
	}
	if do.Tensors {
		left := do.Left
		if left == nil {
			left = new([]string)
		}
		rewriters = append(rewriters, withMLTensors(MLTensors{}, left), withTensorTrees(TensorTrees{}, left))
	}
	m, _, err = m.rewritten(p, rewriters...)
	return m, err
}

// rewriter changes a parsed graph, and notes in m, a copy of the graph's model,
// what else of it is different then.
type rewriter func(m *Model, p *parsedModel) (changed bool, err error)

// reparsed gives the model rewritten, or m itself where nothing changes.
func (m *Model) reparsed(do rewriter) (*Model, bool, error) {
	p, err := unmarshal(m.data)
	if err != nil {
		return nil, false, fmt.Errorf("model %s: %w", m.Path, damagedf("%s", err))
	}
	return m.rewritten(p, do)
}

// muchBytes is how large a file is whose bytes are worth the milliseconds that collecting them takes.
const muchBytes = 32 << 20

// rewritten gives the model after the rewriters, which change p, the parsed form
// of its graph; m itself where none does. From when it writes what they made m is not looked at: whose
// caller does not go on with it needs no memory for the file's bytes any more.
func (m *Model) rewritten(p *parsedModel, do ...rewriter) (_ *Model, changed bool, err error) {
	n := *m
	for _, rewrite := range do {
		did, err := rewrite(&n, p)
		if err != nil {
			return nil, false, fmt.Errorf("model %s: %w", n.Path, err)
		}
		changed = changed || did
	}
	if !changed {
		return m, false, nil
	}
	p.whole()
	if n.data = nil; n.Bytes >= muchBytes {
		runtime.GC()
	}
	if n.data, err = (proto.MarshalOptions{Deterministic: true}).Marshal(p.ModelProto); err != nil {
		return nil, false, fmt.Errorf("model %s: rewrite: %w: %w", n.Path, ErrModel, err)
	}
	if err := n.recheck(p.ModelProto); err != nil {
		return nil, false, fmt.Errorf("model %s: rewrite: %w", n.Path, err)
	}
	return &n, true, nil
}

// recheck checks a rewritten graph as Open did the file's, and lists its
// operators again.
func (m *Model) recheck(p *onnxpb.ModelProto) error {
	c := newChecker(p, Options{})
	c.opts.EnsureDefaults()
	c.opts.MaxNodes = math.MaxInt // bounded when the file was opened
	c.ours = m.ours
	if err := c.model(); err != nil {
		return err
	}
	m.Operators, m.Custom = c.operators()
	return nil
}
