package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/onnxpb"
)

// deadlyAtLoad is divideModel with a division of constants, which kills ONNX Runtime when it
// folds them: as the session is opened.
func deadlyAtLoad() *onnxpb.ModelProto {
	m := divideModel()
	m.Graph.Initializer = append(m.Graph.Initializer, &onnxpb.TensorProto{Name: new("d"), Dims: []int64{1}, DataType: new(int32(models.Int64)), Int64Data: []int64{-1}})
	m.Graph.Node = []*onnxpb.NodeProto{
		{OpType: new("Div"), Input: []string{"c", "d"}, Output: []string{"e"}},
		{OpType: new("Add"), Input: []string{"e", "x"}, Output: []string{"y"}},
	}
	return m
}

// killable is a directory with this program, models and data, for runs that die.
type killable struct {
	dir, program string
	env          []string
}

func newKillable(t *testing.T) *killable {
	t.Helper()
	k := &killable{dir: t.TempDir()}
	k.program, k.env = programIn(t, k.dir)
	write(t, filepath.Join(k.dir, "divide.onnx"), encode(t, divideModel()))
	write(t, filepath.Join(k.dir, "load.onnx"), encode(t, deadlyAtLoad()))
	return k
}

// command is a run of some rows of its directory.
func (k *killable) command(args ...string) *exec.Cmd {
	cmd := exec.Command(k.program, append([]string{"score", "--input", "in.parquet"}, args...)...)
	cmd.Dir, cmd.Env = k.dir, k.env
	return cmd
}

// TestModelThatKillsAtLoad has a model that kills every process that opens it: after two
// deaths a start says so, and the one after that tries again.
func TestModelThatKillsAtLoad(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("only x86-64 faults on this division")
	}
	k := newKillable(t)
	writeDivisors(t, filepath.Join(k.dir, "in.parquet"), 1000)
	for start := 1; start <= 4; start++ {
		text, err := k.command("--model", "load.onnx", "--ids", "x", "--output", "out").CombinedOutput()
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			t.Fatalf("start %d ends with %v: %s", start, err, text)
		}
		status := exit.Sys().(syscall.WaitStatus)
		if start != 3 {
			if !status.Signaled() {
				t.Errorf("start %d exits %d; want it killed by a signal: %.400s", start, status.ExitStatus(), text)
			}
			continue
		}
		if status.ExitStatus() != exitModel || !strings.Contains(string(text), "2 starts died while it was loaded, before a row was scored") {
			t.Errorf("start 3 exits %d: %s; want %d and why", status.ExitStatus(), text, exitModel)
		}
		if left, _ := filepath.Glob(filepath.Join(k.dir, ".out*")); len(left) > 0 {
			t.Errorf("start 3 leaves %v", left)
		}
	}
}

// TestKilledTwiceInOnePart kills two starts from outside in the first part. The third
// scores it in a process of its own, which ends with it when it is killed as well; the
// fourth publishes what a run would have that nobody touched.
func TestKilledTwiceInOnePart(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: what dies is another process")
	}
	k := newKillable(t)
	writeDivisors(t, filepath.Join(k.dir, "in.parquet"), 24_000)
	// Batches of one row, so that a part takes its time.
	args := []string{"--model", "divide.onnx", "--ids", "x", "--part-rows", "8000", "--batch-size", "1", "--workers", "1", "--quiet", "--output"}
	if text, err := k.command(append(args, "whole")...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for start := range 2 {
		cmd := k.command(append(args, "out")...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, fmt.Sprintf("start %d to score a part", start), func() bool { return strings.Count(k.journal(""), `{"begun":0}`) == start+1 })
		kill(t, cmd)
	}
	cmd := k.command(append(args, "out")...)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var child int
	waitFor(t, "a process for the part", func() bool {
		child = childOf(cmd.Process.Pid)
		return child != 0
	})
	kill(t, cmd)
	waitFor(t, "that process to end with the one that started it", func() bool { return !runs(child) })
	if text := k.journal("apart/.out.millrace-*"); strings.Contains(text, `"part":{`) {
		t.Errorf("that process finished its part: %s", text)
	}
	if text, err := k.command(append(args, "out")...).CombinedOutput(); err != nil {
		t.Fatalf("the last start: %v: %s", err, text)
	}
	if got, want := readFileset(t, filepath.Join(k.dir, "out")), readFileset(t, filepath.Join(k.dir, "whole")); len(want) < 3 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("files %v; want %v", got, want)
	}
}

// journal is the text of the journal of the run that is going on or was killed, or of one
// below its directory.
func (k *killable) journal(below string) string {
	found, _ := filepath.Glob(filepath.Join(k.dir, ".out.millrace-*", below, "journal"))
	if len(found) == 0 {
		return ""
	}
	text, _ := os.ReadFile(found[0])
	return string(text)
}

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
}

// waitFor waits for something that another process does, a minute at most.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(100 * time.Microsecond) {
		if done() {
			return
		}
	}
	t.Fatalf("waited for %s, in vain", what)
}

// childOf is a process that another one started; 0 where there is none.
func childOf(parent int) int {
	found, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range found {
		if fields := stat(name); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			return pid
		}
	}
	return 0
}

// runs says whether a process is there and no zombie.
func runs(pid int) bool {
	fields := stat(fmt.Sprintf("/proc/%d/stat", pid))
	return len(fields) > 0 && fields[0] != "Z" && fields[0] != "X"
}

// stat are the fields of a process from its state on.
func stat(name string) []string {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}
