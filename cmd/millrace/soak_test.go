package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
)

// soakRuns is how many runs of each kind there are: 20, or what SOAK_RUNS says (make
// soak: 200).
func soakRuns(t *testing.T) int {
	t.Helper()
	if testing.Short() {
		return 3
	}
	text := os.Getenv("SOAK_RUNS")
	if text == "" {
		return 20
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("SOAK_RUNS is %q; want a number of runs", text)
	}
	return n
}

// soak is a job of some parts that tests kill, and what it publishes when nobody does.
type soak struct {
	dir     string
	program string
	env     []string
	args    []string
	random  *rand.Rand
	bytes   int64 // that a whole output takes

	took time.Duration // of a whole run
	want fileset       // of a whole run
	old  fileset       // of an output that stood there before
}

// fileset is the digests of an output's files by name, manifests and what is in hidden
// directories aside.
type fileset map[string]string

// soakFiles are how many times the sample is read, and so how many parts there are.
const soakFiles = 10

func newSoak(t *testing.T) *soak {
	t.Helper()
	library, ok := orttest.Path()
	if !ok {
		t.Skip("SKIPPED FOR WANT OF ONNX RUNTIME: run make runtime, or set " + ort.EnvVariable)
	}
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	s := &soak{dir: t.TempDir(), random: rand.New(rand.NewPCG(7, uint64(time.Now().UnixNano())))}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s.program = filepath.Join(s.dir, "millrace") // by which TestMain knows what it is to be
	if err := os.Symlink(self, s.program); err != nil {
		t.Fatal(err)
	}
	s.env = append(os.Environ(), ort.EnvVariable+"="+library)
	s.args = []string{"score", "--model", filepath.Join(repo, "models/reference/flights_gbdt.onnx"), "--nulls", "reject", "--ids", "id", "--part-rows", "50000", "--json"}
	for i := range soakFiles {
		name := filepath.Join(s.dir, fmt.Sprintf("in-%02d.parquet", i))
		if err := os.Symlink(filepath.Join(repo, "testdata/flights-sample.parquet"), name); err != nil {
			t.Fatal(err)
		}
		s.args = append(s.args, "--input", name)
	}
	out := filepath.Join(s.dir, "whole")
	started := time.Now()
	if code, text := s.start(out).wait(t); code != 0 {
		t.Fatalf("a run that nobody kills exits %d: %s", code, text)
	}
	s.took = time.Since(started)
	s.want = readFileset(t, out)
	parts, err := filepath.Glob(filepath.Join(out, "part-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		info, err := os.Stat(part)
		if err != nil {
			t.Fatal(err)
		}
		s.bytes += info.Size()
	}
	if len(s.want) != soakFiles+2 { // _SUCCESS and rejects
		t.Fatalf("a whole output has the files %v", slices.Sorted(maps.Keys(s.want)))
	}
	return s
}

// readFileset digests an output's files, of rejects those of the newest run.
func readFileset(t *testing.T, out string) fileset {
	t.Helper()
	files := fileset{}
	history, err := ledger.ReadHistory(out)
	if err != nil {
		t.Fatal(err)
	}
	newest := history.Runs[0].Run
	err = filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), "manifest.") || d.Name() == "rejects.parquet" && filepath.Base(filepath.Dir(path)) != newest {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		files[d.Name()] = hex.EncodeToString(sum[:])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// process is one start.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	started        time.Time
}

func (s *soak) start(out string, more ...string) *process {
	p := &process{started: time.Now()}
	p.cmd = exec.Command(s.program, slices.Concat(s.args, []string{"--output", out}, more)...)
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = s.env, &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		panic(err)
	}
	return p
}

// wait gives the exit code, -1 for a process that was killed, and what it said.
func (p *process) wait(t *testing.T) (code int, text string) {
	t.Helper()
	err := p.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), p.stderr.String()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, p.stderr.String()
}

// summary is what a start that published printed.
func (p *process) summary(t *testing.T) (s struct {
	Starts    int   `json:"starts"`
	RowsTaken int64 `json:"rows_taken"`
	Already   bool  `json:"already_published"`
},
) {
	t.Helper()
	if err := json.Unmarshal(p.stdout.Bytes(), &s); err != nil {
		t.Fatalf("%v: %s", err, p.stdout.String())
	}
	return s
}

// finished counts the parts in the journal of an output that is not published.
func finished(t *testing.T, out string) int {
	t.Helper()
	journals, err := filepath.Glob(filepath.Join(filepath.Dir(out), "."+filepath.Base(out)+".millrace-*", "journal"))
	if err != nil {
		t.Fatal(err)
	}
	most := 0
	for _, name := range journals {
		data, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		most = max(most, bytes.Count(data, []byte(`{"part":{`)))
	}
	return most
}

// watch polls an output every millisecond until the function that it gives is called,
// which fails the test if a reader ever found something else than nothing, the old
// output or all of the new.
func (s *soak) watch(t *testing.T, out string, old bool) (stop func()) {
	t.Helper()
	done, over := make(chan struct{}), make(chan struct{})
	var wrong string
	go func() {
		defer close(over)
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
			if problem := s.look(out, old); problem != "" && wrong == "" {
				wrong = problem
			}
		}
	}()
	return func() {
		t.Helper()
		close(done)
		<-over
		if wrong != "" {
			t.Errorf("a reader finds %s", wrong)
		}
	}
}

// look says what is wrong with what a reader finds at an output now.
func (s *soak) look(out string, old bool) string {
	root, err := os.OpenRoot(out)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && !old {
			return ""
		}
		return "no output: " + err.Error()
	}
	defer root.Close()
	dir, err := root.Open(".")
	if err != nil {
		return err.Error()
	}
	names, err := dir.Readdirnames(-1)
	_ = dir.Close()
	if err != nil {
		return err.Error()
	}
	parts := 0
	for _, name := range names {
		if strings.HasPrefix(name, "part-") {
			parts++
		}
	}
	if slices.Contains(names, "_SUCCESS") && (parts == soakFiles || old && parts == len(s.old)-1) {
		return ""
	}
	// The old output is removed after the new one took its name: what was opened before
	// is no output any more.
	now, err := os.Stat(out)
	mine, merr := root.Stat(".")
	if err == nil && merr == nil && !os.SameFile(now, mine) {
		return ""
	}
	return fmt.Sprintf("half an output: %v", names)
}

// check compares a published output with that of a run that nobody killed.
func (s *soak) check(t *testing.T, out, what string) {
	t.Helper()
	if got := readFileset(t, out); !maps.Equal(got, s.want) {
		t.Errorf("%s: files differ from those of a whole run: %v", what, slices.Sorted(maps.Keys(got)))
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(out), "."+filepath.Base(out)+".millrace*"))
	if err != nil || len(left) > 0 {
		t.Errorf("%s: left behind: %v", what, left)
	}
	verify := exec.Command(s.program, "verify", out)
	verify.Env = s.env
	if text, err := verify.CombinedOutput(); err != nil {
		t.Errorf("%s: verify: %v: %s", what, err, text)
	}
}

// untilDone starts a job again and again until it publishes, end deciding how each
// start ends. It returns how many starts there were.
func (s *soak) untilDone(t *testing.T, out string, end func(p *process, n int), allowed []int, more ...string) (starts int) {
	t.Helper()
	kept := 0
	for {
		p := s.start(out, more...)
		starts++
		end(p, starts)
		code, text := p.wait(t)
		if code == 0 {
			sum := p.summary(t)
			if want := int64(kept); !sum.Already && sum.RowsTaken != want*50_000 {
				t.Errorf("start %d took over %d rows; %d parts were finished", starts, sum.RowsTaken, kept)
			}
			return starts
		}
		if !slices.Contains(allowed, code) {
			t.Fatalf("start %d exits %d: %s", starts, code, text)
		}
		now := finished(t, out)
		if now < kept {
			if _, err := os.Stat(filepath.Join(out, "_SUCCESS")); err == nil {
				continue // killed between publishing and tidying up
			}
			t.Errorf("start %d: %d parts are finished, %d were before", starts, now, kept)
		}
		kept = now
	}
}

// pause is how long the n-th start is left alone: later and later, so that a machine
// that became slower meanwhile gets to an end.
func (s *soak) pause(n int) time.Duration {
	return time.Duration((0.7 + 0.3*float64(n)) * s.random.Float64() * float64(s.took))
}

// TestSoakKill kills starts with SIGKILL at random moments until one publishes, with a
// reader watching; every other time an old output is to be replaced.
func TestSoakKill(t *testing.T) {
	s := newSoak(t)
	starts, runs := 0, soakRuns(t)
	for i := range runs {
		out := filepath.Join(s.dir, fmt.Sprint("kill", i))
		replaces := i%2 == 1
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
	if s.old == nil {
		s.old = readFileset(t, out)
		delete(s.old, "rejects.parquet")
	}
}

// TestSoakTerm stops starts with SIGTERM until one publishes: each exits 75, in the
// time that it has to finish its parts.
func TestSoakTerm(t *testing.T) {
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
	s := newSoak(t)
	runs := max(soakRuns(t)/10, 2)
	for i := range runs {
		out := filepath.Join(s.dir, fmt.Sprint("stalled", i))
		stalled := s.start(out)
		for ledger.Held(out) == nil {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(s.pause(1) / 2)
		if err := stalled.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(s.dir, fmt.Sprintf(".stalled%d.millrace.lock", i))); err != nil {
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
			for ledger.Held(out) == nil {
				time.Sleep(100 * time.Microsecond)
			}
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
