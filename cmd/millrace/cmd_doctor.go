package main

import (
	"fmt"
	"io"
	"path/filepath"
	"runtime"
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
	Devices []string `json:"devices"`
	Note    string   `json:"note"`
}

func examine(common *commonOptions) (*doctorReport, error) {
	r := &doctorReport{Searched: ort.Search(common.library())}
	lib, err := ort.Load(common.library())
	if err == nil {
		r.OK = true
		r.Library = &libraryReport{Path: lib.Path, Version: lib.Version, Source: lib.Source, API: lib.API, Providers: lib.Providers}
	} else {
		r.Problem = err.Error()
		r.Advice = append(r.Advice, "get ONNX Runtime "+ort.PinnedVersion+" by `make runtime` in the repository, or point --ort-lib or "+ort.EnvVariable+" at a libonnxruntime.so of 1.24 or later")
	}
	r.CPU = cpuReport{Name: cpuid.CPU.BrandName, Logical: runtime.NumCPU(), Granted: runtime.GOMAXPROCS(0), Features: bench.CPUFeatures(), Kernels: kernel.Level(), Operator: ort.KernelLevel()}
	r.Memory = examineMemory()
	r.GPU = examineGPU(r.Library)
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

// examineGPU looks for NVIDIA devices by their files, so that it needs no
// driver library.
func examineGPU(lib *libraryReport) gpuReport {
	devices, _ := filepath.Glob("/dev/nvidia[0-9]*")
	g := gpuReport{Devices: append([]string{}, devices...)}
	cuda := lib != nil && strings.Contains(strings.Join(lib.Providers, " "), "CUDA")
	switch {
	case len(devices) == 0:
		g.Note = "no NVIDIA device; runs use the CPU"
	case !cuda:
		g.Note = "a device is there, but this ONNX Runtime has no CUDA provider: `make runtime-cuda` brings one"
	default:
		g.Note = "ONNX Runtime has a CUDA provider; millrace score runs on the CPU only so far"
	}
	return g
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
	line("gpu", "%s", r.GPU.Note)
	for _, advice := range r.Advice {
		line("to do", "%s", advice)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
