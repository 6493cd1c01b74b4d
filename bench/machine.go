package bench

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
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

// cgroupCores is the least CPU quota of this process's cgroups and those above them,
// in cores; 0 for none. Of version 1 each line of self names controllers, in whose
// hierarchy the path is; that of version 2 names none (Documentation/admin-guide/cgroup-v2.rst,
// Documentation/scheduler/sched-bwc.rst).
func cgroupCores(self, root string) float64 {
	text, err := os.ReadFile(self)
	if err != nil {
		return 0
	}
	least := 0.0
	for line := range strings.Lines(string(text)) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, _ := strings.Cut(line, ":")
		top := root
		switch {
		case controllers == "":
		case slices.Contains(strings.Split(controllers, ","), "cpu"):
			top = filepath.Join(root, controllers)
		default:
			continue
		}
		for dir := filepath.Join(top, path); len(dir) >= len(top); dir = filepath.Dir(dir) {
			if quota := readQuota(dir); quota > 0 && (least == 0 || quota < least) {
				least = quota
			}
		}
	}
	return least
}

// readQuota is the quota of a cgroup in cores, as version 2 or 1 has it; 0 for none.
func readQuota(dir string) float64 {
	var quota, period string
	if text, err := os.ReadFile(filepath.Join(dir, "cpu.max")); err == nil {
		quota, period, _ = strings.Cut(strings.TrimSpace(string(text)), " ") // or max
	} else {
		q, _ := os.ReadFile(filepath.Join(dir, "cpu.cfs_quota_us")) // or -1
		p, _ := os.ReadFile(filepath.Join(dir, "cpu.cfs_period_us"))
		quota, period = strings.TrimSpace(string(q)), strings.TrimSpace(string(p))
	}
	q, err := strconv.ParseFloat(quota, 64)
	if err != nil {
		return 0
	}
	p, err := strconv.ParseFloat(period, 64)
	if err != nil || p <= 0 {
		return 0
	}
	return q / p
}
