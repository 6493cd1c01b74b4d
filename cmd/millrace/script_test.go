package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/millrace/millrace/engine/ort"
)

// TestMain makes the program callable from scripts as millrace.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"millrace": main})
}

// TestScripts runs testdata/script: the program as a user meets it. Each
// script's folder holds the fixtures of writeFixtures.
func TestScripts(t *testing.T) {
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	library := fetchedLibrary(t, repo)
	fixtures := t.TempDir()
	writeFixtures(t, fixtures)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("REPO", repo)
			env.Setenv("F", fixtures)
			env.Setenv(ort.EnvVariable, library)
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "userns" { // an own mount namespace, for a small file system
				return canUnshare(), nil
			}
			return false, nil
		},
	})
}

// fetchedLibrary finds what make runtime has fetched, or what the environment
// names.
func fetchedLibrary(t *testing.T, repo string) string {
	t.Helper()
	if path := os.Getenv(ort.EnvVariable); path != "" {
		return path
	}
	found, err := filepath.Glob(filepath.Join(repo, ".ort", ort.PinnedVersion+"-cpu-*", "lib", "libonnxruntime.so"))
	if err != nil || len(found) == 0 {
		t.Skip("no ONNX Runtime: run make runtime, or set " + ort.EnvVariable)
	}
	return found[0]
}
