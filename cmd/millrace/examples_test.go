package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// example is a file of docs/examples. What the schedulers themselves say of it is checked by
// docs/examples/check.sh.
type example struct {
	file string
	// arguments finds the words after "millrace" in the file's text.
	arguments func(t *testing.T, text string) []string
	// codes are pieces of the text that name exit codes.
	codes []string
	// stop matches the seconds between the request to stop and SIGKILL.
	stop string
}

// examples names the exit codes by exit.go's constants, so that neither changes alone.
func examples() []example {
	final := []int{exitFault, exitUsage, exitBadRows, exitInput, exitModel, exitOutput}
	join := func(codes []int, between string) string {
		return strings.Trim(strings.ReplaceAll(fmt.Sprint(codes), " ", between), "[]")
	}
	return []example{
		{file: "crontab", arguments: cronArguments, codes: []string{fmt.Sprintf("%d|%d) ;;", exitOK, exitInterrupted)}},
		{
			file: "millrace.service", arguments: shellArguments, stop: `(?m)^TimeoutStopSec=(\d+)$`,
			codes: []string{"\nRestart=on-failure\nRestartPreventExitStatus=" + join(final, " ") + "\n"},
		},
		{
			file: "cronjob.yaml", arguments: yamlArguments, stop: `terminationGracePeriodSeconds: (\d+)`,
			codes: []string{"values: [" + join(final, ", ") + "]", fmt.Sprintf("values: [%d, %d]", exitDevice, exitInterrupted)},
		},
		{
			file: "airflow_dag.py", arguments: pythonArguments, stop: `killed_task_cleanup_time \((\d+) s\)`,
			codes: []string{"FINAL = {" + join(final, ", ") + "}"},
		},
		{
			file: "slurm.sbatch", arguments: shellArguments, stop: `KillWait \((\d+) s\)`,
			codes: []string{fmt.Sprintf("\n%d | %d | 137)\n", exitDevice, exitInterrupted)},
		},
	}
}

// TestExamples runs each example's command with the flights in the places that it names,
// and compares what it says of exit codes and times with what millrace does.
func TestExamples(t *testing.T) {
	slow(t)
	for _, e := range examples() {
		t.Run(e.file, func(t *testing.T) {
			dir := examplesDir(t)
			program, env := programIn(t, dir)
			data, err := os.ReadFile(filepath.Join("../../docs/examples", e.file))
			if err != nil {
				t.Fatal(err)
			}
			text := string(data)
			args := e.arguments(t, text)
			if len(args) == 0 || args[0] != "score" {
				t.Fatalf("the command in %s is millrace %q; want millrace score ...", e.file, args)
			}
			for j := range args {
				args[j] = strings.ReplaceAll(args[j], "/srv/millrace", dir)
			}
			cmd := exec.Command(program, args...)
			cmd.Env = env
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("millrace %q: %v\n%s", args, err, out)
			}
			if published, _ := filepath.Glob(filepath.Join(dir, "out/*/_SUCCESS")); len(published) != 1 {
				t.Errorf("published under /srv/millrace/out: %q; want one output", published)
			}
			for _, codes := range e.codes {
				if !strings.Contains(text, codes) {
					t.Errorf("%s does not say %q; are its exit codes those of exit.go?", e.file, codes)
				}
			}
			if e.stop != "" {
				checkGrace(t, e, text, args)
			}
		})
	}
}

// checkGrace fails unless --grace ends before SIGKILL comes.
func checkGrace(t *testing.T, e example, text string, args []string) {
	t.Helper()
	found := regexp.MustCompile(e.stop).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("nothing in %s matches %s", e.file, e.stop)
	}
	seconds, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	joined := strings.Join(args, "=")
	_, grace, _ := strings.Cut(joined, "--grace=")
	grace, _, _ = strings.Cut(grace, "=")
	most, err := time.ParseDuration(grace)
	if err != nil {
		t.Fatalf("%s: --grace of %q: %v", e.file, joined, err)
	}
	if most >= time.Duration(seconds)*time.Second {
		t.Errorf("%s: --grace %v; want less than the %d s before SIGKILL", e.file, most, seconds)
	}
}

// examplesDir lays out what the examples name under /srv/millrace, and returns its place.
func examplesDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"in", "out"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for to, from := range map[string]string{
		filepath.Join(dir, "model.onnx"):         filepath.Join(repo, "models/reference/flights_gbdt.onnx"),
		filepath.Join(dir, "in/flights.parquet"): filepath.Join(repo, "testdata/flights-sample.parquet"),
	} {
		if err := os.Symlink(from, to); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// shellArguments takes the command as sh splits it, up to a redirection, & or the line's end.
func shellArguments(t *testing.T, text string) []string {
	t.Helper()
	text = strings.ReplaceAll(text, "\\\n", " ")
	command := regexp.MustCompile(`/usr/local/bin/millrace (score [^\n>&]*)`).FindStringSubmatch(text)
	if command == nil {
		t.Fatal("no /usr/local/bin/millrace score in the text")
	}
	out, err := exec.Command("sh", "-c", `printf '%s\n' `+command[1], "sh", "name-of-the-output").Output()
	if err != nil {
		t.Fatalf("sh cannot split %q: %v", command[1], err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// cronArguments undoes what cron does with %.
func cronArguments(t *testing.T, text string) []string {
	t.Helper()
	return shellArguments(t, strings.ReplaceAll(text, `\%`, "%"))
}

// yamlArguments takes the command's second word and the list of args, with one flag a line.
func yamlArguments(_ *testing.T, text string) []string {
	return append([]string{"score"}, submatches(`(?m)^ +- (--\S+)$`, text)...)
}

// pythonArguments takes the strings of the command's list.
func pythonArguments(_ *testing.T, text string) []string {
	return slices.DeleteFunc(submatches(`(?m)^ +"([^"]+)",$`, text), func(word string) bool { return strings.HasPrefix(word, "/") })
}

// submatches is the first group of every match.
func submatches(pattern, text string) []string {
	matches := regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1)
	found := make([]string, len(matches))
	for i, m := range matches {
		found[i] = m[1]
	}
	return found
}
