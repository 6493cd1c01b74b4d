package main

import (
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/klauspost/cpuid/v2"
	"github.com/prometheus/procfs"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/bench"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ort"
)

func newDoctor(s streams, common *commonOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine has for scoring, what is missing, and how to get it.",
		Example: `  millrace doctor
  millrace doctor --ort-lib .ort --json`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			r, err := examine(common)
			if printed := common.print(s, r); printed != nil {
				return printed
			}
			return err
		},
	}
}

// doctorReport is the answer of doctor.
type doctorReport struct {
	OK       bool            `json:"ok"` // a run on the CPU would find its library
	Library  *libraryReport  `json:"onnxruntime"`
	Searched []ort.Candidate `json:"searched"`
	Problem  string          `json:"problem,omitempty"`
	CPU      cpuReport       `json:"cpu"`
	Memory   memoryReport    `json:"memory"`
	GPU      gpuReport       `json:"gpu"`
	Advice   []string        `json:"advice"`
}

type libraryReport struct {
	Path      string   `json:"path"`
	Version   string   `json:"version"`
	Source    string   `json:"source"`
	API       int      `json:"api"`
	Providers []string `json:"providers"`
}

type cpuReport struct {
	Name     string   `json:"name"`
	Logical  int      `json:"logical_cores"`
	Granted  int      `json:"granted_cores"`    // by cgroup, affinity or GOMAXPROCS
	Features []string `json:"features"`         // those that matter for kernels
	Kernels  string   `json:"kernels"`          // those that assemble tensors here: plain, avx2 or avx512
	Operator string   `json:"operator_kernels"` // those of operators of ours: plain, avx2 or avx512
}

type memoryReport struct {
	TotalBytes     uint64 `json:"total_bytes"`
	AvailableBytes uint64 `json:"available_bytes"`
	LimitBytes     uint64 `json:"cgroup_limit_bytes"` // 0: none
}

type gpuReport struct {
	Devices []ort.DeviceInfo `json:"devices"`
	Driver  string           `json:"driver_cuda"` // the CUDA version of the driver
	Missing []string         `json:"missing_libraries"`
	Note    string           `json:"note"`
	// TensorRT is asked for only where CUDA is ready.
	TensorRT *tensorRTReport `json:"tensorrt,omitempty"`
}

type tensorRTReport struct {
	Version string   `json:"version"`
	Missing []string `json:"missing_libraries"`
	Note    string   `json:"note"`
}

func examine(common *commonOptions) (*doctorReport, error) {
	where := common.library()
	if files, _ := filepath.Glob(deviceFiles); len(files) > 0 {
		where.Provider = ort.CUDA // as --provider cuda would
	}
	r := &doctorReport{Searched: ort.Search(where), Advice: []string{}}
	lib, err := ort.Load(where)
	if err == nil {
		r.OK = true
		r.Library = &libraryReport{Path: lib.Path, Version: lib.Version, Source: lib.Source, API: lib.API, Providers: lib.Providers}
	} else {
		r.Problem = err.Error()
		r.Advice = append(r.Advice, "get ONNX Runtime "+ort.PinnedVersion+" by `make runtime` in the repository, or point --ort-lib or "+ort.EnvVariable+" at a libonnxruntime.so of 1.24 or later")
	}
	r.CPU = cpuReport{Name: cpuid.CPU.BrandName, Logical: runtime.NumCPU(), Granted: runtime.GOMAXPROCS(0), Features: bench.CPUFeatures(), Kernels: kernel.Level(), Operator: ort.KernelLevel()}
	r.Memory = examineMemory()
	var advice []string
	r.GPU, advice = examineGPU(r.Library)
	r.Advice = append(r.Advice, advice...)
	return r, err
}

func examineMemory() memoryReport {
	var m memoryReport
	if fs, err := procfs.NewDefaultFS(); err == nil {
		if info, err := fs.Meminfo(); err == nil {
			if info.MemTotalBytes != nil {
				m.TotalBytes = *info.MemTotalBytes
			}
			if info.MemAvailableBytes != nil {
				m.AvailableBytes = *info.MemAvailableBytes
			}
		}
	}
	m.LimitBytes = uint64(engine.CgroupMemory())
	return m
}

// deviceFiles are NVIDIA's devices as the kernel shows them, driver library or
// not.
const deviceFiles = "/dev/nvidia[0-9]*"

// examineGPU asks NVIDIA's driver for devices, and the loader for the libraries
// that ONNX Runtime's CUDA provider needs.
func examineGPU(lib *libraryReport) (g gpuReport, advice []string) {
	files, _ := filepath.Glob(deviceFiles)
	devices, driver, err := ort.Devices()
	g = gpuReport{Devices: append([]ort.DeviceInfo{}, devices...), Driver: driver, Missing: []string{}}
	cuda := lib != nil && slices.Contains(lib.Providers, "CUDAExecutionProvider")
	if cuda {
		g.Missing = append(g.Missing, ort.MissingLibraries(lib.Path, ort.CUDA)...)
	}
	for _, name := range g.Missing {
		advice = append(advice, cudaAdvice(name))
	}
	switch {
	case len(devices) == 0 && len(files) == 0:
		g.Note, advice = "no NVIDIA device; runs use the CPU", nil
	case err != nil:
		g.Note = err.Error()
		advice = append(advice, "install NVIDIA's driver for CUDA "+ort.CUDAVersion+" or newer, and let this process see its libcuda.so.1 (in a container: start it with the NVIDIA runtime)")
	case len(devices) == 0:
		g.Note = "the driver shows no device to this process (CUDA_VISIBLE_DEVICES?)"
	case !cuda:
		g.Note = "a device is there, but this ONNX Runtime has no CUDA provider"
		advice = append(advice, "`make runtime-cuda` brings an ONNX Runtime with one; --provider cuda then finds it")
	case len(g.Missing) > 0:
		g.Note = "ONNX Runtime's CUDA provider lacks " + strings.Join(g.Missing, ", ")
	default:
		g.Note = "ready for --provider cuda"
		var more []string
		g.TensorRT, more = examineTensorRT(lib)
		advice = append(advice, more...)
	}
	if driver != "" && olderThan(driver, ort.CUDAVersion) {
		g.Note = fmt.Sprintf("the driver is for CUDA %s, and ONNX Runtime's provider needs %s", driver, ort.CUDAVersion)
		advice = append(advice, "install NVIDIA's driver 580 or newer")
	}
	return g, advice
}

// examineTensorRT asks the loader for the libraries that ONNX Runtime's TensorRT
// provider needs beyond CUDA's. Nobody needs it, and advice says so.
func examineTensorRT(lib *libraryReport) (r *tensorRTReport, advice []string) {
	r = &tensorRTReport{Missing: []string{}}
	if !slices.Contains(lib.Providers, "TensorrtExecutionProvider") {
		r.Note = "this ONNX Runtime was built without a TensorRT provider"
		return r, nil
	}
	r.Missing = append(r.Missing, ort.MissingLibraries(lib.Path, ort.TensorRT)...)
	for _, name := range r.Missing {
		advice = append(advice, "for --provider tensorrt alone: "+cudaAdvice(name))
	}
	if len(r.Missing) > 0 {
		r.Note = "ONNX Runtime's TensorRT provider lacks " + strings.Join(r.Missing, ", ")
		return r, advice
	}
	r.Version = ort.TensorRTVersion(lib.Path)
	r.Note = "ready for --provider tensorrt, with TensorRT " + r.Version
	return r, nil
}

// olderThan compares versions such as 13.0 by their first number.
func olderThan(version, least string) bool {
	major := func(v string) int {
		n, _ := strconv.Atoi(strings.Split(v, ".")[0])
		return n
	}
	return major(version) < major(least)
}

// tensorRTByPip is TensorRT 10, which ONNX Runtime's provider is linked with: 11
// has other names. Its packages are on NVIDIA's own index.
const tensorRTByPip = "'tensorrt-cu13<11' --extra-index-url https://pypi.nvidia.com"

// cudaAdvice says where a library of NVIDIA's is had.
func cudaAdvice(name string) string {
	packages := []struct{ prefix, system, pip string }{
		{"libcudart", "cuda-cudart-13-0", "nvidia-cuda-runtime"},
		{"libcublas", "libcublas-13-0", "nvidia-cublas"},
		{"libcurand", "libcurand-13-0", "nvidia-curand"},
		{"libcudnn", "cudnn9-cuda-13", "nvidia-cudnn-cu13"},
		{"libnvinfer", "libnvinfer10", tensorRTByPip},
		{"libnvonnxparser", "libnvonnxparsers10", tensorRTByPip},
	}
	if strings.HasPrefix(name, "libonnxruntime_providers_") {
		return name + " is not beside libonnxruntime.so: `make runtime-cuda` brings both"
	}
	for _, p := range packages {
		if strings.HasPrefix(name, p.prefix) {
			return fmt.Sprintf("%s is not found: install %s of NVIDIA's package repository, or by pip: %s; and add its folder to LD_LIBRARY_PATH", name, p.system, p.pip)
		}
	}
	return name + " is not found: install it, and add its folder to LD_LIBRARY_PATH"
}

// Text writes what is there, then what is missing.
func (r *doctorReport) Text(w io.Writer) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	if r.Library != nil {
		line("onnxruntime", "%s (C API %d) at %s, found by: %s", r.Library.Version, r.Library.API, r.Library.Path, r.Library.Source)
		line("providers", "%s", strings.Join(r.Library.Providers, ", "))
	} else {
		line("onnxruntime", "MISSING")
	}
	b.WriteString("searched, in this order:\n")
	for _, c := range r.Searched {
		state := "not there"
		switch {
		case c.Exists:
			state = "there"
		case c.Source == ort.SourceSystem:
			state = "asked of the loader by name"
		}
		fmt.Fprintf(&b, "  %-28s %s (%s)\n", c.Source, c.Path, state)
	}
	line("cpu", "%s; %d cores, %d granted; %s", orNone(r.CPU.Name), r.CPU.Logical, r.CPU.Granted, strings.Join(r.CPU.Features, " "))
	line("kernels", "tensors %s, operators %s", r.CPU.Kernels, r.CPU.Operator)
	limit := "no cgroup limit"
	if r.Memory.LimitBytes > 0 {
		limit = "cgroup limit " + humanize.IBytes(r.Memory.LimitBytes)
	}
	line("memory", "%s, %s available, %s", humanize.IBytes(r.Memory.TotalBytes), humanize.IBytes(r.Memory.AvailableBytes), limit)
	for _, d := range r.GPU.Devices {
		line("gpu", "%d: %s, %s, driver for CUDA %s", d.Number, d.Name, humanize.IBytes(uint64(d.Bytes)), r.GPU.Driver)
	}
	line("gpu", "%s", r.GPU.Note)
	if r.GPU.TensorRT != nil {
		line("tensorrt", "%s", r.GPU.TensorRT.Note)
	}
	for _, advice := range r.Advice {
		line("to do", "%s", advice)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
