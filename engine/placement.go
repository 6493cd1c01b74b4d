package engine

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/models"
)

// Placement says where the nodes of a model run, rewritten as a run on a device
// rewrites it.
type Placement struct {
	Provider ort.Provider `json:"provider"`
	Device   int          `json:"device"`
	Rewrites []string     `json:"-"`    // of the model
	Left     []string     `json:"left"` // nodes that were not rewritten, and why

	// Nodes counts what a session on the device has, by provider and operator; nil
	// where none could be made, and then OnCPU is what the graph alone makes expect.
	Nodes map[string]map[string]int `json:"nodes"`
	OnCPU []CPUNode                 `json:"on_cpu"`
	// OnCPURewritten is how many nodes of a model that `millrace rewrite
	// --drop-labels` wrote would be expected there.
	OnCPURewritten int `json:"on_cpu_rewritten"`
}

// CPUNode is a node that runs on the CPU.
type CPUNode struct {
	Name     string `json:"name"`
	Operator string `json:"operator"`
	Why      string `json:"why,omitempty"` // where the graph tells
}

// PlaceNodes opens a session of opts.Model on the first of opts.Devices, and lists
// its nodes; of opts, only what says which model, device, kernels and library
// counts. Where no session can be made it gives what is to be expected together
// with the error, which wraps ort.ErrProvider or ort.ErrLibrary where the machine
// is to blame.
func PlaceNodes(ctx context.Context, opts Options) (*Placement, error) {
	opts.EnsureDefaults()
	if opts.Provider == ort.CPU {
		return nil, fmt.Errorf("%w: on --provider cpu every node runs on the CPU", ErrUsage)
	}
	p := &Placement{Provider: opts.Provider, Device: opts.Devices[0], Rewrites: []string{}, Left: []string{}, OnCPU: []CPUNode{}}
	model, err := opts.openModel(ctx, &p.Left)
	if err != nil {
		return nil, err
	}
	p.Rewrites = append(p.Rewrites, model.Rewrites...)
	if p.OnCPURewritten, err = expectedAfterRewrite(ctx, &opts); err != nil {
		return nil, err
	}
	expected, err := models.HostNodes(model)
	if err != nil {
		return nil, err
	}
	nodes, err := placed(model, &opts)
	if err != nil {
		p.OnCPU = expectedNodes(expected)
		return p, err
	}
	p.Nodes = CountNodes(nodes)
	p.OnCPU = onCPU(nodes, expected)
	return p, nil
}

// placed gives the nodes of a session on the first device.
func placed(model *models.Model, opts *Options) (nodes []ort.Node, err error) {
	where := opts.Library
	where.Provider = opts.Provider
	lib, err := ort.Load(where)
	if err != nil {
		return nil, err
	}
	s, err := ort.NewSession(lib, model, ort.SessionOptions{Provider: opts.Provider, Device: opts.Devices[0], EngineCache: opts.EngineCache})
	if err != nil {
		return nil, err
	}
	return s.Placement(), s.Close()
}

// onCPU lists the nodes on the CPU, with what the graph says of those that have
// kept their names.
func onCPU(nodes []ort.Node, expected []models.HostNode) []CPUNode {
	why := map[string]string{}
	for _, n := range expected {
		why[n.Name] = n.Why
	}
	all := []CPUNode{}
	for _, n := range nodes {
		if n.Provider == ort.CPU {
			all = append(all, CPUNode{Name: n.Name, Operator: n.Operator.String(), Why: why[n.Name]})
		}
	}
	return all
}

func expectedNodes(nodes []models.HostNode) []CPUNode {
	all := make([]CPUNode, len(nodes))
	for i, n := range nodes {
		all[i] = CPUNode{Name: n.Name, Operator: n.Operator.String(), Why: n.Why}
	}
	return all
}

// expectedAfterRewrite counts the nodes that would stay on the CPU after all that
// `millrace rewrite` can do.
func expectedAfterRewrite(ctx context.Context, o *Options) (int, error) {
	m, err := models.OpenRewritten(o.Model, models.Options{Fetch: FetchModel(ctx, o.Stores)}, models.Rewrites{ZipMap: true})
	if err != nil {
		return 0, err
	}
	if m, _, _, err = models.MLToTensors(m, models.MLTensors{DropLabels: true}); err != nil {
		return 0, err
	}
	if m, _, _, err = models.TreesToTensors(m, models.TensorTrees{}); err != nil {
		return 0, err
	}
	nodes, err := models.HostNodes(m)
	return len(nodes), err
}
