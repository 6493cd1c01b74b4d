package engine_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/engine/timeline"
)

// gpuLibrary is ONNX Runtime with its CUDA provider, on a machine with a device;
// elsewhere the test is skipped. make gpu-check runs them.
func gpuLibrary(t *testing.T) *ort.Library {
	t.Helper()
	if os.Getenv("MILLRACE_GPU") == "" {
		t.Skip("SKIPPED FOR WANT OF A GPU: make gpu-check runs this where there is one")
	}
	lib := orttest.Library(t)
	if !slices.Contains(lib.Providers, "CUDAExecutionProvider") {
		t.Fatalf("%s has no CUDA provider: %v", lib.Path, lib.Providers)
	}
	return lib
}

// ways are how a model's operators without a CUDA kernel come to run on a device:
// by kernels of ours, or as tensor operators.
var ways = []engine.Kernels{engine.KernelsAuto, engine.KernelsONNXRuntime}

// Every reference model gives its training library's predictions on a device, with
// every node there, but for the one that takes strings.
func TestGPUReferenceModels(t *testing.T) {
	lib := gpuLibrary(t)
	for _, ref := range references(t) {
		for _, way := range ways {
			for _, batch := range []int{0, 777} {
				t.Run(fmt.Sprintf("%s/%s/%d", ref.Name, way, batch), func(t *testing.T) {
					opts := engine.Options{
						Model: "../" + ref.ONNX, Inputs: []string{"../" + ref.SampleParquet}, Output: filepath.Join(t.TempDir(), "out"),
						IDs: []string{"id"}, Nulls: policies(ref), MaxRejects: -1, BatchRows: batch, PartRows: 20000,
						Provider: ort.CUDA, Kernels: way, AllowCPUNodes: ref.Name == "nyc_pipeline",
					}
					score(t, lib, opts)
					compareGolden(t, &ref, opts.Output)
				})
			}
		}
	}
}

// TensorRT gives the training libraries' predictions, too, from a fresh folder of
// engines and from a filled one. It compiles for seconds (trees as tensor operators for longer), so that few
// models do.
func TestGPUTensorRT(t *testing.T) {
	lib := gpuLibrary(t)
	if missing := ort.MissingLibraries(lib.Path, ort.TensorRT); len(missing) > 0 {
		t.Skipf("SKIPPED FOR WANT OF TENSORRT: %v", missing)
	}
	engines := filepath.Join(t.TempDir(), "engines")
	for _, ref := range references(t) {
		if !slices.Contains([]string{"flights_mlp", "flights_linear"}, ref.Name) {
			continue
		}
		for _, state := range []string{"fresh", "kept"} {
			t.Run(ref.Name+"/"+state, func(t *testing.T) {
				opts := engine.Options{
					Model: "../" + ref.ONNX, Inputs: []string{"../" + ref.SampleParquet}, Output: filepath.Join(t.TempDir(), "out"),
					IDs: []string{"id"}, Nulls: policies(ref), MaxRejects: -1, BatchRows: 4096, PartRows: 20000,
					Provider: ort.TensorRT, EngineCache: engines,
				}
				summary, err := tryScore(t, lib, opts)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%.1f s, nodes %v", summary.Seconds, summary.Nodes)
				if len(summary.Nodes["tensorrt"]) == 0 {
					t.Errorf("nodes %v; want some on TensorRT", summary.Nodes)
				}
				compareGolden(t, &ref, opts.Output)
			})
		}
	}
}

// What is taken of a device's memory is seen from outside, and gone when it is freed.
func TestGPUMemoryInUse(t *testing.T) {
	gpuLibrary(t)
	all, _, err := ort.Devices()
	if err != nil {
		t.Fatal(err)
	}
	used := func() int64 {
		bytes, ok := all[0].UsedBytes()
		if !ok {
			t.Skip("SKIPPED FOR WANT OF NVML")
		}
		return bytes
	}
	small, err := ort.NewDeviceMemory(0, 1) // its context takes memory, too
	if err != nil {
		t.Fatal(err)
	}
	defer small.Free()
	const bytes = 512 << 20
	before := used()
	large, err := ort.NewDeviceMemory(0, bytes)
	if err != nil {
		t.Fatal(err)
	}
	during := used()
	large.Free()
	if after := used(); during-before < bytes || during-after < bytes {
		t.Errorf("%d bytes in use, %d with %d more, %d after", before, during, bytes, after)
	}
}

// A tuned profile is of the device.
func TestGPUHardware(t *testing.T) {
	gpuLibrary(t)
	all, _, err := ort.Devices()
	if err != nil {
		t.Fatal(err)
	}
	if got := engine.Hardware(ort.CUDA, 0); !strings.HasSuffix(got, ", "+all[0].Name) || strings.HasSuffix(engine.Hardware(ort.CPU, 0), all[0].Name) {
		t.Errorf("hardware of a profile is %q; want the device's name in it, and not in the CPU's", got)
	}
}

// A recording of a run has the copies and kernels of every batch, within the run's
// time, and at least two streams at work.
func TestGPUTimeline(t *testing.T) {
	lib := gpuLibrary(t)
	recording, err := ort.Record()
	if err != nil {
		t.Skipf("SKIPPED FOR WANT OF CUPTI: %v", err)
	}
	opts := engine.Options{
		Model: "../models/reference/flights_mlp.onnx", Inputs: slices.Repeat([]string{"../testdata/flights-sample.parquet"}, 8),
		Output: filepath.Join(t.TempDir(), "out"), IDs: []string{"id"}, Nulls: nanPolicy, Provider: ort.CUDA, BatchRows: 10_000,
	}
	summary, err := tryScore(t, lib, opts)
	if err != nil {
		t.Fatal(err)
	}
	devices, dropped, err := recording.Stop()
	if err != nil {
		t.Fatal(err)
	}
	counts, streams, bytes := map[ort.DeviceWork]int64{}, map[int]bool{}, map[ort.DeviceWork]int64{}
	for _, s := range devices {
		counts[s.Work]++
		bytes[s.Work] += s.Bytes
		streams[s.Stream] = true
		if s.End.Before(s.Start) || s.Start.Before(summary.Started) || s.End.After(summary.Finished) {
			t.Errorf("%+v is not within the run, %v to %v", s, summary.Started, summary.Finished)
			break
		}
	}
	if n := summary.Batches; counts[ort.CopyIn] < n || counts[ort.Kernel] < n || counts[ort.CopyOut] < n || dropped != 0 || len(streams) < 2 {
		t.Errorf("%d batches: %v recorded, %d dropped, %d streams", n, counts, dropped, len(streams))
	}
	if rows := int64(400_000); bytes[ort.CopyIn] < rows*32*4 || bytes[ort.CopyOut] < rows*4 {
		t.Errorf("%v bytes copied for %d rows of 32 columns", bytes, rows)
	}
	spans, _ := (&timeline.Recorder{}).Spans(devices)
	for _, s := range timeline.Overlap(spans) {
		t.Log(s)
	}
}

// A model with nodes that must run on the CPU is refused, and the error names them.
func TestGPURefusesCPUNodes(t *testing.T) {
	lib := gpuLibrary(t)
	for _, ref := range references(t) {
		if ref.Name != "nyc_pipeline" {
			continue
		}
		plan, err := engine.NewPlan(t.Context(), engine.Options{
			Model: "../" + ref.ONNX, Inputs: []string{"../" + ref.SampleParquet}, Output: filepath.Join(t.TempDir(), "out"),
			Nulls: policies(ref), Provider: ort.CUDA,
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = plan.Run(t.Context(), lib, plan.NewProgress())
		if !errors.Is(err, engine.ErrCPUNodes) {
			t.Errorf("Run() = %v; want ErrCPUNodes", err)
		}
		t.Log(err)
		if err := plan.Close(); err != nil {
			t.Error(err)
		}
	}
}

// On a device the same rows come out in the same order as on the CPU, whatever
// the streams; tree ensembles with the very same bits.
func TestGPUOrder(t *testing.T) {
	lib := gpuLibrary(t)
	for _, model := range []string{"flights_gbdt", "flights_mlp", "flights_linear"} {
		opts := engine.Options{
			Model: "../models/reference/" + model + ".onnx", Inputs: []string{"../testdata/flights-sample.parquet"},
			IDs: []string{"id"}, Nulls: nanPolicy, BatchRows: 500, PartRows: 10000,
		}
		var want map[string][]float64
		for _, streams := range []int{0, 1, 3, 8} { // 0: the CPU
			opts.Output = filepath.Join(t.TempDir(), "out")
			if opts.Provider, opts.Streams = ort.CUDA, streams; streams == 0 {
				opts.Provider = ort.CPU
			}
			score(t, lib, opts)
			got := readColumns(t, opts.Output, []string{"id", "variable"})
			if want == nil {
				want = got
			}
			if !slices.Equal(got["id"], want["id"]) {
				t.Errorf("%s: %d streams: ids stand in another order", model, streams)
			}
			tolerance := 1e-3
			if model == "flights_gbdt" {
				tolerance = 0
			}
			if worst := furthest(got["variable"], want["variable"]); !(worst <= tolerance) {
				t.Errorf("%s: %d streams: predictions differ by up to %g", model, streams, worst)
			}
		}
	}
}

// furthest is the largest difference between two columns; NaN when they are not of
// a length, or one has a NaN.
func furthest(a, b []float64) float64 {
	if len(a) != len(b) || len(a) == 0 {
		return math.NaN()
	}
	worst := 0.0
	for i := range a {
		d := math.Abs(a[i] - b[i])
		if d != d {
			return d
		}
		worst = max(worst, d)
	}
	return worst
}

// A batch that does not fit into the memory that the run may take is run in
// pieces, and nothing else changes.
func TestGPUOutOfMemory(t *testing.T) {
	lib := gpuLibrary(t)
	opts := engine.Options{
		// As tensor operators trees need a value for each row and tree, and little else.
		Model: "../models/reference/flights_gbdt.onnx", Kernels: engine.KernelsONNXRuntime, Inputs: []string{"../testdata/flights-sample.parquet"},
		Output: filepath.Join(t.TempDir(), "out"), IDs: []string{"id"}, Nulls: nanPolicy,
		Provider: ort.CUDA, BatchRows: 50_000, Streams: 1,
	}
	score(t, lib, opts)
	want := readColumns(t, opts.Output, []string{"id", "variable"})
	pieces := 0
	for limit := int64(16); pieces <= 1 && limit < 512; limit += limit / 4 { // MiB, until what ONNX Runtime itself needs fits
		opts.Output, opts.DeviceMemory = filepath.Join(t.TempDir(), "small"), limit<<20
		summary, err := tryScore(t, lib, opts)
		if errors.Is(err, ort.ErrOutOfMemory) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		pieces = summary.Devices[0].Pieces
		t.Logf("in %d MiB a batch runs in %d pieces", limit, pieces)
		if pieces == 1 {
			break
		}
		got := readColumns(t, opts.Output, []string{"id", "variable"})
		if !slices.Equal(got["id"], want["id"]) {
			t.Error("ids stand in another order")
		}
		if worst := furthest(got["variable"], want["variable"]); !(worst <= 1e-3) {
			t.Errorf("predictions differ by up to %g", worst)
		}
	}
	if pieces < 2 {
		t.Errorf("no memory limit made batches run in pieces")
	}
	opts.Output, opts.DeviceMemory = filepath.Join(t.TempDir(), "none"), 1
	if _, err := tryScore(t, lib, opts); !errors.Is(err, ort.ErrOutOfMemory) {
		t.Errorf("a run with a byte of device memory = %v; want ErrOutOfMemory", err)
	}
	if _, err := os.Stat(opts.Output); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is an output: %v", err)
	}
}

// tryScore runs a plan of which the run may fail.
func tryScore(t *testing.T, lib *ort.Library, opts engine.Options) (*engine.Summary, error) {
	t.Helper()
	plan, err := engine.NewPlan(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := plan.Close(); err != nil {
			t.Error(err)
		}
	}()
	return plan.Run(t.Context(), lib, plan.NewProgress())
}
