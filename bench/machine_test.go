package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
	e, why := openEnergy(root)
	if e == nil || why != "" || len(e.zones) != 2 {
		t.Fatalf("openEnergy = %+v; want the two packages that can be read", e)
	}
	set := func(zone, microjoules string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, zone, "energy_uj"), []byte(microjoules), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stop := e.start()
	set("intel-rapl:0", "500000") // it started again: 1 J to its end, and half a J
	set("intel-rapl:1", "3000000")
	set("intel-rapl:0:0", "9000000") // within package 0
	set("intel-rapl:2", "9000000")
	if got := stop(); got != 3.5 {
		t.Errorf("%v J; want 1.5 and 2", got)
	}
	stop = e.start()
	if err := os.Remove(filepath.Join(root, "intel-rapl:1", "energy_uj")); err != nil {
		t.Fatal(err)
	}
	if got := stop(); got != 0 {
		t.Errorf("%v J with a counter gone; want 0, unknown", got)
	}
	none, why := openEnergy(t.TempDir())
	if none != nil || !strings.Contains(why, "no intel-rapl") {
		t.Errorf("openEnergy of an empty tree = %+v, %q; want nil, and why", none, why)
	}
	if got := none.start()(); got != 0 {
		t.Errorf("%v J without a source; want 0", got)
	}
	unreadable := rapl(t, map[string]map[string]string{"intel-rapl:0": {"name": "package-0", "max_energy_range_uj": "10000000"}})
	if none, why := openEnergy(unreadable); none != nil || !strings.Contains(why, "cannot be read by this user") {
		t.Errorf("openEnergy of a counter that cannot be read = %+v, %q; want nil, and why", none, why)
	}
}

// write makes a file and its folders.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCgroupCores(t *testing.T) {
	for _, c := range []struct {
		about, self string
		quotas      map[string]string
		want        float64
	}{
		{"none", "0::/a/b\n", map[string]string{"a/b": "max 100000"}, 0},
		{"its own", "0::/a/b\n", map[string]string{"a/b": "150000 100000"}, 1.5},
		{"a parent's that is smaller", "0::/a/b\n", map[string]string{"a": "100000 100000", "a/b": "400000 100000"}, 1},
		{"of version 1 alone", "4:cpu:/a\n", map[string]string{"a": "100000 100000"}, 0},
		{"the root's", "0::/\n", map[string]string{".": "200000 100000"}, 2},
		{"nonsense", "0::/a\n", map[string]string{"a": "x y"}, 0},
	} {
		root := t.TempDir()
		self := filepath.Join(root, "self")
		write(t, self, c.self)
		for dir, text := range c.quotas {
			write(t, filepath.Join(root, "fs", dir, "cpu.max"), text+"\n")
		}
		if got := cgroupCores(self, filepath.Join(root, "fs")); got != c.want {
			t.Errorf("%s: %v cores; want %v", c.about, got, c.want)
		}
	}
	if got := cgroupCores(filepath.Join(t.TempDir(), "none"), t.TempDir()); got != 0 {
		t.Errorf("%v cores without cgroups; want 0", got)
	}
}

func TestGPUs(t *testing.T) {
	root := t.TempDir()
	for _, bus := range []string{"0000:01:00.0", "0000:02:00.0"} {
		write(t, filepath.Join(root, bus, "information"), "Model: \t\t NVIDIA H200\nIRQ:   \t\t 88\n")
	}
	m := Machine{GPUs: GPUs(root)}
	if got := gpuNames(&m); got != "2 × NVIDIA H200" {
		t.Errorf("GPUs are %q; want both, once", got)
	}
	if got := GPUs(t.TempDir()); len(got) != 0 {
		t.Errorf("GPUs of an empty tree = %v", got)
	}
}
