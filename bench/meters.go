package bench

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// meters tell what a repeat uses besides time: energy, of the processor packages
// and, while they compute, of devices; and memory of devices. Both are of the
// machine: what other processes use is among it.
type meters struct {
	packages []energyZone
	noPower  string // why there are none
	devices  []deviceMeter
	powered  []deviceMeter // those of them that tell their energy
}

// deviceMeter is what a device tells; false where it does not. Tests put another in
// the place of ort.DeviceInfo.
type deviceMeter interface {
	Joules() (float64, bool)  // since the driver was loaded
	UsedBytes() (int64, bool) // of its memory, now
}

// usage is what a repeat used; 0 where nobody tells.
type usage struct {
	joules      float64
	deviceBytes int64 // most at a time, of all devices
}

// powercap is where Linux tells what processor packages use.
const powercap = "/sys/class/powercap"

// energyZone is a processor package as Linux's powercap tree shows it
// (Documentation/power/powercap/powercap.rst). Most virtual machines have none.
type energyZone struct {
	counter string
	most    uint64 // microjoules at which the counter starts again
}

// openMeters finds the packages under root that this user may ask.
func openMeters(root string, devices ...deviceMeter) *meters {
	m := &meters{devices: devices}
	m.packages, m.noPower = openPackages(root)
	for _, d := range devices {
		if _, ok := d.Joules(); ok {
			m.powered = append(m.powered, d)
		}
	}
	return m
}

// openPackages finds none, and says why, where the system tells no power, or not
// to us.
func openPackages(root string) (zones []energyZone, why string) {
	// Top zones alone: their sub-zones are counted within them.
	dirs, _ := filepath.Glob(filepath.Join(root, "intel-rapl:[0-9]*"))
	secret := ""
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
		zones = append(zones, energyZone{counter: counter, most: most})
	}
	switch {
	case len(zones) > 0:
		return zones, ""
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

// source says who tells power, or why nobody does.
func (m *meters) source() (power, none string) {
	switch {
	case len(m.packages) > 0 && len(m.powered) > 0:
		return "rapl, and nvml for GPUs", ""
	case len(m.packages) > 0:
		return "rapl", ""
	case len(m.powered) > 0:
		return "nvml, of GPUs alone: " + m.noPower, ""
	default:
		return "", m.noPower
	}
}

// start begins a measurement, which the function that it gives ends: on the
// processor alone, or with what devices use.
func (m *meters) start(onDevices bool) (stop func() usage) {
	powered, devices := m.powered, m.devices
	if !onDevices {
		powered, devices = nil, nil
	}
	packages, joules, peak := startPackages(m.packages), startDevices(powered), startPeak(devices)
	return func() usage {
		u := usage{deviceBytes: peak()}
		ofPackages, known := packages()
		ofDevices, ok := joules()
		if known && ok {
			u.joules = ofPackages + ofDevices
		}
		return u
	}
}

// startPackages counts the joules of packages; false when a counter could not be
// read. A counter that starts again more than once between the two counts too
// little: after minutes, not seconds.
func startPackages(zones []energyZone) func() (float64, bool) {
	before := make([]uint64, len(zones))
	for i, z := range zones {
		var ok bool
		if before[i], ok = readMicrojoules(z.counter); !ok {
			return func() (float64, bool) { return 0, false }
		}
	}
	return func() (float64, bool) {
		var total uint64
		for i, z := range zones {
			now, ok := readMicrojoules(z.counter)
			switch {
			case !ok:
				return 0, false
			case now < before[i]:
				total += z.most - before[i] + now
			default:
				total += now - before[i]
			}
		}
		return float64(total) / 1e6, true
	}
}

// startDevices is startPackages for devices.
func startDevices(devices []deviceMeter) func() (float64, bool) {
	sum := func() (total float64, ok bool) {
		for _, d := range devices {
			joules, ok := d.Joules()
			if !ok {
				return 0, false
			}
			total += joules
		}
		return total, true
	}
	before, known := sum()
	return func() (float64, bool) {
		now, ok := sum()
		return now - before, known && ok
	}
}

// peakEvery is how often memory of devices is looked at. ONNX Runtime keeps what it
// has taken until its session ends, so that little is missed.
const peakEvery = 5 * time.Millisecond

// startPeak looks for the most memory in use at a time.
func startPeak(devices []deviceMeter) (stop func() int64) {
	if len(devices) == 0 {
		return func() int64 { return 0 }
	}
	var peak int64
	look := func() {
		var now int64
		for _, d := range devices {
			used, _ := d.UsedBytes()
			now += used
		}
		peak = max(peak, now)
	}
	look()
	ended := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		tick := time.NewTicker(peakEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				look()
			case <-ended:
				return
			}
		}
	})
	return func() int64 {
		close(ended)
		looking.Wait()
		look()
		return peak
	}
}
