package ort_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/cuda"
	"github.com/millrace/millrace/engine/ort/orttest"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// compileLibrary makes a shared library of C source, linked with others of its
// folder.
func compileLibrary(t *testing.T, path, source string, with ...string) {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("SKIPPED FOR WANT OF GCC")
	}
	args := append([]string{"-shared", "-fPIC", "-x", "c", "-o", path, "-", "-Wl,--no-as-needed", "-Wl,-soname," + filepath.Base(path), "-x", "none"}, with...)
	c := exec.CommandContext(t.Context(), gcc, args...)
	c.Stdin = strings.NewReader(source)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
}

// providerLibrary is the path of an ONNX Runtime beside a TensorRT provider that is
// linked with the libraries named, which are what the loader finds where the source
// is not empty.
func providerLibrary(t *testing.T, inferSource string) string {
	t.Helper()
	dir := t.TempDir()
	infer := filepath.Join(dir, "libnvinfer.so.10")
	parser := filepath.Join(dir, "libnvonnxparser.so.77")
	compileLibrary(t, infer, inferSource)
	compileLibrary(t, parser, "int mr_test_parser;")
	compileLibrary(t, filepath.Join(dir, "libonnxruntime_providers_tensorrt.so"), "int mr_test_provider;", infer, parser)
	return filepath.Join(dir, "libonnxruntime.so")
}

// The provider is asked what it is linked with, and of that what CUDA does not need
// is told; where the provider is not there, that is what is missing.
func TestMissingTensorRT(t *testing.T) {
	lib := providerLibrary(t, "int mr_test_infer;")
	want := []string{"libnvinfer.so.10", "libnvonnxparser.so.77"}
	if got := ort.MissingLibraries(lib, ort.TensorRT); !slices.Equal(got, want) && !slices.Equal(got, want[1:]) { // a machine may have the first
		t.Errorf("MissingLibraries = %q; want %q", got, want)
	}
	empty := filepath.Join(t.TempDir(), "libonnxruntime.so")
	if got := ort.MissingLibraries(empty, ort.TensorRT); !slices.Equal(got, []string{"libonnxruntime_providers_tensorrt.so"}) {
		t.Errorf("MissingLibraries without a provider = %q; want the provider's", got)
	}
	if got := ort.TensorRTVersion(empty); got != "" {
		t.Errorf("TensorRTVersion without a provider = %q; want none", got)
	}
}

func TestTensorRTVersion(t *testing.T) {
	for _, c := range []struct{ name, source, want string }{
		{"it says", "int getInferLibVersion(void) { return 101602; }", "10.16.2"},
		{"it says nothing", "int mr_test_infer;", ""},
	} {
		path := filepath.Join(t.TempDir(), "libnvinfer.so.10")
		compileLibrary(t, path, c.source)
		if got := ort.VersionOf(path); got != c.want {
			t.Errorf("%s: version %q; want %q", c.name, got, c.want)
		}
	}
	if got := ort.VersionOf(filepath.Join(t.TempDir(), "none.so")); got != "" {
		t.Errorf("version of no library: %q", got)
	}
}

// What another session compiled is taken only where everything is the same that the
// result depends on.
func TestEngineCacheKey(t *testing.T) {
	defer ort.StandIn(cuda.FakeDriver(cuda.H100), -1)()
	t.Setenv("NVIDIA_TF32_OVERRIDE", "0")
	root := filepath.Join(t.TempDir(), "a", "engines")
	lib := &ort.Library{Path: filepath.Join(t.TempDir(), "libonnxruntime.so"), Version: "1.31.1"}
	m := openModel(t, onnxtest.Identity(pb.TensorProto_FLOAT))
	first := ort.SessionOptions{Provider: ort.TensorRT, EngineCache: root, BatchRows: 4096}
	folder := func(change func(*ort.SessionOptions)) string {
		o := first
		change(&o)
		settings, err := ort.TensorRTSettings(&o, lib, m)
		if err != nil {
			t.Fatal(err)
		}
		if settings["trt_engine_cache_enable"] != "1" || settings["trt_timing_cache_path"] != settings["trt_engine_cache_path"] {
			t.Errorf("settings %v; want engines and timings kept in one folder", settings)
		}
		return settings["trt_engine_cache_path"]
	}
	base := folder(func(*ort.SessionOptions) {})
	if again := folder(func(*ort.SessionOptions) {}); again != base {
		t.Errorf("the same session has %s, and then %s", base, again)
	}
	if info, err := os.Stat(base); err != nil || info.Mode().Perm() != 0o700 || filepath.Dir(base) != root {
		t.Errorf("%s: %v, %v; want a folder in %s of mode 0700", base, info, err, root)
	}
	seen := map[string]string{base: "nothing"}
	for _, c := range []struct {
		what   string
		change func(*ort.SessionOptions)
	}{
		{"rows", func(o *ort.SessionOptions) { o.BatchRows = 1024 }},
		{"the device", func(o *ort.SessionOptions) { o.Device = 1 }},
		{"TF32", func(o *ort.SessionOptions) { o.TF32 = true }},
		{"the workspace", func(o *ort.SessionOptions) { o.DeviceMemory = 1 << 30 }},
		{"outputs", func(o *ort.SessionOptions) { o.Outputs = []string{"y"} }},
		{"the model", func(*ort.SessionOptions) { m = openModel(t, onnxtest.Identity(pb.TensorProto_DOUBLE)) }},
		{"ONNX Runtime", func(*ort.SessionOptions) { lib.Version = "1.32.0" }},
	} {
		got := folder(c.change)
		if was, ok := seen[got]; ok {
			t.Errorf("with %s changed the folder is that with %s changed", c.what, was)
		}
		seen[got] = c.what
	}
}

// An engine is a program: a folder that others can write to is not taken.
func TestEngineCacheIsOurs(t *testing.T) {
	defer ort.StandIn(cuda.FakeDriver(cuda.H100), -1)()
	lib := &ort.Library{Path: "libonnxruntime.so"}
	m := openModel(t, onnxtest.Identity(pb.TensorProto_FLOAT))
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	shared := filepath.Join(dir, "shared")
	if err := errors.Join(os.Mkdir(shared, 0o700), os.Chmod(shared, 0o775)); err != nil { //nolint:gosec // that it is too open is the point
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(shared, link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{file: "not a directory", shared: "mode 0775", link: "is no folder"} {
		o := ort.SessionOptions{Provider: ort.TensorRT, EngineCache: path}
		if _, err := ort.TensorRTSettings(&o, lib, m); !errors.Is(err, ort.ErrEngineCache) || !errors.Is(err, ort.ErrProvider) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want ErrEngineCache with %q", filepath.Base(path), err, want)
		}
	}
}

// TensorRT's own default is TF32; what the user has said of it stands.
func TestTensorRTRounding(t *testing.T) {
	const name = "NVIDIA_TF32_OVERRIDE"
	for _, c := range []struct {
		why  string
		tf32 bool
		said string // by the user; empty: nothing
		want string
	}{
		{"float32 unless asked", false, "", "0"},
		{"asked for", true, "", ""},
		{"the user's own", false, "1", "1"},
	} {
		t.Setenv(name, c.said) // restores it
		if c.said == "" {
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
		o := ort.SessionOptions{Provider: ort.TensorRT, Device: 1, TF32: c.tf32, DeviceMemory: 5}
		settings, err := ort.TensorRTSettings(&o, &ort.Library{}, openModel(t, onnxtest.Identity(pb.TensorProto_FLOAT)))
		if err != nil || len(settings) != 2 || settings["device_id"] != "1" || settings["trt_max_workspace_size"] != "5" {
			t.Errorf("%s: settings %v, %v; want the device and its memory, and no cache", c.why, settings, err)
		}
		if got := os.Getenv(name); got != c.want {
			t.Errorf("%s: %s is %q; want %q", c.why, name, got, c.want)
		}
	}
}

// With a device, but without TensorRT, a session says what is missing.
func TestTensorRTMissing(t *testing.T) {
	s, err := func() (*ort.Session, error) {
		defer ort.StandIn(cuda.FakeDriver(cuda.H100), -1)()
		lib := *orttest.Library(t)
		lib.Providers = append(slices.Clone(lib.Providers), "TensorrtExecutionProvider")
		return ort.NewSession(&lib, openModel(t, onnxtest.Identity(pb.TensorProto_FLOAT)), ort.SessionOptions{Provider: ort.TensorRT})
	}()
	if err == nil {
		closeAll(t, s)
		t.Skip("this machine has TensorRT")
	}
	if !errors.Is(err, ort.ErrProvider) || !strings.Contains(err.Error(), "tensorrt") || !strings.Contains(err.Error(), "millrace doctor") {
		t.Errorf("NewSession = %v; want ErrProvider that names the provider and doctor", err)
	}
}
