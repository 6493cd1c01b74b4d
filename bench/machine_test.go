package bench

import (
	"os"
	"path/filepath"
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
	e := openEnergy(root)
	if e == nil || len(e.zones) != 2 {
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
	if e := openEnergy(t.TempDir()); e != nil {
		t.Errorf("openEnergy of an empty tree = %+v; want nil", e)
	}
	if got := openEnergy(t.TempDir()).start()(); got != 0 {
		t.Errorf("%v J without a source; want 0", got)
	}
}
