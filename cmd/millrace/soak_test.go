package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSoakKill kills starts with SIGKILL at random moments until one publishes, with a
// reader watching; every other time an old output is to be replaced.
func TestSoakKill(t *testing.T) {
	soakKill(t, newSoak(t), 2, soakRuns(t))
}

// TestSoakKillJob does the same to a job file with something of everything.
func TestSoakKillJob(t *testing.T) {
	if testing.Short() {
		t.Skip("minutes under the race detector")
	}
	soakKill(t, newSoakJob(t), math.MaxInt, max(soakRuns(t)/4, 3))
}

// soakKill has every n-th run replace an old output.
func soakKill(t *testing.T, s *soak, n, runs int) {
	t.Helper()
	starts := 0
	for i := range runs {
		out := filepath.Join(s.dir, fmt.Sprint("kill", i))
		replaces := i%n == n-1
		var more []string
		if replaces {
			s.makeOld(t, out)
			more = []string{"--if-exists", "replace"}
		}
		stop := s.watch(t, out, replaces)
		starts += s.untilDone(t, out, func(p *process, n int) {
			time.Sleep(s.pause(n))
			_ = p.cmd.Process.Kill() // it may be over
		}, []int{-1}, more...)
		stop()
		s.check(t, out, fmt.Sprintf("run %d", i))
		if err := os.RemoveAll(out); err != nil {
			t.Fatal(err)
		}
	}
	if starts == runs {
		t.Error("no start was killed")
	}
	t.Logf("%d runs, %d starts killed, 0 rows lost or twice", runs, starts-runs)
}

// makeOld publishes an output of fewer files.
func (s *soak) makeOld(t *testing.T, out string) {
	t.Helper()
	whole := s.args
	defer func() { s.args = whole }()
	s.args = append(slices.Clone(whole[:len(whole)-4]), "--output-prefix", "old_")
	if code, text := s.start(out).wait(t); code != 0 {
		t.Fatalf("old output: exit %d: %s", code, text)
	}
	s.oldNames = namesIn(t, out)
}

// TestSoakTerm stops starts with SIGTERM until one publishes: each exits 75, in the
// time that it has to finish its parts.
func TestSoakTerm(t *testing.T) {
	slow(t)
	s := newSoak(t)
	stopped, runs := 0, max(soakRuns(t)/4, 3)
	for i := range runs {
		out := filepath.Join(s.dir, fmt.Sprint("term", i))
		stop := s.watch(t, out, false)
		grace := []string{"0s", "5s"}[i%2]
		starts := s.untilDone(t, out, func(p *process, n int) {
			time.Sleep(s.pause(n))
			_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may be over
		}, []int{75, -1}, "--grace", grace) // -1: before it listens to signals
		stop()
		s.check(t, out, fmt.Sprintf("run %d", i))
		stopped += starts - 1
	}
	if stopped == 0 {
		t.Error("no start was stopped")
	}
	t.Logf("%d runs, %d starts stopped", runs, stopped)
}

// TestSoakRace starts two at once on one output: one publishes, the other says at once
// who holds it, or finds it published.
func TestSoakRace(t *testing.T) {
	slow(t)
	s := newSoak(t)
	held, runs := 0, max(soakRuns(t)/4, 3)
	for i := range runs {
		out := filepath.Join(s.dir, fmt.Sprint("race", i))
		stop := s.watch(t, out, false)
		pair := [2]*process{s.start(out), s.start(out)}
		published := 0
		for _, p := range pair {
			switch code, text := p.wait(t); code {
			case 0:
				if !p.summary(t).Already {
					published++
				}
			case 75:
				held++
				if !strings.Contains(text, "is held by run ") {
					t.Errorf("run %d: exit 75 says %s", i, text)
				}
			default:
				t.Errorf("run %d: exit %d: %s", i, code, text)
			}
		}
		stop()
		if published != 1 {
			t.Errorf("run %d: %d of two published", i, published)
		}
		s.check(t, out, fmt.Sprintf("run %d", i))
	}
	t.Logf("%d races, %d were told who holds the output", runs, held)
}

// TestSoakFull runs into a full disk, a real one of 16 MiB, which is then made free:
// the same command goes on and publishes.
func TestSoakFull(t *testing.T) {
	slow(t)
	if !canUnshare() {
		t.Skip("SKIPPED: no mount namespace of its own to be had")
	}
	s := newSoak(t)
	runs := max(soakRuns(t)/10, 2)
	for i := range runs {
		disk := filepath.Join(s.dir, fmt.Sprint("disk", i))
		if err := os.Mkdir(disk, 0o777); err != nil {
			t.Fatal(err)
		}
		room := 64 + s.random.Int64N(s.bytes>>10*9/10) // KiB, less than the output needs
		script := fmt.Sprintf(`mount -t tmpfs -o size=16m tmpfs %[1]q || exit 99
head -c $((16384 - %[2]d))k /dev/zero > %[1]q/ballast 2>/dev/null
"$@" --output %[1]q/out; code=$?
[ $code = 6 ] || { echo "full disk: exit $code"; exit 98; }
ls %[1]q | grep -v ballast && { echo "something shows"; exit 97; }
rm %[1]q/ballast
"$@" --output %[1]q/out || exit $?
cp -r %[1]q/out %[1]q.out`, disk, room)
		cmd := exec.Command("unshare", slices.Concat([]string{"-rm", "sh", "-c", script, "sh", s.program}, s.args)...)
		cmd.Env = s.env
		text, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("run %d, %d KiB free: %v: %s", i, room, err, text)
		}
		if !bytes.Contains(text, []byte("no space left on device")) {
			t.Errorf("run %d: the message does not name the cause: %s", i, text)
		}
		s.check(t, disk+".out", fmt.Sprintf("run %d, %d KiB free at first", i, room))
	}
	t.Logf("%d full disks", runs)
}

// TestSoakStalled has a run be stopped for so long that its lock is taken away and
// another run finishes its work. When it wakes up it must not publish.
func TestSoakStalled(t *testing.T) {
	slow(t)
	s := newSoak(t)
	runs := max(soakRuns(t)/10, 2)
	ended := 0
	for i := 0; i < runs+ended; i++ {
		out := filepath.Join(s.dir, fmt.Sprint("stalled", i))
		stalled := s.start(out)
		waitHeld(t, out)
		time.Sleep(s.pause(1) / 2)
		if err := stalled.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		err := os.Remove(filepath.Join(s.dir, fmt.Sprintf(".stalled%d.millrace.lock", i)))
		if errors.Is(err, fs.ErrNotExist) && ended < runs { // it had published before it was stopped
			_ = stalled.cmd.Process.Signal(syscall.SIGCONT)
			if code, text := stalled.wait(t); code != 0 {
				t.Fatalf("run %d ended, and exits %d: %s", i, code, text)
			}
			ended++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		second := s.start(out)
		if code, text := second.wait(t); code != 0 {
			t.Fatalf("run %d: the second exits %d: %s", i, code, text)
		}
		_ = stalled.cmd.Process.Signal(syscall.SIGCONT)
		if code, text := stalled.wait(t); code != 75 {
			t.Errorf("run %d: the stalled run exits %d: %s", i, code, text)
		}
		s.check(t, out, fmt.Sprintf("run %d", i))
	}
	t.Logf("%d stalled runs", runs)
}

// TestSoakChanged changes an input under runs that have begun: appends to it, cuts it,
// replaces it, writes into it. Each exits 4, and nothing is published or kept.
func TestSoakChanged(t *testing.T) {
	slow(t)
	s := newSoak(t)
	last := s.args[len(s.args)-1]
	original, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	changes := map[string]func(name string) error{
		"appended": func(name string) error {
			f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("one line more\n")
			return errors.Join(err, f.Close())
		},
		"truncated": func(name string) error { return os.Truncate(name, int64(len(original)/2)) },
		"replaced": func(name string) error {
			return errors.Join(os.WriteFile(name+".new", original, 0o600), os.Rename(name+".new", name))
		},
		"overwritten": func(name string) error { return os.WriteFile(name, bytes.Repeat([]byte{7}, len(original)), 0o600) },
	}
	runs := max(soakRuns(t)/10, 1)
	for i := range runs {
		for what, change := range changes {
			if err := errors.Join(os.Remove(last), os.WriteFile(last, original, 0o600)); err != nil { // no link any more
				t.Fatal(err)
			}
			out := filepath.Join(s.dir, fmt.Sprint(what, i))
			p := s.start(out)
			waitHeld(t, out)
			if err := change(last); err != nil {
				t.Fatal(err)
			}
			if code, text := p.wait(t); code != 4 || !strings.Contains(text, filepath.Base(last)) {
				t.Errorf("%s: exit %d; want 4, and the file's name: %s", what, code, text)
			}
			if left, _ := filepath.Glob(filepath.Join(s.dir, "*"+what+"*")); len(left) > 0 {
				t.Errorf("%s: left behind: %v", what, left)
			}
		}
	}
	t.Logf("%d inputs changed under a run", runs*len(changes))
}
