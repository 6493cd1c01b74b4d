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

	"github.com/millrace/millrace/engine/ort"
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

// describeMachine reads what this process was granted. noPower is why the system
// does not tell the processors' power, and withDevices says that GPUs tell theirs.
func describeMachine(name, noPower string, withDevices bool) Machine {
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
	var uts unix.Utsname
	if err := unix.Uname(&uts); err == nil {
		m.Kernel = unix.ByteSliceToString(uts.Sysname[:]) + " " + unix.ByteSliceToString(uts.Release[:])
	}
	switch {
	case noPower == "" && withDevices:
		m.PowerSource = "rapl, and nvml for GPUs"
	case noPower == "":
		m.PowerSource = "rapl"
	case withDevices:
		m.PowerSource = "nvml, of GPUs alone: " + noPower
	default:
		m.NoPower = noPower
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

// powercap is where Linux tells what processor packages use.
const powercap = "/sys/class/powercap"

// energy reads what the processor packages have used, by the counters of
// Linux's powercap tree (Documentation/power/powercap/powercap.rst). Most
// virtual machines have none.
//
// To that comes what devices have used, while one of them computes.
type energy struct {
	zones   []energyZone
	devices []ort.DeviceInfo
}

type energyZone struct {
	counter string
	most    uint64 // microjoules at which the counter starts again
}

// openEnergy is nil, and says why, where the system tells no power, or not to us.
func openEnergy(root string) (_ *energy, why string) {
	// Top zones alone: their sub-zones are counted within them.
	dirs, _ := filepath.Glob(filepath.Join(root, "intel-rapl:[0-9]*"))
	e, secret := &energy{}, ""
	for _, dir := range dirs {
		if strings.Count(filepath.Base(dir), ":") != 1 {
			continue
		}
		if name, err := os.ReadFile(filepath.Join(dir, "name")); err != nil || !strings.HasPrefix(string(name), "package") {
			continue
		}
		most, ok := readMicrojoules(filepath.Join(dir, "max_energy_range_uj"))
		counter := filepath.Join(dir, "energy_uj")
		if _, readable := readMicrojoules(counter); !ok || !readable {
			secret = counter
			continue
		}
		e.zones = append(e.zones, energyZone{counter: counter, most: most})
	}
	switch {
	case len(e.zones) > 0:
		return e, ""
	case secret != "":
		return nil, secret + " cannot be read by this user: most systems let only root"
	default:
		return nil, root + " has no intel-rapl package, as on most virtual machines"
	}
}

func readMicrojoules(path string) (uint64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}

// withDevices is the energy with that of devices that say what they use.
func (e *energy) withDevices(devices []ort.DeviceInfo) *energy {
	with := &energy{}
	if e != nil {
		with.zones = e.zones
	}
	for _, d := range devices {
		if _, ok := d.Joules(); ok {
			with.devices = append(with.devices, d)
		}
	}
	if len(with.devices) == 0 {
		return e
	}
	return with
}

// start begins a measurement; the function it gives ends it and returns joules,
// or 0 when a counter could not be read. A counter that starts again more than
// once between the two counts too little: after minutes, not seconds.
func (e *energy) start() func() float64 {
	if e == nil {
		return func() float64 { return 0 }
	}
	before := make([]uint64, len(e.zones))
	for i, z := range e.zones {
		var ok bool
		if before[i], ok = readMicrojoules(z.counter); !ok {
			return func() float64 { return 0 }
		}
	}
	used := make([]float64, len(e.devices))
	for i := range e.devices {
		used[i], _ = e.devices[i].Joules()
	}
	return func() float64 {
		devices := 0.0
		for i := range e.devices {
			now, ok := e.devices[i].Joules()
			if !ok {
				return 0
			}
			devices += now - used[i]
		}
		var total uint64
		for i, z := range e.zones {
			now, ok := readMicrojoules(z.counter)
			switch {
			case !ok:
				return 0
			case now < before[i]:
				total += z.most - before[i] + now
			default:
				total += now - before[i]
			}
		}
		return float64(total)/1e6 + devices
	}
}
