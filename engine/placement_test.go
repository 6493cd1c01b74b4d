package engine_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
)

// Without a device the graph is all there is to go by, and the error says so.
func TestPlaceNodesWithoutDevice(t *testing.T) {
	lib := orttest.Library(t)
	if devices, _, _ := ort.Devices(); len(devices) > 0 {
		t.Skip("there is a device")
	}
	opts := engine.Options{
		Model: "../models/reference/nyc_pipeline.onnx", Provider: ort.CUDA, Kernels: engine.KernelsONNXRuntime, Library: ort.LibraryOptions{Path: lib.Path},
	}
	p, err := engine.PlaceNodes(t.Context(), opts)
	if !errors.Is(err, ort.ErrProvider) || p == nil {
		t.Fatalf("PlaceNodes() = %+v, %v; want what is to be expected, and ErrProvider", p, err)
	}
	if p.Nodes != nil || len(p.OnCPU) != 4 || p.OnCPURewritten != 4 || len(p.Left) != 4 || len(p.Rewrites) != 5 {
		t.Errorf("PlaceNodes() = %+v; want four one-hot encoders of text on the CPU", p)
	}
	for _, n := range p.OnCPU {
		if n.Operator != "ai.onnx.ml.OneHotEncoder" || n.Why == "" {
			t.Errorf("on the CPU: %+v; want a OneHotEncoder and why", n)
		}
	}
	opts.Model = "none.onnx"
	if p, err := engine.PlaceNodes(t.Context(), opts); p != nil || err == nil {
		t.Errorf("PlaceNodes of no file = %+v, %v", p, err)
	}
	opts.Provider = ort.CPU
	if p, err := engine.PlaceNodes(t.Context(), opts); p != nil || !errors.Is(err, engine.ErrUsage) {
		t.Errorf("PlaceNodes on the CPU = %+v, %v; want ErrUsage", p, err)
	}
}

// On a device a session tells; only what takes text is on the CPU, and by name.
func TestGPUPlaceNodes(t *testing.T) {
	lib := gpuLibrary(t)
	for _, ref := range references(t) {
		for _, way := range ways {
			p, err := engine.PlaceNodes(t.Context(), engine.Options{
				Model: "../" + ref.ONNX, Provider: ort.CUDA, Kernels: way, Library: ort.LibraryOptions{Path: lib.Path},
			})
			if err != nil {
				t.Fatalf("%s: PlaceNodes() = %v", ref.Name, err)
			}
			if len(p.Nodes[string(ort.CUDA)]) == 0 || (len(p.OnCPU) > 0) != (ref.Name == "nyc_pipeline") {
				t.Errorf("%s, kernels %s: nodes %v, on the CPU %+v", ref.Name, way, p.Nodes, p.OnCPU)
			}
		}
	}
}

// A plan says where it would run, and how much at a time.
func TestExplainDevices(t *testing.T) {
	plan, err := engine.NewPlan(t.Context(), engine.Options{
		Model: "../models/reference/flights_gbdt.onnx", Inputs: []string{"../testdata/flights-sample.parquet"}, Nulls: nanPolicy,
		Provider: ort.CUDA, Devices: []int{1, 0}, Kernels: engine.KernelsONNXRuntime, TF32: true, DeviceMemory: 1 << 30,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := plan.Close(); err != nil {
			t.Error(err)
		}
	}()
	e := plan.Explain()
	want := engine.ExplainedDevices{Numbers: []int{1, 0}, Streams: engine.DefaultStreams, TF32: true, Memory: 1 << 30}
	if e.Provider != ort.CUDA || e.Devices == nil || len(e.Devices.Numbers) != 2 || e.Devices.Numbers[0] != 1 || e.Devices.Streams != want.Streams ||
		!e.Devices.TF32 || e.Devices.Memory != want.Memory || len(e.Devices.OnCPU) > 0 {
		t.Errorf("Explain() = provider %q, devices %+v; want %+v", e.Provider, e.Devices, want)
	}
	if len(e.Rewrites) != 1 || !strings.Contains(e.Rewrites[0], "became tensor operators") || e.BatchRows != engine.DefaultDeviceRows {
		t.Errorf("Explain() = rewrites %q, batches of %d rows", e.Rewrites, e.BatchRows)
	}
}
