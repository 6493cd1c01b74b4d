package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort"
)

// placementReport is where a model's nodes run, or would.
type placementReport struct {
	*engine.Placement
	// Expected says that there was no session, so that on_cpu is what the graph
	// makes expect, and no placement; Problem says why.
	Expected bool   `json:"expected_from_graph"`
	Problem  string `json:"problem,omitempty"`
}

// run is the part of a run's options that says where a model runs.
func (o *inspectOptions) run(common *commonOptions) (engine.Options, error) {
	opts := engine.Options{Kernels: engine.Kernels(o.kernels), Library: common.library(), Stores: common.stores()}
	if opts.Kernels != engine.KernelsAuto && opts.Kernels != engine.KernelsONNXRuntime {
		return opts, fmt.Errorf("%w: --kernels (%s) must be auto or onnxruntime", engine.ErrUsage, o.kernels)
	}
	if err := chooseProvider(o.provider, &opts); err != nil {
		return opts, err
	}
	switch {
	case opts.Provider == ort.CPU && len(opts.Devices) > 0:
		return opts, fmt.Errorf("%w: --provider (%s): cpu has no devices to choose from", engine.ErrUsage, o.provider)
	case len(opts.Devices) > 1:
		return opts, fmt.Errorf("%w: --provider (%s): one device is enough to show where nodes run", engine.ErrUsage, o.provider)
	}
	return opts, nil
}

// place adds a model's placement to its report. Where no session can be made, that
// is what is to be expected, and the error says why.
func (r *modelReport) place(ctx context.Context, run engine.Options) error {
	run.Model, run.ModelSHA256 = r.Path, r.SHA256
	p, err := engine.PlaceNodes(ctx, run)
	if p == nil {
		return err
	}
	r.Rewrites = p.Rewrites
	r.Placement = &placementReport{Placement: p}
	if err != nil {
		r.Placement.Expected, r.Placement.Problem = true, err.Error()
	}
	return err
}

// text writes counts, then every node on the CPU.
func (r *placementReport) text(b *strings.Builder) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(b, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	on := fmt.Sprintf("%s:%d", r.Provider, r.Device)
	if r.Expected {
		line("placement", "not known: no session on %s could be made on this machine", on)
		count := "no node is known to stay on the CPU"
		if n := len(r.OnCPU); n > 0 {
			count = fmt.Sprintf("%d nodes would run on the CPU", n)
		}
		line("expected", "from the graph alone, which is no placement: %s", count)
	} else {
		line("placement", "on %s, as ONNX Runtime dealt the nodes out", on)
	}
	for _, provider := range slices.Sorted(maps.Keys(r.Nodes)) {
		total := 0
		for _, n := range r.Nodes[provider] {
			total += n
		}
		line("", "%s has %d: %s", provider, total, nodesText(r.Nodes[provider]))
	}
	for _, n := range r.OnCPU {
		why := ""
		if n.Why != "" {
			why = ": " + n.Why
		}
		line("on the CPU", "%s (%s)%s", oneLine(n.Name), oneLine(n.Operator), why)
	}
	for _, left := range r.Left {
		line("left", "%s", left)
	}
	switch n := len(r.OnCPU); {
	case n == 0:
	case r.OnCPURewritten < n:
		line("rewrite", "`millrace rewrite --drop-labels` would leave %d of these %d nodes on the CPU, by the graph", r.OnCPURewritten, n)
	default:
		line("rewrite", "`millrace rewrite` can do no more: use --allow-cpu-nodes or --provider cpu")
	}
}
