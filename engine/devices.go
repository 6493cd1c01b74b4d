package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/models"
)

// computer is what devices need of a session; tests put another in its place, so
// that order, faults and pieces are tested where there is no device.
type computer interface {
	Run(ctx context.Context, inputs, outputs []*ort.Tensor) error
	Close() error
}

// devices are where batches are computed: a session on each, and places for so
// many Runs in flight on each. A Run copies a batch to its device, computes and
// copies the results back, on a stream of its own, so that one Run's copies go on
// while another computes; whichever device has a place free takes the next batch.
//
// Workers assemble into page-locked memory, which a device reads by itself.
type devices struct {
	all       []*device
	placement []ort.Node   // of the first session, and so of all
	places    chan *device // one entry for each Run that may be begun

	// lock takes page-locked memory by way of a device.
	lock func(device, bytes int) (hostMemory, error)
	host hostMemories // of the run
}

// hostMemory is memory that devices read and write by themselves.
type hostMemory interface {
	Bytes() []byte
	Free()
}

// hostMemories is page-locked memory that was given out and is freed all at once.
type hostMemories struct {
	devices *devices
	mu      sync.Mutex
	given   []hostMemory
}

// device is one of them.
//
// When a batch does not fit into its memory, its session is closed, which gives
// back what is cut into pieces of unlucky sizes, and a new one runs every batch in
// twice as many pieces. Batches, and so the output, stay what they are.
type device struct {
	number int
	open   func(device int) (computer, error)

	mu      sync.RWMutex // held for reading by each Run
	session computer
	pieces  int // that a batch is run in
	halved  int // how often

	batches atomic.Int64
}

// mostHalvings bounds how often a batch is halved before the run gives up.
const mostHalvings = 5

// openDevices opens a session on each device; the caller closes them.
func openDevices(numbers []int, streams int, open func(device int) (computer, error)) (*devices, error) {
	ds := &devices{places: make(chan *device, len(numbers)*streams)} // holds every place that is free
	ds.host.devices = ds
	ds.lock = func(device, bytes int) (hostMemory, error) { return ort.NewHostMemory(device, bytes) }
	for _, n := range numbers {
		session, err := open(n)
		if err != nil {
			return nil, errors.Join(err, ds.close())
		}
		ds.all = append(ds.all, &device{number: n, open: open, session: session, pieces: 1})
	}
	ds.useStreams(streams)
	return ds, nil
}

// useStreams has so many Runs in flight on each device, at most as many as it was
// opened with. There must be none.
func (ds *devices) useStreams(streams int) {
	for len(ds.places) > 0 {
		<-ds.places
	}
	for range streams { // in turn, so that the first batches go to different devices
		for _, d := range ds.all {
			ds.places <- d
		}
	}
}

// inPieces says whether batches did not fit into a device's memory, and has them run
// whole again. There must be no Run in flight.
func (ds *devices) inPieces() (was bool) {
	for _, d := range ds.all {
		was = was || d.pieces > 1
		d.pieces, d.halved = 1, 0
	}
	return was
}

// memory gives page-locked memory that stays until free.
func (h *hostMemories) memory(bytes int) ([]byte, error) {
	m, err := h.devices.lock(h.devices.all[0].number, bytes)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.given = append(h.given, m)
	return m.Bytes(), nil
}

// free gives back what nobody may use any more.
func (h *hostMemories) free() {
	for _, m := range h.given {
		m.Free()
	}
	h.given = nil
}

// close frees the memory and then the sessions.
func (ds *devices) close() error {
	ds.host.free()
	errs := make([]error, 0, len(ds.all))
	for _, d := range ds.all {
		errs = append(errs, d.session.Close())
	}
	return errors.Join(errs...)
}

// run waits for a place and computes outputs from inputs there; see
// ort.Session.Run.
func (ds *devices) run(ctx context.Context, inputs, outputs []*ort.Tensor) error {
	var d *device
	select {
	case d = <-ds.places:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { ds.places <- d }()
	for {
		pieces, err := d.run(ctx, inputs, outputs)
		if !errors.Is(err, ort.ErrOutOfMemory) {
			return err
		}
		if slices.Contains(outputs, nil) {
			return err // pieces need tensors to write to: see worker.learnFromOne
		}
		if full := d.halve(pieces); full != nil {
			return fmt.Errorf("%w: %w", err, full)
		}
	}
}

// errShapeless is a batch that should run in pieces whose outputs' shapes nobody
// knows: see worker.learnFromOne. To the worker it is one that did not fit.
var errShapeless = fmt.Errorf("%w: batches run in pieces, and the outputs' shapes are not known", ort.ErrOutOfMemory)

// run computes a batch in the device's pieces. A row has none.
func (d *device) run(ctx context.Context, inputs, outputs []*ort.Tensor) (pieces int, err error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	defer d.batches.Add(1)
	rows := inputs[0].Shape()[0]
	switch {
	case d.pieces == 1 || rows == 1:
		return d.pieces, d.session.Run(ctx, inputs, outputs)
	case slices.Contains(outputs, nil):
		return d.pieces, errShapeless
	}
	for i := range int64(d.pieces) {
		from, to := rows*i/int64(d.pieces), rows*(i+1)/int64(d.pieces)
		if from == to {
			continue
		}
		if err := d.runRows(ctx, inputs, outputs, from, to); err != nil {
			return d.pieces, err
		}
	}
	return d.pieces, nil
}

// runRows computes some rows of a batch.
func (d *device) runRows(ctx context.Context, inputs, outputs []*ort.Tensor, from, to int64) (err error) {
	var parts []*ort.Tensor
	defer func() {
		for _, t := range parts {
			err = errors.Join(err, t.Close())
		}
	}()
	for _, t := range append(append([]*ort.Tensor(nil), inputs...), outputs...) {
		part, err := t.Rows(from, to)
		if err != nil {
			return err
		}
		parts = append(parts, part)
	}
	return d.session.Run(ctx, parts[:len(inputs)], parts[len(inputs):])
}

// halve begins a new session that runs batches in twice as many pieces as seen,
// unless another Run's failure has brought it about already.
func (d *device) halve(seen int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pieces != seen {
		return nil
	}
	if d.halved == mostHalvings {
		return fmt.Errorf("device %d: batches do not fit into its memory in %d pieces either; take a smaller --batch-size or fewer --streams", d.number, d.pieces)
	}
	if err := d.session.Close(); err != nil {
		return err
	}
	session, err := d.open(d.number)
	if err != nil {
		return err
	}
	d.session = session
	d.halved++
	d.pieces *= 2
	return nil
}

// ErrCPUNodes says that a model has nodes that its execution provider has no
// kernel for.
var ErrCPUNodes = fmt.Errorf("%w: nodes would run on the CPU", models.ErrUnsupported)

// nodesShown is how many nodes an error lists.
const nodesShown = 8

// DeviceUse is what a run did on one device.
type DeviceUse struct {
	Number  int    `json:"number"`
	Name    string `json:"name"`
	Batches int64  `json:"batches"`
	// Pieces is in how many Runs a batch was computed in the end: 1 unless batches
	// did not fit into the device's memory.
	Pieces int `json:"pieces"`
}

// uses says what was done on each device, and the CUDA version of their driver; ds
// may be nil, for the CPU.
func (ds *devices) uses() (uses []DeviceUse, driver string) {
	if ds == nil {
		return nil, ""
	}
	known, driver, _ := ort.Devices() // without names a run is as good
	for _, d := range ds.all {
		u := DeviceUse{Number: d.number, Batches: d.batches.Load(), Pieces: d.pieces}
		for _, k := range known {
			if k.Number == d.number {
				u.Name = k.Name
			}
		}
		uses = append(uses, u)
	}
	return uses, driver
}

// nodes counts the nodes by where they run and operator; nil on the CPU.
func (ds *devices) nodes() map[string]map[string]int {
	if ds == nil {
		return nil
	}
	return CountNodes(ds.placement)
}

// CountNodes counts nodes by execution provider and operator.
func CountNodes(nodes []ort.Node) map[string]map[string]int {
	counts := map[string]map[string]int{}
	for _, n := range nodes {
		on := string(n.Provider)
		if counts[on] == nil {
			counts[on] = map[string]int{}
		}
		counts[on][n.Operator.String()]++
	}
	return counts
}

// checkPlacement refuses nodes on the CPU, unless they are allowed.
func (p *Plan) checkPlacement(model *models.Model, nodes []ort.Node) error {
	if p.Options.AllowCPUNodes {
		return nil
	}
	var names []string
	for _, n := range onCPU(nodes, nil) {
		names = append(names, fmt.Sprintf("%s (%s)", n.Operator, n.Name))
	}
	if len(names) == 0 {
		return nil
	}
	more := ""
	if len(names) > nodesShown {
		more = fmt.Sprintf(" and %d more", len(names)-nodesShown)
		names = names[:nodesShown]
	}
	return fmt.Errorf("%w: model %s: %s has no kernel for %s%s; see `millrace rewrite` for what can be done, use --provider cpu, or accept copies to and fro with --allow-cpu-nodes",
		ErrCPUNodes, model.Path, p.Options.Provider, strings.Join(names, ", "), more)
}

// AutoProvider is CUDA where the driver shows a device and there is an ONNX Runtime
// with a CUDA provider none of whose libraries are missing, else the CPU; and why.
func AutoProvider(where ort.LibraryOptions) (provider ort.Provider, reason string) {
	devices, _, err := ort.Devices()
	switch {
	case err != nil:
		return ort.CPU, "no NVIDIA device: " + err.Error()
	case len(devices) == 0:
		return ort.CPU, "the driver shows no NVIDIA device"
	}
	where.Provider = ort.CUDA
	places := ort.Search(where)
	first := slices.IndexFunc(places, func(c ort.Candidate) bool { return c.Exists }) // which would be loaded
	if first < 0 {
		return ort.CPU, "no ONNX Runtime with a CUDA provider was found"
	}
	if missing := ort.MissingLibraries(places[first].Path, ort.CUDA); len(missing) > 0 {
		return ort.CPU, fmt.Sprintf("%s lacks %s for CUDA", places[first].Path, strings.Join(missing, ", "))
	}
	return ort.CUDA, devices[0].Name
}
