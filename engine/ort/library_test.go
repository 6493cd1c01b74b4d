package ort_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
)

// none is an environment without variables.
func none(string) string { return "" }

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSearchOrder(t *testing.T) {
	home := t.TempDir()
	exe := write(t, filepath.Join(home, "bin", "millrace"), "")
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	write(t, filepath.Join(home, "lib", "libonnxruntime.so.1.9.0"), "")
	write(t, filepath.Join(home, "lib", "libonnxruntime.so.1.31.0"), "")
	for _, build := range []string{"1.9.0-cpu", "1.31.1-cpu", "1.31.1-cuda"} {
		write(t, filepath.Join(home, ".ort", build+"-"+arch, "lib", "libonnxruntime.so"), "")
	}
	fetched := func(build string) ort.Candidate {
		return ort.Candidate{
			Path:   filepath.Join(home, ".ort", build+"-"+arch, "lib", "libonnxruntime.so"),
			Source: ort.SourceFetched, Exists: true,
		}
	}
	beside := []ort.Candidate{
		{Path: filepath.Join(home, "bin", "libonnxruntime.so"), Source: ort.SourceExecutable},
		{Path: filepath.Join(home, "lib", "libonnxruntime.so.1.31.0"), Source: ort.SourceExecutable, Exists: true},
	}
	system := ort.Candidate{Path: "libonnxruntime.so", Source: ort.SourceSystem}
	named := filepath.Join(home, "lib")
	for _, c := range []struct {
		name string
		opts ort.LibraryOptions
		want []ort.Candidate
	}{
		{
			"a flag is the only place, and may name a folder",
			ort.LibraryOptions{Path: named},
			[]ort.Candidate{{Path: filepath.Join(named, "libonnxruntime.so.1.31.0"), Source: ort.SourceFlag, Exists: true}},
		},
		{
			"a variable is the only place",
			ort.LibraryOptions{Getenv: func(string) string { return "/no/such/lib.so" }},
			[]ort.Candidate{{Path: "/no/such/lib.so", Source: ort.SourceEnv}},
		},
		{
			"beside the program, fetched with newer ones first, the system",
			ort.LibraryOptions{Getenv: none, Executable: exe},
			slices.Concat(beside, []ort.Candidate{fetched("1.31.1-cpu"), fetched("1.9.0-cpu"), fetched("1.31.1-cuda"), system}),
		},
		{
			"another provider's build comes first when asked for",
			ort.LibraryOptions{Getenv: none, Executable: exe, Provider: "cuda"},
			slices.Concat(beside, []ort.Candidate{fetched("1.31.1-cuda"), fetched("1.31.1-cpu"), fetched("1.9.0-cpu"), system}),
		},
	} {
		if got := ort.Search(c.opts); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %v\nwant %v", c.name, got, c.want)
		}
	}
}

// child runs TestLoadInChild in a process of its own, where nothing is loaded
// yet, and gives the sentinel it ended with, its error's words, and whatever
// the process wrote otherwise.
func child(t *testing.T, variables ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLoadInChild$", "-test.v")
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, ort.EnvVariable+"=")
	}), append(variables, "ORT_TEST_CHILD=1")...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestLoadInChild(t *testing.T) {
	if os.Getenv("ORT_TEST_CHILD") == "" {
		t.Skip("runs inside other tests")
	}
	lib, err := ort.Load(ort.LibraryOptions{Path: os.Getenv("ORT_TEST_PATH"), Executable: os.Getenv("ORT_TEST_EXE")})
	switch {
	case errors.Is(err, ort.ErrLibraryTooOld):
		fmt.Println("TOO OLD:", err)
	case errors.Is(err, ort.ErrLibraryMissing):
		fmt.Println("MISSING:", err)
	case err != nil:
		fmt.Println("OTHER:", err)
	default:
		fmt.Println("LOADED:", lib.Version, lib.Source, lib.Path)
	}
}

// fake compiles a library with OrtGetApiBase that has no API at all.
func fake(t *testing.T, path, version string) {
	t.Helper()
	source := write(t, filepath.Join(t.TempDir(), "fake.c"), `
		static const char *version(void) { return "`+version+`"; }
		static const void *api(unsigned n) { __builtin_trap(); return 0; }
		static const void *none(unsigned n) { return 0; }
		static struct { const void *(*get)(unsigned); const char *(*version)(void); } base = {
		#ifdef NONE
			none,
		#else
			api,
		#endif
			version };
		const void *OrtGetApiBase(void) { (void)api; (void)none; return &base; }`)
	args := []string{"-shared", "-fPIC", "-o", path, source}
	if strings.HasPrefix(version, "1.99") {
		args = append(args, "-DNONE")
	}
	if out, err := exec.CommandContext(t.Context(), "cc", args...).CombinedOutput(); err != nil {
		t.Skipf("no C compiler for a fake library: %v %s", err, out)
	}
}

func TestLoadExplainsWhatItFound(t *testing.T) {
	if testing.Short() {
		t.Skip("eight processes, each of one goroutine")
	}
	library, ok := orttest.Path()
	if !ok {
		orttest.Library(t)
	}
	home := t.TempDir()
	exe := write(t, filepath.Join(home, "bin", "millrace"), "")
	text := write(t, filepath.Join(t.TempDir(), "text.so"), "not a library")
	old, hollow := filepath.Join(home, "lib", "libonnxruntime.so"), filepath.Join(t.TempDir(), "hollow.so")
	if err := os.Mkdir(filepath.Dir(old), 0o750); err != nil {
		t.Fatal(err)
	}
	fake(t, old, "1.18.0")
	fake(t, hollow, "1.99.0")
	for _, c := range []struct {
		name      string
		variables []string
		want      []string
	}{
		{"a flag that names nothing", []string{"ORT_TEST_PATH=/no/such.so"}, []string{"MISSING", "/no/such.so (--ort-lib): no such file", "make runtime"}},
		{"a variable that names nothing", []string{ort.EnvVariable + "=/no/such.so"}, []string{"MISSING", "/no/such.so (MILLRACE_ORT_LIB)"}},
		{"a file that is no library", []string{"ORT_TEST_PATH=" + text}, []string{"MISSING", text + " (--ort-lib): ", "file too short"}},
		{"a bare name is not looked up", []string{"ORT_TEST_PATH=libc.so.6"}, []string{"MISSING", "no such file"}},
		{"an old version", []string{"ORT_TEST_PATH=" + old}, []string{"TOO OLD", old + " (--ort-lib): it is version 1.18.0, and at least 1.24 is needed"}},
		{"a new version without the API", []string{"ORT_TEST_PATH=" + hollow}, []string{"TOO OLD", "version 1.99.0"}},
		{"an old version beside the program", []string{"ORT_TEST_EXE=" + exe}, []string{
			"TOO OLD", filepath.Join(home, "bin", "libonnxruntime.so") + " (beside the program): no such file",
			old + " (beside the program): it is version 1.18.0", "(fetched by make runtime): no such file",
			"libonnxruntime.so (the system's library path): ", "--ort-lib or MILLRACE_ORT_LIB",
		}},
		{"a variable that names the library", []string{ort.EnvVariable + "=" + library}, []string{"LOADED: 1.", "MILLRACE_ORT_LIB"}},
	} {
		out := child(t, c.variables...)
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: the message lacks %q:\n%s", c.name, want, out)
			}
		}
	}
}

// TestTellsNobody loads the library where it would gather what is run to send it to its
// makers: in a home with nothing in it, and with no sign of being in CI.
func TestTellsNobody(t *testing.T) {
	library, ok := orttest.Path()
	if !ok {
		orttest.Library(t)
	}
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLoadInChild$")
	cmd.Env = []string{"HOME=" + home, "ORT_TEST_CHILD=1", "ORT_TEST_PATH=" + library, "ORT_DISABLE_TELEMETRY=0"}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "LOADED") {
		t.Fatalf("load in a child: %v: %s", err, out)
	}
	err := filepath.WalkDir(home, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && path != home {
			t.Errorf("loading ONNX Runtime made %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLoadTwice(t *testing.T) {
	first := orttest.Library(t)
	if second, err := ort.Load(ort.LibraryOptions{Path: first.Path}); err != nil || second != first {
		t.Errorf("Load(the same path) = %p, %v; want the first library", second, err)
	}
	if again, err := ort.Load(ort.LibraryOptions{Getenv: none}); err != nil || again != first {
		t.Errorf("Load(no path) = %p, %v; want the first library", again, err)
	}
	if _, err := ort.Load(ort.LibraryOptions{Path: "/no/such.so"}); !errors.Is(err, ort.ErrLibraryLoaded) {
		t.Errorf("Load(another path) = %v; want ErrLibraryLoaded", err)
	}
	if !slices.Contains(first.Providers, "CPUExecutionProvider") || first.API < 24 || !strings.HasPrefix(first.Version, "1.") {
		t.Errorf("Load() = %+v", first)
	}
}

func TestPinnedVersionIsFetched(t *testing.T) {
	script, err := os.ReadFile("fetch.sh")
	if err != nil {
		t.Fatal(err)
	}
	if want := "readonly version=" + ort.PinnedVersion + "\n"; !strings.Contains(string(script), want) {
		t.Errorf("fetch.sh lacks %q", want)
	}
}
