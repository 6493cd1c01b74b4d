package bench

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/klauspost/cpuid/v2"
	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// choosingFeatures are the vector extensions that kernels, ours or ONNX
// Runtime's, choose by.
var choosingFeatures = []cpuid.FeatureID{
	cpuid.AVX, cpuid.AVX2, cpuid.FMA3, cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512VNNI, cpuid.AMXINT8, cpuid.ASIMD, cpuid.SVE,
}

// CPUFeatures are the names of those that this processor has, as in AVX2.
func CPUFeatures() []string {
	names := []string{}
	for _, f := range choosingFeatures {
		if cpuid.CPU.Supports(f) {
			names = append(names, f.String())
		}
	}
	return names
}

// describeMachine reads what this process was granted, and who tells power.
func describeMachine(name string, power *meters) Machine {
	m := Machine{
		Name: name, CPU: cpuid.CPU.BrandName, Arch: runtime.GOARCH,
		Cores: runtime.GOMAXPROCS(0), CoresOnline: runtime.NumCPU(),
		L1Bytes: int64(max(cpuid.CPU.Cache.L1D, 0)), L2Bytes: int64(max(cpuid.CPU.Cache.L2, 0)), L3Bytes: int64(max(cpuid.CPU.Cache.L3, 0)),
	}
	for _, name := range CPUFeatures() {
		m.CPUFeatures = append(m.CPUFeatures, strings.ToLower(name))
	}
	if fs, err := procfs.NewDefaultFS(); err == nil {
		if info, err := fs.Meminfo(); err == nil && info.MemTotalBytes != nil {
			m.MemoryBytes = int64(*info.MemTotalBytes)
		}
	}
	if limit, err := memlimit.FromCgroup(); err == nil && limit < math.MaxInt64 {
		m.CgroupMemoryBytes = int64(limit)
		if m.MemoryBytes == 0 || m.CgroupMemoryBytes < m.MemoryBytes {
			m.MemoryBytes = m.CgroupMemoryBytes
		}
	}
	m.CgroupCores = cgroupCores("/proc/self/cgroup", "/sys/fs/cgroup")
	m.GPUs = GPUs("/proc/driver/nvidia/gpus")
	m.PowerSource, m.NoPower = power.source()
	var uts unix.Utsname
	if err := unix.Uname(&uts); err == nil {
		m.Kernel = unix.ByteSliceToString(uts.Sysname[:]) + " " + unix.ByteSliceToString(uts.Release[:])
	}
	return m
}

// GPUs are the models of NVIDIA's devices, as its driver lists them under root.
func GPUs(root string) []string {
	devices, _ := filepath.Glob(filepath.Join(root, "*", "information"))
	var names []string
	for _, device := range devices {
		text, err := os.ReadFile(device)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if model, ok := strings.CutPrefix(line, "Model:"); ok {
				names = append(names, strings.TrimSpace(model))
			}
		}
	}
	return names
}

// cgroupCores is the least CPU quota of this process's cgroup (version 2) and
// those above it, in cores; 0 for none (Documentation/admin-guide/cgroup-v2.rst).
func cgroupCores(self, root string) float64 {
	text, err := os.ReadFile(self)
	if err != nil {
		return 0
	}
	path, ok := "", false
	for line := range strings.Lines(string(text)) {
		if path, ok = strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			break
		}
	}
	if !ok {
		return 0
	}
	least := 0.0
	for dir := filepath.Join(root, path); ; dir = filepath.Dir(dir) {
		if quota := readQuota(filepath.Join(dir, "cpu.max")); quota > 0 && (least == 0 || quota < least) {
			least = quota
		}
		if len(dir) <= len(root) {
			return least
		}
	}
}

// readQuota reads a cpu.max: a quota and a period, in microseconds.
func readQuota(path string) float64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	quota, period, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	q, err := strconv.ParseFloat(quota, 64) // or max
	if err != nil {
		return 0
	}
	p, err := strconv.ParseFloat(period, 64)
	if err != nil || p <= 0 {
		return 0
	}
	return q / p
}
