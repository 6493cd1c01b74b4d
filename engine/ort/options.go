package ort

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"unsafe"

	onnx "github.com/yalue/onnxruntime_go"

	"github.com/millrace/millrace/models"
)

// Provider is an execution provider's short name.
type Provider string

// The execution providers.
const (
	CPU  Provider = "cpu"  // ONNX Runtime's default; every library has it
	CUDA Provider = "cuda" // of libraries built for CUDA; see Library.Providers
	// TensorRT compiles graphs for the device that it finds; what it does not take,
	// CUDA does, and then the CPU.
	TensorRT Provider = "tensorrt"
)

// providerNames are ONNX Runtime's own names.
var providerNames = map[Provider]string{
	CPU: "CPUExecutionProvider", CUDA: "CUDAExecutionProvider", TensorRT: "TensorrtExecutionProvider",
}

// SessionOptions tune a session; the zero value is what the engine wants on
// CPUs: one thread per Run, all graph optimisations.
type SessionOptions struct {
	Provider Provider // CPU by default
	Device   int      // which of the provider's devices; CPU has one, 0

	// TF32 lets matrix products on devices round their factors to 10 bits of
	// mantissa, which is faster and no longer float32.
	TF32 bool
	// EngineCache is the folder in which what TensorRT compiled is kept for later
	// sessions; none when empty. BatchRows are the rows of every Run, for which it
	// is compiled: others would have it compiled again.
	EngineCache string
	BatchRows   int
	// DeviceMemory bounds what the session takes of a device's memory, in bytes;
	// 0: no bound.
	DeviceMemory int64

	// Outputs are the outputs to compute, in the order Run takes them; nil is
	// all of them in the model's order. What no named output needs is not
	// computed.
	Outputs []string

	IntraOpThreads int // threads of one operator; 1 by default
	InterOpThreads int // operators at once; 1 by default

	// DisableMemoryPattern makes every Run allocate operator by operator. The
	// pattern is looked up by the XOR of all input dimensions, so that an even
	// number of [N,1] inputs finds the pattern of another N
	// (onnxruntime:core/framework/session_state.cc, CalculateMemoryPatternsKey);
	// keep the batch size constant or set this.
	DisableMemoryPattern bool
	// DisableCPUArena frees memory after every Run instead of keeping it.
	DisableCPUArena bool

	// Config are session config entries by key
	// (onnxruntime_session_options_config_keys.h), set last.
	Config map[string]string
}

// EnsureDefaults fills what was left zero.
func (o *SessionOptions) EnsureDefaults() {
	if o.Provider == "" {
		o.Provider = CPU
	}
	if o.IntraOpThreads == 0 {
		o.IntraOpThreads = 1
	}
	if o.InterOpThreads == 0 {
		o.InterOpThreads = 1
	}
}

// Validate joins everything that is wrong.
func (o *SessionOptions) Validate() error {
	var errs []error
	if _, ok := providerNames[o.Provider]; !ok {
		errs = append(errs, fmt.Errorf("%w: Provider (%q) must be %q, %q or %q", ErrProvider, o.Provider, CPU, CUDA, TensorRT))
	}
	if o.Device < 0 || o.Device > 0 && o.Provider == CPU {
		errs = append(errs, fmt.Errorf("device %d: must be the number of a device of %s", o.Device, o.Provider))
	}
	if o.DeviceMemory < 0 {
		errs = append(errs, fmt.Errorf("DeviceMemory (%d) must be >= 0", o.DeviceMemory))
	}
	if o.IntraOpThreads < 1 {
		errs = append(errs, fmt.Errorf("IntraOpThreads (%d) must be >= 1", o.IntraOpThreads))
	}
	if o.InterOpThreads < 1 {
		errs = append(errs, fmt.Errorf("InterOpThreads (%d) must be >= 1", o.InterOpThreads))
	}
	return errors.Join(errs...)
}

// build makes the binding's options. The caller destroys them.
func (o *SessionOptions) build(m *models.Model) (built *onnx.SessionOptions, err error) {
	built, err = onnx.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, built.Destroy())
			built = nil
		}
	}()
	mode := onnx.ExecutionMode(onnx.ExecutionModeSequential)
	if o.InterOpThreads > 1 {
		mode = onnx.ExecutionModeParallel
	}
	err = errors.Join(
		built.SetIntraOpNumThreads(o.IntraOpThreads),
		built.SetInterOpNumThreads(o.InterOpThreads),
		built.SetExecutionMode(mode),
		built.SetGraphOptimizationLevel(onnx.GraphOptimizationLevelEnableAll),
		built.SetMemPattern(!o.DisableMemoryPattern),
		built.SetCpuMemArena(!o.DisableCPUArena),
	)
	if err != nil {
		return built, err
	}
	config := map[string]string{"session.record_ep_graph_assignment_info": "1"} // for Placement
	if o.Provider == CPU {
		clear(config)
	}
	if o.IntraOpThreads > 1 { // waiting threads would take the cores of other workers
		config["session.intra_op.allow_spinning"] = "0"
	}
	if o.InterOpThreads > 1 {
		config["session.inter_op.allow_spinning"] = "0"
	}
	if len(m.External) > 0 {
		folder, err := filepath.Abs(m.Folder())
		if err != nil {
			return built, err
		}
		config["session.model_external_initializers_file_folder_path"] = folder
	}
	maps.Copy(config, o.Config)
	for _, key := range slices.Sorted(maps.Keys(config)) {
		if err := built.AddSessionConfigEntry(key, config[key]); err != nil {
			return built, fmt.Errorf("session config entry %q: %w", key, err)
		}
	}
	return built, nil
}

// handle is the OrtSessionOptions* inside the binding's options, which has no
// way to ask for it: a pointer field named o (onnxruntime_go.go of v1.27.0).
func handle(built *onnx.SessionOptions) (unsafe.Pointer, error) {
	field := reflect.ValueOf(built).Elem().FieldByName("o")
	if !field.IsValid() || field.Kind() != reflect.Pointer || field.IsNil() {
		return nil, errors.New("onnxruntime_go's SessionOptions is not the one this was written for (v1.27.0)")
	}
	return field.UnsafePointer(), nil
}
