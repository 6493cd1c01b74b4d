// Package orttest gives tests of any package ONNX Runtime.
package orttest

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/millrace/millrace/engine/ort"
)

// Path is the library that tests use: what MILLRACE_ORT_LIB names, or the build
// that engine/ort/fetch.sh put into the repository's .ort; false when there is
// neither.
func Path() (string, bool) {
	if path := os.Getenv(ort.EnvVariable); path != "" {
		return path, true
	}
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", false
	}
	// As if the program were in the repository's bin.
	bin := filepath.Join(filepath.Dir(file), "..", "..", "..", "bin", "millrace")
	for _, c := range ort.Search(ort.LibraryOptions{Executable: bin, Getenv: func(string) string { return "" }}) {
		if c.Source == ort.SourceFetched && c.Exists {
			return c.Path, true
		}
	}
	return "", false
}

// Library loads ONNX Runtime, or skips the test where none was fetched.
func Library(tb testing.TB) *ort.Library {
	tb.Helper()
	path, ok := Path()
	if !ok {
		tb.Skip("SKIPPED FOR WANT OF ONNX RUNTIME: run engine/ort/fetch.sh cpu, or set " + ort.EnvVariable)
	}
	lib, err := ort.Load(ort.LibraryOptions{Path: path})
	if err != nil {
		tb.Fatalf("load ONNX Runtime: %v", err)
	}
	return lib
}
