package main

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/io/arrowfile"
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
	library := libraryPath(t)
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
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits, "close": closeTo, "golden": golden, "sealed": sealed, "follow": follow, "older": older, "ended": ended},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "userns": // an own mount namespace, for a small file system
				return canUnshare(), nil
			case "gpu":
				devices, _, _ := ort.Devices()
				return len(devices) > 0, nil
			}
			return false, nil
		},
	})
}

// ended FILE fails the script unless the file is an Arrow IPC stream with an end mark.
func ended(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] ended FILE")
	}
	if strings.HasSuffix(ts.ReadFile(args[0]), arrowfile.EndMark) == neg {
		ts.Fatalf("%s: end mark there = %v", args[0], neg)
	}
}

// exits CODE COMMAND [ARGS...] runs a command and fails the script unless it
// exits with the code. stdout and stderr then match what it printed.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGS...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%v exits %d; want %d", args[1:], got, want)
	}
}
