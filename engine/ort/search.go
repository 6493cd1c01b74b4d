package ort

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// PinnedVersion is the version that fetch.sh brings and the tests run with.
const PinnedVersion = "1.31.1"

// EnvVariable names a library, or a folder with one, as --ort-lib does.
const EnvVariable = "MILLRACE_ORT_LIB"

// LibraryOptions say where to look for the library; the zero value searches the
// usual places.
type LibraryOptions struct {
	Path       string              // --ort-lib: a file, or a folder with one
	Getenv     func(string) string // os.Getenv by default
	Executable string              // this program's file by default
	Provider   Provider            // which of several fetched builds to prefer
}

// EnsureDefaults fills what was left zero.
func (o *LibraryOptions) EnsureDefaults() {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Executable == "" {
		if exe, err := os.Executable(); err == nil {
			o.Executable = exe
		}
	}
	if file, err := filepath.EvalSymlinks(o.Executable); err == nil {
		o.Executable = file
	}
	if o.Provider == "" {
		o.Provider = CPU
	}
}

// Candidate is one place where the library may be.
type Candidate struct {
	Path   string `json:"path"`
	Source string `json:"source"` // what named the place
	// Exists is true when a file is there. The loader's own path, tried by name
	// alone, is not looked through and is never known to exist.
	Exists bool `json:"exists"`
}

// Sources of candidates.
const (
	SourceFlag       = "--ort-lib"
	SourceEnv        = EnvVariable
	SourceExecutable = "beside the program"
	SourceFetched    = "fetched by make runtime"
	SourceSystem     = "the system's library path"
)

// systemName is what the loader is asked for by name.
const systemName = "libonnxruntime.so"

// Search lists where Load will look, in order, and loads nothing. A place named
// by flag or variable is the only one: what was asked for is used or fails. The
// current directory is not among them, for running a program in a stranger's
// folder must not run the stranger's code.
func Search(opts LibraryOptions) []Candidate {
	opts.EnsureDefaults()
	if opts.Path != "" {
		return []Candidate{named(opts.Path, SourceFlag)}
	}
	if path := opts.Getenv(EnvVariable); path != "" {
		return []Candidate{named(path, SourceEnv)}
	}
	var all []Candidate
	if opts.Executable != "" {
		home := filepath.Dir(opts.Executable)
		for _, dir := range []string{home, filepath.Join(home, "..", "lib")} {
			all = append(all, inFolder(dir, SourceExecutable))
		}
		all = append(all, fetched(filepath.Join(home, "..", ".ort"), opts.Provider)...)
	}
	return append(all, Candidate{Path: systemName, Source: SourceSystem})
}

// named is the place that was asked for, as an absolute path: a bare name would
// send the loader along its own path instead.
func named(path, source string) Candidate {
	if whole, err := filepath.Abs(path); err == nil {
		path = whole
	}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return inFolder(path, source)
	}
	return Candidate{Path: path, Source: source, Exists: err == nil}
}

// inFolder takes libonnxruntime.so, or else the highest of the names with a
// version behind.
func inFolder(dir, source string) Candidate {
	c := Candidate{Path: filepath.Join(dir, systemName), Source: source}
	if _, err := os.Stat(c.Path); err == nil {
		c.Exists = true
		return c
	}
	if names, _ := filepath.Glob(filepath.Join(dir, systemName+".*")); len(names) > 0 {
		c.Path, c.Exists = slices.MaxFunc(names, compareVersions), true
	}
	return c
}

// fetched lists the builds under .ort for this machine, those of the provider
// first and newer ones first. A CUDA build runs on the CPU as well.
func fetched(dir string, provider Provider) []Candidate {
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	kinds := []string{"cpu", "cuda"}
	if provider != CPU {
		slices.Reverse(kinds)
	}
	var all []Candidate
	for _, kind := range kinds {
		builds, _ := filepath.Glob(filepath.Join(dir, "*-"+kind+"-"+arch))
		slices.SortFunc(builds, func(a, b string) int { return compareVersions(b, a) })
		for _, build := range builds {
			all = append(all, inFolder(filepath.Join(build, "lib"), SourceFetched))
		}
	}
	if len(all) == 0 {
		all = append(all, Candidate{
			Path:   filepath.Join(dir, PinnedVersion+"-cpu-"+arch, "lib", systemName),
			Source: SourceFetched,
		})
	}
	return all
}

// compareVersions orders names by the numbers in them.
func compareVersions(a, b string) int { return slices.Compare(versionNumbers(a), versionNumbers(b)) }

func versionNumbers(s string) []int {
	fields := strings.FieldsFunc(filepath.Base(s), func(r rune) bool { return r < '0' || r > '9' })
	numbers := make([]int, len(fields))
	for i, f := range fields {
		numbers[i], _ = strconv.Atoi(f)
	}
	return numbers
}
