package bench

import (
	"os"
	"path/filepath"
	"testing"
)

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

func TestCgroupCoresOfVersion1(t *testing.T) {
	for _, c := range []struct {
		about, self string
		quotas      map[string]string
		want        float64
	}{
		{"none", "5:memory:/m\n4:cpu:/a/b\n0::/\n", map[string]string{"cpu/a/b": "-1", "cpu": "-1"}, 0},
		{"its own", "4:cpu:/a/b\n0::/\n", map[string]string{"cpu/a/b": "50000", "cpu": "-1"}, 0.5},
		{"a parent's that is smaller", "4:cpu:/a/b\n", map[string]string{"cpu/a/b": "250000", "cpu/a": "150000"}, 1.5},
		{"of controllers that are together", "4:cpu,cpuacct:/a\n", map[string]string{"cpu,cpuacct/a": "100000"}, 1},
		{"of a container, which sees its own as the root", "4:cpu:/docker/1f\n", map[string]string{"cpu": "100000"}, 1},
		{"of other controllers", "4:cpuset:/a\n", map[string]string{"cpuset/a": "100000"}, 0},
	} {
		root := t.TempDir()
		write(t, filepath.Join(root, "self"), c.self)
		for dir, quota := range c.quotas {
			write(t, filepath.Join(root, "fs", dir, "cpu.cfs_quota_us"), quota+"\n")
			write(t, filepath.Join(root, "fs", dir, "cpu.cfs_period_us"), "100000\n")
		}
		if got := cgroupCores(filepath.Join(root, "self"), filepath.Join(root, "fs")); got != c.want {
			t.Errorf("%s: %v cores; want %v", c.about, got, c.want)
		}
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
