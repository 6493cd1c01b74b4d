package ort

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"

	onnx "github.com/yalue/onnxruntime_go"
)

// minAPI is the C API version of the headers in include/ and of the binding's;
// ONNX Runtime 1.N offers the API versions up to N.
const minAPI = 24

// Library is ONNX Runtime, loaded. There is one per process and it stays until
// the process ends.
type Library struct {
	Path      string // the file, as the loader found it
	Version   string // such as 1.31.1
	Source    string // what named the place; see the Source constants
	API       int    // the highest C API version it offers
	Providers []string
}

// process holds the one library of this process: ONNX Runtime's environment and
// the binding's are global.
var process struct {
	sync.Mutex
	lib *Library
}

// Load finds and loads ONNX Runtime. Calls after the first give the same
// Library, or ErrLibraryLoaded when they would end at another file. When
// nothing can be loaded the error names every place tried and why each failed.
func Load(opts LibraryOptions) (*Library, error) {
	opts.EnsureDefaults()
	process.Lock()
	defer process.Unlock()
	var tried []string
	sentinel := ErrLibraryMissing
	for _, c := range Search(opts) {
		if process.lib != nil {
			if same(c.Path, process.lib.Path) {
				return process.lib, nil
			}
			if c.Source == SourceFlag || c.Source == SourceEnv {
				return nil, fmt.Errorf("%w: %s is loaded, %s asks for %s", ErrLibraryLoaded, process.lib.Path, c.Source, c.Path)
			}
			continue
		}
		if c.Source != SourceSystem && !c.Exists {
			tried = append(tried, fmt.Sprintf("%s (%s): no such file", c.Path, c.Source))
			continue
		}
		lib, err := load(c)
		if err == nil {
			process.lib = lib
			return lib, nil
		}
		if errors.Is(err, errStarted) { // past the point where another could be tried
			return nil, err
		}
		if errors.Is(err, ErrLibraryTooOld) {
			sentinel = ErrLibraryTooOld
		}
		tried = append(tried, fmt.Sprintf("%s (%s): %s", c.Path, c.Source, errors.Unwrap(err)))
	}
	if process.lib != nil { // none of the usual places, but it is loaded
		return process.lib, nil
	}
	return nil, fmt.Errorf("%w; tried:\n  %s\nget it with `make runtime`, or name a library of 1.%d or newer with --ort-lib or %s",
		sentinel, strings.Join(tried, "\n  "), minAPI, EnvVariable)
}

// errStarted marks a failure after the environment was begun.
var errStarted = errors.New("ONNX Runtime was loaded but did not start")

// reasonError is why one candidate was not taken: a sentence that belongs to a
// sentinel without repeating its words.
type reasonError struct {
	sentinel, reason error
}

func (e *reasonError) Error() string        { return e.reason.Error() }
func (e *reasonError) Unwrap() error        { return e.reason }
func (e *reasonError) Is(target error) bool { return errors.Is(e.sentinel, target) }

func load(c Candidate) (*Library, error) {
	path := C.CString(c.Path)
	defer C.free(unsafe.Pointer(path))
	opened := new(C.mr_library)
	C.mr_open(path, opened)
	if opened.version == nil {
		err := errors.New(C.GoString(opened.error))
		C.mr_close(opened)
		return nil, &reasonError{ErrLibrary, err}
	}
	lib := &Library{Path: C.GoString(opened.path), Version: C.GoString(opened.version), Source: c.Source}
	if n := versionNumbers(lib.Version); len(n) >= 2 && n[0] == 1 {
		lib.API = n[1]
	}
	// Asked for an API it does not have, a library writes to stderr; so the
	// version is read first.
	if lib.API < minAPI || C.mr_use(opened) == 0 {
		C.mr_close(opened)
		return nil, &reasonError{ErrLibraryTooOld, fmt.Errorf("it is version %s, and at least 1.%d is needed", lib.Version, minAPI)}
	}
	obeyLevel()
	// Ours first: the first environment's logger is the process's, and the
	// binding's call then counts up the same environment.
	if err := statusError(C.mr_create_env(), 0); err != nil {
		return nil, fmt.Errorf("%w: %s: %w: %w", ErrLibrary, lib.Path, errStarted, err)
	}
	onnx.SetSharedLibraryPath(lib.Path)
	if err := onnx.InitializeEnvironment(onnx.WithLogLevelWarning()); err != nil {
		return nil, fmt.Errorf("%w: %s: %w: %w", ErrLibrary, lib.Path, errStarted, err)
	}
	var names **C.char
	var count C.int
	if err := statusError(C.mr_providers(&names, &count), 0); err != nil { //nolint:gocritic // dupSubExpr reads what cgo generates
		return nil, fmt.Errorf("%w: %s: %w: %w", ErrLibrary, lib.Path, errStarted, err)
	}
	defer C.mr_free_providers(names, count)
	for _, name := range unsafe.Slice(names, count) {
		lib.Providers = append(lib.Providers, C.GoString(name))
	}
	return lib, nil
}

// same says whether two paths are one file.
func same(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y) || filepath.Clean(a) == filepath.Clean(b)
}
