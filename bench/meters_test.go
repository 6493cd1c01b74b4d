package bench

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// rapl makes a powercap tree: zones by folder, each with its files.
func rapl(t *testing.T, zones map[string]map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for zone, files := range zones {
		dir := filepath.Join(root, zone)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

func TestEnergy(t *testing.T) {
	root := rapl(t, map[string]map[string]string{
		"intel-rapl:0":   {"name": "package-0", "energy_uj": "9000000", "max_energy_range_uj": "10000000"},
		"intel-rapl:1":   {"name": "package-1", "energy_uj": "1000000", "max_energy_range_uj": "10000000"},
		"intel-rapl:0:0": {"name": "core", "energy_uj": "0", "max_energy_range_uj": "10000000"},
		"intel-rapl:2":   {"name": "psys", "energy_uj": "0", "max_energy_range_uj": "10000000"},
		"intel-rapl:3":   {"name": "package-3", "max_energy_range_uj": "10000000"}, // its counter is not readable
	})
	m := openMeters(root)
	if power, why := m.source(); power != "rapl" || why != "" || len(m.packages) != 2 {
		t.Fatalf("openMeters = %+v, power by %q; want the two packages that can be read", m, power)
	}
	set := func(zone, microjoules string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, zone, "energy_uj"), []byte(microjoules), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stop := m.start(false)
	set("intel-rapl:0", "500000") // it started again: 1 J to its end, and half a J
	set("intel-rapl:1", "3000000")
	set("intel-rapl:0:0", "9000000") // within package 0
	set("intel-rapl:2", "9000000")
	if got := stop(); got != (usage{joules: 3.5}) {
		t.Errorf("%+v; want 1.5 and 2 J", got)
	}
	stop = m.start(false)
	if err := os.Remove(filepath.Join(root, "intel-rapl:1", "energy_uj")); err != nil {
		t.Fatal(err)
	}
	if got := stop(); got.joules != 0 {
		t.Errorf("%v J with a counter gone; want 0, unknown", got.joules)
	}
	none := openMeters(t.TempDir())
	if power, why := none.source(); power != "" || !strings.Contains(why, "no intel-rapl") {
		t.Errorf("an empty tree: power by %q, %q; want none, and why", power, why)
	}
	if got := none.start(true)(); got != (usage{}) {
		t.Errorf("%+v without a source; want nothing", got)
	}
	unreadable := rapl(t, map[string]map[string]string{"intel-rapl:0": {"name": "package-0", "max_energy_range_uj": "10000000"}})
	if power, why := openMeters(unreadable).source(); power != "" || !strings.Contains(why, "cannot be read by this user") {
		t.Errorf("a counter that cannot be read: power by %q, %q; want none, and why", power, why)
	}
}

// fakeMeter is a device whose numbers are set.
type fakeMeter struct {
	mu     sync.Mutex
	joules float64 // below 0: it does not tell
	bytes  int64
	looks  int // at its memory
}

func (d *fakeMeter) Joules() (float64, bool) { return d.joules, d.joules >= 0 }

func (d *fakeMeter) UsedBytes() (int64, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.looks++
	return d.bytes, true
}

// use sets the memory in use, and waits until it was looked at.
func (d *fakeMeter) use(bytes int64) {
	d.mu.Lock()
	d.bytes = bytes
	seen := d.looks
	d.mu.Unlock()
	for {
		d.mu.Lock()
		looked := d.looks > seen
		d.mu.Unlock()
		if looked {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// Devices count while they compute, and what of energy nobody tells is left out.
func TestMetersOfDevices(t *testing.T) {
	packages := map[string]map[string]string{"intel-rapl:0": {"name": "package-0", "energy_uj": "1000000", "max_energy_range_uj": "10000000"}}
	for _, c := range []struct {
		about     string
		zones     map[string]map[string]string
		joules    float64 // of one device before
		onDevices bool
		want      usage
		source    string
	}{
		{"packages and devices", packages, 10, true, usage{7, 900}, "rapl, and nvml for GPUs"},
		{"packages alone, on the CPU", packages, 10, false, usage{2, 0}, "rapl, and nvml for GPUs"},
		{"devices alone", nil, 10, true, usage{5, 900}, "nvml, of GPUs alone: "},
		{"a device that tells memory alone", packages, -1, true, usage{2, 900}, "rapl"},
	} {
		root := rapl(t, c.zones)
		one, other := &fakeMeter{joules: c.joules, bytes: 100}, &fakeMeter{joules: -1, bytes: 200}
		m := openMeters(root, one, other)
		if power, _ := m.source(); !strings.HasPrefix(power, c.source) || c.source == "rapl" && power != c.source {
			t.Errorf("%s: power is told by %q; want %q", c.about, power, c.source)
		}
		stop := m.start(c.onDevices)
		if c.zones != nil {
			write(t, filepath.Join(root, "intel-rapl:0", "energy_uj"), "3000000")
		}
		if one.joules >= 0 {
			one.joules += 5
		}
		if c.onDevices { // the most at a time, and not the sum of what each had at most
			one.use(700)
			one.use(100)
			other.use(300)
		}
		if got := stop(); got != c.want {
			t.Errorf("%s: %+v; want %+v", c.about, got, c.want)
		}
	}
}
